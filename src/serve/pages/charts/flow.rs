//! The ways of many in; a picture of where they go, step by step, out: as wide as many went there, and how each ended.

use std::collections::BTreeMap;

use super::{Chart, Mark, Px, shortened};
use crate::serve::pages::{
    blocks::Table,
    words::{count, step},
};

const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 460.0;
const TOP: f64 = 26.0;
const GAP: f64 = 17.0;
const NODE: f64 = 12.0;
/// Room for the names at the last column.
const RIGHT: f64 = 150.0;
/// Steps that are shown beside each other; later ones are one.
const STEPS_MAX: usize = 4;
/// Different steps of a column; rarer ones are one.
const NODES_MAX: usize = 6;
/// What several steps are called together.
const OTHER: &str = "other steps";
const LATER: &str = "later steps";
const NO_STEP: &str = "(no step before)";

/// A way that several went.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::serve::pages) struct Way {
    /// From the first on.
    pub(in crate::serve::pages) steps: Vec<String>,
    /// How many reached the goal on it.
    pub(in crate::serve::pages) converted: i64,
    /// How many did not.
    pub(in crate::serve::pages) lost: i64,
}

/// Where a way is at one of its steps: the column, and what happens there.
type Node = (usize, String);

/// The picture. `goal`: what they are on their way to.
pub(in crate::serve::pages) fn flow(id: &str, title: &str, goal: &str, ways: &[Way], table: Table) -> Chart {
    let links = links(ways, goal);
    let columns = links.keys().map(|(_, to)| to.0).max().unwrap_or_default();
    let mut sizes: BTreeMap<&Node, (i64, i64)> = BTreeMap::new();
    for ((from, to), n) in &links {
        sizes.entry(from).or_default().1 += n;
        sizes.entry(to).or_default().0 += n;
    }
    let places = placed(&sizes, columns);
    let scale = scale(&sizes);
    let mut marks = Vec::new();
    // Where the next way leaves and enters each node.
    let (mut leaves, mut enters) = (BTreeMap::<&Node, f64>::new(), BTreeMap::<&Node, f64>::new());
    let mut ordered: Vec<(&(Node, Node), &i64)> = links.iter().collect();
    let top = |node: &Node| places.get(node).map_or(0.0, |(_, y, _)| *y);
    ordered.sort_by(|((from_a, to_a), _), ((from_b, to_b), _)| {
        let of_from = from_a.0.cmp(&from_b.0).then(top(from_a).total_cmp(&top(from_b)));
        of_from.then(top(to_a).total_cmp(&top(to_b)))
    });
    for ((from, to), n) in ordered {
        let (Some((x, y, _)), Some((to_x, to_y, _))) = (places.get(from), places.get(to)) else { continue };
        let thick = *n as f64 * scale;
        let (leave, enter) = (leaves.entry(from).or_default(), enters.entry(to).or_default());
        let (begin, end) = ((x + NODE, y + *leave), (*to_x, to_y + *enter));
        *leave += thick;
        *enter += thick;
        let class = if to.0 < columns { "c1" } else { colour_of_end(&to.1, goal) };
        let tip = format!("{} to {}: {}", step(&from.1), step(&to.1), count(*n));
        marks.push(Mark::Path { class: format!("ribbon {class}"), path: ribbon(begin, end, thick), tip });
    }
    for (node, (x, y, height)) in &places {
        let (come, go) = sizes.get(node).copied().unwrap_or_default();
        let n = come.max(go);
        let class = if node.0 < columns { "c1" } else { colour_of_end(&node.1, goal) };
        let tip = format!("{}: {}", step(&node.1), count(n));
        let size = (Px(NODE), Px(height.max(1.0)));
        marks.push(Mark::Rect { class: format!("fill {class}"), at: (Px(*x), Px(*y)), size, tip });
        let n_words = count(n);
        let room = (room(columns) / 7.0) as usize;
        let name = shortened(&step(&node.1), room.saturating_sub(n_words.len() + 1));
        let at = (Px(x + NODE + 6.0), Px(y + height / 2.0 + 4.0));
        marks.push(Mark::Words { class: "", at, words: format!("{name} {n_words}") });
    }
    for column in 0..columns {
        let at = (Px(x_of(column, columns)), Px(14.0));
        marks.push(Mark::Words { class: "soft", at, words: format!("step {}", column + 1) });
    }
    let (converted, lost) = ways.iter().fold((0, 0), |(c, l), way| (c + way.converted, l + way.lost));
    Chart {
        id: id.to_owned(),
        title: title.to_owned(),
        description: format!(
            "Ways from the first step on the left to their end on the right, as wide as many went there. {} reached {goal}, {} did not.",
            count(converted),
            count(lost)
        ),
        width: WIDTH as u32,
        height: HEIGHT as u32,
        legend: vec![
            ("c1".to_owned(), "steps".to_owned()),
            ("c4".to_owned(), format!("reached {goal}")),
            ("c6".to_owned(), "ended without it".to_owned()),
        ],
        marks,
        table,
    }
}

fn colour_of_end(node: &str, goal: &str) -> &'static str {
    if node == goal { "c4" } else { "c6" }
}

/// How many went from each node to each.
fn links(ways: &[Way], goal: &str) -> BTreeMap<(Node, Node), i64> {
    let at = |way: &Way| way.steps.len().clamp(1, STEPS_MAX);
    let end = ways.iter().map(at).max().unwrap_or(1);
    // What each column has most of.
    let mut counted: Vec<BTreeMap<&str, i64>> = vec![BTreeMap::new(); end];
    for way in ways {
        for (column, step) in way.steps.iter().take(STEPS_MAX).enumerate() {
            *counted[column].entry(step).or_default() += way.converted + way.lost;
        }
    }
    let kept: Vec<Vec<&str>> = counted
        .into_iter()
        .map(|steps| {
            let mut steps: Vec<(&str, i64)> = steps.into_iter().collect();
            steps.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            let is_too_many = steps.len() > NODES_MAX;
            steps.truncate(if is_too_many { NODES_MAX - 1 } else { NODES_MAX });
            steps.into_iter().map(|(step, _)| step).collect()
        })
        .collect();
    let mut links = BTreeMap::new();
    for way in ways.iter().filter(|way| way.converted + way.lost > 0) {
        let node = |column: usize| -> Node {
            let is_last = column + 1 == STEPS_MAX && way.steps.len() > STEPS_MAX;
            let name = match way.steps.get(column) {
                None => NO_STEP,
                Some(_) if is_last => LATER,
                Some(step) if kept[column].contains(&step.as_str()) => step,
                Some(_) => OTHER,
            };
            (column, name.to_owned())
        };
        let last = at(way) - 1;
        for column in 0..last {
            *links.entry((node(column), node(column + 1))).or_default() += way.converted + way.lost;
        }
        for (n, name) in [(way.converted, goal), (way.lost, "(lost)")] {
            if n > 0 {
                *links.entry((node(last), (end, name.to_owned()))).or_default() += n;
            }
        }
    }
    links
}

fn x_of(column: usize, columns: usize) -> f64 {
    10.0 + (WIDTH - RIGHT - 10.0) * column as f64 / columns.max(1) as f64
}

/// Room for the name of a node.
fn room(columns: usize) -> f64 {
    ((WIDTH - RIGHT - 10.0) / columns.max(1) as f64 - NODE - 12.0).min(RIGHT - NODE)
}

/// Units of the picture for each who went there.
fn scale(sizes: &BTreeMap<&Node, (i64, i64)>) -> f64 {
    let mut columns: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (node, (come, go)) in sizes {
        let column = columns.entry(node.0).or_default();
        *column = (column.0 + (*come).max(*go) as f64, column.1 + 1.0);
    }
    let room = |(n, nodes): &(f64, f64)| (HEIGHT - TOP - GAP * nodes) / n.max(1.0);
    columns.values().map(room).fold(f64::INFINITY, f64::min).clamp(0.0, HEIGHT)
}

/// Where each node is: from the left, from the top, how high. The largest ones are at the top, the goal before the rest.
fn placed<'n>(sizes: &BTreeMap<&'n Node, (i64, i64)>, columns: usize) -> BTreeMap<&'n Node, (f64, f64, f64)> {
    let scale = scale(sizes);
    let mut places = BTreeMap::new();
    for column in 0..=columns {
        let mut nodes: Vec<(&Node, i64)> = sizes
            .iter()
            .filter(|(node, _)| node.0 == column)
            .map(|(node, (come, go))| (*node, *come.max(go)))
            .collect();
        let is_rest = |node: &Node| matches!(node.1.as_str(), OTHER | LATER | "(lost)");
        nodes.sort_by(|a, b| is_rest(a.0).cmp(&is_rest(b.0)).then(b.1.cmp(&a.1)).then(a.0.cmp(b.0)));
        let mut y = TOP;
        for (node, n) in nodes {
            let height = n as f64 * scale;
            places.insert(node, (x_of(column, columns), y, height));
            y += height + GAP;
        }
    }
    places
}

/// An area from one edge to another, as thick at both.
fn ribbon(from: (f64, f64), to: (f64, f64), thick: f64) -> String {
    let middle = Px((from.0 + to.0) / 2.0);
    let (x, y, to_x, to_y) = (Px(from.0), Px(from.1), Px(to.0), Px(to.1));
    let (under, to_under) = (Px(from.1 + thick), Px(to.1 + thick));
    format!(
        "M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}L{to_x} {to_under}C{middle} {to_under} {middle} {under} {x} {under}Z"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::pages::blocks::columns;

    fn way(steps: &[&str], converted: i64, lost: i64) -> Way {
        Way { steps: steps.iter().map(|step| (*step).to_owned()).collect(), converted, lost }
    }

    fn table() -> Table {
        Table { caption: "Ways".to_owned(), columns: columns(["Way"]), rows: Vec::new(), empty: "None." }
    }

    #[test]
    fn as_many_leave_a_step_as_come_to_it() {
        let ways = [
            way(&["a", "b"], 10, 5),
            way(&["a"], 3, 2),
            way(&[], 4, 0),
            way(&["a", "b", "c", "d", "e", "f"], 1, 1),
            way(&["x", "b"], 0, 7),
        ];
        let links = links(&ways, "goal");
        let (mut come, mut go) = (BTreeMap::<&Node, i64>::new(), BTreeMap::<&Node, i64>::new());
        for ((from, to), n) in &links {
            assert!(from.0 < to.0, "{from:?} {to:?}");
            *go.entry(from).or_default() += n;
            *come.entry(to).or_default() += n;
        }
        for (node, n) in &go {
            assert!(node.0 == 0 || come.get(node) == Some(n), "{node:?}");
        }
        assert_eq!(come[&(4, "goal".to_owned())], 18);
        assert_eq!(come[&(4, "(lost)".to_owned())], 15);
        assert_eq!(come[&(3, LATER.to_owned())], 2);
        assert_eq!(go[&(0, NO_STEP.to_owned())], 4);
    }

    #[test]
    fn rare_steps_are_one_and_everything_stays_in_the_picture() {
        let names: Vec<String> = (0..40).map(|number| format!("spoke:kind{number}:web")).collect();
        let ways: Vec<Way> = names
            .iter()
            .zip(1..)
            .flat_map(|(name, n)| [way(&[name.as_str(), "sales:order_placed:"], n, 2 * n), way(&[name.as_str()], 1, 0)])
            .collect();
        let chart = flow("f", "Ways", "first purchase", &ways, table());
        let mut nodes = 0;
        for mark in &chart.marks {
            if let Mark::Rect { at, size, .. } = mark {
                nodes += 1;
                assert!(at.0.0 >= 0.0 && at.0.0 + size.0.0 <= WIDTH, "{mark:?}");
                assert!(at.1.0 >= TOP && at.1.0 + size.1.0 <= HEIGHT + 1e-6, "{mark:?}");
            }
        }
        assert!((4..=NODES_MAX + 3).contains(&nodes), "{nodes}");
        assert!(chart.to_string().contains("860 reached first purchase, 1,640 did not"), "{}", chart.description);
    }

    #[test]
    fn a_picture_of_no_ways_is_one() {
        for ways in [&[][..], &[way(&["a"], 0, 0)]] {
            let html = flow("f", "Ways", "goal", ways, table()).to_string();
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        }
    }
}
