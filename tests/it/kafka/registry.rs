//! A real schema registry beside a real broker: down at the start and in flight, unknown, unfit and dangerous schemas, and
//! the feeds' own schemas in it.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use apache_avro::{Schema, types::Value as Avro};

use insight_hub::company::{ORDER_SCHEMA, SourceEvent};

use super::house::{House, Instance, company};
use crate::harness::{
    kafka::Broker,
    process::Signal,
    reader::read_settled,
    registry::Registry,
    sweeper::Scratch,
    writer::{Message, Writer},
};
use crate::world::{events, truth};

/// How long a hub on two busy cores may take for what no person waits for.
const WITHIN: Duration = Duration::from_secs(120);
/// A clear message must come within seconds, and so must what is mended go on.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"number","type":"string"},{"name":"customer","type":"string"},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}}]}"#;
/// A field more, and another place for the customer's number.
const ORDER_2: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"channel","type":{"type":"enum","name":"Channel","symbols":["WEB","SHOP"]},"default":"WEB"},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"customer","type":"string"},{"name":"number","type":"string"},
    {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}}]}"#;
/// No version of an order.
const OTHER: &str =
    r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"number","type":"boolean"}]}"#;
const ENDLESS: &str = r#"{"type":"record","name":"Endless","fields":[{"name":"next","type":["null","Endless"]}]}"#;

fn mappings(folder: &Path, house: &House) {
    let sales = format!(
        "spoke = \"sales\"\ntopic = \"{}.sales\"\nformat = \"avro\"\nreader_schema = \"order.avsc\"\nid = \"number\"\n\
         kind = {{ constant = \"order_placed\" }}\noccurred_at = {{ path = \"at\", format = \"logical\" }}\n\
         amount = {{ value = \"total\", unit = \"major\", currency = {{ constant = \"EUR\" }} }}\n\
         channel = {{ path = \"channel\", map = {{ WEB = \"web\", SHOP = \"store\" }} }}\n\
         identifiers = {{ customer_id = \"customer\" }}\n",
        house.name
    );
    let marketing = format!(
        "spoke = \"marketing\"\ntopic = \"{}.marketing\"\nformat = \"json\"\nid = \"id\"\n\
         kind = {{ constant = \"page_viewed\" }}\noccurred_at = {{ path = \"at\", format = \"epoch_ms\" }}\n\
         identifiers = {{ customer_id = \"who\" }}\n",
        house.name
    );
    std::fs::write(folder.join("sales.toml"), sales).unwrap();
    std::fs::write(folder.join("marketing.toml"), marketing).unwrap();
    std::fs::write(folder.join("order.avsc"), ORDER_2).unwrap();
}

/// 2026-03-10T10:00:00Z.
const AT_MS: i64 = 1_773_136_800_000;

/// An order as its producer writes it, in the registry's wire format.
fn order(id: u32, schema: &str, number: usize) -> Message {
    let schema = Schema::parse_str(schema).unwrap();
    let Schema::Record(record) = &schema else { panic!("orders are records") };
    let value = |name: &str| match name {
        "number" => Avro::String(format!("O-{number}")),
        "customer" => Avro::String(format!("C{}", number % 7)),
        "at" => Avro::TimestampMillis(AT_MS + i64::try_from(number).unwrap()),
        "channel" => Avro::Enum(1, "SHOP".into()),
        _ => Avro::Decimal(vec![0x30, 0x39].into()), // 123.45
    };
    let value = Avro::Record(record.fields.iter().map(|field| (field.name.clone(), value(&field.name))).collect());
    let mut bytes = [&[0][..], &id.to_be_bytes()].concat();
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value(&mut bytes, value).unwrap();
    Message::new("", bytes).at(AT_MS).to(i32::try_from(number % 4).unwrap())
}

fn views(numbers: std::ops::Range<usize>) -> Vec<Message> {
    let view = |number: usize| {
        let payload = format!(r#"{{"id":"v-{number}","at":{AT_MS},"who":"C1"}}"#);
        Message::new("", payload).at(AT_MS).to(i32::try_from(number % 4).unwrap())
    };
    numbers.map(view).collect()
}

/// Waits until words are said for the so manieth time, within seconds.
#[track_caller]
fn wait_until_said(hub: &mut Instance, words: &str, times: usize) {
    let begin = Instant::now();
    while hub.process().stderr().matches(words).count() < times {
        assert!(hub.process().is_running(), "it has ended\n{}", hub.process().story());
        assert!(begin.elapsed() < TOLD_WITHIN, "{words:?} is not said {times} times\n{}", hub.process().story());
        std::thread::sleep(Duration::from_millis(50));
    }
}

const AWAY: &str = "the schema registry cannot be used";
const BACK: &str = "the schema registry can be used again";

#[test]
fn records_wait_for_a_registry_that_is_down_and_nothing_else_does() {
    let house = House::new(&Broker::shared().bootstrap(), "schemas");
    let folder = Scratch::new("schemas-spokes");
    mappings(folder.path(), &house);
    let mut registry = Registry::start();
    let subject = format!("{}.sales-value", house.name);
    let first = registry.register(&subject, ORDER);
    let writer = Writer::new(house.bootstrap());
    let (sales, marketing) = (format!("{}.sales", house.name), format!("{}.marketing", house.name));
    writer.write(&sales, &(0..20).map(|number| order(first, ORDER, number)).collect::<Vec<_>>());
    writer.write(&marketing, &views(0..10));

    // Down at the start: what needs it waits, what does not goes on, and it is said.
    registry.stop();
    let settings = [
        format!("spokes.directory={}", folder.path().display()),
        format!("schemas.directory={}", folder.path().display()),
        format!("registry.url={}", registry.url()),
        "registry.unknown_seconds=2".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut hub = house.start("a", &settings, None);
    let outcomes = "insight_hub_outcomes_total";
    wait_until_said(&mut hub, AWAY, 1);
    hub.wait_until_labelled_figure(outcomes, "spoke=\"marketing\"", 10.0, WITHIN);
    assert_eq!(hub.labelled_figure(outcomes, "spoke=\"sales\""), Some(0.0));
    assert_eq!(hub.figure("insight_hub_registry_available"), Some(0.0));
    registry.start_again();
    wait_until_said(&mut hub, BACK, 1);
    hub.wait_until_labelled_figure(outcomes, "spoke=\"sales\"", 20.0, TOLD_WITHIN);
    assert_eq!(hub.figure("insight_hub_registry_available"), Some(1.0));

    // Down in flight, when a version comes that was not seen before.
    let second = registry.register(&subject, ORDER_2);
    registry.stop();
    writer.write(&sales, &(20..30).map(|number| order(second, ORDER_2, number)).collect::<Vec<_>>());
    writer.write(&marketing, &views(10..15));
    wait_until_said(&mut hub, AWAY, 2);
    hub.wait_until_labelled_figure(outcomes, "spoke=\"marketing\"", 15.0, TOLD_WITHIN);
    assert_eq!(hub.figure("insight_hub_registry_available"), Some(0.0));
    assert_eq!(hub.labelled_figure(outcomes, "spoke=\"sales\""), Some(20.0));
    registry.start_again();
    wait_until_said(&mut hub, BACK, 2);
    hub.wait_until_labelled_figure(outcomes, "spoke=\"sales\"", 30.0, TOLD_WITHIN);
    assert_eq!(house.rejected().values().sum::<u64>(), 0, "nothing was rejected for a registry that was away");

    // Gone for good: its schema in the folder and a reload are enough for the records that wait.
    let third =
        registry.register(&subject, &ORDER_2.replace("\"name\":\"Order\"", "\"name\":\"Order\",\"doc\":\"third\""));
    registry.stop();
    writer.write(&sales, &(40..44).map(|number| order(third, ORDER_2, number)).collect::<Vec<_>>());
    wait_until_said(&mut hub, AWAY, 3);
    hub.wait_until_labelled_figure("insight_hub_lag_records", "spoke=\"sales\"", 1.0, WITHIN);
    std::fs::write(folder.path().join(format!("{third}.avsc")), ORDER_2).unwrap();
    hub.process().signal(Signal::Hangup);
    hub.wait_until_labelled_figure(outcomes, "spoke=\"sales\"", 34.0, TOLD_WITHIN);
    registry.start_again();

    // What no registry can mend is rejected at once, between neighbours that are taken.
    let (other, endless) = (registry.register("strange-value", OTHER), registry.register("endless-value", ENDLESS));
    let strange = |id: u32| Message::new("", [&[0][..], &id.to_be_bytes(), &[1, 0]].concat()).at(AT_MS).to(0);
    let messages = [
        order(second, ORDER_2, 32),
        strange(900_001),
        strange(u32::MAX),
        strange(other),
        strange(endless),
        order(first, ORDER, 36),
    ];
    writer.write(&sales, &messages);
    hub.wait_until_labelled_figure(outcomes, "spoke=\"sales\"", 40.0, TOLD_WITHIN);
    let rejections =
        |reason: &str| hub.labelled_figure("insight_hub_rejections_total", &format!("reason=\"{reason}\""));
    let expected = BTreeMap::from([("unknown_schema", 2.0), ("wrong_type", 1.0), ("undecodable", 1.0)]);
    for (reason, count) in &expected {
        assert_eq!(rejections(reason), Some(*count), "{reason}");
    }
    let touchpoints = house.feeds().touchpoints;
    assert_eq!(touchpoints.len(), 51);
    let channels = touchpoints.values().filter(|touchpoint| touchpoint["channel"] == "store").count();
    let defaults = touchpoints.values().filter(|touchpoint| touchpoint["channel"] == "web").count();
    assert_eq!((channels, defaults), (15, 21), "the reader's schema says what an older order lacks");
    assert!(touchpoints.values().any(|touchpoint| touchpoint["amount"]["minor"] == 12_345));

    // An id that was unknown once is asked for again: a replay finds what was registered meanwhile.
    let doc = |text: &str| ORDER_2.replace("\"name\":\"Order\"", &format!("\"name\":\"Order\",\"doc\":\"{text}\""));
    let next = registry.register("last-value", &doc("last")) + 1;
    writer.write(&sales, &[order(next, ORDER_2, 60)]);
    hub.wait_until_labelled_figure("insight_hub_rejections_total", "reason=\"unknown_schema\"", 3.0, TOLD_WITHIN);
    let unknown_since = Instant::now();
    assert_eq!(registry.register("late-value", &doc("late")), next, "ids are counted up");
    let replay = house.command_line(&["rejected", "replay", "--reason", "unknown_schema", "-o", "json"], &settings);
    std::thread::sleep(Duration::from_secs(3).saturating_sub(unknown_since.elapsed())); // registry.unknown_seconds, and one
    let (status, said, errors) = replay.run(WITHIN);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    assert!(status.success() && report["records_sent"] == 1, "{said}\n{errors}");
    hub.wait_until_labelled_figure(outcomes, "spoke=\"sales\"", 42.0, WITHIN);
    let rejections = hub.labelled_figure("insight_hub_rejections_total", "reason=\"unknown_schema\"");
    assert_eq!(rejections, Some(3.0), "of the replay, none is rejected");
    assert_eq!(house.feeds().touchpoints.len(), 52);
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
}

/// Feeds as Avro through a registry, and departments of a folder.
fn publishing_with(folder: &Scratch, registry: &Registry) -> [String; 4] {
    [
        format!("spokes.directory={}", folder.path().display()),
        format!("schemas.directory={}", folder.path().display()),
        format!("registry.url={}", registry.url()),
        "topics.feed_format=avro-registry".to_owned(),
    ]
}

#[test]
fn feeds_are_avro_whose_schemas_are_in_the_registry() {
    let house = House::new(&Broker::shared().bootstrap(), "registered");
    let folder = Scratch::new("registered-spokes");
    mappings(folder.path(), &house);
    let mut registry = Registry::start();
    Writer::new(house.bootstrap()).write(&format!("{}.marketing", house.name), &views(0..10));
    let settings = publishing_with(&folder, &registry);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();

    // A hub that cannot register its schemas waits: what it published could not be read.
    registry.stop();
    let mut hub = house.start("a", &settings, None);
    wait_until_said(&mut hub, AWAY, 1);
    registry.start_again();
    hub.wait_until_figure("insight_hub_outcomes_total", 10.0, WITHIN);
    let begin = Instant::now();
    let value = loop {
        let records = read_settled(house.bootstrap(), &house.feed_topic("customers"), WITHIN);
        if let Some(value) = records.into_iter().find_map(|record| record.value) {
            break value;
        }
        assert!(begin.elapsed() < WITHIN, "no customer is published\n{}", hub.process().story());
    };
    assert_eq!(value[0], 0, "the wire format of registries");
    let id = u32::from_be_bytes(value[1..5].try_into().unwrap());
    let schema = Schema::parse_str(&registry.schema(id)).expect("a schema");
    let decoded = apache_avro::reader::datum::GenericDatumReader::builder(&schema)
        .build()
        .and_then(|reader| reader.read_value(&mut &value[5..]))
        .expect("anyone who knows the registry can read it");
    assert!(matches!(decoded, Avro::Record(fields) if fields.iter().any(|(name, _)| name == "person")));
    let feed = house.feed_topic("customers");
    let arguments = ["tail", "customers", "--from-beginning", "--until-end", "-o", "json"];
    let (status, said, errors) = house.command_line(&arguments, &settings).run(WITHIN);
    assert!(status.success() && said.contains("\"person\""), "{feed}: {said}\n{errors}");
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));

    // What a hub would meet there is told without one.
    let look = |house: &House| {
        let command = house.command_line(&["check", "--connect", "-o", "jsonl"], &settings);
        let (_, said, errors) = command.run(WITHIN);
        assert!(said.contains("\"of\":\"registry\"") || errors.contains("registry"), "{said}\n{errors}");
        said
    };
    assert!(!look(&house).contains("not compatible"));

    // Where something else is registered under the feed's name, nothing is published under it.
    let taken = House::new(&Broker::shared().bootstrap(), "taken");
    registry.register(&format!("{}.metrics-value", taken.name), OTHER);
    assert!(look(&taken).contains("what is registered there is not compatible"));
    let mut hub = taken.start("a", &settings, None);
    let status = hub.process().wait_or_fail(TOLD_WITHIN);
    let said = hub.process().stderr();
    assert_eq!(status.code(), Some(1), "systemd starts it again once the registry is mended\n{said}");
    assert!(said.contains(&format!("{}.metrics-value", taken.name)) && said.contains("not compatible"), "{said}");
}

/// A value of a feed as the brokers have it: the schema's id, and the value by any reader's schema.
fn read_as(bytes: &[u8], writer: &Schema, reader: &Schema) -> Avro {
    assert_eq!(bytes[0], 0, "the wire format of registries");
    let built = apache_avro::reader::datum::GenericDatumReader::builder(writer).reader_schema(reader).build();
    built.and_then(|built| built.read_value(&mut &bytes[5..])).expect("the schemas go together")
}

#[test]
fn feeds_follow_their_first_versions_in_the_registry_and_both_are_read_with_both_schemas() {
    let house = House::new(&Broker::shared().bootstrap(), "evolved");
    let folder = Scratch::new("evolved-spokes");
    mappings(folder.path(), &house);
    let registry = Registry::start();
    // As the first hub that published these feeds left it.
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/feeds/first");
    let mut first: BTreeMap<String, (u32, String)> = BTreeMap::new();
    for file in std::fs::read_dir(fixtures).unwrap() {
        let path = file.unwrap().path();
        let feed = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let id = registry.register(&format!("{}.{feed}-value", house.name), &text);
        first.insert(feed, (id, text));
    }
    Writer::new(house.bootstrap()).write(&format!("{}.marketing", house.name), &views(0..10));
    let settings = publishing_with(&folder, &registry);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut hub = house.start("a", &settings, None);
    hub.wait_until_figure("insight_hub_outcomes_total", 10.0, WITHIN);
    let mut evolved = 0;
    for (feed, least) in [("customers", 1), ("touchpoints", 10), ("metrics", 1), ("catalogue", 1)] {
        let began = Instant::now();
        let values: Vec<Vec<u8>> = loop {
            let records = read_settled(house.bootstrap(), &house.feed_topic(feed), WITHIN);
            let values: Vec<Vec<u8>> = records.into_iter().filter_map(|record| record.value).collect();
            if values.len() >= least {
                break values;
            }
            assert!(began.elapsed() < WITHIN, "{feed}: nothing is published\n{}", hub.process().story());
        };
        let (first_id, first_text) = &first[feed];
        let old = Schema::parse_str(first_text).unwrap();
        for value in &values {
            let id = u32::from_be_bytes(value[1..5].try_into().unwrap());
            let text = registry.schema(id);
            let new = Schema::parse_str(&text).unwrap();
            evolved += usize::from(id != *first_id);
            // Who has the new schema reads what is new, who has the first reads it too, and what the first hub wrote.
            let as_new = read_as(value, &new, &new);
            let as_old = read_as(value, &new, &old);
            let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&old).build().unwrap();
            let mut written = [&[0][..], &first_id.to_be_bytes()].concat();
            writer.write_value(&mut written, as_old.clone()).unwrap();
            assert_eq!(read_as(&written, &old, &old), as_old, "{feed}");
            let (Avro::Record(found), Avro::Record(whole)) = (read_as(&written, &old, &new), as_new) else {
                panic!("{feed} are records")
            };
            assert_eq!(found.len(), whole.len());
            let Avro::Record(kept) = &as_old else { panic!("{feed} are records") };
            let is_kept = |name: &str| kept.iter().any(|(known, _)| known == name);
            for ((name, value), (_, expected)) in found.iter().zip(&whole) {
                // What the first version did not have is its default then.
                assert!(value == expected || !is_kept(name) || has_records(expected), "{feed}.{name}: {value:?}");
            }
        }
    }
    assert!(evolved > 0, "some of these feeds have got fields since");
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
}

/// Whether fields may have come to something inside of it.
fn has_records(value: &Avro) -> bool {
    match value {
        Avro::Record(_) => true,
        Avro::Union(_, inner) => has_records(inner),
        Avro::Array(items) => items.iter().any(has_records),
        Avro::Map(items) => items.values().any(has_records),
        _ => false,
    }
}

/// What is before the datum of a record that sales writes without a registry: how single-object encoding begins, and the schema's
/// fingerprint.
fn single_object_frame(events: &[SourceEvent]) -> [u8; 10] {
    let good = events.iter().find(|event| event.spoke == "sales" && event.valid).unwrap();
    *good.payload.first_chunk().unwrap()
}

/// The departments of `deploy/spokes` as their owners run them: sales writes by the registry, and nobody has its schema in a folder.
#[test]
fn the_four_departments_are_read_with_the_schema_of_sales_from_the_registry() {
    let house = House::new(&Broker::shared().bootstrap(), "departments");
    let registry = Registry::start();
    let id = registry.register(&format!("{}.sales-value", house.name), ORDER_SCHEMA);
    let mut events = events(company(5, 300, 3_000));
    let expected = truth(&events);
    // The same data behind the registry's frame; what names a schema that nobody knows goes on doing so.
    let known = single_object_frame(&events);
    let mut framed = 0;
    for event in events.iter_mut().filter(|event| event.spoke == "sales") {
        let Some((frame, datum)) = event.payload.split_at_checked(known.len()) else { continue };
        let id = if frame == known { id } else { id + 1_000_000 };
        event.payload = [&[0][..], &id.to_be_bytes(), datum].concat();
        framed += 1;
    }
    assert!(framed > 100, "{framed} records of sales");
    house.write(&events);
    let none = Scratch::new("no-schemas");
    let settings = [format!("schemas.directory={}", none.path().display()), format!("registry.url={}", registry.url())];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut instances = [house.start("a", &settings, None)];
    house.assert_becomes(&expected, &mut instances, WITHIN);
}
