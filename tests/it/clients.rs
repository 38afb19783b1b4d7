//! Subscribers in four languages, as the pages of `deploy/docs` have them: each block of code is taken from its page and run
//! against a broker and a schema registry, and reads what the harness's own reader reads.
//!
//! In the feeds there is what subscribers go wrong with: tombstones, whole numbers that a double does not hold, values that are
//! null and values that are not, records of aborted transactions, and LZ4.
//! `tests/run` installs what the programs stand on; its part `clients` says which language it could not have.

#[path = "clients/programs.rs"]
mod programs;
#[path = "clients/same.rs"]
mod same;
// What the page has as `src/main.rs`: here it is built with the tests, and runs as a process of its own all the same.
#[path = "clients/subscribe.rs"]
#[expect(clippy::print_stdout, reason = "the page's program prints what it reads")]
mod subscribe;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use apache_avro::{Schema, reader::datum::GenericDatumReader};
use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    metrics::catalogue,
};
use serde_json::{Value, json};

use crate::{
    harness::{
        kafka::Broker,
        reader::{Record, partitions, read_settled},
        registry::Registry,
        unique,
        writer::{Message, Writer},
    },
    kafka::house::{House, company},
    world,
};

use programs::{LANGUAGES, Program};
use same::{Told, differences};

const WITHIN: Duration = Duration::from_secs(120);
/// 2026-01-20T00:00:00Z, within the company's days.
const DAY_S: i64 = 1_768_867_200;
/// A week that is whole within them.
const WEEK: &str = "2026-01-19";
/// The smallest whole number that a double does not hold.
const INEXACT: i64 = 9_007_199_254_740_993;
const FEEDS: [&str; 2] = ["metrics", "customers"];
/// No value of it may ever be read: it breaks each parser.
const ABORTED: &str = "aborted|day:2026-01-01|";
const END: &str = "the end of partition ";

/// The child's side of the program in Rust: nothing but when [`programs`] starts this test as a process of its own.
#[test]
fn the_subscriber_in_rust() {
    if std::env::var_os(programs::AS_SUBSCRIBER).is_some() {
        subscribe::main().unwrap();
    }
}

/// A company's events, and among them somebody who will be erased, and who costs more cents than a double can count.
fn events() -> Vec<SourceEvent> {
    // Each record of a feed is read by each program: a month of few customers says enough.
    let mut events = world::events(CompanyOptions { days: 28, ..company(41, 25, 250) });
    let contact = |key: &str, hour: i64, rest: Value| {
        let second = DAY_S + hour * 3_600;
        let mut payload = json!({"id": key, "event": "PageViewed", "ts": second, "medium": "web"});
        payload.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        world::of_marketing(key, &payload, second)
    };
    events.push(contact("gone", 9, json!({"cmp": "only-the-erased", "profile": {"customer": "GONE"}})));
    // The largest amount that a touchpoint may have, ten times, and a cent.
    for number in 0..=10 {
        let spend = json!({"value": if number < 10 { "10000000000000.00" } else { "0.01" }, "currency": "EUR"});
        let rest = json!({"cmp": "dear", "spend": spend, "profile": {"customer": "C1"}});
        events.push(contact(&format!("dear-{number}"), 10, rest));
    }
    events
}

/// One hub's feeds, complete, with what a subscriber must not see in them.
struct Published {
    house: House,
}

impl Published {
    /// Runs a hub over the events and ends it.
    fn by_a_hub(what: &str, settings: &[&str], events: &[SourceEvent]) -> Published {
        let house = House::new(&Broker::shared().bootstrap(), what);
        house.write(events);
        let mut hub = [house.start("a", settings, None)];
        house.wait_until_read(&mut hub, WITHIN);
        let published = Published { house };
        let before = published.tombstones("metrics");
        let (status, said, errors) =
            published.house.command_line(&["erase", "customer_id:GONE", "--yes"], settings).run(WITHIN);
        assert!(status.success(), "{said}\n{errors}");
        let begun = Instant::now();
        while published.tombstones("metrics") == before || published.tombstones("customers") == 0 {
            assert!(begun.elapsed() < WITHIN, "nobody is erased\n{}", hub[0].process().story());
            thread::sleep(Duration::from_millis(100));
        }
        published.house.wait_until_read(&mut hub, WITHIN);
        assert_eq!(hub[0].process().terminate(WITHIN).code(), Some(0), "{}", hub[0].process().story());
        published.add_what_was_aborted();
        published
    }

    fn topic(&self, feed: &str) -> String {
        self.house.feed_topic(feed)
    }

    fn records(&self, feed: &str) -> Vec<Record> {
        read_settled(self.house.bootstrap(), &self.topic(feed), WITHIN)
    }

    fn tombstones(&self, feed: &str) -> usize {
        self.records(feed).iter().filter(|record| record.value.is_none()).count()
    }

    /// Behind the hub's records: three aborted transactions of one producer, and after each something committed, so that who
    /// has read that has passed over what was aborted.
    fn add_what_was_aborted(&self) {
        let writer = Writer::transactional(self.house.bootstrap(), &unique("aborting"), Duration::from_secs(30));
        for round in 0..3 {
            for is_aborted in [true, false] {
                writer.begin();
                for topic in FEEDS.map(|feed| self.topic(feed)) {
                    let all = 0..partitions(self.house.bootstrap(), &topic);
                    let message = |partition: i32| {
                        let message = if is_aborted {
                            Message::new(ABORTED, [0, 0xff, 0xff, 0xff, 0xff, b'{'])
                        } else {
                            Message::tombstone(format!("{END}{partition} of round {round}"))
                        };
                        message.to(partition)
                    };
                    writer.write(&topic, &all.map(message).collect::<Vec<_>>());
                }
                if is_aborted { writer.abort() } else { writer.commit() }
            }
        }
    }

    /// What a subscriber must be told, decoded by the harness.
    fn told(&self, decode: &dyn Fn(&[u8]) -> Value) -> Vec<Told> {
        let of_feed = |feed: &str| {
            let topic = self.topic(feed);
            let told = move |record: Record| Told {
                topic: topic.clone(),
                key: record.key_text().to_owned(),
                value: record.value.as_deref().map(decode),
            };
            self.records(feed).into_iter().map(told).collect::<Vec<_>>()
        };
        FEEDS.iter().flat_map(|feed| of_feed(feed)).collect()
    }
}

/// There is in it what subscribers go wrong with; otherwise reading it right would prove nothing.
fn assert_telling(told: &[Told], what: &str) {
    for feed in FEEDS {
        let of_feed = || told.iter().filter(|told| told.topic.ends_with(feed));
        let ends = |told: &&Told| told.key.starts_with(END);
        assert!(of_feed().any(|told| told.value.is_none() && !ends(&told)), "{what}: {feed} has no tombstone");
        assert!(of_feed().filter(ends).count() >= 3, "{what}: {feed}");
        assert!(of_feed().all(|told| told.key != ABORTED), "{what}: the harness reads what was aborted");
    }
    let is_somewhere = |pointer: &str, is_right: &dyn Fn(&Value) -> bool| {
        told.iter().filter_map(|told| told.value.as_ref()?.pointer(pointer)).any(is_right)
    };
    for pointer in ["/value", "/p50", "/currency", "/buying", "/segment", "/sentiment"] {
        for is_null in [true, false] {
            let found = is_somewhere(pointer, &|value| value.is_null() == is_null);
            assert!(found, "{what}: {pointer} is {} everywhere", if is_null { "something" } else { "null" });
        }
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "whether a double holds it")]
    let is_inexact = |number: i64| number as f64 as i64 != number;
    assert!(
        is_somewhere("/numerator", &|value| value.as_i64().is_some_and(is_inexact)),
        "{what}: each numerator is one that a double holds"
    );
    assert!(is_somewhere("/value", &|value| value.as_f64().is_some_and(|value| value.fract() != 0.0)), "{what}");
}

/// Every program over one hub's feeds: what each printed, by language.
fn read_by_all(published: &Published, registry: &Registry, count: usize) -> BTreeMap<&'static str, Vec<Told>> {
    let topics = FEEDS.map(|feed| published.topic(feed)).join(",");
    let settings = |language: &str| {
        BTreeMap::from([
            ("BROKERS", published.house.bootstrap().to_owned()),
            ("TOPICS", topics.clone()),
            ("GROUP", format!("{}-in-{language}", published.house.name)),
            ("REGISTRY", registry.url()),
        ])
    };
    let programs: Vec<(&str, Program)> = LANGUAGES
        .into_iter()
        .filter(|language| !programs::is_left_out(language))
        .map(|language| (language, Program::start(language, &settings(language))))
        .collect();
    programs.into_iter().map(|(language, program)| (language, program.read(count, WITHIN))).collect()
}

/// One page's program for lines of a subscriber, on what was read: numerators, denominators and n of days are those of the
/// week that the hub published, and so is the quotient.
fn assert_rolls_up(told: &[Told]) {
    let page = programs::page("subscribe");
    let (sums, quotients) = (programs::words_of(&page, "- **Sums**"), programs::words_of(&page, "- **Quotients**"));
    let none = programs::words_of(&page, "- **Not at all**");
    let known: BTreeSet<&str> = catalogue::entries().map(|entry| entry.metric).collect();
    let named: BTreeSet<&str> = sums.iter().chain(&quotients).chain(&none).map(String::as_str).collect();
    assert_eq!(known.difference(&named).collect::<Vec<_>>(), Vec::<&&str>::new(), "the page leaves metrics out");

    let mut latest = BTreeMap::new();
    for told in told.iter().filter(|told| told.topic.ends_with("metrics")) {
        latest.insert(told.key.as_str(), told.value.as_ref());
    }
    let weeks = latest.into_values().flatten().filter(|value| {
        let is = |pointer: &str, word: &str| value.pointer(pointer).and_then(Value::as_str) == Some(word);
        is("/window/kind", "week") && is("/dimension", "company")
    });
    // What is told of the metric, and of customers; all the rest each time would only take time.
    let lines = |metric: &str| -> String {
        let is_wanted = |told: &&Told| told.key.starts_with(metric) || told.topic.ends_with("customers");
        told.iter().filter(is_wanted).map(|told| format!("{}\n", told.line())).collect()
    };
    let mut rolled = BTreeSet::new();
    for week in weeks {
        let text = |pointer: &str| week.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let metric = text("/metric");
        if !(sums.contains(&metric) || quotients.contains(&metric)) || text("/window/start") != WEEK {
            continue;
        }
        let arguments = [metric.clone(), text("/window/start"), text("/window/end"), text("/currency")];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        let one = programs::roll_up(&arguments, &lines(&metric));
        assert_eq!(one["numerator"], week["numerator"], "{metric}: {one} of days, {week}");
        if quotients.contains(&metric) {
            assert_eq!((&one["n"], &one["denominator"]), (&week["n"], &week["denominator"]), "{metric}: {one}, {week}");
        }
        assert!(same::are_near(&one["value"], &week["value"]), "{metric}: {one} of days, {week}");
        rolled.insert(metric);
    }
    assert!(rolled.len() >= 12, "only {rolled:?} are there to be rolled up");
}

#[test]
fn the_programs_of_the_pages_read_what_is_there_in_json_and_in_avro() {
    if programs::are_all_left_out() {
        return;
    }
    let (begun, events) = (Instant::now(), events());
    // Each on its own core while it starts.
    let (json, (registry, avro)) = thread::scope(|scope| {
        let json = scope.spawn(|| Published::by_a_hub("json-feeds", &[], &events));
        let registry = Registry::start();
        let url = format!("registry.url={}", registry.url());
        let settings = [url.as_str(), "topics.feed_format=avro-registry"];
        let avro = Published::by_a_hub("avro-feeds", &settings, &events);
        (json.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), (registry, avro))
    });

    eprintln!("both hubs have published: {:.1?}", begun.elapsed());

    let told = json.told(&|value| serde_json::from_slice(value).unwrap());
    assert_telling(&told, "JSON");
    for (language, read) in read_by_all(&json, &registry, told.len()) {
        let differences = differences(&told, &read);
        assert!(
            differences.is_empty(),
            "{language}, JSON: {} differences\n{}",
            differences.len(),
            differences.join("\n")
        );
        eprintln!("{language} read {} records in JSON: {:.1?}", read.len(), begun.elapsed());
    }
    if !programs::is_left_out("python") {
        assert_rolls_up(&told);
    }

    let schemas: LazyLock<BTreeMap<u32, Schema>, _> = LazyLock::new(|| {
        let ids =
            FEEDS.iter().flat_map(|feed| avro.records(feed)).filter_map(|record| record.value).map(|value| id(&value));
        ids.collect::<BTreeSet<u32>>()
            .into_iter()
            .map(|id| (id, Schema::parse_str(&registry.schema(id)).unwrap()))
            .collect()
    });
    let told = avro.told(&|value| {
        let reader = GenericDatumReader::builder(&schemas[&id(value)]).build().unwrap();
        reader.read_value(&mut &value[5..]).unwrap().try_into().unwrap()
    });
    assert_eq!(schemas.len(), FEEDS.len(), "each feed has a schema");
    assert_telling(&told, "Avro");
    for (language, read) in read_by_all(&avro, &registry, told.len()) {
        let differences = differences(&told, &read);
        assert!(
            differences.is_empty(),
            "{language}, Avro: {} differences\n{}",
            differences.len(),
            differences.join("\n")
        );
        eprintln!("{language} read {} records in Avro: {:.1?}", read.len(), begun.elapsed());
    }
}

/// The number of the schema, in the wire format of registries.
fn id(value: &[u8]) -> u32 {
    assert_eq!(value[0], 0, "the wire format of registries");
    u32::from_be_bytes(value[1..5].try_into().unwrap())
}

#[test]
fn a_program_that_reads_something_else_is_told() {
    let told = |key: &str, value: Option<Value>| Told { topic: "metrics".into(), key: key.into(), value };
    let expected = [told("a", Some(json!({"numerator": INEXACT, "value": 2.0}))), told("a", None), told("b", None)];
    let same = [told("b", None), told("a", Some(json!({"numerator": INEXACT, "value": 2}))), told("a", None)];
    assert_eq!(differences(&expected, &same), Vec::<String>::new());
    let rounded = json!({"numerator": INEXACT - 1, "value": 2.0});
    for (wrong, why) in [
        (vec![told("a", Some(rounded)), told("a", None), told("b", None)], "a rounded numerator"),
        (vec![told("a", None), same[1].clone(), told("b", None)], "the wrong order"),
        (same[..2].to_vec(), "a tombstone that is not there"),
        ([&same[..], &[told(ABORTED, None)]].concat(), "what was aborted"),
        ([&same[..], &same[..1]].concat(), "a record twice"),
    ] {
        assert!(!differences(&expected, &wrong).is_empty(), "{why} is not told");
    }
}
