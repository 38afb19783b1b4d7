//! Somebody who reads the journal alone: after every step they know which pairs link, what was refused and decided, and who
//! was redirected to whom.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    oracle::{self, Truth},
    world::{Clerk, id},
};
use crate::{
    links::{Decision, JournalChange, JournalEntry, Named},
    model::PersonId,
};

type Pair = (PersonId, PersonId);

fn pair(one: &Named<'_>, other: &Named<'_>) -> Pair {
    (one.id.min(other.id), one.id.max(other.id))
}

/// What the journal has told.
#[derive(Default)]
pub struct Reader {
    linked: BTreeSet<Pair>,
    refused: BTreeSet<(Pair, String, bool)>,
    decided: BTreeMap<Pair, Decision>,
    /// Of the last step: how often the journal said of an identifier that it was this person's, less how often it is.
    left: BTreeMap<(PersonId, PersonId), i32>,
    erased: BTreeSet<PersonId>,
    /// Whose each identifier was when it was looked last, by public id.
    whose: BTreeMap<PersonId, PersonId>,
}

impl Reader {
    pub fn read(&mut self, entry: &JournalEntry<'_>) {
        match &entry.change {
            JournalChange::Erased { identifier, .. } => {
                self.erased.insert(*identifier);
                self.decided.retain(|(one, other), _| one != identifier && other != identifier);
            }
            JournalChange::Decided { one, other, decision: Some(decision) } => {
                self.decided.insert(pair(one, other), *decision);
            }
            JournalChange::Decided { one, other, decision: None } => {
                self.decided.remove(&pair(one, other));
            }
            JournalChange::Linked { one, other } => {
                assert!(self.linked.insert(pair(one, other)), "what links already links again");
            }
            JournalChange::Unlinked { one, other } => {
                assert!(self.linked.remove(&pair(one, other)), "what did not link links no more");
            }
            JournalChange::Refused { one, other, rule, decided } => {
                let refused = (pair(one, other), rule.to_string(), *decided);
                assert!(self.refused.insert(refused), "what is refused is refused again");
            }
            JournalChange::Lifted { one, other, rule, decided } => {
                let refused = (pair(one, other), rule.to_string(), *decided);
                assert!(self.refused.remove(&refused), "what was not refused is refused no more");
            }
            JournalChange::Redirected { identifier, from, to } => {
                *self.left.entry((identifier.id, *from)).or_default() += 1;
                *self.left.entry((identifier.id, *to)).or_default() -= 1;
            }
        }
    }

    /// After a step: what was told is what the oracle says.
    pub fn check(&mut self, clerk: &Clerk, truth: &Truth) {
        let ids = |(one, other): &(oracle::Name, oracle::Name)| {
            let (one, other) = (id(one), id(other));
            (one.min(other), one.max(other))
        };
        let refused_pairs: BTreeSet<_> =
            truth.refused.iter().filter(|(.., decided)| !decided).map(|(pair, ..)| pair).collect();
        let links = clerk.pairs().into_iter().filter(|pair| {
            let is_shared = truth.shared.contains(&pair.0) || truth.shared.contains(&pair.1);
            pair.0 != pair.1 && !is_shared && !refused_pairs.contains(pair)
        });
        assert_eq!(self.linked, links.map(|pair| ids(&pair)).collect(), "pairs that link, by the journal");
        let refused = truth.refused.iter().map(|(pair, rule, decided)| (ids(pair), rule.clone(), *decided));
        assert_eq!(self.refused, refused.collect(), "refusals, by the journal");
        let (links, nevers) = oracle::standing(&clerk.orders);
        let decided = links.iter().map(|pair| (ids(pair), Decision::Link));
        let decided = decided.chain(nevers.iter().map(|pair| (ids(pair), Decision::Never)));
        assert_eq!(self.decided, decided.collect(), "decisions, by the journal");

        let published = clerk.published(truth);
        for (identifier, person) in &published {
            let Some(before) = self.whose.get(identifier).filter(|_| !self.erased.contains(identifier)) else {
                continue;
            };
            let balance = |of: PersonId| self.left.get(&(*identifier, of)).copied().unwrap_or_default();
            let expected = i32::from(before != person);
            assert_eq!((balance(*before), balance(*person)), (expected, -expected), "redirects, by the journal");
        }
        (self.whose, self.left, self.erased) = (published, BTreeMap::new(), BTreeSet::new());
    }
}
