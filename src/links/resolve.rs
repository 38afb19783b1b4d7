//! The definition: pairs of identifiers and decisions in, persons out. Pure, and the order of pairs does not matter.
//!
//! - A *shared* identifier links nobody: not of a unique type, and paired with two values of one unique type or with more
//!   stronger identifiers than [`Rules::shared_above`]; values that a link decision makes one count once.
//! - A pair is *oversize* where the pairs whose weaker type is at least as strong as its own, with the link decisions,
//!   connect more identifiers than [`Rules::component_max`], things not counted.
//! - Link decisions are applied first, unless a never-link stands between; then the pairs that are left, by the types of the
//!   stronger and the weaker, then by themselves, each unless a never-link or a limit stands between.
//!
//! The graph of this room computes the same from what changed, and shares with this file only the order of joining.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    component::{self, Component, Sets},
    decisions::Standing,
    rules::{Refusal, Rules},
    stronger_first,
};
use crate::model::Identifier;

/// A pair, the stronger first.
pub type Pair<'a> = (Identifier<'a>, Identifier<'a>);

/// Who is who.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution<'a> {
    /// Each identifier's person: the strongest identifier of it.
    pub persons: BTreeMap<Identifier<'a>, Identifier<'a>>,
    /// Those that link nobody.
    pub shared: BTreeSet<Identifier<'a>>,
    /// Conflicts. A pair can be refused as a decision and as evidence.
    pub refused: BTreeSet<(Pair<'a>, Refusal)>,
}

/// Resolves evidence and decisions. A pair of an identifier with itself says that it was seen.
pub fn resolve<'a>(
    pairs: impl IntoIterator<Item = (Identifier<'a>, Identifier<'a>)>,
    standing: &Standing<'a>,
    rules: &Rules,
) -> Resolution<'a> {
    let pairs: BTreeSet<Pair<'a>> = pairs.into_iter().map(|(one, other)| stronger_first(one, other)).collect();
    let seen: BTreeSet<Identifier<'a>> =
        pairs.iter().chain(&standing.links).flat_map(|(one, other)| [*one, *other]).collect();
    let names: Vec<Identifier<'a>> = seen.into_iter().collect();
    let number = |name: &Identifier<'a>| names.binary_search(name).ok().and_then(|number| u32::try_from(number).ok());
    let numbers = |(one, other): &Pair<'a>| Some((number(one)?, number(other)?));
    let mut component = Component {
        kinds: names.iter().map(|name| name.kind).collect(),
        links: standing.links.iter().filter_map(numbers).collect(),
        nevers: standing.nevers.iter().filter_map(numbers).collect(),
        pairs: pairs.iter().filter(|(one, other)| one != other).filter_map(numbers).collect(),
    };
    let shared = shared(&component, rules);
    component.pairs.retain(|&(one, other)| !shared[one as usize] && !shared[other as usize]);
    let oversize = oversize(&component, rules);
    let mut dropped = oversize.iter();
    component.pairs.retain(|_| dropped.next() == Some(&None));
    let joined = component::join(&component, rules);

    let name = |number: u32| names[number as usize];
    let refused = oversize
        .into_iter()
        .flatten()
        .map(|pair| (pair, Refusal::Oversize))
        .chain(component.pairs.iter().zip(&joined.refused_pairs).filter_map(|(pair, rule)| Some((*pair, (*rule)?))))
        .chain(
            component
                .links
                .iter()
                .zip(&joined.refused_links)
                .filter_map(|(pair, refused)| refused.then_some((*pair, Refusal::Never))),
        )
        .map(|((one, other), rule)| ((name(one), name(other)), rule))
        .collect();
    Resolution {
        persons: names.iter().copied().zip(joined.persons.into_iter().map(name)).collect(),
        shared: names.iter().zip(&shared).filter_map(|(name, shared)| shared.then_some(*name)).collect(),
        refused,
    }
}

/// By identifier, whether it links nobody.
fn shared(component: &Component, rules: &Rules) -> Vec<bool> {
    let length = component.kinds.len();
    let (classes, _) = component::force(length, &component.links, &component.nevers);
    let mut neighbours = vec![Vec::new(); length];
    for &(one, other) in &component.pairs {
        neighbours[one as usize].push(other);
        neighbours[other as usize].push(one);
    }
    let is_shared = |(member, neighbours): (u32, &Vec<u32>)| {
        let kind = component.kinds[member as usize];
        if rules.is_unique(kind) {
            return false;
        }
        let classes_of = |is_meant: &dyn Fn(u32) -> bool| {
            let meant = neighbours.iter().filter(|neighbour| is_meant(**neighbour));
            meant.map(|neighbour| classes[*neighbour as usize]).collect::<BTreeSet<u32>>().len()
        };
        rules.unique().any(|unique| classes_of(&|neighbour| component.kinds[neighbour as usize] == unique) > 1)
            || classes_of(&|neighbour| neighbour < member) > rules.shared_above()
    };
    (0..).zip(&neighbours).map(is_shared).collect()
}

/// By pair, the pair itself where it is oversize. One test per level, so that sets that only grow answer all of them.
fn oversize(component: &Component, rules: &Rules) -> Vec<Option<(u32, u32)>> {
    let mut sets = Sets::new(component.kinds.len());
    let mut counts: Vec<usize> = component.kinds.iter().map(|kind| usize::from(Rules::counts(*kind))).collect();
    let join = |sets: &mut Sets, counts: &mut Vec<usize>, (one, other): (u32, u32)| {
        let (one, other) = (sets.find(one), sets.find(other));
        if one != other {
            let (left, gone) = sets.join(one, other);
            counts[left as usize] += counts[gone as usize];
        }
    };
    for link in &component.links {
        join(&mut sets, &mut counts, *link);
    }
    let level = |index: &usize| component.kinds[component.pairs[*index].1 as usize];
    let mut order: Vec<usize> = (0..component.pairs.len()).collect();
    order.sort_unstable_by_key(level);
    let mut dropped = vec![None; component.pairs.len()];
    for of_level in order.chunk_by(|one, other| level(one) == level(other)) {
        for index in of_level {
            join(&mut sets, &mut counts, component.pairs[*index]);
        }
        for index in of_level {
            let pair = component.pairs[*index];
            if counts[sets.find(pair.0) as usize] > rules.component_max() {
                dropped[*index] = Some(pair);
            }
        }
    }
    dropped
}
