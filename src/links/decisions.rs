//! Operators' commands in their order in; which links and never-links stand.

use std::collections::{BTreeMap, BTreeSet};

use super::stronger_first;
use crate::model::Identifier;

pub use crate::model::Decision;

/// A recorded command: of an erasure only its id matters here, so that it is not among them.
#[derive(Clone, Debug)]
pub enum Recorded<'a> {
    /// Decides each of the pairs. A split is one never-link of every one of a side with every one of the other.
    Decide(Decision, Vec<(Identifier<'a>, Identifier<'a>)>),
    /// Takes back the earlier command with this id.
    Undo(&'a str),
}

/// What stands: one pair has one decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing<'a> {
    /// In the order of their commands, within one command by pair.
    pub links: Vec<(Identifier<'a>, Identifier<'a>)>,
    /// The stronger of a pair first.
    pub nevers: BTreeSet<(Identifier<'a>, Identifier<'a>)>,
}

/// What stands of commands, which are in their order and have one id each. A command is live unless a live later undo names
/// it; the last live decision on a pair counts.
pub fn live_decisions<'a>(commands: &[(&'a str, Recorded<'a>)]) -> Standing<'a> {
    let mut undone = BTreeSet::new();
    let mut decided = BTreeMap::new();
    for (number, (id, command)) in commands.iter().enumerate().rev() {
        if undone.contains(id) {
            continue;
        }
        match command {
            Recorded::Undo(target) => {
                undone.insert(*target);
            }
            Recorded::Decide(decision, pairs) => {
                for (one, other) in pairs.iter().filter(|(one, other)| one != other) {
                    decided.entry(stronger_first(*one, *other)).or_insert((number, *decision));
                }
            }
        }
    }
    let mut links = Vec::new();
    let mut nevers = BTreeSet::new();
    for (pair, (number, decision)) in decided {
        match decision {
            Decision::Link => links.push((number, pair)),
            Decision::Never => {
                nevers.insert(pair);
            }
        }
    }
    links.sort_unstable();
    Standing { links: links.into_iter().map(|(_, pair)| pair).collect(), nevers }
}
