//! A rebuild told as a story: emptied, filled unseen, published once each.

use super::{Harness, but_ranks};
use crate::{metrics::Options, model::Calendar};

const OLD: [&str; 11] = [
    "journeys 2026-02-01 referral - lost sales:visit_made:store 3",
    "journeys 2026-02-01 repurchase gold lost sales:visit_made:store 3",
    "customer_value 2026-02-03 n=2 money=500EUR money=700USD",
    "customer_value 2026-02-01 n=2 money=500CHF",
    "retention 2026-02-03 n=4 a=1",
    "retention 2026-02-20 n=4",
    "orders 2026-01-31 n=3",
    "nps 2026-02-02 n=1 a=1",
    "overdue 2026-02-01 n=2",
    "data_quality 2026-01-30 spoke=sales accepted=5",
    "as-of 2026-02-04",
];
const NEW: [&str; 8] = [
    "journeys 2026-02-01 repurchase gold converted sales:visit_made:store 2",
    "customer_value 2026-02-03 n=2 money=900EUR money=-1JPY",
    "orders 2026-01-31 n=2",
    "orders 2026-02-01 n=1",
    "retention 2026-02-04 n=3 a=1",
    "retention 2026-02-20 n=2",
    "overdue 2026-02-02 n=1",
    "as-of 2026-02-05",
];

fn options() -> Options {
    Options { background_steps_max: 3, ..Options::new(Calendar::utc(), 2) }
}

impl Harness {
    fn clear(&mut self, first: bool) {
        self.clear_with(first, 7);
    }

    /// `on_disk`: how much of the changelog is on the disk of each instance that goes on.
    fn clear_with(&mut self, mut first: bool, on_disk: usize) {
        let mut restarts = 10;
        while self.metrics.clear(first, 2, &mut self.store).expect("a good store").1 {
            first = false;
            self.published();
            // How far it is lies in the store; what is local does not, so that who never keeps a disk begins with it again.
            if restarts > 0 {
                self.restart(on_disk);
                restarts -= 1;
            }
        }
        self.keep();
    }

    fn published(&mut self) {
        self.metrics.committed();
        self.keep();
    }

    fn refolded(&mut self, source: u32) {
        self.metrics.refolded(source, &mut self.store).expect("a good store");
    }

    fn commit_unseen(&mut self) {
        while self.publish() {}
        self.published();
        assert_eq!(self.feed.lines, "", "nothing is published before everything is there");
        self.restart(11);
    }
}

/// What a hub publishes that knew nothing but the new definition, besides its data quality.
fn fresh() -> Harness {
    let mut fresh = Harness::new(options());
    for line in NEW.iter().chain(&OLD[9..10]).chain(&["commit"]) {
        fresh.tell(line);
    }
    fresh
}

#[test]
fn every_key_goes_straight_to_its_new_value() {
    let mut harness = Harness::new(options());
    for line in OLD.iter().chain(&["commit"]) {
        harness.tell(line);
    }
    let old = std::mem::take(&mut harness.feed.lines);
    assert!(old.contains("overdue|day:2026-02-03") && old.contains("data_quality|day"), "{old}");

    harness.clear(true);
    assert!(harness.metrics.is_rebuilding(&harness.store).expect("a good store"));
    for line in &NEW[..5] {
        harness.tell(line);
    }
    harness.commit_unseen();
    // Begun by mistake: another rebuild begins, and nothing of this one is left.
    harness.clear(true);
    harness.refolded(0);
    for line in NEW {
        harness.tell(line);
    }
    harness.commit_unseen();
    harness.refolded(0);
    harness.commit_unseen();
    harness.refolded(1);
    while harness.publish() {
        harness.published();
        harness.restart(13);
    }
    harness.published();

    let fresh = fresh();
    assert_eq!(harness.feed.latest, fresh.feed.latest);
    let mut keys: Vec<&str> = harness.feed.lines.lines().filter_map(|line| line.split(' ').next()).collect();
    let published = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), published, "each key once:\n{}", harness.feed.lines);
    assert!(harness.feed.lines.contains("orders|day:2026-01-31| 2.0000 orders n=2 2/1 r2 "), "{}", harness.feed.lines);
    assert!(harness.feed.lines.contains("nps|day:2026-02-02| gone"), "{}", harness.feed.lines);
    for gone in ["day:2026-02-03|currency=USD", "day:2026-02-01|currency=CHF"] {
        assert!(harness.feed.lines.contains(&format!("customer_value|{gone} gone")), "{}", harness.feed.lines);
    }
    assert!(harness.metrics.is_rebuilt());
    harness.tell("commit");
    assert_eq!(harness.store.map.len(), fresh.store.map.len(), "nothing of the rebuild is left");
}

#[test]
fn values_of_a_dimension_change_places_in_a_rebuild() {
    let old = [
        "orders 2026-01-31 region=east n=4",
        "orders 2026-01-31 region=north n=3",
        "orders 2026-01-31 region=south n=2",
        "orders 2026-01-31 region=west n=1",
        "data_quality 2026-01-30 spoke=sales accepted=5",
        "data_quality 2026-01-30 spoke=support accepted=4",
        "data_quality 2026-01-30 spoke=marketing accepted=3",
        "overdue 2026-02-01 region=north n=1",
        "overdue 2026-02-01 region=south n=2",
        "as-of 2026-02-04",
    ];
    let new = [
        "orders 2026-01-31 region=north n=2",
        "orders 2026-01-31 region=south n=6",
        "orders 2026-01-31 region=west n=1",
        "orders 2026-01-31 region=a n=1",
        "overdue 2026-02-01 region=north n=3",
        "as-of 2026-02-05",
    ];
    // Nearly the same again: who is shown stays so.
    let again = [
        "orders 2026-01-31 region=east n=5",
        "orders 2026-01-31 region=north n=4",
        "orders 2026-01-31 region=south n=3",
        "orders 2026-01-31 region=west n=2",
        "overdue 2026-02-01 region=north n=1",
        "as-of 2026-02-04",
    ];
    let cases =
        [(1, 1, 6, &new[..]), (1, 2, 6, &new), (2, 1, 6, &new), (3, 3, 3, &new), (1, 9, 0, &new), (9, 1, 6, &new)];
    let cases = cases.into_iter().chain([(3, 3, 3, &again[..]), (2, 2, 6, &again)]);
    // On no disk, on the one from just before the rebuild, and on some from its middle.
    let disks = [None, Some(0), Some(9), Some(30), Some(60), Some(90)];
    let cases = cases.flat_map(|case| disks.map(|since| (case, since))).flat_map(|it| [(it, false), (it, true)]);
    for (((before, after, sums, new), since), restarts) in cases {
        let limited = |values| Options { dimension_values_max: values, ..options() };
        let mut harness = Harness::new(limited(before));
        for line in old.iter().chain(&["commit"]) {
            harness.tell(line);
        }
        let on_disk = since.map_or(0, |since| harness.store.changelog.len() + since);
        harness.options = limited(after);
        harness.restart(on_disk);
        harness.clear_with(true, on_disk);
        harness.restart(on_disk);
        for line in new {
            harness.tell(line);
        }
        // What was gathered so far is stored, unseen.
        while harness.publish() {}
        harness.published();
        harness.refolded(0);
        harness.refolded(1);
        while harness.publish() {
            harness.published();
            if restarts {
                harness.restart(on_disk);
            }
        }
        harness.published();
        harness.tell("commit");
        let mut fresh = Harness::new(limited(after));
        for line in new.iter().chain(&old[4..7]).chain(&["commit"]) {
            fresh.tell(line);
        }
        assert_eq!(harness.feed.latest, fresh.feed.latest, "{before} values were shown, {after} are; {since:?}");
        let others = harness.feed.latest.keys().filter(|key| key.contains("others=")).count();
        // Of a day, a week and a month each.
        assert_eq!(others, sums);
        // Ranks are made when they are needed, and series that were watched stay known.
        let keys = |harness: &Harness| {
            but_ranks(&harness.store.map).into_keys().filter(|key| key[0] != b'u').collect::<Vec<_>>()
        };
        assert_eq!(keys(&harness), keys(&fresh), "nothing of the rebuild is left");
    }
}
