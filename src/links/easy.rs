//! Pairs whose effect is plain without resolving anything: nearly all that a company reports.
//!
//! A person is *uncontested* while no pair of a member was refused and no command decides one: then its members are all that
//! usable pairs connect, at every level, and every order of joining joins them all. So
//!
//! - a further pair between two members joins, if it makes neither shared;
//! - an identifier that has no other pair joins the person of a stronger one, if the person stays within the limit of its type
//!   and within `component_max`: fewer of a type than the limit never refuse a pair, in whatever order;
//! - a thing without a limit joins any person so, contested or not, since it counts for nothing.
//!
//! A pair to an identifier that is shared, which no further pair undoes, links nobody; a pair that is oversize already for its
//! stronger end is oversize for an identifier that has no other.

use std::ops::ControlFlow;

use super::{
    change::{Change, Line, Pair},
    effects::Counted,
    graph::Graph,
    rules::{Refusal, Rules},
    store_keys::{self, Evidence, Fate, NO_LEVEL},
};
use crate::model::{IdentifierType, KeyValue, PersonId, StoreError};

/// What decides whether a pair is easy.
#[derive(Clone, Copy)]
struct Brief {
    kind: IdentifierType,
    person: PersonId,
    is_new: bool,
    is_alone: bool,
    shared: bool,
    decided: bool,
    published: bool,
    oversize_from: u8,
    home: bool,
}

impl<S: KeyValue + ?Sized> Graph<'_, S> {
    fn brief(&mut self, id: PersonId) -> Result<Brief, StoreError> {
        let is_new = self.old(id)?.is_none();
        let node = self.known(id)?;
        Ok(Brief {
            kind: node.kind,
            person: node.person,
            is_new,
            is_alone: node.person == id && node.members == 1 && node.refused == 0,
            shared: node.shared,
            decided: node.decided,
            published: node.published,
            oversize_from: node.oversize_from,
            home: node.home,
        })
    }

    /// Makes a change that adds at most one pair and the identifiers that are new with it. Returns whether it could; if not,
    /// nothing was done.
    pub fn add_easily(&mut self, change: &mut Change) -> Result<bool, StoreError> {
        for id in &change.starts {
            let node = self.brief(*id)?;
            if !node.is_new || node.decided {
                return Ok(false);
            }
        }
        let is_done = match change.added.first_key_value() {
            Some((pair, evidence)) => {
                let (pair, evidence) = (*pair, *evidence);
                self.add_pair_easily(pair, evidence, change)?
            }
            None => true,
        };
        if is_done {
            for id in std::mem::take(&mut change.starts) {
                self.known(id)?.published = true;
                change.touched.insert(id);
            }
            change.pairs_added += change.added.len() as u64;
            change.added.clear();
        }
        Ok(is_done)
    }

    fn add_pair_easily(&mut self, pair: Pair, evidence: Evidence, change: &mut Change) -> Result<bool, StoreError> {
        let Evidence::Stronger { own, third_parties, .. } = evidence else {
            return Ok(false);
        };
        let (stronger, weaker) = (self.brief(pair.0)?, self.brief(pair.1)?);
        let weaker_rank = self.rules.rank(weaker.kind);
        if !(stronger.is_new || stronger.published) || !(weaker.is_new || weaker.published) {
            return Ok(false);
        }
        let fate = if weaker.shared {
            Fate::Unused
        } else if stronger.shared
            || weaker.decided
            || self.rules.is_unique(weaker.kind)
            || self.rules.shared_above() == 0
        {
            return Ok(false);
        } else if !stronger.is_new && !weaker.is_new && stronger.person == weaker.person {
            let contested = self.known(stronger.person)?.contested || stronger.oversize_from != NO_LEVEL;
            if contested || self.will_be_shared(pair.1, &[pair.0], &|_| false)? {
                return Ok(false);
            }
            Fate::Joined
        } else if !weaker.is_alone || !weaker.is_new && self.has_any(&store_keys::prefix(b'e', &[&pair.1.0]))? {
            return Ok(false);
        } else if weaker_rank >= stronger.oversize_from {
            self.known(pair.1)?.oversize_from = weaker_rank;
            for person in [stronger.person, pair.1] {
                self.known(person)?.contested = true;
            }
            Fate::Refused(Refusal::Oversize)
        } else if self.join_easily(pair, stronger, weaker, change)? {
            Fate::Joined
        } else {
            return Ok(false);
        };
        self.put_pair(pair.0, pair.1, Evidence::Stronger { fate, own, third_parties })?;
        self.note_fate(pair, Fate::Unused, fate, change)?;
        Ok(true)
    }

    /// An identifier without other pairs becomes a member of the stronger one's person.
    fn join_easily(
        &mut self,
        (_, leaf): Pair,
        stronger: Brief,
        weaker: Brief,
        change: &mut Change,
    ) -> Result<bool, StoreError> {
        let person = stronger.person;
        let strongest = self.known(person)?;
        let (strongest_kind, members, contested) = (strongest.kind, strongest.members, strongest.contested);
        let rules = self.rules;
        let (strongest_rank, weaker_rank) = (rules.rank(strongest_kind), rules.rank(weaker.kind));
        let is_free = weaker.kind.is_thing() && self.rules.limit(weaker.kind).is_none();
        if !is_free {
            if contested || stronger.oversize_from != NO_LEVEL {
                return Ok(false);
            }
            let (mut counted, mut of_kind) = (0, 0_u32);
            let mut count = |rank: u8| {
                counted += usize::from(rules.kind(rank).is_some_and(Rules::counts));
                of_kind += u32::from(rank == weaker_rank);
            };
            if members == 1 {
                count(strongest_rank);
            } else {
                // Things come last, and are only counted where they have a limit.
                let prefix = store_keys::prefix(b'm', &[&person.0]);
                let last = weaker_rank.max(rules.rank(IdentifierType::Anonymous));
                self.store.scan(&prefix, &store_keys::prefix(b'm', &[&person.0, &[last + 1]]), &mut |key, _| {
                    count(key.get(prefix.len()).copied().unwrap_or_default());
                    ControlFlow::Continue(())
                })?;
            }
            counted += usize::from(Rules::counts(weaker.kind));
            let exceeds = |limit: u32| of_kind > 0 && of_kind + 1 > limit;
            if counted > self.rules.component_max() || self.rules.limit(weaker.kind).is_some_and(exceeds) {
                return Ok(false);
            }
            change.counted.push(Counted::PersonOf(counted as u64));
        }
        if members == 1 {
            self.store.put(&store_keys::member(person, strongest_rank, person), &[]);
        }
        self.store.put(&store_keys::member(person, weaker_rank, leaf), &[]);
        self.known(person)?.members += 1;
        let node = self.known(leaf)?;
        node.person = person;
        node.oversize_from = stronger.oversize_from;
        node.contested = false;
        if weaker.published {
            change.journal.push(Line::Redirected(leaf, leaf, person));
        }
        change.touched.extend([leaf, person]);
        if weaker.home {
            self.note_assignment(leaf, change)?;
        }
        Ok(true)
    }
}
