//! Events at a rate in; how long it took until their effect was published out.
//!
//! A rate says little unless it is known what the hub could do: above that, what is measured is the length of the queue.
//! So what comes with each figure is its share of the top rate, measured on the same hub just before.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use insight_hub::company::{FirstLinks, SourceEvent};

use super::{buckets, figures, now_ms, sum};

/// Writes events to the department's topic, as if they had happened at a time.
pub type Write<'a> = dyn FnMut(&[SourceEvent], i64) + 'a;

/// The smallest bounds, in milliseconds, below which 50 %, 99 % and all of the observations are that came between two
/// looks; and how many those are.
fn between(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, histogram: &str) -> ([f64; 3], f64) {
    let (before, after) = (buckets(before, histogram), buckets(after, histogram));
    let counts: Vec<(f64, f64)> =
        after.iter().zip(&before).map(|(after, before)| (after.0, after.1 - before.1)).collect();
    let all = counts.last().unwrap().1;
    let bounds = [0.5, 0.99, 1.0].map(|share| counts.iter().find(|(_, count)| *count >= share * all).unwrap().0);
    (bounds.map(|seconds| seconds * 1_000.0), all)
}

/// Writes at a rate for twenty seconds, and prints below how many milliseconds 50 %, 99 % and all of the commits were that
/// published the effect of these events on `insight.metrics`, each measured from the oldest event that it covers.
pub fn latency(
    what: &str,
    port: u16,
    events: &mut impl Iterator<Item = SourceEvent>,
    rate: u64,
    write: &mut Write<'_>,
) {
    const SECONDS: u64 = 20;
    const SLICES: u64 = 50;
    let before = figures(port).unwrap();
    let (mut made, mut slowest) = (0, Duration::ZERO);
    let began = Instant::now();
    for slice in 0..SECONDS * SLICES {
        let due = Duration::from_millis(1_000 / SLICES) * u32::try_from(slice).unwrap();
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        slowest = slowest.max(began.elapsed().saturating_sub(due));
        let count = usize::try_from((slice + 1) * rate / SLICES - made).unwrap();
        made += count as u64;
        let slice: Vec<SourceEvent> = events.by_ref().take(count).collect();
        assert_eq!(slice.len(), count, "there are enough events");
        write(&slice, now_ms());
    }
    std::thread::sleep(Duration::from_secs(3));
    let after = figures(port).unwrap();
    let ([half, most, all], commits) = between(&before, &after, "insight_hub_end_to_end_seconds");
    println!(
        "{what} to insight.metrics, at {rate} a second: p50 ≤ {half:.0} ms, p99 ≤ {most:.0} ms, all ≤ {all:.0} ms, \
         of {commits:.0} commits (written at most {:.0} ms late)",
        slowest.as_secs_f64() * 1_000.0
    );
    let ([half, most, all], commits) = between(&before, &after, "insight_hub_commit_seconds");
    println!(
        "    work and commit of a transaction meanwhile: p50 ≤ {half:.0} ms, p99 ≤ {most:.0} ms, all ≤ {all:.0} ms, {commits:.0} of them"
    );
}

/// Waits until so many homes were moved and nothing was committed any more for two seconds.
fn wait_until_moved(port: u16, homes: f64) -> Duration {
    let began = Instant::now();
    let mut last = (Instant::now(), 0.0);
    loop {
        std::thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < Duration::from_secs(600), "the links do not end");
        let figures = figures(port).unwrap();
        let commits = figures["insight_hub_commits_total"];
        if commits > last.1 {
            last = (Instant::now(), commits);
        }
        if sum(&figures, "insight_hub_homes_moved_total") >= homes && last.0.elapsed() > Duration::from_secs(2) {
            return last.0 - began;
        }
    }
}

/// Cookies browse; then each is linked to its customer: a backlog of links first, for the top rate, then some at a rate.
pub fn first_links(port: u16, rate: u64, write: &mut Write<'_>) {
    const BACKLOG: u64 = 3_000;
    let customers = BACKLOG + 25 * rate;
    let mut events = FirstLinks::new(customers);
    let browsed = customers * u64::from(FirstLinks::BEFORE);
    let before: Vec<SourceEvent> = events.by_ref().take(usize::try_from(browsed).unwrap()).collect();
    let moved = sum(&figures(port).unwrap(), "insight_hub_homes_moved_total");
    before.chunks(10_000).for_each(|chunk| write(chunk, now_ms()));
    // The day that closes with them closes for all customers: that is not what is to be measured.
    wait_until_moved(port, moved);
    let backlog: Vec<SourceEvent> = events.by_ref().take(usize::try_from(BACKLOG).unwrap()).collect();
    write(&backlog, now_ms());
    let took = wait_until_moved(port, moved + BACKLOG as f64);
    let top = BACKLOG as f64 / took.as_secs_f64();
    println!(
        "{BACKLOG} links at once, with {} touchpoints moved each: {:.1} s, {top:.0} links a second",
        FirstLinks::BEFORE,
        took.as_secs_f64()
    );
    let what =
        format!("from the event that links a cookie to its customer ({:.0} % of that)", rate as f64 * 100.0 / top);
    latency(&what, port, &mut events, rate, write);
}
