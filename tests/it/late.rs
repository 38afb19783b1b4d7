//! What comes late is counted once, by the watermark of the source that it came from.

use std::collections::BTreeMap;

use insight_hub::company::SourceEvent;

use crate::{
    identity::{Hub, Said, id, touch},
    oracle::Feeds,
    simulation::in_turn,
};

/// Two departments, which fall behind each by itself.
const DEPARTMENTS: [&str; 2] = crate::identity::DEPARTMENTS;

fn event(department: usize, number: usize, day: i64) -> SourceEvent {
    touch(DEPARTMENTS[department], number, 24 * day + 9, "page_viewed", &[id(&format!("cookie:{department}-{number}"))])
}

/// By department.
fn late(feeds: &Feeds) -> BTreeMap<&str, u64> {
    let of = |department: &str| {
        let ending = format!("|spoke={department}");
        let cells =
            feeds.metrics.iter().filter(|(key, _)| key.starts_with("data_quality|day:") && key.ends_with(&ending));
        cells.map(|(_, cell)| cell["details"]["late"].as_f64().unwrap() as u64).sum()
    };
    DEPARTMENTS.into_iter().map(|department| (department, of(department))).collect()
}

/// Between two steps everything is read. Nothing fails: what begins anew after a silence has no watermark but that of its next
/// touchpoint, so that less is late.
fn run_seed(seed: u64) {
    let mut hub = Hub::of_seed(seed, 1);
    let mut after = |events: &[SourceEvent], expected: [u64; 2]| {
        let said: Vec<Said> = events.iter().cloned().map(Said::Event).collect();
        hub.tell(&said);
        let what = format!("seed {seed}");
        let feeds = hub.rest(&what);
        assert_eq!(
            late(&feeds).into_values().collect::<Vec<_>>(),
            [expected[1], expected[0]],
            "{what}: shop, warehouse"
        );
    };
    // Nobody has said anything of time yet.
    after(&[event(0, 1, 3), event(1, 1, 10)], [0, 0]);
    // A day of disorder is allowed: of the shop, day 9 is not past. The warehouse has come to day 3 only.
    after(&[event(1, 2, 9), event(0, 2, 5)], [0, 0]);
    after(&[event(1, 3, 5), event(0, 3, 5)], [0, 1]);
    // A copy is not late, and not what was late before.
    after(&[event(1, 3, 5)], [0, 1]);
    // One of each in one go: each is measured by its own source.
    after(&[event(1, 4, 6), event(0, 4, 4), event(0, 5, 2), event(1, 5, 20)], [1, 2]);
    after(&[event(0, 6, 20), event(1, 6, 18)], [1, 3]);
    // What makes others late comes after this one.
    after(&[event(1, 7, 19), event(1, 8, 30)], [1, 3]);
}

#[test]
fn what_came_after_its_source_had_passed_its_day_is_counted_once_whatever_the_partitions() {
    // Each has one partition of each department, which a source is.
    in_turn(15, run_seed);
}
