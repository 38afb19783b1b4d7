//! Which identifiers are one person: brute force over all pairs, again and again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{fields::IDENTIFIER_TYPES, orders::Standing, person_id};

/// Rank of the type and value: the smaller is the stronger.
pub type Identifier = (usize, String);

const CUSTOMER_ID: usize = 0;
/// The rank of the first type of things: of orders.
pub const FIRST_THING: usize = 8;
/// An identifier with more stronger neighbours is shared.
const SHARED_ABOVE: usize = 4;
const COMPONENT_MAX: usize = 1_000;
/// Identifiers that a published person lists.
const LISTED_MAX: usize = 256;

/// The most of a type that one person may have, by rank.
fn limit(rank: usize) -> usize {
    match IDENTIFIER_TYPES[rank] {
        "customer_id" => 1,
        // In worlds whose hub has the type.
        "tax_number" => 2,
        "email" | "phone" | "loyalty" | "device" => 5,
        "cookie" | "anonymous" => 100,
        _ => usize::MAX,
    }
}

/// What operators decided; commands in their order, those that were undone left out, the last on a pair alone.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// Joined first, in this order, the stronger of a pair first.
    pub links: Vec<(Identifier, Identifier)>,
    /// Never in one person, the stronger of a pair first.
    pub nevers: BTreeSet<(Identifier, Identifier)>,
}

/// Everything that follows from the pairs.
#[derive(Debug, Default)]
pub struct Persons {
    /// The strongest identifier of the person of each identifier.
    pub of: BTreeMap<Identifier, Identifier>,
    /// What touchpoints carry; the others are known by decisions alone.
    seen: BTreeSet<Identifier>,
    shared: BTreeSet<Identifier>,
    /// The stronger, the weaker, the rule, and whether it is an operator's link.
    refused: Vec<(Identifier, Identifier, String, bool)>,
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

/// Groups that grow: who is in which, and who of two must not meet.
struct Groups<'a> {
    label: BTreeMap<&'a Identifier, usize>,
    members: Vec<Vec<&'a Identifier>>,
    nevers: &'a BTreeSet<(Identifier, Identifier)>,
}

impl<'a> Groups<'a> {
    fn new(nodes: &BTreeSet<&'a Identifier>, nevers: &'a BTreeSet<(Identifier, Identifier)>) -> Groups<'a> {
        Groups {
            label: nodes.iter().enumerate().map(|(index, node)| (*node, index)).collect(),
            members: nodes.iter().map(|node| vec![*node]).collect(),
            nevers,
        }
    }

    fn never(&self, here: usize, there: usize) -> bool {
        let crosses = |one: &Identifier, other: &Identifier| {
            let of = |node: &Identifier| self.label.get(node).copied();
            (of(one), of(other)) == (Some(here), Some(there)) || (of(one), of(other)) == (Some(there), Some(here))
        };
        self.nevers.iter().any(|(one, other)| crosses(one, other))
    }

    fn join(&mut self, here: usize, there: usize) {
        let moved = std::mem::take(&mut self.members[there]);
        for node in &moved {
            self.label.insert(node, here);
        }
        self.members[here].extend(moved);
    }

    /// Joins what operators linked; returns which links a never-link refuses.
    fn force(&mut self, links: &'a [(Identifier, Identifier)]) -> Vec<&'a (Identifier, Identifier)> {
        let mut refused = Vec::new();
        for pair in links {
            let (here, there) = (self.label[&pair.0], self.label[&pair.1]);
            if here != there && self.never(here, there) {
                refused.push(pair);
            } else if here != there {
                self.join(here, there);
            }
        }
        refused
    }
}

/// Who is one person, given what touchpoints carry and operators decided.
pub fn resolve<'a>(touches: impl Iterator<Item = &'a BTreeSet<Identifier>>, decisions: &Decisions) -> Persons {
    let pairs = pairs(touches);
    let linked = decisions.links.iter().flat_map(|(one, other)| [one, other]);
    let nodes: BTreeSet<&Identifier> = pairs.iter().flat_map(|(one, other)| [one, other]).chain(linked).collect();
    let mut classes = Groups::new(&nodes, &decisions.nevers);
    classes.force(&decisions.links);
    let mut neighbours: BTreeMap<&Identifier, BTreeSet<&Identifier>> = BTreeMap::new();
    for (one, other) in pairs.iter().filter(|(one, other)| one != other) {
        neighbours.entry(one).or_default().insert(other);
        neighbours.entry(other).or_default().insert(one);
    }
    let shared: BTreeSet<Identifier> = neighbours
        .iter()
        .filter(|(node, neighbours)| {
            let different = |of: &dyn Fn(&Identifier) -> bool| {
                neighbours.iter().filter(|it| of(it)).map(|it| classes.label[*it]).collect::<BTreeSet<_>>().len()
            };
            let (customers, stronger) = (different(&|it| it.0 == CUSTOMER_ID), different(&|it| it < *node));
            node.0 != CUSTOMER_ID && (customers > 1 || stronger > SHARED_ABOVE)
        })
        .map(|(node, _)| (*node).clone())
        .collect();
    let usable: Vec<&(Identifier, Identifier)> =
        pairs.iter().filter(|(one, other)| one != other && !shared.contains(one) && !shared.contains(other)).collect();

    let mut oversize: BTreeSet<&(Identifier, Identifier)> = BTreeSet::new();
    for rank in 0..IDENTIFIER_TYPES.len() {
        let up_to: Vec<_> = usable.iter().copied().filter(|(_, weaker)| weaker.0 <= rank).collect();
        let connecting: Vec<_> = up_to.iter().copied().chain(&decisions.links).collect();
        for group in groups(nodes.iter().copied(), &connecting) {
            if group.iter().filter(|node| node.0 < FIRST_THING).count() > COMPONENT_MAX {
                oversize.extend(up_to.iter().filter(|(one, weaker)| weaker.0 == rank && group.contains(one)));
            }
        }
    }

    let mut left: Vec<_> = usable.iter().copied().filter(|pair| !oversize.contains(pair)).collect();
    left.sort_by_key(|(one, other)| (one.0, other.0, one.clone(), other.clone()));
    let mut joined = Groups::new(&nodes, &decisions.nevers);
    let owned = |(one, other): &(Identifier, Identifier), rule: &str, decided: bool| {
        (one.clone(), other.clone(), rule.to_owned(), decided)
    };
    let mut refused: Vec<_> = oversize.iter().map(|pair| owned(pair, "oversize", false)).collect();
    refused.extend(joined.force(&decisions.links).into_iter().map(|pair| owned(pair, "never_link", true)));
    for pair in left {
        let (here, there) = (joined.label[&pair.0], joined.label[&pair.1]);
        if here == there {
            continue;
        }
        if joined.never(here, there) {
            refused.push(owned(pair, "never_link", false));
            continue;
        }
        let of_rank = |group: usize, rank: usize| joined.members[group].iter().filter(|it| it.0 == rank).count();
        let too_many = (0..IDENTIFIER_TYPES.len()).find(|&rank| {
            let (here, there) = (of_rank(here, rank), of_rank(there, rank));
            here > 0 && there > 0 && here + there > limit(rank)
        });
        match too_many {
            Some(rank) => refused.push(owned(pair, &format!("limit_{}", IDENTIFIER_TYPES[rank]), false)),
            None => joined.join(here, there),
        }
    }
    let seen = pairs.iter().flat_map(|(one, other)| [one, other]).cloned().collect();
    let members = joined.members;
    let of = members.iter().filter(|group| !group.is_empty()).flat_map(|group| {
        let strongest = *group.iter().min().unwrap();
        group.iter().map(move |node| ((*node).clone(), strongest.clone()))
    });
    Persons { of: of.collect(), seen, shared, refused }
}

impl Persons {
    /// The feed of identities.
    pub fn feed(&self, key: &[u8; 32], standing: &Standing) -> BTreeMap<String, Value> {
        let show = |(rank, value): &Identifier| json!({ "type": IDENTIFIER_TYPES[*rank], "value": value });
        let mut groups: BTreeMap<&Identifier, Vec<&Identifier>> = BTreeMap::new();
        for (node, strongest) in &self.of {
            groups.entry(strongest).or_default().push(node);
        }
        let mut feed = BTreeMap::new();
        for (strongest, group) in groups {
            if !group.iter().any(|node| self.seen.contains(*node)) {
                continue;
            }
            let person = standing.person_id(key, strongest);
            let mut conflicts: Vec<&(Identifier, Identifier, String, bool)> =
                self.refused.iter().filter(|(one, other, ..)| group.contains(&one) || group.contains(&other)).collect();
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
                    "close_to_limits": [],
                });
                if *node == strongest {
                    value["identifiers"] = listed(&group, strongest, key).into_iter().map(show).collect();
                    value["identifiers_total"] = group.len().into();
                    let show = |(one, other, rule, decided): &(Identifier, Identifier, String, bool)| json!({ "stronger": show(one), "weaker": show(other), "rule": rule, "decided": decided });
                    value["conflicts"] = conflicts.iter().take(50).map(|it| show(it)).collect();
                    value["conflicts_total"] = conflicts.len().into();
                    value["shared"] = self.shared.contains(strongest).into();
                    value["close_to_limits"] = close_to_limits(&group).into();
                }
                feed.insert(standing.person_id(key, node), value);
            }
        }
        feed
    }
}

/// The limits of which a person has four fifths, as the feed shows them.
fn close_to_limits(group: &[&Identifier]) -> Vec<Value> {
    let with_limit = (0..IDENTIFIER_TYPES.len()).filter(|rank| (2..usize::MAX).contains(&limit(*rank)));
    let counted = with_limit.map(|rank| (rank, group.iter().filter(|it| it.0 == rank).count()));
    let close = counted.filter(|&(rank, count)| count * 5 >= limit(rank) * 4);
    close.map(|(rank, count)| json!({ "type": IDENTIFIER_TYPES[rank], "count": count, "limit": limit(rank) })).collect()
}

/// The identifiers that a person lists: all, or where there are too many the strongest types first, and of a type those with
/// the smallest keyed hashes; the strongest always.
fn listed<'a>(group: &[&'a Identifier], strongest: &'a Identifier, key: &[u8; 32]) -> Vec<&'a Identifier> {
    let mut listed = group.to_vec();
    listed.sort_by_cached_key(|it| (it.0, person_id(key, it)));
    listed.truncate(LISTED_MAX);
    if !listed.contains(&strongest) {
        listed.pop();
        listed.push(strongest);
    }
    listed.sort();
    listed
}
