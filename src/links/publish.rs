//! From the graph to the feed of identities: a person with its identifiers and conflicts, a redirect, or nothing any more.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{
    effects::{
        CONFLICTS_LISTED_MAX, CloseLimit, Conflict, Effects, IDENTIFIERS_LISTED_MAX, IdentityState, KeyedIdentifier,
    },
    graph::{Adjacent, Graph, View},
    rules::{RANKS, Refusal},
    stage::Links,
    store_keys::{self, Node, damaged},
};
use crate::model::{Identifier, KeyValue, PersonId, StoreError};

impl Links {
    /// Before a commit: hands out the state of each identifier that changed, once, in the order of keys.
    pub fn publish<S: KeyValue + ?Sized>(
        &mut self,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let rules = self.rules.clone();
        let mut keys: BTreeMap<PersonId, Option<PersonId>> =
            std::mem::take(&mut self.gone).into_iter().map(|key| (key, None)).collect();
        // One for all of them: what decisions make of a person's identifiers is the same for each.
        let mut graph = Graph::new(store, &rules);
        for id in std::mem::take(&mut self.touched) {
            if graph.node(id)?.is_some_and(|node| node.published) {
                keys.insert(self.public_id(graph.store, id)?, Some(id));
            }
        }
        for (key, id) in keys {
            match id {
                None => effects.identity(key, &IdentityState::Gone),
                Some(id) => self.identity(id, &mut graph, &mut |state| effects.identity(key, state))?,
            }
        }
        Ok(())
    }

    /// What the feed of identities says of an identifier that is known, with its key.
    pub fn show<S: KeyValue + ?Sized>(
        &self,
        identifier: Identifier<'_>,
        store: &mut S,
        show: &mut dyn FnMut(PersonId, &IdentityState<'_>),
    ) -> Result<(), StoreError> {
        let id = self.key.person(identifier);
        let key = self.public_id(store, id)?;
        let mut graph = Graph::new(store, &self.rules);
        if graph.node(id)?.is_none_or(|node| !node.published) {
            show(key, &IdentityState::Gone);
            return Ok(());
        }
        self.identity(id, &mut graph, &mut |state| show(key, state))
    }

    fn identity<S: KeyValue + ?Sized>(
        &self,
        id: PersonId,
        graph: &mut Graph<'_, S>,
        show: &mut dyn FnMut(&IdentityState<'_>),
    ) -> Result<(), StoreError> {
        let node = graph.known(id)?.clone();
        if node.person != id {
            let strongest = graph.known(node.person)?.clone();
            let person = self.public_id(graph.store, node.person)?;
            let strongest = known(node.person, &strongest);
            show(&IdentityState::Redirect { identifier: known(id, &node), person, strongest });
            return Ok(());
        }
        let (members, total) = graph.strongest_members(id, &node)?;
        let (conflicts, conflicts_total) = graph.conflicts(id, &members)?;
        let conflicts = conflicts
            .iter()
            .map(|(pair, rule, decided)| Conflict {
                stronger: known(pair[0].0, &pair[0].1),
                weaker: known(pair[1].0, &pair[1].1),
                rule: *rule,
                decided: *decided,
            })
            .collect();
        show(&IdentityState::Person {
            identifiers: members.iter().take(IDENTIFIERS_LISTED_MAX).map(|(id, node)| known(*id, node)).collect(),
            identifiers_total: total,
            conflicts,
            conflicts_total,
            shared: node.shared,
            close: graph.close_limits(id, &members, total)?,
        });
        Ok(())
    }
}

fn name(node: &Node) -> Identifier<'_> {
    Identifier { kind: node.kind, value: &node.value }
}

fn known(id: PersonId, node: &Node) -> KeyedIdentifier<'_> {
    KeyedIdentifier { id, identifier: name(node) }
}

/// The two ends of a refused pair, the rule, and whether a decision was refused.
type Refused = ([(PersonId, Node); 2], Refusal, bool);

impl<S: KeyValue + ?Sized> Graph<'_, S> {
    /// The strongest identifiers of a person, and how many there are. Where too many are of one type, those of that type are
    /// listed whose keyed hashes are smallest, so that the rest need not be read.
    fn strongest_members(&mut self, person: PersonId, node: &Node) -> Result<(Vec<(PersonId, Node)>, u64), StoreError> {
        if node.members <= 1 {
            return Ok((vec![(person, node.clone())], 1));
        }
        let prefix = store_keys::prefix(b'm', &[&person.0]);
        let mut ids = Vec::new();
        self.store.scan(&prefix, &store_keys::after(&prefix), &mut |key, _| {
            ids.push(store_keys::parse_ids::<1>(key));
            if ids.len() < IDENTIFIERS_LISTED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut members = Vec::with_capacity(ids.len());
        for id in ids {
            let [id] = id?;
            members.push((id, self.known(id)?.clone()));
        }
        members.sort_by(|(_, one), (_, other)| name(one).cmp(&name(other)));
        // The person is named by its strongest, whatever the hashes of the others of its type.
        if members.first().is_none_or(|(first, _)| *first != person) {
            members.pop();
            members.insert(0, (person, node.clone()));
        }
        Ok((members, u64::from(node.members)))
    }

    /// The limits that a person is close to. `members`: those that are listed, of so many. Of types without a limit none is read.
    fn close_limits(
        &self,
        person: PersonId,
        members: &[(PersonId, Node)],
        total: u64,
    ) -> Result<Vec<CloseLimit>, StoreError> {
        let mut close = Vec::new();
        for kind in self.rules.kinds().filter(|kind| self.rules.limit(*kind).is_some_and(|limit| limit > 1)) {
            let mut count: u32 = 0;
            if members.len() as u64 == total {
                members.iter().filter(|(_, node)| node.kind == kind).for_each(|_| count += 1);
            } else {
                let prefix = store_keys::prefix(b'm', &[&person.0, &[self.rules.rank(kind)]]);
                self.store.scan(&prefix, &store_keys::after(&prefix), &mut |_, _| {
                    count += 1;
                    ControlFlow::Continue(())
                })?;
            }
            close.extend(self.rules.close_limit(kind, count).map(|limit| CloseLimit { kind, count, limit }));
        }
        Ok(close)
    }

    /// Conflicts of a person's listed identifiers, and how many all of them have.
    fn conflicts(&mut self, person: PersonId, members: &[(PersonId, Node)]) -> Result<(Vec<Refused>, u64), StoreError> {
        // Else all members would be read each time one of them changes: of a marketplace, each of its orders.
        if !self.known(person)?.contested {
            return Ok((Vec::new(), 0));
        }
        let mut found: BTreeMap<(PersonId, PersonId, Refusal, bool), ()> = BTreeMap::new();
        let mut ends: u64 = 0;
        let listed_all = self.known(person)?.members as usize <= members.len();
        let ids: Vec<PersonId> = if listed_all {
            members.iter().map(|(id, _)| *id).collect()
        } else {
            self.members(person)?.into_iter().collect()
        };
        for id in &ids {
            let node = self.known(*id)?;
            let (mut refused, decided) = (u64::from(node.refused), node.decided);
            ends += refused;
            let mut from = Some(store_keys::pairs_from(*id, 0));
            while refused > 0
                && found.len() < CONFLICTS_LISTED_MAX
                && let Some(key) = from.take()
            {
                let (adjacent, go_on) = self.adjacent(&key, &store_keys::pairs_from(*id, RANKS), 64)?;
                from = go_on;
                for pair @ Adjacent { other, evidence, .. } in adjacent {
                    if let Some(rule) = evidence.fate().refusal() {
                        refused -= 1;
                        let (one, other) = if pair.is_weaker() { (*id, other) } else { (other, *id) };
                        found.insert((one, other, rule, false), ());
                        if refused == 0 || found.len() >= CONFLICTS_LISTED_MAX {
                            break;
                        }
                    }
                }
            }
            if decided {
                for (one, other) in self.classes(*id, View::New)?.overruled_of(*id) {
                    ends += 1;
                    found.insert((*one, *other, Refusal::Never, true), ());
                }
            }
        }
        let total = if found.len() < CONFLICTS_LISTED_MAX { found.len() as u64 } else { ends };
        let mut conflicts = Vec::with_capacity(found.len());
        for ((one, other, rule, decided), ()) in found {
            let ends = [(one, self.known(one)?.clone()), (other, self.known(other)?.clone())];
            conflicts.push((ends, rule, decided));
        }
        conflicts.sort_by(|(one, rule, decided), (other, other_rule, other_decided)| {
            (name(&one[0].1), name(&one[1].1), rule, decided).cmp(&(
                name(&other[0].1),
                name(&other[1].1),
                other_rule,
                other_decided,
            ))
        });
        conflicts.truncate(CONFLICTS_LISTED_MAX);
        if conflicts.is_empty() && total > 0 {
            return Err(damaged("count of conflicts", "no pair was refused"));
        }
        Ok((conflicts, total))
    }
}
