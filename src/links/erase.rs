//! The evidence that an erasure deletes, and the homes that have to learn of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use super::{
    change::Change,
    graph::{Adjacent, Graph},
    store_keys::{self, Evidence},
};
use crate::model::{EventTime, KeyValue, PersonId, StoreError};

impl<S: KeyValue + ?Sized> Graph<'_, S> {
    /// The members of an identifier's person, itself included, known or not.
    pub fn members_with(&mut self, id: PersonId) -> Result<BTreeSet<PersonId>, StoreError> {
        let person = self.node(id)?.map_or(id, |node| node.person);
        let mut members = self.members(person)?;
        members.insert(id);
        Ok(members)
    }

    /// The members of a person, given by its strongest.
    pub fn members(&self, person: PersonId) -> Result<BTreeSet<PersonId>, StoreError> {
        let prefix = store_keys::prefix(b'm', &[&person.0]);
        let ids = self.ids::<1>(&prefix)?;
        Ok(ids.into_iter().map(|[member]| member).chain([person]).collect())
    }

    /// The ids at the end of all keys with a prefix.
    fn ids<const N: usize>(&self, prefix: &[u8]) -> Result<Vec<[PersonId; N]>, StoreError> {
        let mut found = Vec::new();
        self.store.scan(prefix, &store_keys::after(prefix), &mut |key, _| {
            found.push(store_keys::parse_ids::<N>(key));
            ControlFlow::Continue(())
        })?;
        found.into_iter().collect()
    }

    /// Takes back what names `member`, or what it reported, up to a time. `erased`: all that the erasure concerns.
    pub fn forget(
        &mut self,
        member: PersonId,
        erased: &BTreeSet<PersonId>,
        at: EventTime,
        told: &mut BTreeMap<PersonId, BTreeSet<PersonId>>,
        change: &mut Change,
    ) -> Result<(), StoreError> {
        for Adjacent { other, evidence, .. } in self.every_adjacent(member)? {
            let pair = match evidence {
                Evidence::Stronger { .. } => (member, other),
                Evidence::Weaker { .. } => (other, member),
            };
            self.forget_pair(pair, erased, at, told, change)?;
        }
        if self.node(member)?.is_some() {
            let node = self.known(member)?;
            node.own = node.own.filter(|own| *own > at);
            if node.third_parties {
                let left = self.forget_third_parties((member, member), erased, at, told)?;
                self.known(member)?.third_parties = left;
            }
        }
        // Reported by it about others.
        for [stronger, weaker] in self.ids::<2>(&store_keys::prefix(b'h', &[&member.0]))? {
            if stronger == weaker {
                let left = self.forget_third_parties((stronger, weaker), erased, at, told)?;
                self.known(stronger)?.third_parties = left;
                change.bereft.insert(stronger);
            } else {
                self.forget_pair((stronger, weaker), erased, at, told, change)?;
            }
        }
        Ok(())
    }

    fn forget_pair(
        &mut self,
        pair: (PersonId, PersonId),
        erased: &BTreeSet<PersonId>,
        at: EventTime,
        told: &mut BTreeMap<PersonId, BTreeSet<PersonId>>,
        change: &mut Change,
    ) -> Result<(), StoreError> {
        if change.removed.contains(&pair) {
            return Ok(());
        }
        let Some(known @ Evidence::Stronger { fate, own, third_parties }) = self.evidence(pair.0, pair.1)? else {
            return Ok(());
        };
        let ends = [pair.0, pair.1].into_iter().filter(|end| erased.contains(end));
        let mut left = own;
        if own.is_some() && (erased.contains(&pair.0) || erased.contains(&pair.1)) {
            told.entry(pair.0).or_default().extend(ends);
            left = own.filter(|own| *own > at);
        }
        let third_parties = third_parties && self.forget_third_parties(pair, erased, at, told)?;
        let evidence = Evidence::Stronger { fate, own: left, third_parties };
        change.bereft.extend([pair.0, pair.1]);
        if left.is_none() && !third_parties {
            change.removed.insert(pair);
        } else if evidence != known {
            self.put_pair(pair.0, pair.1, evidence)?;
        }
        Ok(())
    }

    /// Takes back the evidence of third parties on a pair that an erasure concerns. Says whether any is left.
    fn forget_third_parties(
        &mut self,
        pair: (PersonId, PersonId),
        erased: &BTreeSet<PersonId>,
        at: EventTime,
        told: &mut BTreeMap<PersonId, BTreeSet<PersonId>>,
    ) -> Result<bool, StoreError> {
        let mut left = false;
        for [home] in self.ids::<1>(&store_keys::prefix(b't', &[&pair.0.0, &pair.1.0]))? {
            let concerned: BTreeSet<PersonId> =
                [home, pair.0, pair.1].into_iter().filter(|id| erased.contains(id)).collect();
            let key = store_keys::third_party(pair.0, pair.1, home);
            let seen = self.store.get(&key)?.map(|bytes| store_keys::decode_time(&bytes)).transpose()?;
            if !concerned.is_empty() && seen.is_none_or(|seen| seen <= at) {
                self.store.delete(&key);
                self.store.delete(&store_keys::by_home(home, pair.0, pair.1));
            } else {
                left = true;
            }
            if !concerned.is_empty() {
                told.entry(home).or_default().extend(concerned);
            }
        }
        Ok(left)
    }
}
