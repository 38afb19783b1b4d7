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

fn rejected(offset: i64, value: &str) -> CommittedRecord {
    let letter = DeadLetter {
        topic: "shop.events",
        partition: 0,
        offset,
        timestamp_ms: 0,
        touchpoint: 0,
        spoke: "shop",
        reason: Reason::MissingField,
        field: "at",
        message: "send it",
        source_key: None,
    };
    let mut record = record(&letter.key(), Some(value));
    letter.headers(|name, value| record.headers.push((name.to_owned(), value.to_vec())));
    record
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
    all.read_touchpoints(&mut Fixed(records.clone().into()), &Sought::new("O|1", None)).expect("a feed");
    assert_eq!(all.timelines.len(), 2);
    let (shop, web) = (&all.timelines["p|shop|O%7C1"], &all.timelines["q|web|O%7C1"]);
    assert_eq!((shop.changes, shop.field("kind"), web.changes), (1, "order_placed", 0));
    assert!(web.current.is_none() && all.answer().contains("1 person(s)"));
    let mut of_web = Findings::default();
    of_web.read_touchpoints(&mut Fixed(records.into()), &Sought::new("O|1", Some("web"))).expect("a feed");
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
    let arrival =
        Arrival { spoke: "shop".into(), position: String::new(), timestamp_ms: 0, content: Ok(7), what: String::new() };
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
