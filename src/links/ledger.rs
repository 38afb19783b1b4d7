//! The command log as the store keeps it: which decisions are live, without reading all of them again.

use std::ops::ControlFlow;

use super::{
    decisions::Decision,
    graph::{Graph, Standing},
    store_keys::{self, Command, CommandKind},
};
use crate::model::{KeyValue, PersonId, StoreError};

impl<S: KeyValue + ?Sized> Graph<'_, S> {
    /// The number of the command with an id, if it is known.
    pub fn number_of(&self, id_hash: [u8; 16]) -> Result<Option<u64>, StoreError> {
        self.store.get(&store_keys::command_id(id_hash))?.map(|bytes| store_keys::decode_number(&bytes)).transpose()
    }

    /// Records the id of a command, so that a repetition is known.
    pub fn record_id(&mut self, id_hash: [u8; 16], number: u64) {
        self.store.put(&store_keys::command_id(id_hash), &number.to_be_bytes());
    }

    /// Records a decision, which is live: no command can have undone it before.
    pub fn record_decision(
        &mut self,
        number: u64,
        decision: Decision,
        pairs: &[(PersonId, PersonId)],
    ) -> Result<(), StoreError> {
        let command = Command { kind: CommandKind::Decide(decision), undone_by: 0 };
        self.store.put(&store_keys::command(number), &command.encode());
        for &(one, other) in pairs {
            self.note_standing(one, other)?;
            self.store.put(&store_keys::decided_pair(number, one.min(other), one.max(other)), &[]);
            self.put_decision(number, decision, true, (one, other));
            for id in [one, other] {
                if let Some(node) = self.edit(id)? {
                    node.decided = true;
                    node.named |= decision == Decision::Link;
                }
            }
        }
        self.forget_classes();
        Ok(())
    }

    /// Records an undo: the command it names is dead, and if that was an undo, what it named may live again. Whether there is
    /// such a command to take back: an erasure is none.
    pub fn record_undo(&mut self, number: u64, target: Option<u64>) -> Result<bool, StoreError> {
        let command = Command { kind: CommandKind::Undo(target), undone_by: 0 };
        self.store.put(&store_keys::command(number), &command.encode());
        let mut next = target.map(|target| (target, true));
        let mut takes_back = false;
        // Each step names an earlier command.
        while let Some((target, more)) = next.take() {
            // An erasure has a number and no entry: nothing takes it back.
            let Some(bytes) = self.store.get(&store_keys::command(target))? else {
                break;
            };
            takes_back = true;
            let mut command = Command::decode(&bytes)?;
            let was_live = command.undone_by == 0;
            command.undone_by =
                if more { command.undone_by.saturating_add(1) } else { command.undone_by.saturating_sub(1) };
            self.store.put(&store_keys::command(target), &command.encode());
            let is_live = command.undone_by == 0;
            if was_live == is_live {
                break;
            }
            match command.kind {
                CommandKind::Undo(target) => next = target.map(|target| (target, is_live)),
                CommandKind::Decide(decision) => {
                    for pair in self.decided_pairs(target)? {
                        self.note_standing(pair.0, pair.1)?;
                        self.put_decision(target, decision, is_live, pair);
                    }
                }
            }
        }
        Ok(takes_back)
    }

    /// Takes an identifier out of every decision. Returns the other ends.
    pub fn strip(&mut self, id: PersonId) -> Result<Vec<PersonId>, StoreError> {
        let prefix = store_keys::prefix(b'd', &[&id.0]);
        let mut found = Vec::new();
        let mut failed = None;
        self.store.scan(&prefix, &store_keys::after(&prefix), &mut |key, _| {
            match store_keys::parse_decision(key) {
                Ok(decision) => found.push(decision),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        for &(other, _) in &found {
            self.note_standing(id, other)?;
        }
        for &(other, number) in &found {
            self.store.delete(&store_keys::decided_pair(number, id.min(other), id.max(other)));
            self.store.delete(&store_keys::decision(id, other, number));
            self.store.delete(&store_keys::decision(other, id, number));
        }
        let mut others: Vec<PersonId> = found.into_iter().map(|(other, _)| other).collect();
        others.dedup();
        for id in others.iter().copied().chain([id]) {
            self.note_decisions(id)?;
        }
        Ok(others)
    }

    /// Pairs about which something else stands now, with what stood and what stands; the smaller id first, in order.
    #[allow(clippy::type_complexity, reason = "a pair, before and after")]
    pub fn redecided(&self) -> Result<Vec<((PersonId, PersonId), Option<Standing>, Option<Standing>)>, StoreError> {
        let mut changed = Vec::new();
        for (one, others) in &self.stood {
            for (other, stood) in others.range(*one..) {
                let stands = self.standing(*one, *other)?;
                if *stood != stands {
                    changed.push(((*one, *other), *stood, stands));
                }
            }
        }
        Ok(changed)
    }

    /// Whether a node is decided and named, by what is stored.
    fn note_decisions(&mut self, id: PersonId) -> Result<(), StoreError> {
        if self.node(id)?.is_none() {
            return Ok(());
        }
        let prefix = store_keys::prefix(b'd', &[&id.0]);
        let (mut decided, mut named) = (false, false);
        let mut failed = None;
        self.store.scan(&prefix, &store_keys::after(&prefix), &mut |_, value| {
            decided = true;
            match store_keys::decode_decision(value) {
                Ok((Decision::Link, _)) => named = true,
                Ok((Decision::Never, _)) => return ControlFlow::Continue(()),
                Err(error) => failed = Some(error),
            }
            ControlFlow::Break(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let node = self.known(id)?;
        (node.decided, node.named) = (decided, named);
        self.forget_classes();
        Ok(())
    }

    fn note_standing(&mut self, one: PersonId, other: PersonId) -> Result<(), StoreError> {
        if self.stood.get(&one).is_some_and(|others| others.contains_key(&other)) {
            return Ok(());
        }
        let standing = self.standing(one, other)?;
        self.stood.entry(one).or_default().insert(other, standing);
        self.stood.entry(other).or_default().insert(one, standing);
        Ok(())
    }

    fn put_decision(&mut self, number: u64, decision: Decision, live: bool, (one, other): (PersonId, PersonId)) {
        let value = store_keys::encode_decision(decision, live);
        self.store.put(&store_keys::decision(one, other, number), &value);
        self.store.put(&store_keys::decision(other, one, number), &value);
        self.forget_classes();
        self.traces.is_decided(one);
        self.traces.is_decided(other);
    }

    fn decided_pairs(&self, number: u64) -> Result<Vec<(PersonId, PersonId)>, StoreError> {
        let prefix = store_keys::prefix(b'q', &[&number.to_be_bytes()]);
        let mut pairs = Vec::new();
        self.store.scan(&prefix, &store_keys::after(&prefix), &mut |key, _| {
            pairs.push(store_keys::parse_ids::<2>(key));
            ControlFlow::Continue(())
        })?;
        pairs.into_iter().map(|ids| ids.map(|[one, other]| (one, other))).collect::<Result<_, _>>()
    }
}
