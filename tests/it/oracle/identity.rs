//! Which identifiers are one person: brute force over all pairs, again and again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{fields::IDENTIFIER_TYPES, person_id};

/// Rank of the type and value: the smaller is the stronger.
pub type Identifier = (usize, String);

const CUSTOMER_ID: usize = 0;
const FIRST_THING: usize = 7;
/// An identifier with more stronger neighbours is shared.
const SHARED_ABOVE: usize = 4;
const COMPONENT_MAX: usize = 1_000;

/// The most of a type that one person may have, by rank.
fn limit(rank: usize) -> usize {
    match IDENTIFIER_TYPES[rank] {
        "customer_id" => 1,
        "email" | "phone" | "loyalty" | "device" => 5,
        "cookie" | "anonymous" => 100,
        _ => usize::MAX,
    }
}

/// Everything that follows from the pairs.
#[derive(Debug, Default)]
pub struct Persons {
    /// The strongest identifier of the person of each identifier.
    pub of: BTreeMap<Identifier, Identifier>,
    shared: BTreeSet<Identifier>,
    refused: Vec<(Identifier, Identifier, String)>,
}

type Pairs = BTreeSet<(Identifier, Identifier)>;

/// The pairs that touchpoints with these identifiers are evidence of.
fn pairs<'a>(touches: impl Iterator<Item = &'a BTreeSet<Identifier>>) -> Pairs {
    let mut pairs = Pairs::new();
    for identifiers in touches {
        for (index, one) in identifiers.iter().enumerate() {
            for other in identifiers {
                if index == 0 || (one.0 == CUSTOMER_ID && one != other) {
                    pairs.insert((one.min(other).clone(), one.max(other).clone()));
                }
            }
        }
    }
    pairs
}

/// Connected groups, by naive relabelling.
fn groups<'a>(
    nodes: impl Iterator<Item = &'a Identifier>,
    edges: &[&'a (Identifier, Identifier)],
) -> Vec<BTreeSet<&'a Identifier>> {
    let mut neighbours: BTreeMap<&Identifier, Vec<&Identifier>> = BTreeMap::new();
    for (one, other) in edges {
        neighbours.entry(one).or_default().push(other);
        neighbours.entry(other).or_default().push(one);
    }
    let mut seen = BTreeSet::new();
    let mut groups = Vec::new();
    for node in nodes {
        if seen.contains(node) {
            continue;
        }
        let (mut group, mut open) = (BTreeSet::new(), vec![node]);
        while let Some(node) = open.pop() {
            if seen.insert(node) {
                group.insert(node);
                open.extend(neighbours.get(node).into_iter().flatten());
            }
        }
        groups.push(group);
    }
    groups
}

/// Who is one person, given what touchpoints carry.
pub fn resolve<'a>(touches: impl Iterator<Item = &'a BTreeSet<Identifier>>) -> Persons {
    let pairs = pairs(touches);
    let nodes: BTreeSet<&Identifier> = pairs.iter().flat_map(|(one, other)| [one, other]).collect();
    let mut neighbours: BTreeMap<&Identifier, BTreeSet<&Identifier>> = BTreeMap::new();
    for (one, other) in pairs.iter().filter(|(one, other)| one != other) {
        neighbours.entry(one).or_default().insert(other);
        neighbours.entry(other).or_default().insert(one);
    }
    let shared: BTreeSet<Identifier> = neighbours
        .iter()
        .filter(|(node, neighbours)| {
            let customers = neighbours.iter().filter(|it| it.0 == CUSTOMER_ID).count();
            let stronger = neighbours.iter().filter(|it| *it < *node).count();
            node.0 != CUSTOMER_ID && (customers > 1 || stronger > SHARED_ABOVE)
        })
        .map(|(node, _)| (*node).clone())
        .collect();
    let usable: Vec<&(Identifier, Identifier)> =
        pairs.iter().filter(|(one, other)| one != other && !shared.contains(one) && !shared.contains(other)).collect();

    let mut oversize: BTreeSet<&(Identifier, Identifier)> = BTreeSet::new();
    for rank in 0..IDENTIFIER_TYPES.len() {
        let up_to: Vec<_> = usable.iter().copied().filter(|(_, weaker)| weaker.0 <= rank).collect();
        for group in groups(nodes.iter().copied(), &up_to) {
            if group.iter().filter(|node| node.0 < FIRST_THING).count() > COMPONENT_MAX {
                oversize.extend(up_to.iter().filter(|(one, weaker)| weaker.0 == rank && group.contains(one)));
            }
        }
    }

    let mut left: Vec<_> = usable.iter().copied().filter(|pair| !oversize.contains(pair)).collect();
    left.sort_by_key(|(one, other)| (one.0, other.0, one.clone(), other.clone()));
    let mut label: BTreeMap<&Identifier, usize> =
        nodes.iter().enumerate().map(|(index, node)| (*node, index)).collect();
    let mut members: Vec<Vec<&Identifier>> = nodes.iter().map(|node| vec![*node]).collect();
    let mut refused: Vec<_> =
        oversize.iter().map(|(one, other)| (one.clone(), other.clone(), "oversize".to_owned())).collect();
    for (one, other) in left {
        let (here, there) = (label[one], label[other]);
        if here == there {
            continue;
        }
        let of_rank = |group: usize, rank: usize| members[group].iter().filter(|it| it.0 == rank).count();
        let too_many = (0..IDENTIFIER_TYPES.len()).find(|&rank| {
            let (here, there) = (of_rank(here, rank), of_rank(there, rank));
            here > 0 && there > 0 && here + there > limit(rank)
        });
        if let Some(rank) = too_many {
            refused.push((one.clone(), other.clone(), format!("limit_{}", IDENTIFIER_TYPES[rank])));
            continue;
        }
        let moved = std::mem::take(&mut members[there]);
        for node in &moved {
            label.insert(node, here);
        }
        members[here].extend(moved);
    }
    let of = members.iter().filter(|group| !group.is_empty()).flat_map(|group| {
        let strongest = *group.iter().min().unwrap();
        group.iter().map(move |node| ((*node).clone(), strongest.clone()))
    });
    Persons { of: of.collect(), shared, refused }
}

impl Persons {
    /// The feed of identities.
    pub fn feed(&self, key: &[u8; 32]) -> BTreeMap<String, Value> {
        let show = |(rank, value): &Identifier| json!({ "type": IDENTIFIER_TYPES[*rank], "value": value });
        let mut groups: BTreeMap<&Identifier, Vec<&Identifier>> = BTreeMap::new();
        for (node, strongest) in &self.of {
            groups.entry(strongest).or_default().push(node);
        }
        let mut feed = BTreeMap::new();
        for (strongest, group) in groups {
            let person = person_id(key, strongest);
            let mut conflicts: Vec<&(Identifier, Identifier, String)> =
                self.refused.iter().filter(|(one, other, _)| group.contains(&one) || group.contains(&other)).collect();
            conflicts.sort();
            for node in &group {
                let mut value = json!({
                    "identifier": show(node),
                    "person": person,
                    "strongest": show(strongest),
                    "identifiers": [],
                    "identifiers_total": 0,
                    "conflicts": [],
                    "conflicts_total": 0,
                    "shared": false,
                });
                if *node == strongest {
                    value["identifiers"] = group.iter().take(256).map(|it| show(it)).collect();
                    value["identifiers_total"] = group.len().into();
                    let show = |(one, other, rule): &(Identifier, Identifier, String)| json!({ "stronger": show(one), "weaker": show(other), "rule": rule, "decided": false });
                    value["conflicts"] = conflicts.iter().take(50).map(|it| show(it)).collect();
                    value["conflicts_total"] = conflicts.len().into();
                    value["shared"] = self.shared.contains(strongest).into();
                }
                feed.insert(person_id(key, node), value);
            }
        }
        feed
    }
}
