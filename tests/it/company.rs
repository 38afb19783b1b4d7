//! The seeded company against the oracle: what it labels as valid, invalid or a copy is so; and what a hub makes of its story.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use insight_hub::{
    company::{BenchEvents, BenchOptions, Company, CompanyOptions, SourceEvent, Story},
    engine::{log::embedded::EmbeddedOptions, worker::WorkerOptions},
};
use serde_json::Value;

use crate::{
    embedded::House,
    oracle::{METRICS, Options, Source, expected},
    simulation::small_company,
    world::{self, topology_options},
};

fn source(event: &SourceEvent) -> Source<'_> {
    Source { spoke: event.spoke, payload: &event.payload, timestamp_ms: event.timestamp_ms }
}

#[test]
fn every_label_of_the_company_is_what_the_oracle_finds() {
    let options = CompanyOptions { touchpoints: 10_000, invalid_per_million: 50_000, ..CompanyOptions::default() };
    let events: Vec<SourceEvent> = Company::new(options).collect();
    for event in &events {
        let found = expected([source(event)], &Options::default());
        let reason = found.rejected.keys().next().map(|(_, reason)| reason.as_str());
        assert_eq!(
            reason,
            event.rejection.map(|reason| reason.as_str()),
            "{}",
            String::from_utf8_lossy(&event.payload)
        );
        assert_eq!(event.valid, event.rejection.is_none());
    }
    let all = expected(events.iter().map(source), &Options::default());
    assert_eq!(all.repeated, events.iter().filter(|event| event.duplicate).count() as u64);
    assert_eq!(all.feeds.touchpoints.len(), 10_000);
    assert_eq!(all.accepted, 10_000 + all.repeated);
}

#[test]
fn the_company_moves_every_metric_of_the_oracle() {
    let events: Vec<SourceEvent> =
        Company::new(CompanyOptions { touchpoints: 5_000, ..CompanyOptions::default() }).collect();
    let feeds = expected(events.iter().map(source), &Options::default()).feeds;
    let mut cells: BTreeMap<&str, usize> = BTreeMap::new();
    for key in feeds.metrics.keys() {
        *cells.entry(key.split('|').next().unwrap()).or_default() += 1;
    }
    assert_eq!(cells.len(), METRICS.len(), "{cells:?}");
    assert!(cells.values().all(|count| *count > 100), "{cells:?}");
}

/// The demo's delivery problem, its annoying campaign and its fix show in what an analyst reads on the hub's feeds, and as
/// alerts while they last.
#[test]
fn the_feeds_of_a_hub_say_what_the_story_did() {
    let start = CompanyOptions::default().start;
    let story = Story::NineMonths;
    let touchpoints = 120_000;
    let options = CompanyOptions {
        touchpoints,
        customers: story.customers(touchpoints),
        story: Some(story),
        ..CompanyOptions::default()
    };
    let directory = tempfile::tempdir().unwrap();
    let house = House::open(directory.path(), &topology_options("story", 4), EmbeddedOptions::default());
    let mut events = world::events(options);
    let mut run_until = |day: Option<i32>| {
        let until = day.map_or(i64::MAX, |day| i64::from(start.plus(day).0) * 86_400_000);
        let (now, later) = std::mem::take(&mut events).into_iter().partition::<Vec<_>, _>(|it| it.timestamp_ms < until);
        events = later;
        house.write(&now);
        // As long as it takes a hub that is not optimised.
        house.run_within(
            Duration::from_secs(3_600),
            2,
            // Departments whose last letters came late have nothing more to tell once they are quiet.
            WorkerOptions {
                commit_interval: Duration::from_millis(200),
                idle_after: Duration::from_millis(300),
                ..WorkerOptions::default()
            },
        );
    };
    let read = |feed: &str| world::latest(house.read(&format!("insight.{feed}")));

    // As it happens: the delivery problem (parcels come late from the 99th day to the 196th) is an alert once its first week is
    // over, and stays one while it lasts. So are messages during the annoying campaign (from the 162nd day to the 189th): how
    // many come, what people feel about marketing, and who had more than the cap allows.
    let mut alerts_after = |day: Option<i32>| -> (BTreeSet<String>, usize) {
        run_until(day);
        let mut alerts = read("alerts");
        alerts.retain(|_, alert| alert["state"] != "closed");
        let of_metrics = alerts.values().filter(|alert| alert["cause"] == "metric_unusual");
        let named = |alert: &Value| format!("{} {} since {}", alert["metric"]["id"], alert["owner"], alert["since"]);
        let named = of_metrics.filter(|alert| alert["metric"]["dimension"] == "spoke").map(named).collect();
        (named, alerts.values().filter(|alert| alert["cause"] == "contact_cap_exceeded").count())
    };
    let told = |(alerts, _): &(BTreeSet<String>, usize), metric: &str, owner: &str| {
        alerts.iter().find(|alert| alert.starts_with(&format!("\"{metric}\" \"{owner}\""))).cloned()
    };
    let late = |alerts: &(BTreeSet<String>, usize), metric: &str| told(alerts, metric, "operations");
    assert_eq!(late(&alerts_after(Some(106)), "promise_gap"), None, "before its first week is over");
    let first = alerts_after(Some(120));
    assert!(late(&first, "promise_gap").is_some() && late(&first, "on_time").is_some(), "its first week: {first:?}");
    assert_eq!(late(&alerts_after(Some(141)), "promise_gap"), late(&first, "promise_gap"), "it lasts");
    let annoying = ["contact_pressure", "sentiment"];
    let annoyed = |alerts: &(BTreeSet<String>, usize)| annoying.map(|metric| told(alerts, metric, "marketing"));
    let calm = alerts_after(Some(161));
    assert_eq!((annoyed(&calm), calm.1), ([None, None], 0), "before the campaign");
    let begun = alerts_after(Some(175));
    assert!(annoyed(&begun).iter().all(Option::is_some) && begun.1 > 0, "two weeks: {begun:?}");
    let amid = alerts_after(Some(189));
    assert_eq!(annoyed(&amid), annoyed(&begun), "it lasts");
    assert!(amid.1 > begun.1, "more people had too much: {} after {}", amid.1, begun.1);
    let over = alerts_after(None);
    assert_eq!((annoyed(&over), over.1, late(&over, "promise_gap")), ([None, None], 0, None), "after both");

    let month = |number: i32| start.plus(30 * number + 15).to_string()[..7].to_owned();
    // What to fix first, if its interval leaves zero out: deliveries, while they are late.
    let priorities = read("priorities");
    let first = |month: &str| {
        let first = priorities[&format!("priorities|month:{month}|of=persons")]["priorities"].get(0)?;
        let text = |name: &str| first[name].as_str().unwrap().to_owned();
        (first["score_low"].as_f64().unwrap() > 0.0).then(|| [text("owner"), text("subject")])
    };
    assert_eq!(first(&month(1)), None, "before");
    for troubled in [4, 5] {
        let found = first(&month(troubled)).expect("something certain");
        assert_eq!(found, ["support", "delivery"], "{}", month(troubled));
    }
    let interval = |of: &Value| (of["interval_low"].as_f64().unwrap(), of["interval_high"].as_f64().unwrap());
    // What goes with buying again: deliveries on time, while they differ.
    let drivers = read("drivers");
    let driver = |number: i32, driver: &str| {
        let drivers = drivers[&format!("drivers|month:{}|outcome=bought_again", month(number))]["drivers"].as_array();
        let found = drivers.unwrap().iter().find(|found| found["driver"] == driver).unwrap();
        interval(found)
    };
    for untroubled in [1, 7] {
        let (low, high) = driver(untroubled, "on_time");
        assert!(low < 0.0 && high > 0.0, "{}: {low} to {high}", month(untroubled));
    }
    for troubled in [4, 5] {
        let (low, _) = driver(troubled, "on_time");
        assert!(low > 0.0, "{}: from {low}", month(troubled));
    }
    // The campaigns fall into months of their own: the one that works into March, the one that annoys into June and July. Whoever
    // gets more messages of the first buys again more often, and not so of the second. (With margin, messages go together the
    // wrong way in calm months, too: who is among a month's customers for a message alone brought nothing.)
    let (works, _) = driver(2, "contacts");
    assert!(works > 0.0, "from {works}");
    let balance = read("balance");
    let scorecards = read("scorecards");
    let felt = |number: i32| {
        interval(&scorecards[&format!("scorecards|month:{}|spoke=marketing", month(number))]["sentiment"])
    };
    for number in 0..9 {
        let of_month = balance[&format!("balance|month:{}|", month(number))]["contacts"].as_array().unwrap();
        let advice = |kind: &str, channel: &str| -> Option<&str> {
            let is_it = |it: &&Value| it["spoke"] == "marketing" && it["kind"] == kind && it["channel"] == channel;
            of_month.iter().find(is_it)?["advice"].as_str()
        };
        let is_annoying = [5, 6].contains(&number);
        // What to look into is where people say so, and where advertising costs more than its part.
        let says_so = [advice("consent_changed", "email"), advice("social_mentioned", "social")];
        assert_eq!(says_so.map(|it| it == Some("invest")), [is_annoying; 2], "{}: {says_so:?}", month(number));
        let ads = ["web", "app"].map(|channel| advice("ad_shown", channel));
        assert_eq!(ads.map(|it| it == Some("save")), [number == 5; 2], "{}: {ads:?}", month(number));
        if is_annoying {
            assert!(driver(number, "contacts").1 < works, "{}: more than {works}", month(number));
        }
    }
    // And marketing's own card: felt worse than in the month before the campaign, until it is over.
    let ([before, june, july, after], april) = ([4, 5, 6, 7].map(felt), felt(3));
    assert!(june.1 < before.0 && july.1 < before.0 && july.1 < after.0, "{before:?}, {june:?}, {july:?}, {after:?}");
    assert!(before.0 < april.1 && april.0 < before.1, "{april:?}, then {before:?}");
    // The fix, by operations, in the south.
    let changes = read("changes");
    let day = story.chapters(start).last().unwrap().days.first;
    for (metric, movement) in [("on_time", "up"), ("promise_gap", "down")] {
        let change = &changes[&format!("change|day:{day}|by=operations&region=south&metric={metric}")];
        assert_eq!(change["movement"], movement, "{metric}: {change}");
    }
    // It is told where it was made and of the company: elsewhere deliveries are what they were.
    let of_regions = changes.values().filter(|it| it["dimension"] == "region");
    let regions: BTreeSet<&str> = of_regions.map(|it| it["dimension_value"].as_str().unwrap()).collect();
    assert_eq!(regions, ["south"].into());
    let of_deliveries = house.read("insight.metrics").into_iter();
    let metrics = world::latest(of_deliveries.filter(|(key, _)| key.as_slice().starts_with(b"on_time|month:")));
    let on_time =
        |number: i32, region: &str| interval(&metrics[&format!("on_time|month:{}|region={region}", month(number))]);
    for region in ["north", "south", "east", "west", "overseas"] {
        let (before, after) = (on_time(5, region), on_time(7, region));
        let has_moved = before.1 < after.0 || after.1 < before.0;
        assert_eq!(has_moved, region == "south", "{region}: {before:?}, then {after:?}");
    }
}

/// A metric that the worlds of the simulation never produce, or only ever at its neutral value, is not tested by them.
#[test]
fn small_companies_produce_every_metric_and_every_part_of_it() {
    let mut produced: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for seed in 0..20 {
        let events: Vec<SourceEvent> = Company::new(small_company(seed)).collect();
        let feeds = expected(events.iter().map(source), &Options::default()).feeds;
        let mut worlds: BTreeMap<&str, [bool; 3]> = BTreeMap::new();
        for (key, value) in feeds.metrics.iter().filter(|(_, value)| value["dimension"] == "company") {
            let [numerator, denominator] = ["numerator", "denominator"].map(|name| value[name].as_i64().unwrap());
            let parts = worlds.entry(key.split('|').next().unwrap()).or_default();
            for (part, holds) in parts.iter_mut().zip([true, numerator != 0, numerator != denominator]) {
                *part |= holds;
            }
        }
        for (metric, parts) in worlds {
            for (count, holds) in produced.entry(metric.to_owned()).or_default().iter_mut().zip(parts) {
                *count += usize::from(holds);
            }
        }
    }
    println!("of 20 worlds: any, numerator, numerator unlike denominator: {produced:?}");
    for metric in METRICS {
        let worlds = produced.get(metric).copied().unwrap_or_default();
        assert!(worlds.iter().all(|count| *count >= 3), "{metric}: {worlds:?} of 20");
    }
}

#[test]
#[ignore = "a measurement: run it alone with --ignored --nocapture"]
fn how_long_the_oracle_and_the_company_take() {
    let begun = Instant::now();
    let bytes: usize = BenchEvents::new(BenchOptions::default()).map(|event| event.payload.len()).sum();
    println!("1,000,000 benchmark events of {bytes} bytes: {:.2?}", begun.elapsed());
    let options =
        CompanyOptions { touchpoints: 200_000, customers: 20_000, shuffled: true, ..CompanyOptions::default() };
    let begun = Instant::now();
    let events: Vec<SourceEvent> = Company::new(options).collect();
    println!("200,000 touchpoints made: {:.2?}", begun.elapsed());
    let begun = Instant::now();
    let found = expected(events.iter().map(source), &Options::default());
    println!("200,000 touchpoints computed: {:.2?}, {} cells", begun.elapsed(), found.feeds.metrics.len());
    let small = CompanyOptions { touchpoints: 300, customers: 20, days: 10, ..CompanyOptions::default() };
    let small: Vec<SourceEvent> = Company::new(small).collect();
    let begun = Instant::now();
    for _ in 0..20 {
        expected(small.iter().map(source), &Options::default());
    }
    println!("300 touchpoints in 10 days computed: {:.2?}", begun.elapsed() / 20);
}
