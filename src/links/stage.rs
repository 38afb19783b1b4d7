//! The links stage: pairs of identifiers and commands in; whose each home is, the feed of identities and its journal out.
//!
//! Between two commits: [`Links::pairs`], [`Links::withdraw`] and [`Links::command`] in the order in which they come, then [`Links::publish`]; then
//! commit, or [`Links::rolled_back`] with the store back where it was. After each call the store holds what
//! [`resolve`](super::resolve::resolve) says of all that came.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::{Change, Line},
    decisions::Decision,
    effects::{Assigned, Brought, Cause, Counted, Effects, JournalChange, JournalEntry, Named},
    graph::{Graph, View, erased_at},
    rules::Rules,
    store_keys::{self, Counters, Evidence, Fate},
    traces::Traces,
};
use crate::model::{EventTime, Identifier, IdentifierType, KeyValue, PersonId, PersonKey, StoreError};

/// An identifier as a command names it: by its keyed hash, since what is to be forgotten is not written down once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its type.
    pub kind: IdentifierType,
    /// [`PersonKey::person`] of it.
    pub id: PersonId,
}

/// What an operator orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The two of each pair are one person. An identifier that nobody has seen yet counts as the strongest of its type: its
    /// value is not known.
    Link(&'a [(Target, Target)]),
    /// The two of each pair are never one. A split is every one of a side with every one of the other.
    NeverLink(&'a [(Target, Target)]),
    /// Takes back the earlier command with this id.
    Undo(&'a str),
    /// The person of this identifier is erased, up to the time of the command.
    Erase(PersonId),
}

/// A pair of identifiers that a home reports: the latest time at which it was seen so far, and the department and the id of the
/// touchpoint that brought it, where one did.
pub type ReportedPair<'a> = (Identifier<'a>, Identifier<'a>, EventTime, Option<(&'a str, &'a str)>);

/// The stage. All it knows is in the store, but for what has to be published with the next commit.
#[derive(Debug)]
pub struct Links {
    pub(super) rules: Rules,
    pub(super) key: PersonKey,
    /// Identifiers whose state has to be published.
    pub(super) touched: BTreeSet<PersonId>,
    /// Keys of the feed that nothing is known of any more.
    pub(super) gone: BTreeSet<PersonId>,
    /// What identifiers may have besides their nodes.
    pub(super) traces: Traces,
}

/// A set of ids by home.
type Told = BTreeMap<PersonId, BTreeSet<PersonId>>;

impl Links {
    /// A stage that has nothing to publish.
    pub fn new(rules: Rules, key: PersonKey) -> Links {
        Links { rules, key, touched: BTreeSet::new(), gone: BTreeSet::new(), traces: Traces::default() }
    }

    /// How many identifiers have to be published: from some ten thousand on a commit should come.
    pub fn unpublished(&self) -> usize {
        self.touched.len() + self.gone.len()
    }

    /// The commit failed and the store is back where it was after the last one.
    pub fn rolled_back(&mut self) {
        self.touched.clear();
        self.gone.clear();
        self.traces = Traces::default();
    }

    /// The public id of the person whose strongest identifier has this internal id.
    pub fn public_id<S: KeyValue + ?Sized>(&self, store: &S, id: PersonId) -> Result<PersonId, StoreError> {
        Ok(erased_at(store, id)?.map_or(id, |at| self.key.reborn(id, at)))
    }

    /// Takes pairs that a home has not reported before, or seen later than an erasure. The home's first report names the home
    /// itself, and is answered if its person is another; from then on the home learns each change.
    pub fn pairs<S: KeyValue + ?Sized>(
        &mut self,
        home: Identifier<'_>,
        pairs: &[ReportedPair<'_>],
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let home_id = self.key.person(home);
        let mut told: BTreeMap<PersonId, EventTime> = BTreeMap::new();
        let rules = self.rules.clone();
        let mut graph = Graph::new(store, &rules).with(&mut self.traces);
        let mut change = Change::new(Cause::Report { home: home_id });
        let home_erased = graph.erased_at(home_id)?;
        for (place, &(one, other, at, _)) in pairs.iter().enumerate() {
            let (stronger, weaker) = super::stronger_first(one, other);
            let (stronger_id, weaker_id) = (self.key.person(stronger), self.key.person(weaker));
            let mut is_erased = false;
            for id in [home_id, stronger_id, weaker_id] {
                let erased = if id == home_id { home_erased } else { graph.erased_at(id)? };
                if let Some(erased) = erased {
                    told.insert(id, erased);
                    is_erased |= at <= erased;
                }
            }
            if !is_erased {
                let was_easy = change.starts.is_empty() && change.added.is_empty();
                report(&mut graph, home_id, (stronger, stronger_id), (weaker, weaker_id), at, &mut change)?;
                if change.added.contains_key(&(stronger_id, weaker_id)) {
                    change.brought.entry((stronger_id, weaker_id)).or_insert(place);
                }
                if was_easy && graph.add_easily(&mut change)? {
                    graph.note_assignment(home_id, &mut change)?;
                    graph.write_nodes();
                }
            }
        }
        if !told.is_empty() {
            effects.erased(home_id, &told.into_iter().collect::<Vec<_>>());
        }
        if !change.starts.is_empty() || !change.added.is_empty() {
            graph.settle(&mut change)?;
        }
        graph.note_assignment(home_id, &mut change)?;
        self.conclude(&mut graph, change, pairs, effects)
    }

    /// Takes a command; `number` is its place in the command log. A repetition of an id is counted and
    /// does nothing. For an erasure `at` is the
    /// later of the command's time and `as_of`.
    pub fn command<S: KeyValue + ?Sized>(
        &mut self,
        number: u64,
        id: &str,
        command: &Command<'_>,
        at: EventTime,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let rules = self.rules.clone();
        let mut graph = Graph::new(store, &rules);
        let id_hash = self.command_hash(id);
        if let Some(first) = graph.number_of(id_hash)? {
            // The first counts. The same record again is no command that is refused.
            if first != number {
                effects.counted(Counted::IdUsedBefore);
            }
            return Ok(());
        }
        graph = graph.with(&mut self.traces);
        let mut change = Change::new(Cause::Command { number });
        match command {
            Command::Link(pairs) => self.decide(&mut graph, number, Decision::Link, pairs, &mut change)?,
            Command::NeverLink(pairs) => self.decide(&mut graph, number, Decision::Never, pairs, &mut change)?,
            Command::Undo(target) => {
                let target = graph.number_of(self.command_hash(target))?;
                if !graph.record_undo(number, target)? {
                    change.counted.push(Counted::TookNothingBack);
                }
            }
            Command::Erase(identifier) => {
                let told = self.erase(&mut graph, *identifier, at, &mut change)?;
                for (home, ids) in told {
                    // What a home loses of its own touchpoints needs no other name: a customer may have very many orders.
                    let own = if ids.contains(&home) { graph.erased_at(home)? } else { None };
                    let mut erased = Vec::with_capacity(1);
                    for id in ids {
                        let at = graph.erased_at(id)?;
                        let says_more = |at: &EventTime| id == home || own.is_none_or(|own| *at > own);
                        erased.extend(at.filter(says_more).map(|at| (id, at)));
                    }
                    effects.erased(home, &erased);
                }
            }
        }
        graph.record_id(id_hash, number);
        graph.settle(&mut change)?;
        self.conclude(&mut graph, change, &[], effects)
    }

    /// A command's id may hold an identifier: only its keyed hash is kept.
    fn command_hash(&self, id: &str) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key.0);
        hasher.update(b"command\0");
        hasher.update(id.as_bytes());
        let mut hash = [0; 16];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        hash
    }

    fn decide<S: KeyValue + ?Sized>(
        &self,
        graph: &mut Graph<'_, S>,
        number: u64,
        decision: Decision,
        pairs: &[(Target, Target)],
        change: &mut Change,
    ) -> Result<(), StoreError> {
        let mut ids = BTreeSet::new();
        for &(one, other) in pairs.iter().filter(|(one, other)| one.id != other.id) {
            if decision == Decision::Link {
                // A link makes an identifier known, even one that nobody has seen.
                for Target { kind, id } in [one, other] {
                    if graph.node_of(id, Identifier { kind, value: "" })?.1 {
                        change.starts.insert(id);
                    }
                }
            }
            ids.insert((one.id.min(other.id), one.id.max(other.id)));
        }
        graph.record_decision(number, decision, &ids.into_iter().collect::<Vec<_>>())
    }

    /// Deletes what is known of a person up to a time. Returns which homes have to learn what.
    fn erase<S: KeyValue + ?Sized>(
        &mut self,
        graph: &mut Graph<'_, S>,
        id: PersonId,
        at: EventTime,
        change: &mut Change,
    ) -> Result<Told, StoreError> {
        let members = graph.members_with(id)?;
        let mut told: Told = members.iter().map(|member| (*member, BTreeSet::from([*member]))).collect();
        for member in &members {
            let before = graph.erased_at(*member)?;
            let public = before.map_or(*member, |at| self.key.reborn(*member, at));
            let at = before.map_or(at, |before| before.max(at));
            let was_published = graph.node(*member)?.is_some_and(|node| node.published);
            if was_published && before != Some(at) {
                self.gone.insert(public);
            } else if was_published {
                // Under the same key as before, if anything is left.
                change.kept_keys.insert(*member);
            }
            change.erased.insert(*member);
            change.touched.insert(*member);
            change.starts.insert(*member);
            change.bereft.insert(*member);
            change.journal.push(Line::Erased(*member, at));
            graph.store.put(&store_keys::erased(*member), &store_keys::encode_time(at));
            graph.traces.is_erased(*member);
        }
        for member in &members {
            graph.forget(*member, &members, at, &mut told, change)?;
            let others = graph.strip(*member)?;
            change.bereft.extend(others);
        }
        Ok(told)
    }

    /// Writes the nodes, and hands out what follows from a change. `reported`: the report that made it.
    pub(super) fn conclude<S: KeyValue + ?Sized>(
        &mut self,
        graph: &mut Graph<'_, S>,
        mut change: Change,
        reported: &[ReportedPair<'_>],
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        change.assigned.retain(|_, (told, person)| told != person);
        change.forget_detours();
        self.journal(graph, &mut change, reported, effects)?;
        graph.write_nodes();
        let counters = read_counters(graph.store)?;
        let mut counted = counters;
        counted.identifiers = counters.identifiers.saturating_add_signed(graph.growth);
        counted.pairs = (counters.pairs + change.pairs_added + change.added.len() as u64)
            .saturating_sub(change.removed.len() as u64);
        if !change.assigned.is_empty() {
            counted.version += 1;
        }
        if counted != counters {
            graph.store.put(store_keys::COUNTERS, &counted.encode());
        }
        let version = counted.version;
        let mut homes: BTreeMap<PersonId, u32> = BTreeMap::new();
        for (from, person) in change.assigned.values() {
            *homes.entry(*from).or_default() += 1;
            *homes.entry(*person).or_default() += 1;
        }
        // Until all of them have come and gone, such a person is neither who they were nor who they will be.
        homes.retain(|_, homes| *homes > 1);
        for (person, homes) in &homes {
            effects.expect(*person, version, *homes);
        }
        for (home, &(from, person)) in &change.assigned {
            let (from_expects, expects) = (homes.contains_key(&from), homes.contains_key(&person));
            effects.assign(*home, Assigned { from, from_expects, person, expects, version });
            change.counted.push(Counted::Moved);
        }
        change.counted.sort_unstable();
        for event in change.counted {
            effects.counted(event);
        }
        for id in change.unpublished {
            let key = self.public_id(graph.store, id)?;
            self.gone.insert(key);
        }
        // Not `append`, which rebuilds the whole set.
        self.touched.extend(std::mem::take(&mut change.touched));
        self.traces = std::mem::take(&mut graph.traces);
        Ok(())
    }

    fn journal<S: KeyValue + ?Sized>(
        &self,
        graph: &mut Graph<'_, S>,
        change: &mut Change,
        reported: &[ReportedPair<'_>],
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        change.journal.sort_unstable();
        for line in &change.journal {
            let mut name = |id: PersonId| -> Result<(PersonId, Option<(IdentifierType, Box<str>)>), StoreError> {
                if change.erased.contains(&id) {
                    return Ok((id, None));
                }
                let name = |node: &store_keys::Node| (node.kind, node.value.clone());
                let known = graph.node(id)?.map(name);
                Ok((id, if known.is_some() { known } else { graph.old(id)?.map(name) }))
            };
            let (one, other) = match line {
                Line::Erased(id, _) => ((*id, None), (*id, None)),
                Line::Decided(pair, _)
                | Line::Unlinked(pair)
                | Line::Lifted(pair, ..)
                | Line::Linked(pair)
                | Line::Refused(pair, ..) => (name(pair.0)?, name(pair.1)?),
                Line::Redirected(id, ..) => (name(*id)?, (*id, None)),
            };
            let (one, other) = (named(&one), named(&other));
            let entry = match *line {
                Line::Erased(identifier, at) => JournalChange::Erased { identifier, at },
                Line::Decided(_, decision) => JournalChange::Decided { one, other, decision },
                Line::Unlinked(_) => JournalChange::Unlinked { one, other },
                Line::Lifted(_, rule, decided) => JournalChange::Lifted { one, other, rule, decided },
                Line::Linked(_) => JournalChange::Linked { one, other },
                Line::Refused(_, rule, decided) => JournalChange::Refused { one, other, rule, decided },
                // Whose members are erased are not redirected: their lines say that they are erased.
                Line::Redirected(id, ..) if change.erased.contains(&id) => continue,
                Line::Redirected(_, from, to) => JournalChange::Redirected {
                    identifier: one,
                    from: self.public_id(graph.store, from)?,
                    to: self.public_id(graph.store, to)?,
                },
            };
            let brought = match line {
                Line::Linked(pair) | Line::Refused(pair, _, false) => change.brought.get(pair),
                _ => None,
            };
            let brought = brought.and_then(|place| {
                let (.., occurred_at, by) = reported.get(*place)?;
                by.map(|(spoke, id)| Brought { spoke, id, occurred_at: *occurred_at })
            });
            effects.journal(&JournalEntry { cause: change.cause, change: entry, brought });
        }
        Ok(())
    }
}

fn named((id, name): &(PersonId, Option<(IdentifierType, Box<str>)>)) -> Named<'_> {
    let identifier = name.as_ref().map(|(kind, value)| Identifier { kind: *kind, value });
    Named { id: *id, identifier }
}

/// The counters in the store.
pub(super) fn read_counters<S: KeyValue + ?Sized>(store: &S) -> Result<Counters, StoreError> {
    store.get(store_keys::COUNTERS)?.map_or(Ok(Counters::default()), |bytes| Counters::decode(&bytes))
}

/// One pair of a report. A pair that is known gets its time, a new one is added by the change.
fn report<S: KeyValue + ?Sized>(
    graph: &mut Graph<'_, S>,
    home: PersonId,
    (stronger, stronger_id): (Identifier<'_>, PersonId),
    (weaker, weaker_id): (Identifier<'_>, PersonId),
    at: EventTime,
    change: &mut Change,
) -> Result<(), StoreError> {
    for (identifier, id) in [(stronger, stronger_id), (weaker, weaker_id)] {
        let (node, is_new) = graph.node_of(id, identifier)?;
        // One that a decision named without evidence is published from now on.
        let was_named = node.named;
        if is_new || !node.published {
            change.starts.insert(id);
        }
        if is_new && was_named {
            // Whoever shows it shows its value from now on, also those to whom it was linked in vain.
            let person = graph.known(id)?.person;
            change.touched.extend(graph.members(person)?);
            change.touched.insert(id);
            for (other, decision, _) in graph.standing_of(id, View::New)? {
                if decision == Decision::Link {
                    change.touched.extend(graph.node(other)?.map(|node| node.person));
                }
            }
        }
    }
    let is_own = home == stronger_id;
    if !is_own {
        let key = store_keys::third_party(stronger_id, weaker_id, home);
        let known = graph.store.get(&key)?.map(|bytes| store_keys::decode_time(&bytes)).transpose()?;
        if known.is_none_or(|known| known < at) {
            graph.store.put(&key, &store_keys::encode_time(at));
            graph.store.put(&store_keys::by_home(home, stronger_id, weaker_id), &[]);
            graph.traces.reports(home);
        }
    }
    if stronger_id == weaker_id {
        let node = graph.known(stronger_id)?;
        if is_own {
            node.own = node.own.max(Some(at));
        } else {
            node.third_parties = true;
        }
    } else {
        let pair = (stronger_id, weaker_id);
        let staged = change.added.get(&pair).copied();
        let known = match staged {
            Some(evidence) => Some(evidence),
            None => graph.evidence(stronger_id, weaker_id)?,
        };
        let (fate, own, third_parties) = match known {
            Some(Evidence::Stronger { fate, own, third_parties }) => (fate, own, third_parties),
            Some(Evidence::Weaker { .. }) | None => (Fate::Unused, None, false),
        };
        let own = if is_own { own.max(Some(at)) } else { own };
        let evidence = Evidence::Stronger { fate, own, third_parties: third_parties || !is_own };
        if known.is_none() || staged.is_some() {
            change.added.insert(pair, evidence);
        } else if known != Some(evidence) {
            graph.put_pair(stronger_id, weaker_id, evidence)?;
        }
    }
    if let Some(node) = graph.edit(home)? {
        node.home = true;
    }
    Ok(())
}
