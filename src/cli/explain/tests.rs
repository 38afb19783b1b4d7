//! Feeds and departments' topics in; what is found of an id, and the answer, out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::*;
use crate::{
    engine::log::{LogError, outside::Next},
    feeds::DeadLetter,
    ingest::{self, SpokeFile},
    model::Reason,
};

struct Fixed(VecDeque<CommittedRecord>);

impl FeedRead for Fixed {
    fn next(&mut self, _: Duration) -> Result<Next, LogError> {
        Ok(self.0.pop_front().map_or(Next::End, Next::Record))
    }
}

fn record(key: &str, value: Option<&str>) -> CommittedRecord {
    CommittedRecord {
        partition: 0,
        offset: 0,
        timestamp_ms: 1_769_850_000_000,
        key: key.as_bytes().to_vec(),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

const LETTER: DeadLetter<'static> = DeadLetter {
    topic: "shop.events",
    partition: 0,
    offset: 0,
    timestamp_ms: 1_769_850_000_000,
    touchpoint: 0,
    spoke: "shop",
    reason: Reason::MissingField,
    field: "at",
    message: "send it",
    source_key: None,
};

fn rejected(offset: i64, value: &str) -> CommittedRecord {
    rejected_as(&DeadLetter { offset, ..LETTER }, value, &[])
}

fn rejected_as(letter: &DeadLetter<'_>, value: &str, headers: &[(&str, &str)]) -> CommittedRecord {
    let mut record = record(&letter.key(), Some(value));
    record.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
    letter.headers(|name, value| record.headers.push((name.to_owned(), value.to_vec())));
    record
}

fn compiled(file: &str) -> Spoke {
    let file = SpokeFile::parse("shop", file).expect("a mapping");
    Spoke::compile(&file, ingest::Options::default(), &Arc::default()).expect("a mapping")
}

/// Each parcel of a record is a touchpoint.
const PARCELS: &str = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nid = \"id\"\neach = \"parcels\"\n\
                       occurred_at = { path = \".at\", format = \"epoch_s\" }\nkind = { constant = \"visit_made\" }\n\
                       identifiers = { email = \"mail\" }\n";
const MIXED: &str = r#"{"id":"K-1","mail":"ann@x.org","parcels":[{"at":1769850000},{"at":"soon"}]}"#;

#[test]
fn a_records_id_finds_the_touchpoints_of_its_elements() {
    let records = [
        record("p|shop|K-1#1", Some("{\"kind\":\"visit_made\"}")),
        record("p|shop|K-1#2", Some("{\"kind\":\"visit_made\"}")),
        record("p|shop|K-11#1", Some("{}")),
        record("p|shop|K-1", None),
    ];
    let found = |id: &str, records: &[CommittedRecord]| {
        let mut findings = Findings::default();
        findings
            .read_touchpoints(
                &mut Fixed(records.to_vec().into()),
                &Reader::new(Feed::Touchpoints),
                &Sought::new(id, None),
            )
            .expect("a feed");
        (findings.timelines.values().map(|found| found.id.clone()).collect::<Vec<_>>(), findings.answer())
    };
    let mut of_whole = Findings::default();
    let sought = Sought { whole: vec!["shop".to_owned()], ..Sought::new("K-1", None) };
    of_whole
        .read_touchpoints(&mut Fixed(records.to_vec().into()), &Reader::new(Feed::Touchpoints), &sought)
        .expect("a feed");
    assert!(
        of_whole.timelines.keys().all(|key| key == "p|shop|K-1"),
        "the department's own: {:?}",
        of_whole.timelines.keys()
    );
    let (ids, answer) = found("K-1", &records[..3]);
    assert_eq!(ids, ["K-1#1", "K-1#2"]);
    assert_eq!(answer, "it counts: 2 element(s) of it are on the timeline of 1 person(s)");
    assert_eq!(found("K-1#2", &records).0, ["K-1#2"]);
    assert_eq!(found("K-1", &records[3..]).0, ["K-1"]);
}

#[test]
fn a_records_id_finds_the_arrivals_of_its_elements() {
    let spoke = compiled(PARCELS);
    let twice = r#"{"id":"K-1","mail":"ann@x.org","parcels":[{"at":1769850000},{"at":1769850001}]}"#;
    let other = twice.replace("K-1", "K-11");
    let found = |id: &str| {
        let mut findings = Findings::default();
        let mut log = Fixed([twice, twice, &other].map(|event| record("", Some(event))).into());
        findings.read_arrivals(&mut log, &Sought::new(id, None), &spoke).expect("a topic");
        let shown = findings.arrivals.iter().map(|arrival| (arrival.id.clone(), arrival.what.clone()));
        shown.collect::<Vec<_>>()
    };
    let (counts, again) = ("the one that counts".to_owned(), "a duplicate".to_owned());
    let all = [("K-1#1", &counts), ("K-1#2", &counts), ("K-1#1", &again), ("K-1#2", &again)];
    assert_eq!(found("K-1"), all.map(|(id, what)| (id.to_owned(), what.clone())));
    assert_eq!(found("K-1#2"), [("K-1#2".to_owned(), counts), ("K-1#2".to_owned(), again)]);
}

#[test]
fn an_elements_id_finds_its_dead_letter_by_the_id_of_its_record() {
    let spokes = SpokeSet::new([compiled(PARCELS)]).expect("one spoke");
    let refused = r#"{"id":"K-4","mail":"ann@x.org","parcels":[{"at":"soon"}]}"#;
    // The first element is taken and the second is not.
    let second = DeadLetter { offset: 1, touchpoint: 1, ..LETTER };
    let found = |id: &str| {
        let mut findings = Findings::default();
        let mut log = Fixed(vec![rejected(0, refused), rejected_as(&second, MIXED, &[])].into());
        findings.read_rejected(&mut log, &Sought::new(id, None), &spokes).expect("a feed");
        let shown = findings.rejected.iter().map(|found| (found.letter.origin.offset, found.by, found.now.clone()));
        shown.collect::<Vec<_>>()
    };
    let bad = || "rejected: bad_timestamp".to_owned();
    assert_eq!(found("K-4#1"), [(0, "its id stands in the record", bad())]);
    assert_eq!(found("K-4"), [(0, "its id stands in the record", bad())]);
    assert_eq!(found("K-1"), [(1, "the id of another element of its record", bad())]);
    assert_eq!(found("K-1#2"), [(1, "its id stands in the record", bad())]);
    assert_eq!(found("K-1#1"), [], "that one was taken");
    assert_eq!(found("K-9#1"), []);
    // Of a department without elements, what stands before a number sign is nobody's id.
    let whole = PARCELS.replace("each = \"parcels\"\n", "").replace("\".at\"", "\"at\"");
    let whole = SpokeSet::new([compiled(&whole)]).expect("one spoke");
    let mut findings = Findings::default();
    let mut log = Fixed(vec![rejected(0, refused)].into());
    findings.read_rejected(&mut log, &Sought::new("K-4#1", None), &whole).expect("a feed");
    assert!(findings.rejected.is_empty());
}

#[test]
fn a_record_that_was_taken_in_part_says_both() {
    let spokes = SpokeSet::new([compiled(PARCELS)]).expect("one spoke");
    let sought = Sought::new("K-1", None);
    let mut findings = Findings::default();
    let feed = vec![record("p|shop|K-1#1", Some("{\"kind\":\"visit_made\"}"))];
    findings.read_touchpoints(&mut Fixed(feed.into()), &Reader::new(Feed::Touchpoints), &sought).expect("a feed");
    let second = DeadLetter { touchpoint: 1, ..LETTER };
    let letters = vec![rejected_as(&second, MIXED, &[])];
    findings.read_rejected(&mut Fixed(letters.into()), &sought, &spokes).expect("a feed");
    assert_eq!(
        findings.answer(),
        "it counts in part: 1 element(s) of it are on the timeline of 1 person(s), others were rejected"
    );
    // Once the mapping takes the second one too, the letter is one of the past.
    findings.rejected[0].now = "accepted".to_owned();
    assert!(findings.answer().starts_with("it counts now, "), "{}", findings.answer());
}

#[test]
fn an_id_in_the_key_or_in_a_header_finds_its_dead_letter() {
    let of = |id: &str| {
        SpokeSet::new([compiled(&format!(
            "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nid = \"{id}\"\n\
             occurred_at = {{ path = \"at\", format = \"epoch_s\" }}\nkind = {{ constant = \"visit_made\" }}\n\
             identifiers = {{ email = \"mail\" }}\n"
        ))])
        .expect("one spoke")
    };
    let keyed = DeadLetter { source_key: Some(b"O-7"), ..LETTER };
    let letters = [
        rejected_as(&keyed, r#"{"at":"soon"}"#, &[]),
        rejected_as(&DeadLetter { offset: 1, ..LETTER }, r#"{"at":"soon"}"#, &[("ce_id", "O-8"), ("ce_type", "O-9")]),
    ];
    let found = |spokes: &SpokeSet, id: &str| {
        let mut findings = Findings::default();
        findings.read_rejected(&mut Fixed(letters.to_vec().into()), &Sought::new(id, None), spokes).expect("a feed");
        findings.rejected.iter().map(|found| (found.letter.origin.offset, found.by)).collect::<Vec<_>>()
    };
    assert_eq!(found(&of("@key"), "O-7"), [(0, "its id stands in the record's key")]);
    assert_eq!(found(&of("@header:ce_id"), "O-8"), [(1, "its id stands in the record's headers")]);
    assert_eq!(found(&of("@header:ce_id"), "O-"), []);
    // What the hub itself wrote beside the department's headers is not searched.
    assert_eq!(found(&of("@header:ce_id"), "missing_field"), []);
}

#[test]
fn timelines_are_those_of_the_id_and_conflicts_show_in_their_changes() {
    let records = [
        record("p|shop|O%7C1", Some("{\"kind\":\"visit_made\"}")),
        record("p|shop|O%7C1", Some("{\"kind\":\"visit_made\"}")),
        record("p|shop|O%7C1", Some("{\"kind\":\"order_placed\"}")),
        record("q|web|O%7C1", Some("{\"kind\":\"page_viewed\"}")),
        record("q|web|O%7C1", None),
        record("p|shop|O%7C12", Some("{}")),
    ];
    let mut all = Findings::default();
    all.read_touchpoints(
        &mut Fixed(records.clone().into()),
        &Reader::new(Feed::Touchpoints),
        &Sought::new("O|1", None),
    )
    .expect("a feed");
    assert_eq!(all.timelines.len(), 2);
    let (shop, web) = (&all.timelines["p|shop|O%7C1"], &all.timelines["q|web|O%7C1"]);
    assert_eq!((shop.changes, shop.field("kind"), web.changes), (1, "order_placed", 0));
    assert!(web.current.is_none() && all.answer().contains("1 person(s)"));
    let mut of_web = Findings::default();
    of_web
        .read_touchpoints(&mut Fixed(records.into()), &Reader::new(Feed::Touchpoints), &Sought::new("O|1", Some("web")))
        .expect("a feed");
    assert!(of_web.answer().contains("withdrawn"));
}

#[test]
fn dead_letters_are_recognised_by_position_and_by_the_text_of_the_id() {
    let letters = [rejected(7, "{\"number\":\"O-1\"}"), rejected(8, "{\"number\":\"O-10\"}")];
    let found = |id: &str, spoke| {
        let mut findings = Findings::default();
        let mut log = Fixed(letters.clone().into());
        findings.read_rejected(&mut log, &Sought::new(id, spoke), &SpokeSet::default()).expect("a feed");
        findings.rejected.iter().map(|found| found.letter.origin.offset).collect::<Vec<_>>()
    };
    assert_eq!(found("O-1", None), [7]);
    assert_eq!(found("shop.events-0-8", Some("shop")), [8]);
    assert_eq!(found("shop.events|0|8", None), [8]);
    assert!(found("O-1", Some("web")).is_empty() && found("O", None).is_empty());
}

#[test]
fn what_the_condition_leaves_out_is_recognised_by_the_text_of_the_id() {
    let file =
        "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"touchpoint-json\"\ncondition = \"kind != 'other'\"";
    let file = SpokeFile::parse("shop", file).expect("a mapping");
    let spoke = Spoke::compile(&file, ingest::Options::default(), &Arc::default()).expect("a mapping");
    let events = ["{\"id\":\"O-1\",\"kind\":\"other\"}", "{\"id\":\"O-2\",\"kind\":\"other\"}"];
    let mut findings = Findings::default();
    let mut log = Fixed(events.map(|event| record("", Some(event))).into());
    findings.read_arrivals(&mut log, &Sought::new("O-1", None), &spoke).expect("a topic");
    let words: Vec<&str> = findings.arrivals.iter().map(|arrival| &*arrival.what).collect();
    assert_eq!(words, ["skipped by the condition (its id stands in the record)"]);
    assert!(findings.answer().contains("the condition of its mapping as it is now leaves it out"));
    let json = findings.as_json(&Sought::new("O-1", None), &[]);
    assert!(json["arrivals"][0]["content"].is_null(), "{json}");
}

#[test]
fn a_list_without_elements_is_recognised_by_the_text_of_the_id() {
    let file = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nid = \"id\"\neach = \"parcels\"\n\
                occurred_at = { path = \"at\", format = \"rfc3339\" }\nkind = { constant = \"visit_made\" }\n\
                identifiers = { email = \"mail\" }\n";
    let file = SpokeFile::parse("shop", file).expect("a mapping");
    let spoke = Spoke::compile(&file, ingest::Options::default(), &Arc::default()).expect("a mapping");
    let events = ["{\"id\":\"O-1\",\"parcels\":[]}", "{\"id\":\"O-2\",\"parcels\":[]}"];
    let mut findings = Findings::default();
    let mut log = Fixed(events.map(|event| record("", Some(event))).into());
    findings.read_arrivals(&mut log, &Sought::new("O-1", None), &spoke).expect("a topic");
    let words: Vec<&str> = findings.arrivals.iter().map(|arrival| &*arrival.what).collect();
    assert_eq!(words, ["skipped, its list has no elements (its id stands in the record)"]);
    assert!(findings.answer().starts_with("it came, and its list"), "{}", findings.answer());
}

/// Nothing tells it from what the hub has yet to read, so that it must be said.
#[test]
fn what_is_in_no_feed_may_be_of_somebody_who_was_erased() {
    let arrival = Arrival {
        spoke: "shop".into(),
        id: String::new(),
        position: String::new(),
        timestamp_ms: 0,
        content: Ok(7),
        what: String::new(),
    };
    let findings = Findings { arrivals: vec![arrival], ..Findings::default() };
    assert!(findings.answer().ends_with("or it is of somebody who was erased"), "{}", findings.answer());
    for arrivals in [false, true] {
        let unknown = unknown(&Settings::default(), arrivals).join("\n");
        assert!(unknown.contains("somebody who was erased"), "{unknown}");
    }
}

#[test]
fn an_id_is_found_as_a_word_of_its_own() {
    assert!(holds(br#"{"id":"O-1","x":2}"#, b"O-1", true));
    assert!(holds(br#"{"id":12}"#, b"12", true));
    assert!(!holds(br#"{"id":"O-12"}"#, b"O-1", true) && !holds(br#"{"id":"XO-1"}"#, b"O-1", true));
    assert!(holds(b"\x06O-1\x02", b"O-1", false) && holds(b"4O-1", b"O-1", false));
    assert!(!holds(b"", b"O-1", true) && !holds(b"O-1", b"", true));
}

#[test]
fn of_arrivals_one_counts() {
    let arrival = |content| Arrival {
        spoke: "shop".into(),
        id: "1".into(),
        position: String::new(),
        timestamp_ms: 0,
        content,
        what: String::new(),
    };
    let mut arrivals = [Ok(7), Err(Skip::Condition), Ok(3), Ok(3), Ok(9)].map(arrival);
    judge_arrivals(&mut arrivals);
    let words: Vec<&str> = arrivals.iter().map(|arrival| &arrival.what[..8]).collect();
    assert_eq!(words, ["conflict", "skipped ", "the one ", "a duplic", "conflict"]);
}

#[test]
fn the_answer_follows_from_what_was_found() {
    let mut findings = Findings::default();
    assert_eq!(findings.answer(), "nothing is known of it");
    findings.timelines.insert("p|shop|1".into(), OnTimeline::default());
    assert!(findings.answer().contains("withdrawn"));
    let counts = OnTimeline { current: Some(json!({"kind": "visit_made"})), changes: 1, ..OnTimeline::default() };
    assert!(counts.row().iter().any(|cell| cell.starts_with("conflicting")));
    findings.timelines.insert("q|shop|1".into(), counts);
    assert!(findings.answer().contains("1 person(s)"));
    let json = findings.as_json(&Sought::new("1", None), &unknown(&Settings::default(), false));
    assert_eq!(json["timelines"].as_array().map(Vec::len), Some(2));
    assert!(json["cannot_be_known"].to_string().contains("--arrivals"));
}
