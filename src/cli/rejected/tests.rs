//! Dead letters in; lists, records and replays out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use super::*;
use crate::{
    cli::exit::Exit,
    engine::log::{
        LogError,
        outside::{CommittedRecord, Next, RecordRead, SpokeAppend, SpokeRecord},
    },
    feeds::{self, DeadLetter, Enclosed, REPLAY_OF, REPLAY_TIMESTAMP},
    ingest::{self, Spoke, SpokeFile, SpokeSet},
    model::Reason,
    wire::Schemas,
};

/// 2026-01-31T09:00:00Z.
const AT: i64 = 1_769_850_000_000;

struct Fixed(VecDeque<CommittedRecord>);

impl FeedRead for Fixed {
    fn next(&mut self, _: Duration) -> Result<Next, LogError> {
        Ok(self.0.pop_front().map_or(Next::End, Next::Record))
    }
}

#[derive(Debug, PartialEq)]
struct Sent {
    key: Option<Vec<u8>>,
    payload: String,
    timestamp_ms: i64,
    headers: Vec<(String, String)>,
}

#[derive(Default)]
struct Topic {
    sent: Vec<Sent>,
    flushed: bool,
}

impl SpokeAppend for Topic {
    fn send_record(&mut self, record: &SpokeRecord<'_>) -> Result<(), LogError> {
        assert_eq!(record.topic, "shop.events");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        self.sent.push(Sent {
            key: record.key.map(<[u8]>::to_vec),
            payload: text(record.payload.unwrap_or_default()),
            timestamp_ms: record.timestamp_ms,
            headers: record.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
        });
        self.flushed = false;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.flushed = true;
        Ok(())
    }
}

/// What departments' topics still have: (partition, offset) → record.
#[derive(Default)]
struct Kept(BTreeMap<(i32, i64), CommittedRecord>);

impl RecordRead for Kept {
    fn record(&mut self, topic: &str, partition: i32, offset: i64) -> Result<Option<CommittedRecord>, LogError> {
        assert_eq!(topic, "shop.events");
        Ok(self.0.get(&(partition, offset)).cloned())
    }
}

fn spokes(id: &str) -> SpokeSet {
    let file = format!(
        "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nid = {id:?}\n\
         occurred_at = {{ path = \"at\", format = \"rfc3339\" }}\nkind = {{ constant = \"visit_made\" }}\n\
         identifiers = {{ email = \"mail\" }}\n"
    );
    let file = SpokeFile::parse("shop", &file).expect("a mapping");
    let spoke = Spoke::compile(&file, ingest::Options::default(), &Arc::new(Schemas::default()));
    SpokeSet::new([spoke.expect("a mapping")]).expect("one spoke")
}

/// A dead letter that was rejected `minute` minutes after the record came.
fn letter(topic: &str, offset: i64, reason: Reason, minute: i64, payload: &str) -> CommittedRecord {
    let letter = DeadLetter {
        topic,
        partition: 1,
        offset,
        timestamp_ms: AT,
        touchpoint: 0,
        spoke: topic.split('.').next().expect("a name"),
        reason,
        field: "when",
        message: "send a time",
        source_key: Some(b"k"),
    };
    let mut headers = vec![("trace".to_owned(), b"17".to_vec()), (REPLAY_OF.to_owned(), b"an older replay".to_vec())];
    letter.headers(|name, value| headers.push((name.to_owned(), value.to_vec())));
    CommittedRecord {
        partition: 0,
        offset,
        timestamp_ms: AT + minute * 60_000,
        key: letter.key().into_bytes(),
        value: Some(payload.as_bytes().to_vec()),
        headers,
    }
}

fn letters() -> Fixed {
    let good = r#"{"id":"V1","at":"2026-01-31T08:00:00Z","mail":"ann@example.org"}"#;
    let late = r#"{"id":"V2","at":"2026-02-03T08:00:00Z","mail":"bob@example.org"}"#;
    let mut foreign = letter("shop.events", 9, Reason::Undecodable, 9, "");
    foreign.headers.clear();
    Fixed(VecDeque::from([
        letter("shop.events", 1, Reason::BadTimestamp, 1, good),
        // The same record, rejected twice: it goes back once.
        letter("shop.events", 1, Reason::MissingField, 1, good),
        letter("shop.events", 2, Reason::BadTimestamp, 2, late),
        letter("shop.events", 3, Reason::Undecodable, 3, "\u{1b}[2Jno JSON"),
        letter("gone.events", 4, Reason::UnknownKind, 4, good),
        foreign,
    ]))
}

fn listed(filter: &FilterArguments, summary: bool, format: Format) -> String {
    let mut output = Vec::new();
    list::list(&mut letters(), filter, summary, format, &mut output).expect("a list");
    String::from_utf8(output).expect("text")
}

#[test]
fn a_list_says_where_and_why_and_nothing_of_the_records() {
    let document: Value =
        serde_json::from_str(&listed(&FilterArguments::default(), false, Format::Json)).expect("a document");
    assert_eq!(document["letters"].as_array().map(Vec::len), Some(5));
    assert_eq!(document["letters"][0]["position"], "shop.events|1|1");
    assert_eq!(document["letters"][0]["timestamp"], "2026-01-31T09:00:00.000Z");
    assert_eq!(document["letters"][0]["rejected_at"], "2026-01-31T09:01:00.000Z");
    assert_eq!(document["foreign"], 1);
    let summary = document["summary"].as_array().expect("counts");
    let count = |spoke: &str, reason: &str| {
        let row = summary.iter().find(|row| row["spoke"] == spoke && row["reason"] == reason);
        row.and_then(|row| row["count"].as_u64())
    };
    assert_eq!(count("shop", "bad_timestamp"), Some(2));
    assert_eq!(count("gone", "unknown_kind"), Some(1));
    for format in [Format::Table, Format::Json, Format::Jsonl] {
        let text = listed(&FilterArguments::default(), false, format);
        assert!(text.contains("shop.events|1|3") && !text.contains("ann@") && !text.contains('\u{1b}'), "{text}");
    }
    assert_eq!(listed(&FilterArguments::default(), false, Format::Jsonl).lines().count(), 5);
    assert_eq!(listed(&FilterArguments::default(), true, Format::Jsonl).lines().count(), 4);
    assert!(!listed(&FilterArguments::default(), true, Format::Table).contains("shop.events"));
}

#[test]
fn filters_go_together() {
    let count = |filter: FilterArguments| listed(&filter, false, Format::Jsonl).lines().count();
    let all = FilterArguments::default;
    assert_eq!(count(FilterArguments { spoke: vec!["shop".into()], ..all() }), 4);
    assert_eq!(count(FilterArguments { reason: vec![Reason::BadTimestamp, Reason::UnknownKind], ..all() }), 3);
    assert_eq!(count(FilterArguments { since: Some(AT + 120_000), until: Some(AT + 240_000), ..all() }), 2);
    let none = FilterArguments { spoke: vec!["shop".into()], reason: vec![Reason::UnknownKind], ..all() };
    assert_eq!(count(none.clone()), 0);
    assert!(listed(&none, false, Format::Table).contains("no dead letters"));
}

#[test]
fn one_letter_is_shown_with_the_record_as_it_came() {
    let shown = |position: &str, format| {
        let mut output = Vec::new();
        let key = show::key(position)?;
        show::show(&mut letters(), &key, format, &mut output)?;
        Ok::<_, Failure>(String::from_utf8(output).expect("text"))
    };
    let text = shown("shop.events:1:1", Format::Table).expect("it is there");
    assert!(
        text.contains("bad_timestamp") && text.contains("missing_field") && text.contains("ann@example.org"),
        "{text}"
    );
    assert!(text.contains("header trace"), "{text}");
    let json: Value =
        serde_json::from_str(&shown("shop.events|1|1", Format::Json).expect("it is there")).expect("JSON");
    assert_eq!(json["letters"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["record"]["key_text"], "k");
    assert!(json["record"]["value_text"].as_str().is_some_and(|text| text.contains("V1")));
    let text = shown("shop.events:1:3", Format::Table).expect("it is there");
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J"), "{text}");
    assert_eq!(shown("shop.events:1:77", Format::Table).expect_err("nothing there").exit, Exit::Failure);
    for wrong in ["shop.events", "shop.events:1", ":1:1", "shop.events:a:1", ""] {
        assert_eq!(shown(wrong, Format::Table).expect_err(wrong).exit, Exit::Usage);
    }
}

fn replayed(id: &str, filter: &FilterArguments, topic: Option<&mut Topic>, format: Format) -> String {
    let mut output = Vec::new();
    let appender = topic.map(|topic| topic as &mut dyn SpokeAppend);
    let mut ways = replay::Ways { records: &mut Kept::default(), appender };
    let history = history::History::default();
    replay::replay(&spokes(id), &history, &mut letters(), &mut ways, filter, format, &mut output).expect("a replay");
    String::from_utf8(output).expect("text")
}

#[test]
fn what_the_mapping_takes_now_goes_back_as_it_came() {
    let mut topic = Topic::default();
    let text = replayed("id", &FilterArguments::default(), Some(&mut topic), Format::Json);
    let report: Value = serde_json::from_str(&text).expect("a document");
    assert_eq!((&report["count"], &report["records_sent"], &report["foreign"]), (&5.into(), &1.into(), &1.into()));
    let count = |result: &str| {
        let rows = report["summary"].as_array().expect("counts");
        rows.iter().find(|row| row["result"] == result).and_then(|row| row["count"].as_u64())
    };
    assert_eq!(count("accepted"), Some(2));
    // The time that it is judged by is the record's first, and not that of the replay.
    assert_eq!(count("still rejected: too_far_in_future"), Some(1), "{text}");
    assert_eq!(count("still rejected: undecodable"), Some(1));
    assert_eq!(count("no spoke reads its topic"), Some(1));
    let [sent] = &topic.sent[..] else { panic!("one record: {:?}", topic.sent) };
    assert!(topic.flushed && sent.payload.contains("V1") && sent.timestamp_ms > AT);
    assert_eq!(sent.key.as_deref(), Some(&b"k"[..]));
    let expected = [("trace", "17"), (REPLAY_OF, "shop.events|1|1"), (REPLAY_TIMESTAMP, "1769850000000")];
    assert_eq!(sent.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_dry_run_says_what_each_becomes_and_names_nobody() {
    for format in [Format::Table, Format::Json, Format::Jsonl] {
        let text = replayed("position", &FilterArguments::default(), None, format);
        assert!(text.contains("visit_made") && text.contains("shop.events-1-1"), "{text}");
        assert!(text.contains("too_far_in_future") && !text.contains("example.org"), "{text}");
    }
    let lines = replayed("id", &FilterArguments::default(), None, Format::Jsonl);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!((&lines[0]["replayed"], &lines[2]["replayed"]), (&true.into(), &false.into()));
    assert_eq!(lines[0]["becomes"][0]["touchpoint"]["identifiers"]["email"][0], "***");
    assert_eq!(lines[2]["becomes"][0]["reason"], "too_far_in_future");
    let filter = FilterArguments { reason: vec![Reason::Undecodable], ..FilterArguments::default() };
    assert!(replayed("id", &filter, None, Format::Table).contains("nothing to replay"));
}

/// A spoke of parcels, and what is made of its dead letters: what is said of each, and how many records go back.
fn replayed_parcels(letters: &[CommittedRecord]) -> (Vec<String>, usize) {
    let file = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nid = \"id\"\neach = \"parcels\"\n\
                occurred_at = { path = \".at\", format = \"rfc3339\" }\nkind = { constant = \"visit_made\" }\n\
                amount = { value = \".price\", unit = \"major\", currency = { constant = \"EUR\" } }\n\
                identifiers = { email = \"mail\" }\n";
    let file = SpokeFile::parse("shop", file).expect("a mapping");
    let spoke = Spoke::compile(&file, ingest::Options::default(), &Arc::new(Schemas::default()));
    let spokes = SpokeSet::new([spoke.expect("a mapping")]).expect("one spoke");
    let log = || Fixed(letters.to_vec().into());
    let history = history::History::read(&mut log()).expect("a feed");
    let run = |topic: Option<&mut Topic>| {
        let mut output = Vec::new();
        let appender = topic.map(|topic| topic as &mut dyn SpokeAppend);
        let mut ways = replay::Ways { records: &mut Kept::default(), appender };
        let all = FilterArguments::default();
        replay::replay(&spokes, &history, &mut log(), &mut ways, &all, Format::Jsonl, &mut output).expect("a replay");
        String::from_utf8(output).expect("text")
    };
    let mut topic = Topic::default();
    run(Some(&mut topic));
    let result = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["result"].as_str().map(str::to_owned);
    (run(None).lines().filter_map(result).collect(), topic.sent.len())
}

fn parcels(list: &str) -> String {
    format!(r#"{{"id":"P1","mail":"ann@example.org","parcels":[{list}]}}"#)
}

/// A letter about one of the parcels; `replays`: it came back from so many replays before.
fn parcel_letter(touchpoint: u32, reason: Reason, field: &str, replays: usize, payload: &str) -> CommittedRecord {
    let letter = DeadLetter {
        topic: "shop.events",
        partition: 1,
        offset: 7,
        timestamp_ms: AT,
        touchpoint,
        spoke: "shop",
        reason,
        field,
        message: "mend it",
        source_key: None,
    };
    let mut headers = Vec::new();
    if replays > 0 {
        headers.push((REPLAY_OF.to_owned(), b"shop.events|1|7".to_vec()));
        headers.push((REPLAY_TIMESTAMP.to_owned(), AT.to_string().into_bytes()));
    }
    letter.headers(|name, value| headers.push((name.to_owned(), value.to_vec())));
    CommittedRecord {
        partition: 0,
        offset: 0,
        timestamp_ms: AT,
        key: letter.key().into_bytes(),
        value: Some(payload.as_bytes().to_vec()),
        headers,
    }
}

const GOOD: &str = r#"{"at":"2026-01-31T08:00:00Z","price":"1.50"}"#;
/// Its time is understood by now; its price never is.
const DEAR: &str = r#"{"at":"2026-01-31T08:00:00Z","price":"dear"}"#;

#[test]
fn an_element_that_is_rejected_for_something_else_now_is_not_sent_again() {
    for (touchpoint, list) in [(1, format!("{GOOD},{DEAR}")), (0, format!("{DEAR},{GOOD}"))] {
        let field = format!("parcels[{touchpoint}].at");
        let letter = parcel_letter(touchpoint, Reason::BadTimestamp, &field, 0, &parcels(&list));
        let (results, sent) = replayed_parcels(&[letter]);
        assert_eq!((results, sent), (vec!["still rejected: wrong_type".to_owned()], 0), "element {touchpoint}");
    }
}

#[test]
fn a_record_that_is_mended_in_part_goes_back_once() {
    let payload = parcels(&format!("{GOOD},{DEAR},{GOOD}"));
    let letter = |touchpoint, reason, field, replays| parcel_letter(touchpoint, reason, field, replays, &payload);
    let first =
        [letter(1, Reason::WrongType, "parcels[1].price", 0), letter(2, Reason::BadTimestamp, "parcels[2].at", 0)];
    let (results, sent) = replayed_parcels(&first);
    assert_eq!((results, sent), (vec!["still rejected: wrong_type".to_owned(), "accepted".to_owned()], 1));
    // What that replay left.
    let mut after = first.to_vec();
    after.push(letter(1, Reason::WrongType, "parcels[1].price", 1));
    let (results, sent) = replayed_parcels(&after);
    let words = ["still rejected: wrong_type", "taken by an earlier replay", "still rejected: wrong_type"];
    assert_eq!((results, sent), (words.map(str::to_owned).to_vec(), 0));
    // A hub that had the old mapping left both again: then it goes back.
    after.push(letter(1, Reason::WrongType, "parcels[1].price", 2));
    after.push(letter(2, Reason::BadTimestamp, "parcels[2].at", 2));
    let (results, sent) = replayed_parcels(&after);
    assert_eq!((results.iter().filter(|word| *word == "accepted").count(), sent), (2, 1), "{results:?}");
    // All of it is good now.
    let good = parcels(&format!("{GOOD},{GOOD},{GOOD}"));
    for letter in &mut after {
        letter.value = Some(good.clone().into_bytes());
    }
    let (results, sent) = replayed_parcels(&after);
    assert!(sent == 1 && results.iter().all(|word| word == "accepted"), "{results:?}");
}

#[test]
fn a_record_that_could_not_be_read_at_all_goes_back_once_though_its_first_element_is_bad() {
    let payload = parcels(&format!("{DEAR},{GOOD}"));
    let whole = parcel_letter(0, Reason::WrongType, "parcels", 0, &payload);
    let (results, sent) = replayed_parcels(std::slice::from_ref(&whole));
    assert_eq!((results, sent), (vec!["accepted".to_owned()], 1));
    let left = parcel_letter(0, Reason::WrongType, "parcels[0].price", 1, &payload);
    let (results, sent) = replayed_parcels(&[whole, left]);
    let words = ["taken by an earlier replay", "still rejected: wrong_type"];
    assert_eq!((results, sent), (words.map(str::to_owned).to_vec(), 0));
}

#[test]
fn a_record_with_more_rejections_than_letters_goes_back_whenever_it_is_replayed() {
    for (bad, goes_back) in [(7, false), (8, true)] {
        // The first is good by now, and so may be what no letter is about.
        let list: Vec<&str> = [GOOD].into_iter().chain(std::iter::repeat_n(DEAR, bad)).collect();
        let payload = parcels(&list.join(","));
        let price = |touchpoint: usize, replays| {
            let field = format!("parcels[{touchpoint}].price");
            parcel_letter(u32::try_from(touchpoint).expect("few"), Reason::WrongType, &field, replays, &payload)
        };
        let mut letters = vec![parcel_letter(0, Reason::BadTimestamp, "parcels[0].at", 0, &payload)];
        letters.extend((1..bad).map(|touchpoint| price(touchpoint, 0)));
        letters.extend((1..=bad).map(|touchpoint| price(touchpoint, 1)));
        let (results, sent) = replayed_parcels(&letters);
        assert_eq!(sent, usize::from(goes_back), "{bad}: {results:?}");
    }
}

/// A record of more bytes than a letter has, where it came and where it lies since a replay; and the letter about it.
fn long(topic: &str) -> (CommittedRecord, CommittedRecord) {
    let payload = format!(
        r#"{{"log":"{}","id":"V9","at":"2026-01-31T08:00:00Z","mail":"ann@example.org"}}"#,
        "x".repeat(feeds::LETTER_BYTES_MAX)
    );
    let headers = vec![("trace".to_owned(), b"17".to_vec())];
    let short = letter(topic, 5, Reason::BadTimestamp, 1, &payload);
    let about = DeadLetter {
        topic,
        partition: 1,
        offset: 5,
        timestamp_ms: AT,
        touchpoint: 0,
        spoke: "shop",
        reason: Reason::BadTimestamp,
        field: "when",
        message: "send a time",
        source_key: Some(b"k"),
    };
    let enclosed = Enclosed { partition: 1, offset: 8, value: Some(payload.as_bytes()), headers: headers.clone() };
    let (value, cut) = about.enclose(enclosed);
    let letter = CommittedRecord { value: value.map(<[u8]>::to_vec), headers: cut, ..short.clone() };
    let source = CommittedRecord { partition: 1, offset: 8, key: b"k".to_vec(), headers, ..short };
    (source, letter)
}

#[test]
fn a_record_that_was_cut_goes_back_whole_from_where_it_lies() {
    let (source, letter) = long("shop.events");
    let replay = |kept: Option<CommittedRecord>| {
        let mut kept = Kept(kept.into_iter().map(|record| ((record.partition, record.offset), record)).collect());
        let (mut topic, mut output) = (Topic::default(), Vec::new());
        let mut ways = replay::Ways { records: &mut kept, appender: Some(&mut topic) };
        let (all, history) = (FilterArguments::default(), history::History::default());
        let mut log = Fixed([letter.clone()].into());
        replay::replay(&spokes("id"), &history, &mut log, &mut ways, &all, Format::Jsonl, &mut output)
            .expect("a replay");
        (topic.sent, String::from_utf8(output).expect("text"))
    };
    let (sent, _) = replay(Some(source.clone()));
    let [sent] = &sent[..] else { panic!("one record: {}", sent.len()) };
    assert_eq!(sent.payload.as_bytes(), source.value.as_deref().expect("a value"));
    assert_eq!(sent.key.as_deref(), Some(&b"k"[..]));
    let names: Vec<(&str, &str)> = sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(names[..2], [("trace", "17"), (REPLAY_OF, "shop.events|1|5")], "as it came, and where it came first");
    // It is gone, or the topic was made anew and another record lies there.
    let other = CommittedRecord { value: Some(b"{}".to_vec()), ..source };
    for kept in [None, Some(other)] {
        let (sent, output) = replay(kept);
        assert!(sent.is_empty() && output.contains("gone: too long for a dead letter"), "{output}");
    }
}

/// Topics that cannot be read, and how often that was tried.
#[derive(Default)]
struct Away(usize);

impl RecordRead for Away {
    fn record(&mut self, topic: &str, _: i32, _: i64) -> Result<Option<CommittedRecord>, LogError> {
        assert_eq!(topic, "shop.events", "nobody reads the other");
        self.0 += 1;
        Err(LogError::Stop("shop.events may not be read".into()))
    }
}

#[test]
fn a_cut_record_whose_topic_cannot_be_read_keeps_no_other_from_going_back() {
    let (mut away, mut topic, mut output) = (Away::default(), Topic::default(), Vec::new());
    let mut log = letters();
    for of in ["shop.events", "shop.events", "gone.events"] {
        log.0.push_front(long(of).1);
    }
    let mut ways = replay::Ways { records: &mut away, appender: Some(&mut topic) };
    let (all, history) = (FilterArguments::default(), history::History::default());
    let failure = replay::replay(&spokes("id"), &history, &mut log, &mut ways, &all, Format::Jsonl, &mut output);
    assert_eq!(failure.expect_err("not all of them went back").exit, Exit::Failure);
    let output = String::from_utf8(output).expect("text");
    assert!(topic.flushed && topic.sent.len() == 1 && away.0 == 1, "{} sent, {} tried", topic.sent.len(), away.0);
    assert!(output.contains("its topic cannot be read now"), "{output}");
}

#[test]
fn a_record_that_was_cut_is_shown_with_where_the_whole_of_it_is() {
    let (source, letter) = long("shop.events");
    let shown = |format| {
        let mut output = Vec::new();
        show::show(&mut Fixed([letter.clone()].into()), "shop.events|1|5", format, &mut output).expect("it is there");
        String::from_utf8(output).expect("text")
    };
    let bytes = source.value.map_or(0, |value| value.len());
    let text = shown(Format::Table);
    assert!(text.contains(&format!("The whole value has {bytes} bytes")), "{}", &text[text.len() - 400..]);
    assert!(text.contains("lies in shop.events at offset 8 of partition 1"), "{}", &text[text.len() - 400..]);
    let document: Value = serde_json::from_str(&shown(Format::Json)).expect("a document");
    let cut = &document["letters"][0]["cut"];
    assert_eq!((&cut["whole_bytes"], &cut["partition"], &cut["offset"]), (&bytes.into(), &1.into(), &8.into()));
    assert_eq!(document["record"]["value_text"].as_str().map(str::len), Some(feeds::CUT_BYTES));
}
