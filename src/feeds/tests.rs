//! The feeds as the public sees them: golden files, JSON equal to Avro, schemas that evolve.

mod examples;
mod generators;
mod versions;

use std::collections::BTreeSet;

use expect_test::expect_file;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::single_object::{SingleObject, reference};

fn encoded<'a, F: FeedRecord>(format: FeedFormat, record: &'a F::Record<'a>) -> Vec<u8> {
    Encoder::<F>::new(format, "insight-hub").encode(record).to_vec()
}

/// JSON and Avro of a record say the same, and both have exactly the fields of the schema.
fn check_formats_agree<'a, F: FeedRecord>(record: &'a F::Record<'a>) {
    let reader = Reader::new(F::FEED);
    let text = reader.read(&encoded::<F>(FeedFormat::Json, record)).expect("JSON");
    let binary = encoded::<F>(FeedFormat::AvroSingleObject, record);
    // A registry's framing has the same value behind another beginning.
    let mut ids = SchemaIds::default();
    ids.set(F::FEED, 258);
    let registered = encoded::<F>(FeedFormat::AvroRegistry(ids), record);
    assert_eq!((&registered[..5], &registered[5..]), (&[0, 0, 0, 1, 2][..], &binary[10..]));
    assert_eq!(reader.read(&registered).expect("Avro"), reader.read(&binary).expect("Avro"));
    // Once through text, as the other side: the JSON parser may miss the last bit of a number, the writer never does.
    let read = reader.read(&binary).expect("Avro").to_string();
    assert_eq!(reader.read(read.as_bytes()).expect("JSON"), text);
    let schema: Value = serde_json::from_str(F::FEED.description().schema).expect("JSON");
    let fields: BTreeSet<&str> = schema["fields"].as_array().expect("fields").iter().map(name).collect();
    let written: BTreeSet<&str> = text.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(written, fields);
}

fn name(field: &Value) -> &str {
    field["name"].as_str().expect("a field has a name")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.chunks(40).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n").collect()
}

macro_rules! check_golden {
    ($feed:ident, $file:literal, $record:expr) => {{
        let record = $record;
        let json = String::from_utf8(encoded::<$feed>(FeedFormat::Json, record)).expect("JSON is UTF-8");
        expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/feeds/", $file, ".json")]
            .assert_eq(&(json + "\n"));
        let avro = encoded::<$feed>(FeedFormat::AvroSingleObject, record);
        expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/feeds/", $file, ".avro.hex")]
            .assert_eq(&hexadecimal(&avro));
        check_formats_agree::<$feed>(record);
        let rewritten = reference::rewritten(<$feed as FeedRecord>::FEED.description().schema, &avro);
        assert_eq!(rewritten.len(), avro.len(), "the Avro project's implementation reads all of it");
    }};
}

#[test]
fn customers_are_written_as_the_golden_files_say() {
    check_golden!(Customers, "customers", &examples::customer());
}

#[test]
fn touchpoints_are_written_as_the_golden_files_say() {
    let touchpoint = examples::touchpoint();
    check_golden!(Touchpoints, "touchpoints", &examples::on_timeline(&touchpoint));
}

#[test]
fn alerts_are_written_as_the_golden_files_say() {
    check_golden!(Alerts, "alerts", &examples::alert());
    check_golden!(Alerts, "alerts_of_metrics", &examples::alert_of_metric());
}

#[test]
fn metrics_are_written_as_the_golden_files_say() {
    check_golden!(Metrics, "metrics", &examples::metric());
}

#[test]
fn journeys_and_attribution_are_written_as_the_golden_files_say() {
    let table = examples::journeys();
    check_golden!(Journeys, "journeys", &examples::journeys_record(&table, 10));
    check_golden!(Attribution, "attribution", &examples::attribution_record(&table, 2));
    // Short lists, and nothing at all.
    let nothing = crate::analyses::tests::whole::WholeTable::default();
    for (table, limit) in [(&table, 1), (&nothing, 10)] {
        check_formats_agree::<Journeys>(&examples::journeys_record(table, limit));
        check_formats_agree::<Attribution>(&examples::attribution_record(table, limit));
    }
}

#[test]
fn drivers_are_written_as_the_golden_files_say() {
    let moments = examples::months();
    check_golden!(Drivers, "drivers", &examples::drivers_record(&moments));
    let nobody = crate::analyses::drivers::Moments::new(crate::model::Measure::ALL.len());
    check_formats_agree::<Drivers>(&examples::drivers_record(&nobody));
}

#[test]
fn priorities_are_written_as_the_golden_files_say() {
    use crate::analyses::priorities::{PriorityTable, SCORE_RANGE, Stated};
    let table = examples::priorities();
    let key = || ("support".to_owned(), "case_opened".to_owned(), "delivery".to_owned());
    let stated = Stated { efforts: [(key(), 3)].into(), limits: [(key(), 25)].into() };
    let seen = examples::seen();
    let found = table.prioritise(&stated, SCORE_RANGE, 50);
    check_golden!(Priorities, "priorities", &examples::priorities_record(&table, &found, &seen));
    let nobody = PriorityTable::default();
    for (table, limit) in [(&table, 0), (&nobody, 50)] {
        let found = table.prioritise(&Stated::default(), SCORE_RANGE, limit);
        check_formats_agree::<Priorities>(&examples::priorities_record(table, &found, &seen));
    }
}

#[test]
fn changes_are_written_as_the_golden_files_say() {
    let record = examples::change_record();
    check_golden!(Changes, "changes", &record);
    let key = crate::feeds::change_key(&record.place, record.metric);
    assert_eq!(key, "change|day:2026-05-13|by=operations&region=south&metric=on_time");
}

#[test]
fn scorecards_are_written_as_the_golden_files_say() {
    let table = examples::priorities();
    let card = examples::scorecard(&table);
    check_golden!(Scorecards, "scorecards", &examples::scorecard_record(&card));
    let uncredited = crate::analyses::scorecards::Scorecard { contribution: None, net: None, ..card };
    check_formats_agree::<Scorecards>(&examples::scorecard_record(&uncredited));
    check_formats_agree::<Scorecards>(&examples::scorecard_record(&Default::default()));
}

#[test]
fn audit_entries_are_written_as_the_golden_files_say() {
    let entry = examples::audit_entry();
    check_golden!(Audit, "audit", &entry);
    assert_eq!(entry.key(), "3f2a9c0d1e4b5a67|2026-01-31T09:00:00.000Z");
    check_formats_agree::<Audit>(&AuditEntry {
        operation: "watch_feed",
        feed: Some("customers"),
        person: None,
        records: 0,
        ..entry.clone()
    });
    let command = Some("00000000000000ab".to_owned());
    check_formats_agree::<Audit>(&AuditEntry { action: "decide", operation: "decide_identity", command, ..entry });
}

#[test]
fn a_balance_is_written_as_the_golden_files_say() {
    let contacts = examples::contacts();
    let (whole, cut) = (examples::balance_of(&contacts, 10), examples::balance_of(&contacts, 1));
    check_golden!(Balance, "balance", &examples::balance_record(&whole));
    check_formats_agree::<Balance>(&examples::balance_record(&cut));
}

#[test]
fn definitions_are_written_as_the_golden_files_say() {
    let CatalogueRecord::Metric(definition) = examples::definition() else { panic!("a metric") };
    check_formats_agree::<Definitions>(&CatalogueRecord::Metric(definition));
    let found = examples::buying();
    check_golden!(Definitions, "catalogue", &examples::parameters(&found));
    let nobody =
        crate::analyses::buying::month::BuyingCounts::default().fitting(crate::model::Day(0)).advance(&mut 1).cloned();
    check_formats_agree::<Definitions>(&examples::parameters(&nobody.expect("nothing to fit")));
}

#[test]
fn accounts_of_spokes_are_written_as_the_golden_files_say() {
    check_golden!(Spokes, "spokes", &examples::spoke_account());
}

#[test]
fn identities_are_written_as_the_golden_files_say() {
    let state = examples::identity();
    check_golden!(Identities, "identities", &Identity { key: crate::model::PersonId([0xa5; 16]), state: &state });
    let redirect = examples::redirect();
    check_formats_agree::<Identities>(&Identity { key: crate::model::PersonId([0xb6; 16]), state: &redirect });
}

#[test]
fn changes_of_identities_are_written_as_the_golden_files_say() {
    let changes = examples::identity_changes();
    check_golden!(IdentityJournal, "identity-journal", &changes[0]);
    for change in &changes {
        check_formats_agree::<IdentityJournal>(change);
    }
}

#[test]
fn dead_letters_are_written_as_the_golden_file_says() {
    let letter = examples::dead_letter();
    let mut headers = Vec::new();
    letter.headers(|name, value| headers.push((name.to_owned(), String::from_utf8_lossy(value).into_owned())));
    let own = vec![("trace".to_owned(), b"17".to_vec())];
    let long = vec![b'x'; LETTER_BYTES_MAX];
    let enclosed = Enclosed { partition: 2, offset: 77, value: Some(&long), headers: own };
    let (_, all) = letter.enclose(enclosed);
    let cut = all[headers.len() + 1..].iter();
    headers.extend(cut.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned())));
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let schema: Value = serde_json::from_str(Feed::Rejected.description().schema).expect("JSON");
    let documented: Vec<String> = schema["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(name)
        .filter(|&field| field != "value")
        .map(|field| format!("{HEADER_PREFIX}{field}"))
        .collect();
    assert_eq!(names, documented, "headers are those that the schema documents");
    let text = serde_json::to_string_pretty(&json!({ "key": letter.key(), "headers": headers })).expect("JSON");
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/feeds/rejected.json")].assert_eq(&(text + "\n"));
    let without_key = DeadLetter { source_key: None, ..letter };
    without_key.headers(|name, _| assert_ne!(name, "__streams.errors.key"));
}

#[test]
fn a_record_that_makes_a_letter_too_long_is_cut_and_every_other_is_whole() {
    let letter = examples::dead_letter();
    let own = || vec![("trace".to_owned(), b"17".to_vec())];
    let bytes_of = |value: Option<&[u8]>, headers: &[(String, Vec<u8>)]| {
        // With the lengths that a log adds.
        let headers = headers.iter().map(|(name, value)| name.len() + value.len() + 12).sum::<usize>();
        letter.key().len() + value.map_or(0, <[u8]>::len) + headers
    };
    let enclose = |letter: &DeadLetter<'_>, value: &[u8], headers| {
        let (value, headers) = letter.enclose(Enclosed { partition: 2, offset: 77, value: Some(value), headers });
        assert!(bytes_of(value, &headers) <= LETTER_BYTES_MAX);
        let whole = headers.iter().find(|(name, _)| name == "__streams.errors.whole_bytes");
        let whole = whole.map(|(_, bytes)| String::from_utf8(bytes.clone()).expect("text"));
        (value.expect("a value").to_vec(), headers, whole)
    };
    let (_, headers) = letter.enclose(Enclosed { partition: 2, offset: 77, value: Some(b""), headers: own() });
    let room = LETTER_BYTES_MAX - bytes_of(None, &headers);
    let fits = vec![b'x'; room];
    let (value, _, whole) = enclose(&letter, &fits, own());
    assert_eq!((value.len(), whole), (room, None), "the longest that fits is whole");
    // One more; text is cut between characters.
    let text = "é".repeat(room / 2 + 1);
    let one = format!("x{text}");
    let (value, headers, whole) = enclose(&letter, one.as_bytes(), own());
    assert_eq!((value.len(), whole), (CUT_BYTES - 1, Some(one.len().to_string())));
    assert!(one.as_bytes().starts_with(&value) && headers[0].0 == "trace");
    let hash = headers.iter().find(|(name, _)| name == "__streams.errors.whole_hash").expect("a hash");
    assert_eq!(hash.1, blake3::hash(one.as_bytes()).to_hex().to_string().into_bytes());
    // A key and headers that are too long by themselves; that it is a replay is never left out.
    let key = vec![b'k'; 2 << 20];
    let headers =
        vec![("long".to_owned(), key.clone()), (REPLAY_OF.to_owned(), b"sales|0|1".to_vec()), own().remove(0)];
    let (value, headers, whole) = enclose(&DeadLetter { source_key: Some(&key), ..letter }, b"{}", headers);
    assert_eq!((value.as_slice(), whole.as_deref()), (&b"{}"[..], Some("2")));
    let names: Vec<&str> = headers.iter().take(2).map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [REPLAY_OF, "trace"]);
    assert!(headers.iter().any(|(name, value)| name == "__streams.errors.key" && value.len() == CUT_BYTES));
    // Headers of next to nothing, but many of them.
    for name in ["", REPLAY_OF] {
        let (_, headers, whole) = enclose(&letter, b"{}", vec![(name.to_owned(), Vec::new()); 200_000]);
        assert!(headers.len() < CUT_BYTES / 12 + 30 && whole.is_some(), "{} headers", headers.len());
    }
}

proptest! {
    #[test]
    fn customers_are_the_same_in_json_and_avro(record in generators::customer()) {
        check_formats_agree::<Customers>(&record);
    }

    #[test]
    fn touchpoints_are_the_same_in_json_and_avro(parts in generators::touchpoint()) {
        let touchpoint = parts.touchpoint();
        check_formats_agree::<Touchpoints>(&examples::on_timeline(&touchpoint));
    }

    #[test]
    fn alerts_are_the_same_in_json_and_avro(words in prop::collection::vec(".*", 3), day: i32, at: i64, figure: f64, all: bool) {
        use crate::model::{Acknowledgement, Alert, AlertState, Day, EventTime};
        let acknowledged = Acknowledgement { number: 1, at: EventTime(at), by: words[0].clone() };
        let alert = Alert {
            owner: &words[1],
            thing: all.then_some(crate::model::Identifier { kind: crate::model::IdentifierType::Case, value: &words[2] }),
            since: Day(day),
            happened_at: all.then_some(EventTime(at)),
            figures: [("score", figure)].into(),
            acknowledged: all.then_some(acknowledged),
            state: AlertState::ALL[usize::from(all)],
            ..if all { examples::alert() } else { examples::alert_of_metric() }
        };
        check_formats_agree::<Alerts>(&alert);
    }

    #[test]
    fn metrics_are_the_same_in_json_and_avro(parts in generators::metric()) {
        check_formats_agree::<Metrics>(&parts.metric());
    }

    #[test]
    fn accounts_of_spokes_are_the_same_in_json_and_avro(record in generators::spoke_account()) {
        check_formats_agree::<Spokes>(&record);
    }

    #[test]
    fn definitions_are_the_same_in_json_and_avro(words in prop::collection::vec(".*", 8), version: u32) {
        let entry = crate::model::CatalogueEntry {
            metric: &words[0],
            title: &words[1],
            unit: &words[2],
            formula: &words[3],
            inclusion: &words[4],
            counted_at: &words[5],
            source: &words[6],
            dimensions: words[6..].iter().map(String::as_str).collect(),
            version,
        };
        check_formats_agree::<Definitions>(&CatalogueRecord::Metric(entry));
    }

    #[test]
    fn readers_refuse_broken_values_without_panic(bytes: Vec<u8>, cut in 0_usize..400) {
        for feed in Feed::ALL {
            let reader = Reader::new(feed);
            let _ = reader.read(&bytes);
            let codec = SingleObject::parse(feed.description().schema).expect("valid");
            let marked = [&[0xC3, 0x01][..], &codec.fingerprint().to_le_bytes(), &bytes].concat();
            let _ = reader.read(&marked);
        }
        let avro = encoded::<Customers>(FeedFormat::AvroSingleObject, &examples::customer());
        prop_assert!(Reader::new(Feed::Customers).read(&avro[..cut.min(avro.len() - 1)]).is_err());
    }
}

#[test]
fn numbers_that_json_cannot_write_are_left_out_of_both_formats() {
    let mut customer = examples::customer();
    customer.monetary_value.insert("USD".into(), f64::NAN);
    customer.first_response_time.mean_seconds = Some(f64::INFINITY);
    if let Some(sentiment) = &mut customer.sentiment {
        sentiment.mean = f64::NAN;
    }
    check_formats_agree::<Customers>(&customer);
    let text = encoded::<Customers>(FeedFormat::Json, &customer);
    let value: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(value["sentiment"]["mean"], Value::Null);
    assert_eq!(value["first_response_time"]["mean_seconds"], Value::Null);
    assert_eq!(value["monetary_value"].as_object().expect("a map").len(), 1);
}

#[test]
fn every_feed_has_a_schema_file_a_golden_file_and_a_row_that_agrees_with_itself() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut topics = BTreeSet::new();
    for feed in Feed::ALL {
        let row = feed.description();
        assert!(root.join(format!("schemas/{}.avsc", row.suffix)).is_file());
        assert!(root.join(format!("tests/fixtures/feeds/{}.json", row.suffix)).is_file());
        assert_eq!(root.join(format!("tests/fixtures/feeds/{}.avro.hex", row.suffix)).is_file(), row.encoded);
        assert_eq!(row.topic, format!("{TOPIC_PREFIX}{}", row.suffix));
        assert_eq!(Feed::parse(row.suffix), Some(feed));
        assert_eq!(Feed::parse(row.topic), Some(feed));
        assert_eq!(row.event_type, format!("org.insight-hub.{}.v1", row.suffix));
        assert!(topics.insert(row.topic));
        assert!(row.schema.contains(&format!("Feed {}:", row.topic)), "the schema says which feed it is of");
    }
    assert_eq!(Feed::parse("insight.nothing"), None);
}

#[test]
fn every_field_of_every_schema_has_a_doc_and_all_but_names_have_a_default() {
    fn walk(schema: &Value, seen: &mut usize) {
        match schema {
            Value::Object(object) => {
                if object.get("type").and_then(Value::as_str) == Some("record") {
                    assert!(schema["doc"].is_string(), "record {} has no doc", name(schema));
                    for field in schema["fields"].as_array().expect("fields") {
                        *seen += 1;
                        assert!(field["doc"].as_str().is_some_and(|doc| doc.ends_with(['.', '…'])), "doc of {field}");
                        let names = ["person", "spoke", "id", "metric", "window"];
                        assert!(field.get("default").is_some() || names.contains(&name(field)), "default of {field}");
                        walk(&field["type"], seen);
                    }
                } else {
                    object.values().for_each(|inner| walk(inner, seen));
                }
            }
            Value::Array(branches) => branches.iter().for_each(|branch| walk(branch, seen)),
            _ => {}
        }
    }
    let mut seen = 0;
    for feed in Feed::ALL {
        walk(&serde_json::from_str(feed.description().schema).expect("JSON"), &mut seen);
    }
    assert!(seen > 90, "the walk saw {seen} fields");
}

#[test]
fn schemas_are_fully_compatible_with_their_first_version_and_with_an_evolved_copy() {
    for feed in Feed::ALL {
        let row = feed.description();
        let codec = SingleObject::parse(row.schema).expect("valid");
        assert_eq!(codec.fingerprint(), reference::fingerprint(row.schema));
        let first = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/feeds/first/");
        let first = std::fs::read_to_string(format!("{first}{}.avsc", row.suffix)).expect("every feed's first schema");
        reference::fully_compatible(&first, row.schema).expect("a published feed may only evolve");

        let mut evolved: Value = serde_json::from_str(row.schema).expect("JSON");
        let fields = evolved["fields"].as_array_mut().expect("fields");
        let last = fields.len() - 1;
        fields.remove(last);
        fields.push(json!({"name": "later", "type": ["null", "string"], "default": null}));
        reference::fully_compatible(&evolved.to_string(), row.schema).expect("fields with defaults may come and go");

        evolved["fields"].as_array_mut().expect("fields").push(json!({"name": "needed", "type": "string"}));
        reference::fully_compatible(&evolved.to_string(), row.schema).expect_err("the check can fail");
    }
}

#[test]
fn headers_name_format_schema_and_event() {
    let encoder = Encoder::<Metrics>::new(FeedFormat::AvroSingleObject, "https://hub.example.org/one");
    let mut encoder_again = Encoder::<Metrics>::new(FeedFormat::AvroSingleObject, "https://hub.example.org/one");
    let bytes = encoder_again.encode(&examples::metric()).to_vec();
    let fingerprint = u64::from_le_bytes(bytes[2..10].try_into().expect("eight bytes"));
    let headers: Vec<(&str, &str)> =
        encoder.feed_headers().iter().map(|(name, value)| (*name, std::str::from_utf8(value).expect("text"))).collect();
    let schema = format!("org.insight_hub.feeds.Metric#{fingerprint:016x}");
    assert_eq!(
        headers,
        [
            ("content-type", "avro/binary"),
            ("schema", schema.as_str()),
            ("ce_specversion", "1.0"),
            ("ce_type", "org.insight-hub.metrics.v1"),
            ("ce_source", "https://hub.example.org/one"),
        ]
    );
    assert_eq!(FeedFormat::parse("json"), Some(FeedFormat::Json));
    assert_eq!(FeedFormat::parse("avro"), Some(FeedFormat::AvroSingleObject));
    assert_eq!(FeedFormat::parse("xml"), None);
}

#[test]
fn event_ids_repeat_with_a_repeated_commit_and_with_nothing_else() {
    let publications: [(&[u8], u64, Option<&[u8]>); 7] = [
        (b"ann", 1, Some(b"value")),
        // The value comes back later: another event.
        (b"ann", 3, Some(b"value")),
        (b"ann", 1, Some(b"other")),
        (b"bob", 1, Some(b"value")),
        (b"ann", 1, None),
        (b"ann", 1, Some(b"")),
        (b"an", 1, Some(b"nvalue")),
    ];
    let identify = || publications.map(|(key, sequence, value)| event_id(key, sequence, value));
    assert_eq!(identify(), identify());
    assert_eq!(BTreeSet::from(identify()).len(), publications.len());
    assert!(identify().as_flattened().iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
}
