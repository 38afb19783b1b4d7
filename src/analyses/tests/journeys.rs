//! Journeys against a naive recount by name, whatever the order; and what publishing costs.

use std::{collections::BTreeMap, time::Instant};

use proptest::prelude::*;

use super::whole::WholeTable;
use crate::{
    analyses::{
        journeys::{Compared, Ends, JourneyLimits, Journeys, Place},
        ranking::Rest,
        statistics::{OBSERVATIONS_MIN, difference_of_shares},
    },
    model::{Accumulator, PathOutcome},
};

const ALL: JourneyLimits = JourneyLimits { transitions: 10_000, paths: 10_000, ends: 10_000, critical: 10_000 };

#[derive(Clone, Debug)]
struct Journey {
    path: Vec<&'static str>,
    end: PathOutcome,
    minutes: i64,
}

impl Journey {
    fn add(&self, table: &mut WholeTable, times: i64) {
        let took = Accumulator::observe_distribution(self.minutes * 60_000);
        table.add(&self.path, self.end, &took, times);
    }
}

fn table(journeys: &[Journey]) -> WholeTable {
    let mut table = WholeTable::default();
    for journey in journeys {
        journey.add(&mut table, 1);
    }
    table
}

fn journey(path: &[&'static str], end: PathOutcome, minutes: i64) -> Journey {
    Journey { path: path.to_vec(), end, minutes }
}

fn journeys(n: usize) -> impl Strategy<Value = Vec<Journey>> {
    let path = prop::collection::vec(prop::sample::select(vec!["ad", "basket", "call", "demo", "e-mail"]), 0..6)
        .prop_map(|mut path| {
            path.dedup();
            path
        });
    let end = prop::sample::select(vec![PathOutcome::Converted, PathOutcome::Lost]);
    prop::collection::vec(
        (path, end, 0_i64..5_000).prop_map(|(path, end, minutes)| Journey { path, end, minutes }),
        0..n,
    )
}

/// Everything that is published, counted again by looking at each journey.
fn check_recount(published: &Journeys<'_>, journeys: &[Journey]) {
    let count = |holds: &dyn Fn(&Journey) -> bool| {
        let of = |end| journeys.iter().filter(|it| it.end == end && holds(it)).count() as i64;
        Ends { goal: of(PathOutcome::Converted), lost: of(PathOutcome::Lost) }
    };
    let everyone = count(&|_| true);
    assert_eq!(published.ended, everyone);

    let mut transitions: BTreeMap<(Place<&str>, Place<&str>), i64> = BTreeMap::new();
    let mut paths: BTreeMap<Vec<&str>, Vec<i64>> = BTreeMap::new();
    let mut lasts: BTreeMap<Option<&str>, i64> = BTreeMap::new();
    for journey in journeys {
        let mut places = vec![Place::Start];
        places.extend(journey.path.iter().map(|step| Place::Step(*step)));
        places.push(if journey.end == PathOutcome::Converted { Place::Goal } else { Place::Lost });
        for pair in places.windows(2) {
            *transitions.entry((pair[0], pair[1])).or_default() += 1;
        }
        if journey.end == PathOutcome::Converted {
            paths.entry(journey.path.clone()).or_default().push(journey.minutes * 60_000);
        } else {
            *lasts.entry(journey.path.last().copied()).or_default() += 1;
        }
    }
    let found = published.transitions.shown.iter().map(|it| ((it.from, it.to), it.n)).collect();
    assert_eq!(transitions, found);
    for transition in &published.transitions.shown {
        let left: i64 = transitions.iter().filter(|((from, _), _)| *from == transition.from).map(|(_, n)| n).sum();
        assert!((transition.share - transition.n as f64 / left as f64).abs() < 1e-15);
    }
    assert_eq!(lasts, published.ends.shown.iter().map(|it| (it.step, it.n)).collect());
    assert_eq!(paths.len(), published.paths.shown.len());
    for path in &published.paths.shown {
        let times = paths.get_mut(&path.steps).expect("a path that was taken");
        times.sort_unstable();
        assert_eq!((path.n, path.times.sum_ms), (times.len() as i64, times.iter().sum()));
        assert_eq!(path.lost, count(&|it| it.path == path.steps).lost);
        for (percent, found) in [(50, path.times.p50_ms), (90, path.times.p90_ms)] {
            let exact = times[(times.len() * percent).div_ceil(100) - 1] as f64;
            assert!((found.expect("times") - exact).abs() <= exact / 100.0);
        }
    }

    let steps = ["ad", "basket", "call", "demo", "e-mail"];
    for (critical, with_then) in [(&published.steps, false), (&published.pairs, true)] {
        let mut compared = 0;
        let mut raising = Vec::new();
        for step in steps {
            for then in if with_then { steps.map(Some).to_vec() } else { vec![None] } {
                let holds = |it: &Journey| {
                    let first = it.path.iter().position(|other| *other == step);
                    let rest = first.map(|first| &it.path[first + 1..]);
                    rest.is_some_and(|rest| then.is_none_or(|then| rest.contains(&then)))
                };
                let (with, without) = (count(&holds), count(&|it| !holds(it)));
                if with.n() < OBSERVATIONS_MIN || without.n() < OBSERVATIONS_MIN {
                    continue;
                }
                compared += 1;
                let difference =
                    difference_of_shares((with.goal, with.n()), (without.goal, without.n())).expect("shares");
                if with.goal * without.n() > without.goal * with.n() {
                    raising.push((step, then, with, without, difference));
                }
            }
        }
        raising.sort_by(|a, b| {
            b.4.low.total_cmp(&a.4.low).then(b.4.value.total_cmp(&a.4.value)).then((a.0, a.1).cmp(&(b.0, b.1)))
        });
        let found: Vec<_> =
            critical.shown.iter().map(|it| (it.step, it.then, it.with, it.without, it.difference)).collect();
        assert_eq!(found, raising);
        assert_eq!(critical.other, Compared { compared, kinds: 0 });
    }
}

proptest! {
    #[test]
    fn what_is_published_is_a_recount(journeys in journeys(300)) {
        check_recount(&table(&journeys).publish(ALL), &journeys);
    }

    #[test]
    fn neither_order_nor_detours_show(journeys in journeys(60), others in journeys(20), seed in any::<u64>()) {
        let expected = table(&journeys);
        let mut shuffled: Vec<(&Journey, i64)> = journeys.iter().map(|it| (it, 1)).collect();
        shuffled.extend(others.iter().flat_map(|it| [(it, 1), (it, -1)]));
        shuffled.sort_by_cached_key(|(it, times)| xxhash(&format!("{it:?}{times}{seed}")));
        let mut table = WholeTable::default();
        for (journey, times) in shuffled { journey.add(&mut table, times); }
        prop_assert_eq!(table.publish(ALL), expected.publish(ALL));
        for journey in &journeys { journey.add(&mut table, -1); }
        prop_assert!(table.is_zero());
        let nothing = format!("{:?}", WholeTable::default().publish(ALL));
        prop_assert_eq!(format!("{:?}", table.publish(ALL)), nothing);
        // Not even the names are left.
        prop_assert_eq!(table.steps().count(), 0);
    }

    #[test]
    fn what_is_not_shown_is_summed(journeys in journeys(200), limit in 0_usize..6) {
        let table = table(&journeys);
        let whole = table.publish(ALL);
        let part = table.publish(JourneyLimits { transitions: limit, paths: limit, ends: limit, critical: limit });
        fn check<T: PartialEq + std::fmt::Debug>(whole: &[T], shown: &[T], other: Rest, n: impl Fn(&T) -> i64) {
            assert_eq!(&whole[..shown.len()], shown);
            let rest = &whole[shown.len()..];
            assert_eq!(other, Rest { kinds: rest.len(), n: rest.iter().map(n).sum() });
        }
        check(&whole.transitions.shown, &part.transitions.shown, part.transitions.other, |it| it.n);
        check(&whole.paths.shown, &part.paths.shown, part.paths.other, |it| it.n);
        check(&whole.ends.shown, &part.ends.shown, part.ends.other, |it| it.n);
        prop_assert!(part.paths.shown.len() == limit.min(whole.paths.shown.len()));
        prop_assert_eq!(part.pairs.other.kinds + part.pairs.shown.len(), whole.pairs.shown.len());
        prop_assert_eq!(part.pairs.other.compared, whole.pairs.other.compared);
    }
}

fn xxhash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

#[test]
fn a_visit_to_the_shop_raises_the_chance_and_thirty_journeys_are_asked_for() {
    let mut journeys = Vec::new();
    for at in 0..30 {
        journeys.push(journey(&["ad", "shop"], if at < 24 { PathOutcome::Converted } else { PathOutcome::Lost }, 10));
        journeys.push(journey(&["ad"], if at < 6 { PathOutcome::Converted } else { PathOutcome::Lost }, 20));
    }
    let published = table(&journeys);
    let published = published.publish(ALL);
    let step = &published.steps.shown[0];
    assert_eq!((step.step, step.with, step.without), ("shop", Ends { goal: 24, lost: 6 }, Ends { goal: 6, lost: 24 }));
    assert!((step.difference.value - 0.6).abs() < 1e-12 && step.difference.low > 0.3);
    assert_eq!(published.pairs.shown[0].then, Some("shop"));
    // The ad is in all journeys: nothing to compare it with.
    assert_eq!((published.steps.shown.len(), published.steps.other.compared), (1, 1));
    let fewer = table(&journeys[..58]);
    assert_eq!(fewer.publish(ALL).steps.other, Compared::default());
}

#[test]
fn coming_back_is_a_pair_of_its_own() {
    let mut journeys = Vec::new();
    for _ in 0..40 {
        journeys.push(journey(&["ad", "shop", "ad"], PathOutcome::Converted, 1));
        journeys.push(journey(&["ad", "shop"], PathOutcome::Lost, 1));
    }
    let table = table(&journeys);
    let pairs = table.publish(ALL).pairs;
    let pairs: Vec<_> = pairs.shown.iter().map(|it| (it.step, it.then.unwrap_or_default())).collect();
    assert_eq!(pairs, [("ad", "ad"), ("shop", "ad")], "the shop after the ad is in all of them");
}

/// Prints what it costs, for whoever changes the table; a machine's patience is asserted nowhere.
#[test]
fn the_cost_of_a_hundred_thousand_paths() {
    let names: Vec<String> = (0..120).map(|step| format!("spoke_{}·kind_{}·channel", step % 4, step)).collect();
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut paths = Vec::new();
    for _ in 0..150_000 {
        let mut path: Vec<&str> = (0..2 + random(9)).map(|_| names[random(120) as usize].as_str()).collect();
        path.dedup();
        paths.push((
            path,
            if random(3) > 0 { PathOutcome::Converted } else { PathOutcome::Lost },
            random(1_000_000_000) as i64,
        ));
    }
    let mut table = WholeTable::default();
    let begin = Instant::now();
    for (path, end, took) in &paths {
        table.add(path, *end, &Accumulator::observe_distribution(*took), 1);
    }
    let added = begin.elapsed();
    let begin = Instant::now();
    let published = table.publish(JourneyLimits { transitions: 100, paths: 50, ends: 20, critical: 20 });
    let publishing = begin.elapsed();
    let pairs = published.pairs.other.compared;
    let begin = Instant::now();
    let attribution = crate::analyses::attribution::attribute(&table, 50).expect("conversions");
    println!(
        "150,000 journeys: added in {added:?}, published in {publishing:?} ({} paths, {pairs} pairs), attributed in {:?}",
        published.paths.other.kinds + published.paths.shown.len(),
        begin.elapsed(),
    );
    assert_eq!(attribution.shown.len(), 50);
    let long: Vec<&str> = (0..32).map(|step| names[step * 3].as_str()).collect();
    let begin = Instant::now();
    for _ in 0..1_000 {
        table.add(&long, PathOutcome::Converted, &Accumulator::observe_distribution(1), 1);
    }
    println!("a path of 32 steps: {:?}", begin.elapsed() / 1_000);
}
