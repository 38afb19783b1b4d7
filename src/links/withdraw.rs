//! Evidence that a home takes back, because what said it was read wrongly. Each pair comes once in a report.

use std::collections::BTreeSet;

use super::{
    change::Change,
    effects::{Cause, Effects},
    graph::Graph,
    stage::Links,
    store_keys::{self, Evidence},
};
use crate::model::{EventTime, KeyValue, PersonId, StoreError};

/// A pair that a home reported, the stronger first, both by name, and when what is left of its evidence last saw it; `None`:
/// nothing is left. Both the same: that it was seen.
pub type Withdrawn = (PersonId, PersonId, Option<EventTime>);

impl Links {
    /// Takes back pairs that a home has reported, or the times at which it saw them. What it has not reported is ignored.
    pub fn withdraw<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        pairs: &[Withdrawn],
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let rules = self.rules.clone();
        let mut graph = Graph::new(store, &rules).with(&mut self.traces);
        let mut change = Change::new(Cause::Report { home });
        // Each once: the evidence of a pair that goes is in the store until the change is made.
        let mut done = BTreeSet::new();
        for &(stronger, weaker, left) in pairs {
            if done.insert((stronger, weaker)) {
                graph.withdraw(home, (stronger, weaker), left, &mut change)?;
            }
        }
        if !change.starts.is_empty() {
            graph.settle(&mut change)?;
        }
        self.conclude(&mut graph, change, &[], effects)
    }
}

impl<S: KeyValue + ?Sized> Graph<'_, S> {
    fn withdraw(
        &mut self,
        home: PersonId,
        pair: (PersonId, PersonId),
        left: Option<EventTime>,
        change: &mut Change,
    ) -> Result<(), StoreError> {
        let (stronger, weaker) = pair;
        if self.node(stronger)?.is_none() || self.node(weaker)?.is_none() {
            return Ok(());
        }
        // It is never later than it was: an erasure may have come between.
        let less = |known: EventTime| left.map(|left| left.min(known));
        if home != stronger {
            let key = store_keys::third_party(stronger, weaker, home);
            let Some(known) = self.store.get(&key)?.map(|bytes| store_keys::decode_time(&bytes)).transpose()? else {
                return Ok(());
            };
            match less(known) {
                Some(at) => {
                    self.store.put(&key, &store_keys::encode_time(at));
                    return Ok(());
                }
                None => {
                    self.store.delete(&key);
                    self.store.delete(&store_keys::by_home(home, stronger, weaker));
                }
            }
        }
        let any_others = home != stronger && self.has_any(&store_keys::prefix(b't', &[&stronger.0, &weaker.0]))?;
        if stronger == weaker {
            let node = self.known(stronger)?;
            match home == stronger {
                true => node.own = node.own.and_then(less),
                false => node.third_parties = any_others,
            }
        } else {
            let Some(known @ Evidence::Stronger { fate, own, third_parties }) = self.evidence(stronger, weaker)? else {
                return Ok(());
            };
            let evidence = match home == stronger {
                true => Evidence::Stronger { fate, own: own.and_then(less), third_parties },
                false => Evidence::Stronger { fate, own, third_parties: any_others },
            };
            match evidence {
                Evidence::Stronger { own: None, third_parties: false, .. } => drop(change.removed.insert(pair)),
                evidence if evidence != known => self.put_pair(stronger, weaker, evidence)?,
                _ => return Ok(()),
            }
        }
        if left.is_none() {
            // Nothing but the pair may have been known of them.
            change.bereft.extend([stronger, weaker]);
            change.starts.extend([stronger, weaker]);
        }
        Ok(())
    }
}
