//! The meaning once more, from its sentences, by brute force: sets of names, walked through again for every question.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::IdentifierType;

/// An identifier: names are ordered as identifiers are.
pub type Name = (IdentifierType, String);

/// The rules as numbers.
#[derive(Clone, Debug)]
pub struct Numbers {
    pub unique: Vec<IdentifierType>,
    pub limits: BTreeMap<IdentifierType, usize>,
    pub shared_above: usize,
    pub component_max: usize,
    /// Types of the hub's own.
    pub own: Vec<IdentifierType>,
}

impl Numbers {
    /// Every type, strongest first: those of the hub's own by name, weaker than loyalty.
    pub fn kinds(&self) -> Vec<IdentifierType> {
        let words =
            ["customer_id", "email", "phone", "loyalty", "device", "cookie", "anonymous", "order", "case", "contract"];
        let mut own: Vec<&str> = self.own.iter().map(|kind| kind.as_str()).collect();
        own.sort_unstable();
        let all = words[..4].iter().chain(&own).chain(&words[4..]);
        all.map(|word| IdentifierType::parse(word).expect("a type")).collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Link(Vec<(Name, Name)>),
    Never(Vec<(Name, Name)>),
    Undo(String),
}

/// Who is who, as texts where the product has types of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    pub persons: BTreeMap<Name, Name>,
    pub shared: BTreeSet<Name>,
    /// The pair, the rule, whether it was decided.
    pub refused: BTreeSet<((Name, Name), String, bool)>,
    /// The first level with too many, by identifier.
    pub levels: BTreeMap<Name, u8>,
}

fn is_thing(name: &Name) -> bool {
    ["order", "case", "contract"].contains(&name.0.as_str())
}

fn level(pair: &(Name, Name), kinds: &[IdentifierType]) -> u8 {
    u8::try_from(kinds.iter().position(|kind| *kind == pair.1.0).expect("a type of the hub")).expect("few types")
}

pub fn in_order(one: &Name, other: &Name) -> (Name, Name) {
    if one < other { (one.clone(), other.clone()) } else { (other.clone(), one.clone()) }
}

/// Whether the command at a place is live: no later live one undoes it.
fn is_live(orders: &[(String, Order)], place: usize) -> bool {
    !(place + 1..orders.len())
        .any(|later| orders[later].1 == Order::Undo(orders[place].0.clone()) && is_live(orders, later))
}

/// Links in their order, and never-links.
pub fn standing(orders: &[(String, Order)]) -> (Vec<(Name, Name)>, BTreeSet<(Name, Name)>) {
    let mut last: BTreeMap<(Name, Name), (usize, bool)> = BTreeMap::new();
    for (place, (_, order)) in orders.iter().enumerate().filter(|(place, _)| is_live(orders, *place)) {
        let (pairs, link) = match order {
            Order::Link(pairs) => (pairs, true),
            Order::Never(pairs) => (pairs, false),
            Order::Undo(_) => continue,
        };
        for (one, other) in pairs.iter().filter(|(one, other)| one != other) {
            last.insert(in_order(one, other), (place, link));
        }
    }
    let mut links: Vec<(usize, (Name, Name))> =
        last.iter().filter(|(_, (_, link))| *link).map(|(pair, (place, _))| (*place, pair.clone())).collect();
    links.sort();
    let nevers = last.into_iter().filter(|(_, (_, link))| !link).map(|(pair, _)| pair).collect();
    (links.into_iter().map(|(_, pair)| pair).collect(), nevers)
}

type Groups = Vec<BTreeSet<Name>>;

fn group_of(groups: &Groups, name: &Name) -> usize {
    groups.iter().position(|group| group.contains(name)).unwrap_or(usize::MAX)
}

fn is_kept_apart(one: &BTreeSet<Name>, other: &BTreeSet<Name>, nevers: &BTreeSet<(Name, Name)>) -> bool {
    nevers.iter().any(|(a, b)| one.contains(a) && other.contains(b) || one.contains(b) && other.contains(a))
}

/// Everyone alone, then links in order. Returns the links that were refused too.
fn forced(
    names: &BTreeSet<Name>,
    links: &[(Name, Name)],
    nevers: &BTreeSet<(Name, Name)>,
) -> (Groups, Vec<(Name, Name)>) {
    let mut groups: Groups = names.iter().map(|name| BTreeSet::from([name.clone()])).collect();
    let mut refused = Vec::new();
    for (one, other) in links {
        let (a, b) = (group_of(&groups, one), group_of(&groups, other));
        if a == b {
            continue;
        }
        if is_kept_apart(&groups[a], &groups[b], nevers) {
            refused.push((one.clone(), other.clone()));
        } else {
            let gone = groups.remove(a.max(b));
            groups[a.min(b)].extend(gone);
        }
    }
    (groups, refused)
}

/// What edges connect to a name.
fn flood(start: &Name, edges: &[&(Name, Name)]) -> BTreeSet<Name> {
    let mut reached = BTreeSet::from([start.clone()]);
    loop {
        let before = reached.len();
        for (one, other) in edges {
            if reached.contains(one) || reached.contains(other) {
                reached.extend([one.clone(), other.clone()]);
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

/// Resolves pairs (a name with itself: it was seen) and commands in their order.
pub fn truth(pairs: &BTreeSet<(Name, Name)>, orders: &[(String, Order)], numbers: &Numbers) -> Truth {
    let (links, nevers) = standing(orders);
    let kinds = numbers.kinds();
    let names: BTreeSet<Name> =
        pairs.iter().chain(&links).flat_map(|(one, other)| [one.clone(), other.clone()]).collect();
    let (classes, refused_links) = forced(&names, &links, &nevers);

    let mut shared = BTreeSet::new();
    for name in names.iter().filter(|name| !numbers.unique.contains(&name.0)) {
        let neighbours: Vec<&Name> = pairs
            .iter()
            .filter(|(one, other)| one != other)
            .filter_map(|(one, other)| if one == name { Some(other) } else { (other == name).then_some(one) })
            .collect();
        let distinct = |meant: &dyn Fn(&Name) -> bool| {
            let of: BTreeSet<usize> =
                neighbours.iter().filter(|other| meant(other)).map(|other| group_of(&classes, other)).collect();
            of.len()
        };
        let two_of_one = numbers.unique.iter().any(|unique| distinct(&|other| other.0 == *unique) >= 2);
        if two_of_one || distinct(&|other| other < name) > numbers.shared_above {
            shared.insert(name.clone());
        }
    }

    let usable: Vec<&(Name, Name)> =
        pairs.iter().filter(|(one, other)| one != other && !shared.contains(one) && !shared.contains(other)).collect();
    let too_many = |start: &Name, up_to: u8| {
        let edges: Vec<&(Name, Name)> =
            usable.iter().copied().filter(|pair| level(pair, &kinds) <= up_to).chain(&links).collect();
        flood(start, &edges).iter().filter(|name| !is_thing(name)).count() > numbers.component_max
    };
    let mut levels = BTreeMap::new();
    for name in &names {
        if let Some(level) = (0..u8::try_from(kinds.len()).expect("few types")).find(|level| too_many(name, *level)) {
            levels.insert(name.clone(), level);
        }
    }
    let (oversize, mut in_effect): (Vec<_>, Vec<_>) =
        usable.iter().copied().partition(|pair| too_many(&pair.0, level(pair, &kinds)));

    let mut groups = classes.clone();
    let mut refused: BTreeSet<((Name, Name), String, bool)> =
        oversize.into_iter().map(|pair| (pair.clone(), "oversize".to_owned(), false)).collect();
    refused.extend(refused_links.into_iter().map(|pair| (pair, "never_link".to_owned(), true)));
    in_effect.sort_by_key(|pair| (pair.0.0, pair.1.0, (*pair).clone()));
    for pair in in_effect {
        let (a, b) = (group_of(&groups, &pair.0), group_of(&groups, &pair.1));
        if a == b {
            continue;
        }
        let count = |group: usize, kind: IdentifierType| groups[group].iter().filter(|name| name.0 == kind).count();
        let exceeded = kinds.iter().find(|kind| {
            let limit = if numbers.unique.contains(kind) { Some(1) } else { numbers.limits.get(kind).copied() };
            let (held, more) = (count(a, **kind), count(b, **kind));
            held >= 1 && more >= 1 && limit.is_some_and(|limit| held + more > limit)
        });
        if is_kept_apart(&groups[a], &groups[b], &nevers) {
            refused.insert((pair.clone(), "never_link".to_owned(), false));
        } else if let Some(kind) = exceeded {
            refused.insert((pair.clone(), format!("limit_{kind}"), false));
        } else {
            let gone = groups.remove(a.max(b));
            groups[a.min(b)].extend(gone);
        }
    }
    let mut persons = BTreeMap::new();
    for group in groups {
        let strongest = group.first().cloned();
        persons.extend(group.into_iter().filter_map(|name| Some((name, strongest.clone()?))));
    }
    Truth { persons, shared, refused, levels }
}
