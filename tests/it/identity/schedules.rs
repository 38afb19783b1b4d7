//! Random worlds under seeded faults: persons, records, touchpoints and metrics are those of the oracle.

use insight_hub::engine::log::sim::FaultCounts;

use super::{
    Clerk, Hub, Ordered, Said,
    worlds::{Erasing, JOINS_MIN, SPLITS_MIN, World},
};
use crate::{
    simulation::{in_turn, seeds},
    world::assert_truth,
};

/// Faults in each part of a world; some take no effect.
const FAULTS: u32 = 6;
const FAULTS_MIN: u64 = 10;

/// What happened in one run.
struct Ran {
    joins: usize,
    splits: usize,
    erased: u64,
    /// Alerts that were open when it came to rest.
    alerts: usize,
    faults: FaultCounts,
}

fn run_seed(seed: u64, erasing: Erasing) -> Ran {
    let world = World::new(seed, erasing);
    let mut hub = Hub::of_seed(seed, 3);
    let what = format!("{erasing:?}, seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)");
    let (erased, alerts) = match erasing {
        Erasing::AtRest => {
            let mut clerk = Clerk::default();
            let (mut erased, mut alerts) = (0, 0);
            for (number, part) in world.parts.iter().enumerate() {
                hub.tell(part);
                hub.simulation.add_faults(FAULTS);
                clerk.hear(part);
                let what = format!("{what}, part {number}");
                let feeds = hub.rest(&what);
                let expected = clerk.truth();
                assert_truth(&expected.feeds, &feeds, &what);
                erased = expected.erased;
                alerts += feeds.alerts.len();
                // Some are seen, also by two, and by then their person may be another.
                for (number_of, alert) in feeds.alerts.values().step_by(2).enumerate() {
                    let id = alert["id"].as_str().unwrap().to_owned();
                    let order = Ordered::Acknowledge(id, ["mo", "bo"][number_of % 2]);
                    let id = format!("seen-{number}-{number_of}");
                    let seen = [Said::Command { id, order, at_ms: 1_772_409_600_000 + number as i64 }];
                    hub.tell(&seen);
                    clerk.hear(&seen);
                }
            }
            (erased, alerts)
        }
        Erasing::InRaces => {
            let said: Vec<Said> = world.parts.concat();
            hub.tell(&said);
            hub.simulation.add_faults(FAULTS * world.parts.len() as u32);
            let feeds = hub.rest(&what);
            let expected = Clerk::hear_of_races(&said, &hub.journal()).truth();
            assert_truth(&expected.feeds, &feeds, &what);
            (expected.erased, feeds.alerts.len())
        }
    };
    Ran { joins: world.joins, splits: world.splits, erased, alerts, faults: hub.simulation.faults().clone() }
}

/// What happened, in words.
fn run(erasing: Erasing, count: u64) -> String {
    let ran = in_turn(count, |seed| run_seed(seed, erasing));
    let least = |of: &dyn Fn(&Ran) -> u64| ran.iter().map(of).min().unwrap_or_default();
    let sum = |of: &dyn Fn(&Ran) -> u64| ran.iter().map(of).sum::<u64>();
    let figures: [(&str, &dyn Fn(&Ran) -> u64, u64); 5] = [
        // Not in every world is something left to look at in the end.
        ("alerts", &|ran| ran.alerts as u64, 0),
        ("identifiers joined", &|ran| ran.joins as u64, JOINS_MIN as u64),
        ("commands that part", &|ran| ran.splits as u64, SPLITS_MIN as u64),
        ("touchpoints erased", &|ran| ran.erased, 1),
        ("faults that took effect", &|ran| ran.faults.values().sum(), FAULTS_MIN),
    ];
    let mut said = format!("{erasing:?}, {count} seeds");
    for (name, of, at_least) in figures {
        let (least, sum) = (least(of), sum(of));
        said.push_str(&format!("; {name}: {sum}, at least {least} a seed"));
        assert!(least >= at_least && sum > 0, "{name}: a seed had only {least}, all together {sum}");
    }
    said
}

#[test]
fn erasures_at_rest_under_every_schedule_of_faults_take_what_the_oracle_says() {
    println!("{}", run(Erasing::AtRest, seeds(400, 4_000)));
}

#[test]
fn erasures_in_races_under_every_schedule_of_faults_leave_what_the_oracle_says() {
    println!("{}", run(Erasing::InRaces, seeds(600, 6_000)));
}

/// A world of two contents, told twice in different orders under different faults: after each part the feeds are the same.
/// Returns how many events had the number of another, and how many touchpoints were there in the end.
fn run_twice(seed: u64) -> (usize, usize) {
    let world = World::of_two_contents(seed);
    let told = [world.parts.clone(), world.shuffled(seed)];
    let mut hubs = [Hub::of_seed(seed, 3), Hub::of_seed(seed ^ 1 << 40, 3)];
    let mut left = 0;
    for (part, parts) in told[0].iter().zip(&told[1]).enumerate() {
        let what = format!(
            "two contents, seed {seed}, part {part} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)"
        );
        let mut feeds = hubs.iter_mut().zip([parts.0, parts.1]).map(|(hub, part)| {
            hub.tell(part);
            hub.simulation.add_faults(FAULTS);
            hub.rest(&what)
        });
        let (one, other) = (feeds.next().unwrap(), feeds.next().unwrap());
        assert_truth(&one.as_expected(), &other, &what);
        left = one.touchpoints.len();
    }
    (world.retold, left)
}

#[test]
fn of_two_contents_of_one_event_the_same_counts_in_every_order_also_after_erasures() {
    let ran = in_turn(seeds(60, 2_000), run_twice);
    let sum = |of: &dyn Fn(&(usize, usize)) -> usize| ran.iter().map(of).sum::<usize>();
    let (retold, left) = (sum(&|ran| ran.0), sum(&|ran| ran.1));
    println!("{} seeds: {retold} events told twice, {left} touchpoints left", ran.len());
    assert!(retold >= 10 * ran.len() && left > 10 * ran.len(), "{retold} retold, {left} left");
}
