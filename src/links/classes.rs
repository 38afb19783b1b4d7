//! Link decisions that stand in; the sets that they make of identifiers, before and after a change, out.
//!
//! Each set is made once for a change: whether an identifier is shared asks for the class of each of its neighbours, and a
//! command may link ten thousand.

// tidy: hash order unseen because members are looked up by id, and listed in the order of their strength

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use ahash::RandomState;

use super::{
    component,
    decisions::Decision,
    graph::{Graph, View},
};
use crate::model::{KeyValue, PersonId, StoreError};

/// What link decisions make of the identifiers that they connect, refused decisions too.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Each member, strongest first, and the representative of its class.
    pub members: Vec<(PersonId, PersonId)>,
    /// The decisions that a never-link overrules.
    pub overruled: Vec<(PersonId, PersonId)>,
    /// The same by either end.
    of_end: BTreeMap<PersonId, Vec<(PersonId, PersonId)>>,
}

impl Decided {
    /// The decisions on a member that a never-link overrules.
    pub fn overruled_of(&self, id: PersonId) -> &[(PersonId, PersonId)] {
        self.of_end.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// Sets that were made, by member, with the place of its class.
pub(super) struct Memo(HashMap<PersonId, (Rc<Decided>, PersonId), RandomState>);

impl Default for Memo {
    fn default() -> Memo {
        Memo(HashMap::with_hasher(RandomState::with_seeds(11, 12, 13, 14)))
    }
}

impl<S: KeyValue + ?Sized> Graph<'_, S> {
    /// Decisions, or who is known, are others now than those that classes were made of.
    pub fn forget_classes(&mut self) {
        for memo in &mut self.memo {
            memo.0.clear();
        }
    }

    /// The identifiers that link decisions connect to one of them, refused decisions too; it comes first.
    fn decided_component(&mut self, id: PersonId, view: View) -> Result<Vec<PersonId>, StoreError> {
        let mut members = vec![id];
        let mut seen = HashSet::with_hasher(RandomState::with_seeds(11, 12, 13, 14));
        seen.insert(id);
        let mut next = 0;
        while let Some(&member) = members.get(next) {
            next += 1;
            for (other, decision, _) in self.standing_of(member, view)? {
                if decision == Decision::Link && seen.insert(other) {
                    members.push(other);
                }
            }
        }
        Ok(members)
    }

    /// The sets that link decisions make of the identifiers connected to one of them.
    pub fn classes(&mut self, id: PersonId, view: View) -> Result<Rc<Decided>, StoreError> {
        if let Some((known, _)) = self.memo[view as usize].0.get(&id) {
            return Ok(Rc::clone(known));
        }
        let mut members = self.decided_component(id, view)?;
        let mut decided = Decided::default();
        if members.len() == 1 {
            decided.members.push((id, id));
        } else {
            self.sort_by_strength(&mut members)?;
            let (links, nevers) = self.decisions_among(&members, view)?;
            let (classes, refused) = component::force(members.len(), &links, &nevers);
            let member = |place: u32| members[place as usize];
            let overruled = links.iter().zip(refused).filter(|(_, refused)| *refused);
            decided.overruled = overruled.map(|((one, other), _)| (member(*one), member(*other))).collect();
            decided.members = members.iter().copied().zip(classes.into_iter().map(member)).collect();
        }
        for pair in &decided.overruled {
            for end in [pair.0, pair.1] {
                decided.of_end.entry(end).or_default().push(*pair);
            }
        }
        let decided = Rc::new(decided);
        let made = decided.members.iter().map(|(member, class)| (*member, (Rc::clone(&decided), *class)));
        self.memo[view as usize].0.extend(made);
        Ok(decided)
    }

    /// The representative of an identifier's class.
    pub fn class_of(&mut self, id: PersonId, view: View) -> Result<PersonId, StoreError> {
        if !self.facts(id, view)?.is_some_and(|facts| facts.decided) {
            return Ok(id);
        }
        self.classes(id, view)?;
        Ok(self.memo[view as usize].0.get(&id).map_or(id, |(_, class)| *class))
    }
}
