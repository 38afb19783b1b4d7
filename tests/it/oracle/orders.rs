//! The log of operators' commands in; what stands of it out: links, never-links, and up to when who is erased.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    identity::{Decisions, Identifier},
    person_id,
};

/// What an operator ordered.
#[derive(Clone, Debug)]
pub enum Order {
    /// The two of each pair are one person.
    Link(Vec<(Identifier, Identifier)>),
    /// The two of each pair never are; a split is each of one side with each of the other.
    Never(Vec<(Identifier, Identifier)>),
    /// The command with this id is taken back.
    Undo(String),
    /// Who was erased by it, and up to when.
    Erase {
        /// The person as it was, and the identifier that the command named.
        members: BTreeSet<Identifier>,
        /// The later of the command's time and the newest touchpoint.
        at: i64,
    },
}

/// Ids of commands and orders, as they lie in the log. The first with an id counts.
pub type Orders = Vec<(String, Order)>;

/// What stands of a log.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Between whom.
    pub decisions: Decisions,
    /// Up to when an identifier is erased.
    pub erased: BTreeMap<Identifier, i64>,
}

impl Standing {
    /// Reads a log from its end: a command stands unless a later undo that stands names it; the last on a pair counts.
    pub fn of(orders: &Orders) -> Standing {
        let mut firsts = BTreeSet::new();
        let log: Vec<&(String, Order)> = orders.iter().filter(|(id, _)| firsts.insert(id.as_str())).collect();
        let mut standing = Standing::default();
        let mut undone: BTreeSet<&str> = BTreeSet::new();
        // What was erased later: no earlier word on it counts.
        let mut erased_later: BTreeSet<&Identifier> = BTreeSet::new();
        let mut decided: BTreeMap<(Identifier, Identifier), (usize, bool)> = BTreeMap::new();
        for (number, (id, order)) in log.iter().enumerate().rev() {
            match order {
                Order::Erase { members, at } => {
                    erased_later.extend(members);
                    for member in members {
                        let known = standing.erased.entry(member.clone()).or_insert(*at);
                        *known = (*known).max(*at);
                    }
                }
                _ if undone.contains(id.as_str()) => {}
                Order::Undo(earlier) => {
                    // An undo says nothing of what comes after it.
                    if log[..number].iter().any(|(id, _)| id == earlier) {
                        undone.insert(earlier);
                    }
                }
                Order::Link(pairs) | Order::Never(pairs) => {
                    for (one, other) in pairs {
                        if one != other && !erased_later.contains(one) && !erased_later.contains(other) {
                            let pair = (one.min(other).clone(), one.max(other).clone());
                            decided.entry(pair).or_insert((number, matches!(order, Order::Link(_))));
                        }
                    }
                }
            }
        }
        let mut links: Vec<_> = decided.iter().filter(|(_, (_, links))| *links).collect();
        // In the order of their commands, within one by pair, the strongest first, as they are here.
        links.sort_by_key(|(_, (number, _))| *number);
        standing.decisions = Decisions {
            links: links.into_iter().map(|(pair, _)| pair.clone()).collect(),
            nevers: decided.iter().filter(|(_, (_, links))| !links).map(|(pair, _)| pair.clone()).collect(),
        };
        standing
    }

    /// Whether an erasure took an identifier off what happened then.
    pub fn is_erased(&self, identifier: &Identifier, occurred_at: i64) -> bool {
        self.erased.get(identifier).is_some_and(|until| *until >= occurred_at)
    }

    /// The public id of the person whose strongest identifier it is: another one after each erasure.
    pub fn person_id(&self, key: &[u8; 32], strongest: &Identifier) -> String {
        let never_erased = person_id(key, strongest);
        let Some(until) = self.erased.get(strongest) else { return never_erased };
        let half = |text: &str| u128::from_str_radix(text, 16).unwrap().to_be_bytes();
        let text = [b"reborn\0".as_slice(), &half(&never_erased), &until.to_be_bytes()].concat();
        blake3::keyed_hash(key, &text).to_hex()[..32].to_owned()
    }
}

#[test]
fn an_undo_of_an_undo_and_what_an_erasure_leaves_of_decisions() {
    let id = |name: &str| (1, name.to_owned());
    let pair = |one: &str, other: &str| (id(one), id(other));
    let undo = |earlier: &str| Order::Undo(earlier.to_owned());
    let mut orders: Orders = Vec::new();
    let mut say = |order: Order| {
        orders.push((format!("{}", orders.len()), order));
        Standing::of(&orders)
    };
    assert_eq!(say(Order::Link(vec![pair("b", "a"), pair("c", "d")])).decisions.links.len(), 2);
    assert_eq!(say(Order::Never(vec![pair("a", "b")])).decisions.links, [pair("c", "d")]);
    assert_eq!(say(undo("1")).decisions.links.len(), 2, "the link stands again");
    assert_eq!(say(undo("2")).decisions.nevers, [pair("a", "b")].into(), "and falls again");
    let both = say(Order::Link(vec![pair("z", "m"), pair("y", "e")])).decisions.links;
    assert_eq!(both, [pair("c", "d"), pair("e", "y"), pair("m", "z")], "of one command the strongest pair is first");
    let standing = say(Order::Erase { members: [id("c"), id("a")].into(), at: 5 });
    assert_eq!(standing.decisions.links, [pair("e", "y"), pair("m", "z")]);
    assert!(standing.decisions.nevers.is_empty());
    assert!(standing.is_erased(&id("a"), 5) && !standing.is_erased(&id("a"), 6) && !standing.is_erased(&id("b"), 5));
    let reborn = standing.person_id(&[7; 32], &id("a"));
    assert_ne!(reborn, person_id(&[7; 32], &id("a")));
    let again = say(Order::Link(vec![pair("a", "b")])).decisions.links;
    assert!(again.contains(&pair("a", "b")), "who comes later can be linked");
    let later = say(Order::Erase { members: [id("a")].into(), at: 3 });
    assert!(!later.decisions.links.contains(&pair("a", "b")));
    assert_eq!(later.person_id(&[7; 32], &id("a")), reborn, "an erasure up to an earlier time names nobody anew");
}
