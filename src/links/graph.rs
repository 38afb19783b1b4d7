//! The graph as the store has it: nodes, pairs and decisions, before and after the change at hand.

// tidy: hash order unseen because nodes are looked up by id and written to a map ordered by key

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    ops::ControlFlow,
};

use ahash::RandomState;

use super::{
    classes::Memo,
    decisions::Decision,
    rules::{RANKS, Rules},
    store_keys::{self, Evidence, Node, damaged},
    traces::Traces,
};
use crate::model::{EventTime, Identifier, IdentifierType, KeyValue, PersonId, StoreError};

/// Which of the two graphs of a change is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Before it.
    Old,
    /// After it.
    New,
}

/// What stands of a pair: a decision, and the number of its command.
pub(super) type Standing = (Decision, u64);

/// The store and what a change does to it. Nodes are written at the end, pairs and decisions at once.
pub(super) struct Graph<'a, S: KeyValue + ?Sized> {
    pub store: &'a mut S,
    pub rules: &'a Rules,
    /// Given to the next graph, so that they are read once.
    pub traces: Traces,
    nodes: HashMap<PersonId, Versions, RandomState>,
    /// How many nodes more there are than before, as far as they are written.
    pub growth: i64,
    /// What stood of pairs whose decisions the change touches; under both ends.
    pub stood: BTreeMap<PersonId, BTreeMap<PersonId, Option<Standing>>>,
    /// What link decisions make, before and after.
    pub memo: [Memo; 2],
}

/// A node before and after.
#[derive(Default)]
struct Versions {
    old: Option<Node>,
    new: Option<Node>,
}

/// What exploring needs to know of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub kind: IdentifierType,
    pub shared: bool,
    pub decided: bool,
    pub oversize_from: u8,
}

/// The other end of a pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adjacent {
    pub other: PersonId,
    pub rank: u8,
    pub evidence: Evidence,
}

impl Adjacent {
    pub fn is_weaker(&self) -> bool {
        matches!(self.evidence, Evidence::Stronger { .. })
    }
}

impl<'a, S: KeyValue + ?Sized> Graph<'a, S> {
    pub fn new(store: &'a mut S, rules: &'a Rules) -> Graph<'a, S> {
        Graph {
            store,
            rules,
            traces: Traces::default(),
            nodes: HashMap::with_hasher(RandomState::with_seeds(11, 12, 13, 14)),
            growth: 0,
            stood: BTreeMap::new(),
            memo: Default::default(),
        }
    }

    /// Takes what is known of traces; whoever concludes the change gives it back.
    pub fn with(mut self, traces: &mut Traces) -> Graph<'a, S> {
        self.traces = std::mem::take(traces);
        self
    }

    fn versions(&mut self, id: PersonId) -> Result<&mut Versions, StoreError> {
        Ok(match self.nodes.entry(id) {
            hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hash_map::Entry::Vacant(entry) => {
                let node = match self.store.get(&store_keys::node(id))? {
                    Some(bytes) => Some(Node::decode(id, &bytes, self.rules)?),
                    None => None,
                };
                entry.insert(Versions { old: node.clone(), new: node })
            }
        })
    }

    /// The node as it was.
    pub fn old(&mut self, id: PersonId) -> Result<Option<&Node>, StoreError> {
        Ok(self.versions(id)?.old.as_ref())
    }

    /// The node as it will be.
    pub fn node(&mut self, id: PersonId) -> Result<Option<&Node>, StoreError> {
        Ok(self.versions(id)?.new.as_ref())
    }

    /// A node that must be there, because something leads to it.
    pub fn known(&mut self, id: PersonId) -> Result<&mut Node, StoreError> {
        self.versions(id)?.new.as_mut().ok_or_else(|| damaged("pair", "it leads to an identifier that is not there"))
    }

    /// The rank of an identifier that must be there.
    pub fn rank_of(&mut self, id: PersonId) -> Result<u8, StoreError> {
        let kind = self.known(id)?.kind;
        Ok(self.rules.rank(kind))
    }

    /// A node to change, if there is one.
    pub fn edit(&mut self, id: PersonId) -> Result<Option<&mut Node>, StoreError> {
        Ok(self.versions(id)?.new.as_mut())
    }

    /// The node of an identifier, made if there is none. Says whether it was made, or is known by its value only now.
    pub fn node_of(&mut self, id: PersonId, identifier: Identifier<'_>) -> Result<(&mut Node, bool), StoreError> {
        let mut is_new = self.versions(id)?.new.is_none();
        if is_new {
            if !self.rules.has(identifier.kind) {
                // Its rank would be that of another type, and links would be wrong for ever.
                let kind = identifier.kind;
                return Err(StoreError(format!("{kind} is none of the types in identity.types, but a spoke has it")));
            }
            self.forget_classes();
            let mut node = Node::new(id, identifier.kind, identifier.value);
            node.decided =
                self.traces.may_be_decided(id, self.store)? && self.has_any(&store_keys::prefix(b'd', &[&id.0]))?;
            // What it reported of others may be all that was left of it: it learns whose it is as before.
            node.home = self.traces.may_report(id, self.store)? && self.has_any(&store_keys::prefix(b'h', &[&id.0]))?;
            self.versions(id)?.new = Some(node);
        }
        let node = self.known(id)?;
        if node.value.is_empty() && !identifier.value.is_empty() {
            // So far only a decision named it, by its hash.
            node.value = identifier.value.into();
            is_new = true;
            self.forget_classes();
        }
        Ok((self.known(id)?, is_new))
    }

    /// Up to when an identifier is erased.
    pub fn erased_at(&mut self, id: PersonId) -> Result<Option<EventTime>, StoreError> {
        if !self.traces.may_be_erased(id, self.store)? {
            return Ok(None);
        }
        erased_at(self.store, id)
    }

    /// Removes a node.
    pub fn remove(&mut self, id: PersonId) -> Result<(), StoreError> {
        self.versions(id)?.new = None;
        self.forget_classes();
        Ok(())
    }

    pub fn facts(&mut self, id: PersonId, view: View) -> Result<Option<Facts>, StoreError> {
        let versions = self.versions(id)?;
        let node = match view {
            View::Old => versions.old.as_ref(),
            View::New => versions.new.as_ref(),
        };
        Ok(node.map(|node| Facts {
            kind: node.kind,
            shared: node.shared,
            decided: node.decided,
            oversize_from: node.oversize_from,
        }))
    }

    /// Whether one known identifier is stronger than another.
    pub fn is_stronger(&mut self, one: PersonId, other: PersonId) -> Result<bool, StoreError> {
        let (kind, other_kind) = (self.known(one)?.kind, self.known(other)?.kind);
        if kind != other_kind || one == other {
            return Ok(kind < other_kind);
        }
        self.known(one)?;
        self.known(other)?;
        let value =
            |id: &PersonId| self.nodes.get(id).and_then(|versions| versions.new.as_ref()).map(|node| &node.value);
        Ok(value(&one) < value(&other))
    }

    /// Writes the nodes that changed: what comes next is a change of its own.
    pub fn write_nodes(&mut self) {
        self.forget_classes();
        for (id, versions) in &mut self.nodes {
            if versions.old == versions.new {
                continue;
            }
            match &versions.new {
                Some(node) => self.store.put(&store_keys::node(*id), &node.encode(*id, self.rules)),
                None => self.store.delete(&store_keys::node(*id)),
            }
            self.growth += i64::from(versions.new.is_some()) - i64::from(versions.old.is_some());
            versions.old.clone_from(&versions.new);
        }
    }

    /// Whether any key begins with a prefix.
    pub fn has_any(&self, prefix: &[u8]) -> Result<bool, StoreError> {
        let mut found = false;
        self.store.scan(prefix, &store_keys::after(prefix), &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Up to `max` pairs from a key on, and the key to go on from if there may be more.
    pub fn adjacent(&self, from: &[u8], to: &[u8], max: usize) -> Result<(Vec<Adjacent>, Option<Vec<u8>>), StoreError> {
        let mut found = Vec::new();
        let mut go_on = None;
        let mut failed = None;
        self.store.scan(from, to, &mut |key, value| {
            if found.len() == max {
                go_on = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            match (store_keys::parse_pair(key), Evidence::decode(value, self.rules)) {
                (Ok((rank, other)), Ok(evidence)) => found.push(Adjacent { other, rank, evidence }),
                (Err(error), _) | (_, Err(error)) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok((found, go_on)),
        }
    }

    /// All pairs of an identifier with neighbours of these ranks.
    pub fn all_adjacent(&self, id: PersonId, ranks: std::ops::Range<u8>) -> Result<Vec<Adjacent>, StoreError> {
        if ranks.is_empty() {
            return Ok(Vec::new());
        }
        let (from, to) = (store_keys::pairs_from(id, ranks.start), store_keys::pairs_from(id, ranks.end));
        Ok(self.adjacent(&from, &to, usize::MAX)?.0)
    }

    /// All pairs of an identifier.
    pub fn every_adjacent(&self, id: PersonId) -> Result<Vec<Adjacent>, StoreError> {
        self.all_adjacent(id, 0..RANKS)
    }

    /// The pair as its stronger end has it.
    pub fn evidence(&mut self, stronger: PersonId, weaker: PersonId) -> Result<Option<Evidence>, StoreError> {
        let rank = self.rank_of(weaker)?;
        match self.store.get(&store_keys::pair(stronger, rank, weaker))? {
            Some(bytes) => Ok(Some(Evidence::decode(&bytes, self.rules)?)),
            None => Ok(None),
        }
    }

    /// Writes a pair under both ends.
    pub fn put_pair(&mut self, stronger: PersonId, weaker: PersonId, evidence: Evidence) -> Result<(), StoreError> {
        let (stronger_rank, weaker_rank) = (self.rank_of(stronger)?, self.rank_of(weaker)?);
        self.store.put(&store_keys::pair(stronger, weaker_rank, weaker), &evidence.encode(self.rules));
        let other_end = Evidence::Weaker { fate: evidence.fate() };
        self.store.put(&store_keys::pair(weaker, stronger_rank, stronger), &other_end.encode(self.rules));
        Ok(())
    }

    /// Removes a pair from both ends.
    pub fn delete_pair(&mut self, stronger: PersonId, weaker: PersonId) -> Result<(), StoreError> {
        let (stronger_rank, weaker_rank) = (self.rank_of(stronger)?, self.rank_of(weaker)?);
        self.store.delete(&store_keys::pair(stronger, weaker_rank, weaker));
        self.store.delete(&store_keys::pair(weaker, stronger_rank, stronger));
        Ok(())
    }

    /// What stands of a pair in the store.
    pub fn standing(&self, one: PersonId, other: PersonId) -> Result<Option<Standing>, StoreError> {
        let prefix = store_keys::prefix(b'd', &[&one.0, &other.0]);
        Ok(self.decisions(&prefix)?.remove(&other).flatten())
    }

    fn decisions(&self, prefix: &[u8]) -> Result<BTreeMap<PersonId, Option<Standing>>, StoreError> {
        let mut standing = BTreeMap::new();
        let mut failed = None;
        self.store.scan(prefix, &store_keys::after(prefix), &mut |key, value| {
            match (store_keys::parse_decision(key), store_keys::decode_decision(value)) {
                // In the order of commands, so the last live one is left.
                (Ok((other, number)), Ok((decision, true))) => {
                    standing.insert(other, Some((decision, number)));
                }
                (Ok(_), Ok((_, false))) => {}
                (Err(error), _) | (_, Err(error)) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(standing), Err)
    }

    /// What stands between an identifier and others.
    pub fn standing_of(
        &mut self,
        id: PersonId,
        view: View,
    ) -> Result<impl Iterator<Item = (PersonId, Decision, u64)> + use<S>, StoreError> {
        let mut standing = BTreeMap::new();
        // What was before the change may have left no trace but in `stood`.
        if self.facts(id, view)?.is_some_and(|facts| facts.decided) {
            standing = self.decisions(&store_keys::prefix(b'd', &[&id.0]))?;
            if view == View::Old
                && let Some(stood) = self.stood.get(&id)
            {
                standing.extend(stood.iter().map(|(other, standing)| (*other, *standing)));
            }
        }
        Ok(standing
            .into_iter()
            .filter_map(|(other, standing)| standing.map(|(decision, number)| (other, decision, number))))
    }

    /// Link decisions (in their order) and never-links among identifiers numbered by their place, strongest first.
    #[allow(clippy::type_complexity, reason = "two lists of pairs of places")]
    pub fn decisions_among(
        &mut self,
        members: &[PersonId],
        view: View,
    ) -> Result<(Vec<(u32, u32)>, Vec<(u32, u32)>), StoreError> {
        let mut places: Option<HashMap<PersonId, u32, RandomState>> = None;
        let (mut links, mut nevers) = (Vec::new(), Vec::new());
        for (place, member) in (0..).zip(members) {
            if !self.facts(*member, view)?.is_some_and(|facts| facts.decided) {
                continue;
            }
            let places = places.get_or_insert_with(|| {
                let mut places = HashMap::with_hasher(RandomState::with_seeds(11, 12, 13, 14));
                places.extend(members.iter().copied().zip(0..));
                places
            });
            for (other, decision, number) in self.standing_of(*member, view)? {
                match (places.get(&other), decision) {
                    (Some(other), Decision::Link) if place < *other => links.push((number, (place, *other))),
                    (Some(other), Decision::Never) if place < *other => nevers.push((place, *other)),
                    _ => {}
                }
            }
        }
        links.sort_unstable();
        Ok((links.into_iter().map(|(_, pair)| pair).collect(), nevers))
    }

    /// Sorts identifiers that are, or were, known: strongest first.
    pub fn sort_by_strength(&mut self, ids: &mut [PersonId]) -> Result<(), StoreError> {
        for id in ids.iter() {
            self.versions(*id)?;
        }
        let name = |id: &PersonId| {
            let versions = self.nodes.get(id)?;
            let node = versions.new.as_ref().or(versions.old.as_ref())?;
            Some((node.kind, &*node.value))
        };
        // Those that nobody has seen have no values.
        ids.sort_by(|one, other| name(one).cmp(&name(other)).then_with(|| one.cmp(other)));
        Ok(())
    }

    /// Whether an identifier links nobody, were the change made: `added` and `removed` are neighbours that it gets and loses.
    pub fn will_be_shared(
        &mut self,
        id: PersonId,
        added: &[PersonId],
        is_removed: &dyn Fn(PersonId) -> bool,
    ) -> Result<bool, StoreError> {
        let kind = self.known(id)?.kind;
        if self.rules.is_unique(kind) {
            return Ok(false);
        }
        let mut seen = Neighbours::default();
        for other in added {
            let other_kind = self.known(*other)?.kind;
            if self.is_shared_with(id, *other, other_kind, &mut seen)? {
                return Ok(true);
            }
        }
        let (rules, own_rank) = (self.rules, self.rules.rank(kind));
        let weaker_unique = rules.unique().map(|unique| rules.rank(unique)).filter(|unique| *unique > own_rank);
        let ranges = std::iter::once((0, own_rank + 1)).chain(weaker_unique.map(|rank| (rank, rank + 1)));
        for (first, end) in ranges {
            let mut from = Some(store_keys::pairs_from(id, first));
            let to = store_keys::pairs_from(id, end);
            while let Some(key) = from.take() {
                let (adjacent, go_on) = self.adjacent(&key, &to, 16)?;
                from = go_on;
                for Adjacent { other, rank, .. } in adjacent {
                    let kind = store_keys::decode_kind(rank, rules)?;
                    if !is_removed(other) && self.is_shared_with(id, other, kind, &mut seen)? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    fn is_shared_with(
        &mut self,
        id: PersonId,
        other: PersonId,
        other_kind: IdentifierType,
        seen: &mut Neighbours,
    ) -> Result<bool, StoreError> {
        let is_unique = self.rules.is_unique(other_kind);
        let is_stronger = self.is_stronger(other, id)?;
        if !is_unique && !is_stronger {
            return Ok(false);
        }
        let class = self.class_of(other, View::New)?;
        if is_unique {
            match seen.unique.iter().find(|(kind, _)| *kind == other_kind) {
                Some((_, known)) if *known != class => return Ok(true),
                Some(_) => {}
                None => seen.unique.push((other_kind, class)),
            }
        }
        if is_stronger && !seen.stronger.contains(&class) {
            seen.stronger.push(class);
        }
        Ok(seen.stronger.len() > self.rules.shared_above())
    }
}

/// Up to when an identifier is erased, as the store has it.
pub(super) fn erased_at<S: KeyValue + ?Sized>(store: &S, id: PersonId) -> Result<Option<EventTime>, StoreError> {
    store.get(&store_keys::erased(id))?.map(|bytes| store_keys::decode_time(&bytes)).transpose()
}

/// The classes that decide whether an identifier is shared.
#[derive(Default)]
struct Neighbours {
    unique: Vec<(IdentifierType, PersonId)>,
    stronger: Vec<PersonId>,
}
