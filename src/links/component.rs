//! The heart of the definition: identifiers of a component, decisions and pairs in; who is one person, and what was refused.

use super::rules::{RANKS, Refusal, Rules};
use crate::model::IdentifierType;

/// What is known of some identifiers, numbered strongest first. Nothing outside of them links to them.
#[derive(Debug, Default)]
pub(super) struct Component {
    /// Their types.
    pub kinds: Vec<IdentifierType>,
    /// Link decisions, in the order of their commands.
    pub links: Vec<(u32, u32)>,
    /// Never-link decisions.
    pub nevers: Vec<(u32, u32)>,
    /// Pairs of evidence in effect, the stronger first.
    pub pairs: Vec<(u32, u32)>,
}

/// What became of a [`Component`].
#[derive(Debug)]
pub(super) struct Joined {
    /// The strongest identifier of each one's person.
    pub persons: Vec<u32>,
    /// By pair, why it was refused.
    pub refused_pairs: Vec<Option<Refusal>>,
    /// By link decision, whether a never-link overrules it.
    pub refused_links: Vec<bool>,
}

/// Sets that grow together, each known by its smallest member.
#[derive(Debug)]
pub(super) struct Sets(Vec<u32>);

impl Sets {
    pub fn new(length: usize) -> Sets {
        Sets((0..length as u32).collect())
    }

    pub fn find(&mut self, mut member: u32) -> u32 {
        while self.0[member as usize] != member {
            self.0[member as usize] = self.0[self.0[member as usize] as usize];
            member = self.0[member as usize];
        }
        member
    }

    /// Joins two sets, given by their smallest members: returns the one that is left and the one that is gone.
    pub fn join(&mut self, one: u32, other: u32) -> (u32, u32) {
        let (left, gone) = (one.min(other), one.max(other));
        self.0[gone as usize] = left;
        (left, gone)
    }
}

/// Sets with those whom a decision keeps apart.
struct Kept {
    sets: Sets,
    /// By smallest member, whom one of the set must never meet.
    apart: Vec<Vec<u32>>,
}

impl Kept {
    fn new(length: usize, nevers: &[(u32, u32)]) -> Kept {
        let mut apart = vec![Vec::new(); if nevers.is_empty() { 0 } else { length }];
        for &(one, other) in nevers {
            apart[one as usize].push(other);
            apart[other as usize].push(one);
        }
        Kept { sets: Sets::new(length), apart }
    }

    fn is_never(&mut self, one: u32, other: u32) -> bool {
        let Kept { sets, apart } = self;
        if apart.is_empty() {
            return false;
        }
        let (few, goal) =
            if apart[one as usize].len() <= apart[other as usize].len() { (one, other) } else { (other, one) };
        apart[few as usize].iter().any(|&member| sets.find(member) == goal)
    }

    fn join(&mut self, one: u32, other: u32) -> (u32, u32) {
        let (left, gone) = self.sets.join(one, other);
        if !self.apart.is_empty() {
            let moved = std::mem::take(&mut self.apart[gone as usize]);
            self.apart[left as usize].extend(moved);
        }
        (left, gone)
    }

    /// Applies link decisions in their order; says of each whether it was refused.
    fn force(&mut self, links: &[(u32, u32)]) -> Vec<bool> {
        let force = |&(one, other): &(u32, u32)| {
            let (one, other) = (self.sets.find(one), self.sets.find(other));
            if one == other {
                return false;
            }
            let refused = self.is_never(one, other);
            if !refused {
                self.join(one, other);
            }
            refused
        };
        links.iter().map(force).collect()
    }
}

/// The sets that link decisions alone make, by smallest member, and which decisions a never-link overrules.
pub(super) fn force(length: usize, links: &[(u32, u32)], nevers: &[(u32, u32)]) -> (Vec<u32>, Vec<bool>) {
    let mut kept = Kept::new(length, nevers);
    let refused = kept.force(links);
    ((0..length as u32).map(|member| kept.sets.find(member)).collect(), refused)
}

/// Decisions first, then the pairs, strongest first, each unless a decision or a limit stands between.
pub(super) fn join(component: &Component, rules: &Rules) -> Joined {
    let length = component.kinds.len();
    let mut kept = Kept::new(length, &component.nevers);
    let refused_links = kept.force(&component.links);
    let mut counts = vec![[0_u32; RANKS as usize]; length];
    for (member, kind) in (0..).zip(&component.kinds) {
        counts[kept.sets.find(member) as usize][usize::from(rules.rank(*kind))] += 1;
    }
    let mut order: Vec<u32> = (0..component.pairs.len() as u32).collect();
    order.sort_unstable_by_key(|&index| {
        let (stronger, weaker) = component.pairs[index as usize];
        (component.kinds[stronger as usize], component.kinds[weaker as usize], stronger, weaker)
    });
    let mut refused_pairs = vec![None; component.pairs.len()];
    for index in order {
        let (stronger, weaker) = component.pairs[index as usize];
        let (one, other) = (kept.sets.find(stronger), kept.sets.find(weaker));
        if one == other {
            continue;
        }
        let (held, more) = (counts[one as usize], counts[other as usize]);
        let exceeds = |rank: &u8| {
            let (held, more) = (held[usize::from(*rank)], more[usize::from(*rank)]);
            held > 0 && more > 0 && rules.limit_of(*rank).is_some_and(|limit| held + more > limit)
        };
        let rule = if kept.is_never(one, other) {
            Some(Refusal::Never)
        } else {
            (0..rules.ranks()).find(exceeds).and_then(|rank| rules.kind(rank)).map(Refusal::Limit)
        };
        refused_pairs[index as usize] = rule;
        if rule.is_none() {
            let (left, gone) = kept.join(one, other);
            let gone = counts[gone as usize];
            for (count, more) in counts[left as usize].iter_mut().zip(gone) {
                *count += more;
            }
        }
    }
    let persons = (0..length as u32).map(|member| kept.sets.find(member)).collect();
    Joined { persons, refused_pairs, refused_links }
}
