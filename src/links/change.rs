//! A change of pairs and decisions in; the part of the graph that it can touch resolved anew, and what follows from it out.
//!
//! **What has to be looked at.** Let S(x, w) be what the usable pairs (neither end shared) of levels ≤ w and the link decisions
//! connect to x; a pair's level is the rank of its weaker end. The *oversize level* o(x) is the first w with more than
//! `component_max` identifiers in S(x, w), and the *reach* R(x) = S(x, o(x) − 1): bounded, things apart. A pair of x is in
//! effect exactly if its level is below o(x), so what the pairs in effect and the decisions connect to x lies in R(x); and all
//! of R(x) have the same reach. The region that is resolved anew is R(v), before and after the change, of every end v of a
//! pair that becomes usable or ceases to be, and of every end of a pair that is decided otherwise. That is complete:
//!
//! - *Oversize or not.* Say S(u, w) had at most the maximum and now has more. Then it has grown, so a walk in the new S(u, w)
//!   leaves the old one through a pair that is newly usable, at an end v in the old S(u, w) = S(v, w), which was small: u is in
//!   the old R(v). The other way round, u is in the new R(v) of an end v of a pair that is gone.
//! - *In effect or not.* If the pairs in effect around u changed, walk from u through pairs in effect in both graphs to the
//!   first that is in effect in one alone, at p. Either its usability changed and p is such an end, and u in one of its
//!   reaches; or its level became oversize or ceased to be, and p, so u with it, is in a reach of such an end by the above.
//! - *Closed.* What pairs in effect now connect to the region is in the region: whoever is outside has the neighbours in effect
//!   that it had, and the region before the change held whole components.
//!
//! It is bounded: a reach ends at the maximum, and a walk that meets a member whose level is known goes no further. A giant
//! component is never walked through: of a new pair between two giants, only the small reaches of its ends are looked at; of
//! one to a shared identifier, nothing but the identifier that is new. Most changes do not even come here ([`Graph::add_easily`]).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    component::{self, Component},
    decisions::Decision,
    effects::{Cause, Counted},
    explore::Bounds,
    graph::{Adjacent, Graph, View},
    rules::{RANKS, Refusal, Rules},
    store_keys::{self, Evidence, Fate, NO_LEVEL},
};
use crate::model::{EventTime, KeyValue, PersonId, StoreError};

/// A pair of known identifiers, the stronger first.
pub(super) type Pair = (PersonId, PersonId);

/// A line of the journal before its names are looked up. The order is the order of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    Erased(PersonId, EventTime),
    Decided(Pair, Option<Decision>),
    Unlinked(Pair),
    Lifted(Pair, Refusal, bool),
    Linked(Pair),
    Refused(Pair, Refusal, bool),
    Redirected(PersonId, PersonId, PersonId),
}

impl Line {
    /// What takes back what it says.
    fn opposite(self) -> Option<Line> {
        match self {
            Line::Linked(pair) => Some(Line::Unlinked(pair)),
            Line::Unlinked(pair) => Some(Line::Linked(pair)),
            Line::Refused(pair, rule, decided) => Some(Line::Lifted(pair, rule, decided)),
            Line::Lifted(pair, rule, decided) => Some(Line::Refused(pair, rule, decided)),
            Line::Erased(..) | Line::Decided(..) | Line::Redirected(..) => None,
        }
    }
}

/// What is to change, and what follows from it.
pub(super) struct Change {
    pub cause: Cause,
    /// Pairs that are new.
    pub added: BTreeMap<Pair, Evidence>,
    /// Of pairs that are new: which of the report brought it.
    pub brought: BTreeMap<Pair, usize>,
    /// Pairs without evidence from now on.
    pub removed: BTreeSet<Pair>,
    /// Identifiers to look at for other reasons: those that are new or erased.
    pub starts: BTreeSet<PersonId>,
    /// Identifiers that may have lost their last evidence or decision.
    pub bereft: BTreeSet<PersonId>,
    /// Erased by this change: they have no name any more.
    pub erased: BTreeSet<PersonId>,
    /// Ends of link decisions that are refused from now on, or no more.
    pub contested: BTreeSet<PersonId>,
    /// Of these, those whose public id stays, because an erasure up to a later time came before.
    pub kept_keys: BTreeSet<PersonId>,
    /// Homes: whose they were told to be before, and whose they are now.
    pub assigned: BTreeMap<PersonId, (PersonId, PersonId)>,
    /// New pairs that are written already.
    pub pairs_added: u64,
    /// Identifiers whose state has to be published.
    pub touched: BTreeSet<PersonId>,
    /// Identifiers, not erased, that the feed had and has no more.
    pub unpublished: BTreeSet<PersonId>,
    pub journal: Vec<Line>,
    pub counted: Vec<Counted>,
}

impl Change {
    pub fn new(cause: Cause) -> Change {
        Change {
            cause,
            added: BTreeMap::new(),
            brought: BTreeMap::new(),
            removed: BTreeSet::new(),
            starts: BTreeSet::new(),
            bereft: BTreeSet::new(),
            erased: BTreeSet::new(),
            contested: BTreeSet::new(),
            kept_keys: BTreeSet::new(),
            assigned: BTreeMap::new(),
            pairs_added: 0,
            touched: BTreeSet::new(),
            unpublished: BTreeSet::new(),
            journal: Vec::new(),
            counted: Vec::new(),
        }
    }

    /// A pair that linked and ceased to within the change is no news, nor is one that was refused and is no more; the other way
    /// round too.
    pub fn forget_detours(&mut self) {
        let lines: BTreeSet<Line> = self.journal.iter().copied().collect();
        let is_detour = |line: &Line| line.opposite().is_some_and(|opposite| lines.contains(&opposite));
        for line in lines.iter().filter(|line| is_detour(line)) {
            let counted = match line {
                Line::Linked(_) => Counted::Linked,
                Line::Unlinked(_) => Counted::Unlinked,
                Line::Refused(_, rule, _) => Counted::Refused(*rule),
                Line::Lifted(_, rule, _) => Counted::Lifted(*rule),
                Line::Erased(..) | Line::Decided(..) | Line::Redirected(..) => continue,
            };
            if let Some(place) = self.counted.iter().position(|other| *other == counted) {
                self.counted.swap_remove(place);
            }
        }
        self.journal.retain(|line| !is_detour(line));
    }

    /// Whether the public id of an identifier is what it was.
    fn has_key(&self, id: PersonId) -> bool {
        !self.erased.contains(&id) || self.kept_keys.contains(&id)
    }
}

/// What a change does to pairs that it neither adds nor removes.
#[derive(Default)]
struct Flips {
    /// Identifiers that are shared from now on, or no more.
    shared: BTreeMap<PersonId, bool>,
    /// Pairs that are there afterwards and whose usability is new.
    reviewed: BTreeSet<Pair>,
}

/// What link decisions make of some identifiers.
#[derive(Default)]
struct Classes {
    /// The class of each.
    members: BTreeMap<PersonId, PersonId>,
    classes: BTreeMap<PersonId, BTreeSet<PersonId>>,
    /// Decisions that a never-link overrules.
    overruled: BTreeSet<Pair>,
}

impl Classes {
    /// Who is in one class with it.
    fn of(&self, member: PersonId) -> Option<&BTreeSet<PersonId>> {
        self.members.get(&member).and_then(|class| self.classes.get(class))
    }
}

impl<S: KeyValue + ?Sized> Graph<'_, S> {
    /// Makes a change. Decisions are in the store already, with what stood before in [`Graph::stood`]; nodes of new
    /// identifiers are made, and of pairs nothing is written yet.
    pub fn settle(&mut self, change: &mut Change) -> Result<(), StoreError> {
        let flips = self.flips(change)?;
        let mut region = BTreeSet::new();
        let mut before = Bounds::new(true);
        for start in &change.starts {
            if !region.contains(start) {
                region.extend(self.reach(*start, View::Old, &mut before)?.members);
            }
        }
        self.apply(&flips, change)?;

        let only_added = change.removed.is_empty() && flips.shared.is_empty() && self.stood.is_empty();
        let mut bounds = Bounds::new(only_added);
        let mut levels = BTreeMap::new();
        for start in &change.starts {
            if !levels.contains_key(start) && self.node(*start)?.is_some() {
                let reach = self.reach(*start, View::New, &mut bounds)?;
                levels.extend(reach.members.iter().map(|member| (*member, reach.oversize_from)));
                region.extend(reach.members);
            }
        }
        for member in &region {
            if !levels.contains_key(member) && self.node(*member)?.is_some() {
                let reach = self.reach(*member, View::New, &mut bounds)?;
                levels.extend(reach.members.iter().map(|member| (*member, reach.oversize_from)));
            }
        }
        self.resolve_region(&region, &levels, &flips, change)
    }

    /// Which identifiers become shared or cease to be, and which pairs that concerns; the starts of the region.
    fn flips(&mut self, change: &mut Change) -> Result<Flips, StoreError> {
        let mut added: BTreeMap<PersonId, Vec<PersonId>> = BTreeMap::new();
        let mut recheck = BTreeSet::new();
        for &(stronger, weaker) in change.added.keys() {
            added.entry(stronger).or_default().push(weaker);
            added.entry(weaker).or_default().push(stronger);
        }
        for &(stronger, weaker) in change.added.keys().chain(&change.removed) {
            recheck.insert(weaker);
            if self.rules.is_unique(self.known(weaker)?.kind) {
                recheck.insert(stronger);
            }
        }
        for member in self.redecide(change)? {
            let known = self.every_adjacent(member)?.into_iter().map(|pair| pair.other);
            recheck.extend(known.chain(added.get(&member).into_iter().flatten().copied()));
        }
        let only_added = change.removed.is_empty() && self.stood.is_empty();
        let mut flips = Flips::default();
        for id in recheck {
            let was_shared = self.known(id)?.shared;
            // More neighbours, or fewer classes apart, do not end it.
            if was_shared && only_added {
                continue;
            }
            let removed = &change.removed;
            let is_removed = |other: PersonId| removed.contains(&(id, other)) || removed.contains(&(other, id));
            let neighbours = added.get(&id).map_or(&[][..], Vec::as_slice);
            if self.will_be_shared(id, neighbours, &is_removed)? != was_shared {
                flips.shared.insert(id, !was_shared);
            }
        }
        for pair in change.added.keys() {
            flips.reviewed.insert(*pair);
            if self.is_usable(*pair, &flips)? {
                change.starts.extend([pair.0, pair.1]);
            }
        }
        for pair in &change.removed {
            if self.was_usable(*pair)? {
                change.starts.extend([pair.0, pair.1]);
            }
        }
        let shared: Vec<PersonId> = flips.shared.keys().copied().collect();
        for id in shared {
            change.starts.insert(id);
            change.touched.insert(id);
            for Adjacent { other, evidence, .. } in self.every_adjacent(id)? {
                let pair = match evidence {
                    Evidence::Stronger { .. } => (id, other),
                    Evidence::Weaker { .. } => (other, id),
                };
                if !change.removed.contains(&pair) && self.was_usable(pair)? != self.is_usable(pair, &flips)? {
                    change.starts.insert(other);
                    flips.reviewed.insert(pair);
                }
            }
        }
        Ok(flips)
    }

    fn was_usable(&mut self, (one, other): Pair) -> Result<bool, StoreError> {
        let was_shared = |node: Option<&super::store_keys::Node>| node.is_some_and(|node| node.shared);
        Ok(!was_shared(self.old(one)?) && !was_shared(self.old(other)?))
    }

    fn is_usable(&mut self, (one, other): Pair, flips: &Flips) -> Result<bool, StoreError> {
        for id in [one, other] {
            let shared = match flips.shared.get(&id) {
                Some(shared) => *shared,
                None => self.known(id)?.shared,
            };
            if shared {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Notes what is decided otherwise. Returns the identifiers whose class is another, so that their neighbours may be shared
    /// now or no more.
    fn redecide(&mut self, change: &mut Change) -> Result<BTreeSet<PersonId>, StoreError> {
        let mut ends = Vec::new();
        for ((one, other), _, stands) in self.redecided()? {
            let decision = stands.map(|(decision, _)| decision);
            change.journal.push(Line::Decided(self.ordered(one, other)?, decision));
            for id in [one, other] {
                if self.node(id)?.is_some() {
                    change.starts.insert(id);
                    change.bereft.insert(id);
                }
                ends.push(id);
            }
        }
        let old = self.all_classes(&ends, View::Old)?;
        let new = self.all_classes(&ends, View::New)?;
        // Who meets whom only now was in a class of its own before, with decisions of its own that are overruled; and the other
        // way round.
        let all: Vec<PersonId> = old.members.keys().chain(new.members.keys()).copied().collect();
        let (old, new) = (self.all_classes(&all, View::Old)?, self.all_classes(&all, View::New)?);
        for pair in old.overruled.difference(&new.overruled) {
            change.journal.push(Line::Lifted(*pair, Refusal::Never, true));
            change.counted.push(Counted::Lifted(Refusal::Never));
            self.contest(*pair, change)?;
        }
        for pair in new.overruled.difference(&old.overruled) {
            change.journal.push(Line::Refused(*pair, Refusal::Never, true));
            change.counted.push(Counted::Refused(Refusal::Never));
            self.contest(*pair, change)?;
        }
        // Once for all of a class: they may be ten thousand.
        let mut compared = BTreeMap::new();
        let mut is_moved = |member: &PersonId| {
            let classes = (old.members.get(member), new.members.get(member));
            *compared.entry(classes).or_insert_with(|| old.of(*member) != new.of(*member))
        };
        Ok(all.iter().filter(|member| is_moved(member)).copied().collect())
    }

    /// The classes of identifiers and of all that decisions connect to them.
    fn all_classes(&mut self, ids: &[PersonId], view: View) -> Result<Classes, StoreError> {
        let mut found = Classes::default();
        for id in ids {
            if found.members.contains_key(id) {
                continue;
            }
            let decided = self.classes(*id, view)?;
            for (member, class) in &decided.members {
                found.members.insert(*member, *class);
                found.classes.entry(*class).or_default().insert(*member);
            }
            found.overruled.extend(&decided.overruled);
        }
        Ok(found)
    }

    /// Notes that a link decision is refused from now on, or no more: both ends' persons, as they were and as they will be.
    fn contest(&mut self, pair: Pair, change: &mut Change) -> Result<(), StoreError> {
        for id in [pair.0, pair.1] {
            change.starts.insert(id);
            change.contested.insert(id);
            change.touched.extend(self.old(id)?.map(|node| node.person));
        }
        Ok(())
    }

    /// The stronger first, if both are known; otherwise as they are.
    fn ordered(&mut self, one: PersonId, other: PersonId) -> Result<Pair, StoreError> {
        let both = self.node(one)?.is_some() && self.node(other)?.is_some();
        Ok(if both && self.is_stronger(other, one)? { (other, one) } else { (one, other) })
    }

    /// Writes pairs and flags, and removes identifiers that nothing is known of any more.
    fn apply(&mut self, flips: &Flips, change: &mut Change) -> Result<(), StoreError> {
        for (id, shared) in &flips.shared {
            self.known(*id)?.shared = *shared;
        }
        for (&(stronger, weaker), evidence) in &change.added {
            self.put_pair(stronger, weaker, *evidence)?;
        }
        let removed: Vec<Pair> = change.removed.iter().copied().collect();
        for pair in removed {
            let fate = self.evidence(pair.0, pair.1)?.map(Evidence::fate).unwrap_or_default();
            self.note_fate(pair, fate, Fate::Unused, change)?;
            self.delete_pair(pair.0, pair.1)?;
        }
        for &id in &change.bereft {
            let Some(node) = self.node(id)? else {
                continue;
            };
            let published = node.published;
            let stays = node.own.is_some() || node.third_parties || node.named;
            if stays || self.has_any(&store_keys::prefix(b'e', &[&id.0]))? {
                continue;
            }
            self.remove(id)?;
            if published && change.has_key(id) {
                change.unpublished.insert(id);
            }
        }
        Ok(())
    }

    /// Counts a pair's change of fate at both ends and in the journal.
    pub fn note_fate(&mut self, pair: Pair, was: Fate, is: Fate, change: &mut Change) -> Result<(), StoreError> {
        if was == is {
            return Ok(());
        }
        match was {
            Fate::Unused => {}
            Fate::Joined => {
                change.journal.push(Line::Unlinked(pair));
                change.counted.push(Counted::Unlinked);
            }
            Fate::Refused(rule) => {
                change.journal.push(Line::Lifted(pair, rule, false));
                change.counted.push(Counted::Lifted(rule));
            }
        }
        match is {
            Fate::Unused => {}
            Fate::Joined => {
                change.journal.push(Line::Linked(pair));
                change.counted.push(Counted::Linked);
            }
            Fate::Refused(rule) => {
                change.journal.push(Line::Refused(pair, rule, false));
                change.counted.push(Counted::Refused(rule));
            }
        }
        if was.refusal().is_none() && is.refusal().is_none() {
            return Ok(());
        }
        for id in [pair.0, pair.1] {
            let node = self.known(id)?;
            node.refused = node.refused - u32::from(was.refusal().is_some()) + u32::from(is.refusal().is_some());
            let person = node.person;
            // Whose conflict it was; whose it is now is known when persons are.
            change.touched.insert(person);
        }
        Ok(())
    }

    /// Resolves a region whose pairs are written, and whose oversize levels are known.
    fn resolve_region(
        &mut self,
        region: &BTreeSet<PersonId>,
        levels: &BTreeMap<PersonId, u8>,
        flips: &Flips,
        change: &mut Change,
    ) -> Result<(), StoreError> {
        let mut members = Vec::with_capacity(region.len());
        for id in region {
            if self.node(*id)?.is_some() {
                members.push(*id);
            }
        }
        self.sort_by_strength(&mut members)?;
        let places: BTreeMap<PersonId, u32> = members.iter().copied().zip(0..).collect();
        let level = |id: &PersonId| levels.get(id).copied().unwrap_or(NO_LEVEL);
        let mut component = Component::default();
        let mut pairs: BTreeMap<Pair, Evidence> = BTreeMap::new();
        for id in &members {
            let old_level = self.old(*id)?.map_or(NO_LEVEL, |node| node.oversize_from);
            let node = self.known(*id)?;
            node.oversize_from = level(id);
            let (kind, shared) = (node.kind, node.shared);
            component.kinds.push(kind);
            if shared {
                continue;
            }
            // Pairs beyond both levels were oversize and still are.
            let ranks = self.rules.rank(kind)..RANKS.min(old_level.max(level(id)));
            let weaker = self.all_adjacent(*id, ranks)?.into_iter().filter(Adjacent::is_weaker);
            pairs.extend(
                weaker.filter(|pair| places.contains_key(&pair.other)).map(|pair| ((*id, pair.other), pair.evidence)),
            );
        }
        for pair in &flips.reviewed {
            if !pairs.contains_key(pair)
                && let Some(evidence) = self.evidence(pair.0, pair.1)?
            {
                pairs.insert(*pair, evidence);
            }
        }
        let mut fates = Vec::with_capacity(pairs.len());
        let mut in_effect = Vec::new();
        for (pair, evidence) in &pairs {
            let usable = !self.known(pair.0)?.shared && !self.known(pair.1)?.shared;
            let fate = if !usable {
                Fate::Unused
            } else if self.rank_of(pair.1)? >= level(&pair.0) {
                Fate::Refused(Refusal::Oversize)
            } else {
                component.pairs.push((places[&pair.0], places[&pair.1]));
                in_effect.push(fates.len());
                Fate::Joined
            };
            fates.push((*pair, *evidence, fate));
        }
        (component.links, component.nevers) = self.decisions_among(&members, View::New)?;
        let joined = component::join(&component, self.rules);
        for (index, rule) in in_effect.into_iter().zip(&joined.refused_pairs) {
            if let Some(rule) = rule {
                fates[index].2 = Fate::Refused(*rule);
            }
        }
        let mut conflicts = BTreeSet::new();
        for (pair, evidence, fate) in fates {
            if evidence.fate() != fate {
                self.note_fate(pair, evidence.fate(), fate, change)?;
                self.put_fate(pair, evidence, fate)?;
                conflicts.extend([pair.0, pair.1]);
            }
        }
        let persons: Vec<PersonId> = joined.persons.iter().map(|person| members[*person as usize]).collect();
        self.give_persons(region, &members, &persons, change)?;
        for id in conflicts.iter().chain(&change.contested) {
            if let Some(node) = self.node(*id)? {
                change.touched.insert(node.person);
            }
        }
        Ok(())
    }

    fn put_fate(&mut self, pair: Pair, evidence: Evidence, fate: Fate) -> Result<(), StoreError> {
        if let Evidence::Stronger { own, third_parties, .. } = evidence {
            self.put_pair(pair.0, pair.1, Evidence::Stronger { fate, own, third_parties })?;
        }
        Ok(())
    }

    /// Writes whose each member of a region is.
    fn give_persons(
        &mut self,
        region: &BTreeSet<PersonId>,
        members: &[PersonId],
        persons: &[PersonId],
        change: &mut Change,
    ) -> Result<(), StoreError> {
        // Of each person: members, those that count for the size, whether evidence names any of them, whether it is contested.
        let mut groups: BTreeMap<PersonId, (u32, u64, bool, bool)> = BTreeMap::new();
        for (id, person) in members.iter().zip(persons) {
            let node = self.known(*id)?;
            let contested = node.refused > 0 || node.decided;
            let (kind, mut seen) = (node.kind, node.own.is_some() || node.third_parties || !node.named);
            if !seen {
                seen = self.has_any(&store_keys::prefix(b'e', &[&id.0]))?;
            }
            let group = groups.entry(*person).or_default();
            group.0 += 1;
            group.1 += u64::from(Rules::counts(kind));
            group.2 |= seen;
            group.3 |= contested;
        }
        let mut largest = 0;
        let assigned: BTreeMap<PersonId, PersonId> = members.iter().copied().zip(persons.iter().copied()).collect();
        for id in region {
            let old = self.old(*id)?.map(|node| (node.kind, node.person, node.published, node.home));
            let old_person = old.map_or(*id, |(_, person, ..)| person);
            let old_size = self.old(old_person)?.map_or(1, |node| node.members);
            let new_person = assigned.get(id).copied();
            let (size, counted, seen, contested) =
                new_person.and_then(|person| groups.get(&person)).copied().unwrap_or((1, 1, false, false));
            let Some(kind) = self.node(*id)?.map(|node| node.kind).or(old.map(|(kind, ..)| kind)) else {
                continue;
            };
            let rank = self.rules.rank(kind);
            let old_key = (old.is_some() && old_size > 1).then(|| store_keys::member(old_person, rank, *id));
            let new_key = new_person.filter(|_| size > 1).map(|person| store_keys::member(person, rank, *id));
            if old_key != new_key {
                if let Some(key) = old_key {
                    self.store.delete(&key);
                }
                if let Some(key) = new_key {
                    self.store.put(&key, &[]);
                }
            }
            let was_published = old.is_some_and(|(_, _, published, _)| published);
            let moved = new_person.is_some_and(|person| person != old_person);
            if moved || old.is_none() || new_person.is_none() {
                largest = largest.max(counted);
                change.touched.extend([*id, old_person]);
                change.touched.extend(new_person);
            }
            if !was_published && seen {
                change.touched.insert(*id);
            }
            if was_published && !seen && new_person.is_some() && change.has_key(*id) {
                change.unpublished.insert(*id);
            }
            if let Some(person) = new_person {
                let node = self.known(*id)?;
                node.person = person;
                node.members = if person == *id { size } else { 1 };
                node.published = seen;
                node.contested = contested && person == *id;
                if moved && was_published {
                    change.journal.push(Line::Redirected(*id, old_person, person));
                }
            }
            self.note_assignment(*id, change)?;
        }
        if largest > 0 {
            change.counted.push(Counted::PersonOf(largest));
        }
        Ok(())
    }

    /// Notes that a home has to be told whose it is: what it was told last is its old person, if it was a home, or itself.
    pub fn note_assignment(&mut self, id: PersonId, change: &mut Change) -> Result<(), StoreError> {
        let told = self.old(id)?.filter(|node| node.home).map_or(id, |node| node.person);
        let person = self.node(id)?.filter(|node| node.home).map_or(id, |node| node.person);
        if told != person || change.assigned.contains_key(&id) {
            change.assigned.entry(id).or_insert((told, person)).1 = person;
        }
        Ok(())
    }
}
