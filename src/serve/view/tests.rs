//! A view on a folder of its own, and what it holds after records, restarts and removals.

mod board;
mod following;

use serde_json::json;

use super::*;

const DAY_MS: i64 = 86_400_000;

fn options() -> ViewOptions {
    ViewOptions {
        cache_bytes: 1 << 20,
        source: "insight.* on a test".to_owned(),
        deletions_kept_ms: DAY_MS,
        retention_ms: 14 * DAY_MS,
    }
}

fn open(path: &Path, now_ms: i64) -> View {
    View::open(path, options(), now_ms).expect("a folder of its own")
}

fn record(offset: i64, key: &str, value: Option<Value>) -> CommittedRecord {
    CommittedRecord {
        partition: 0,
        offset,
        timestamp_ms: offset,
        key: key.as_bytes().to_vec(),
        value: value.map(|value| value.to_string().into_bytes()),
        headers: Vec::new(),
    }
}

fn metric(day: u32, region: &str, value: f64) -> (String, Value) {
    let start = format!("2026-01-{day:02}");
    let (dimension, part) =
        if region.is_empty() { ("company", String::new()) } else { ("region", format!("region={region}")) };
    let value = json!({"metric": "nps", "window": {"kind": "day", "start": start}, "dimension": dimension,
        "dimension_value": region, "currency": null, "value": value});
    (format!("nps|day:{start}|{part}"), value)
}

fn apply(view: &View, feed: Feed, records: Vec<CommittedRecord>) {
    view.apply(records.into_iter().map(|record| (feed, record)).collect(), 1_000).expect("a usable folder");
}

fn values(view: &View, parts: &[&str]) -> Vec<f64> {
    let page = view.list(&Index::Series.by(parts), None, 100, &|_| true).expect("readable");
    page.records.iter().filter_map(|kept| kept.value["value"].as_f64()).collect()
}

#[test]
fn a_series_is_found_in_the_order_of_its_windows_and_without_what_is_gone() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let mut records = Vec::new();
    for (offset, (day, region)) in (0..).zip([(3, ""), (1, ""), (2, ""), (1, "north"), (2, "north"), (1, "no")]) {
        let (key, value) = metric(day, region, f64::from(day) + region.len() as f64 / 10.0);
        records.push(record(offset, &key, Some(value)));
    }
    apply(&view, Feed::Metrics, records);
    assert_eq!(values(&view, &["nps", "day", "company", "", ""]), [1.0, 2.0, 3.0]);
    assert_eq!(values(&view, &["nps", "day", "region", "north"]), [1.5, 2.5], "not `no`, which it begins with");
    assert_eq!(values(&view, &["nps", "day", "region"]), [1.2, 1.5, 2.5]);
    let (key, value) = metric(2, "", 9.0);
    apply(&view, Feed::Metrics, vec![record(6, &metric(1, "", 0.0).0, None), record(7, &key, Some(value))]);
    assert_eq!(values(&view, &["nps", "day", "company"]), [9.0, 3.0]);
    assert_eq!(view.positions(Feed::Metrics).expect("readable"), BTreeMap::from([(0, 8)]));
}

#[test]
fn what_was_flushed_is_there_after_a_restart_and_the_rest_is_read_again() {
    let folder = tempfile::tempdir().expect("a directory");
    let (key, value) = metric(1, "", 1.0);
    {
        let view = open(folder.path(), 0);
        apply(&view, Feed::Metrics, vec![record(0, &key, Some(value.clone()))]);
        view.note_whole(1_000);
        view.flush().expect("a usable folder");
        apply(&view, Feed::Metrics, vec![record(1, &metric(2, "", 2.0).0, Some(metric(2, "", 2.0).1))]);
    }
    let view = open(folder.path(), 2_000);
    assert_eq!(view.positions(Feed::Metrics).expect("readable"), BTreeMap::from([(0, 1)]), "not what was not flushed");
    assert_eq!(values(&view, &["nps"]), [1.0]);
    assert!(view.progress().is_complete(), "it was complete, and still answers");
    let kept = view.get(&Place::of(Feed::Metrics, &key)).expect("readable").expect("it is there");
    assert_eq!(kept, Kept { key: Some(key), timestamp_ms: 0, value });
}

#[test]
fn a_view_that_was_away_for_too_long_or_is_of_another_source_is_begun_anew() {
    let folder = tempfile::tempdir().expect("a directory");
    let fill = |view: &View| {
        apply(view, Feed::Metrics, vec![record(0, &metric(1, "", 1.0).0, Some(metric(1, "", 1.0).1))]);
        view.note_whole(1_000);
        view.flush().expect("a usable folder");
    };
    fill(&open(folder.path(), 0));
    let nearly = open(folder.path(), 1_000 + DAY_MS / 10 * 9);
    assert_eq!(values(&nearly, &["nps"]), [1.0]);
    drop(nearly);
    let late = open(folder.path(), 1_001 + DAY_MS / 10 * 9);
    assert_eq!((values(&late, &["nps"]).len(), late.progress().is_complete()), (0, false), "a deletion may be missed");
    assert_eq!(late.positions(Feed::Metrics).expect("readable"), BTreeMap::new());
    fill(&late);
    drop(late);
    let other = ViewOptions { source: "other.* on a test".to_owned(), ..options() };
    let other = View::open(folder.path(), other, 2_000).expect("a usable folder");
    assert_eq!(values(&other, &["nps"]).len(), 0);
}

#[test]
fn pages_neither_repeat_nor_hide_what_was_there_throughout() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let of_days = |days: &[u32], first: i64| {
        let days = days.iter().zip(first..);
        days.map(|(&day, offset)| {
            record(offset, &metric(day, "", f64::from(day)).0, Some(metric(day, "", f64::from(day)).1))
        })
        .collect()
    };
    apply(&view, Feed::Metrics, of_days(&[2, 4, 6, 8], 0));
    let span = Index::Series.by(&["nps"]);
    let first = view.list(&span, None, 2, &|_| true).expect("readable");
    let next = first.next.expect("there is more");
    // Before the place, at it, and after it.
    apply(&view, Feed::Metrics, of_days(&[1, 5, 9], 4));
    apply(&view, Feed::Metrics, vec![record(7, &metric(6, "", 0.0).0, None)]);
    let second = view.list(&span, Some(&next), 10, &|_| true).expect("readable");
    let shown = |page: &Page| page.records.iter().filter_map(|kept| kept.value["value"].as_f64()).collect::<Vec<_>>();
    assert_eq!(shown(&second), [8.0, 9.0]);
    assert_eq!(second.next, None);
    let elsewhere = view.list(&span, Some(b"\x01"), 10, &|_| true).expect("readable");
    assert_eq!(elsewhere.records.len(), 6, "a place that is not in the list is its beginning");
}

#[test]
fn an_identifier_that_moved_to_another_record_is_found_in_whatever_order_the_two_come() {
    let identity = |person: &str| {
        Some(
            json!({"identifier": {"type": "email", "value": "ann@example.org"}, "person": person, "conflicts_total": 0}),
        )
    };
    // Erased, and used again: another public id, in another partition. When the view is filled again, the old one may come last.
    let (old, new) = (|offset| record(offset, "old", identity("old")), |offset| record(offset, "new", identity("new")));
    let gone = |offset| record(offset, "old", None);
    for records in [[old(0), new(1), gone(2)], [new(0), old(1), gone(2)], [old(0), gone(1), new(2)]] {
        let folder = tempfile::tempdir().expect("a directory");
        let view = open(folder.path(), 0);
        for record in records {
            apply(&view, Feed::Identities, vec![record]);
        }
        let found = view.list(&Index::Identifier.by(&["email", "ann@example.org"]), None, 5, &|_| true);
        let found = found.expect("readable").records;
        let persons: Vec<&Value> = found.iter().map(|kept| &kept.value["person"]).collect();
        assert_eq!(persons, ["new"]);
    }
}

#[test]
fn a_timeline_is_one_persons_and_the_newest_comes_first() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let touchpoint = |person: &str, id: u32| {
        let value = json!({"person": person, "id": id, "occurred_at": format!("2026-01-{id:02}T00:00:00.000Z")});
        record(i64::from(id), &format!("{person}|sales|{id}"), Some(value))
    };
    apply(
        &view,
        Feed::Touchpoints,
        vec![touchpoint("a", 2), touchpoint("b", 3), touchpoint("a", 9), touchpoint("a", 1)],
    );
    let page = view.list(&Index::Timeline.by(&["a"]), None, 100, &|_| true).expect("readable");
    let ids: Vec<u64> = page.records.iter().filter_map(|kept| kept.value["id"].as_u64()).collect();
    assert_eq!(ids, [9, 2, 1]);
}

#[test]
fn of_dead_letters_the_newest_are_kept_and_none_for_longer_than_their_topic_keeps_them() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let letter = |offset: i64, timestamp_ms: i64| {
        let header = |name: &str, value: &str| (format!("__streams.errors.{name}"), value.as_bytes().to_vec());
        let headers = vec![header("topic", "sales"), header("partition", "0"), header("offset", &offset.to_string())];
        let key = format!("sales|0|{offset}").into_bytes();
        let value = Some(b"\xff\x00".to_vec());
        (Feed::Rejected, CommittedRecord { partition: 0, offset, timestamp_ms, key, value, headers })
    };
    let count = |view: &View| {
        let page = view.list(&feed(Feed::Rejected), None, usize::MAX, &|_| true).expect("readable");
        (page.records.len() as u64, page.records.first().map(|kept| kept.value["offset"].clone()))
    };
    let letters = (0..i64::try_from(KEPT_MAX).expect("small") + 5).map(|offset| letter(offset, offset));
    view.apply(letters.collect(), 0).expect("a usable folder");
    assert_eq!(count(&view), (KEPT_MAX, Some(json!(10_004))));
    let found =
        |position: &str| view.list(&Index::Letters.by(&[position]), None, 1, &|_| true).expect("readable").records;
    assert_eq!(found("sales|0|4").len(), 0);
    assert_eq!(found("sales|0|5")[0].value["value"], "base64:/wA=");
    view.apply(vec![letter(20_000, 9_000 + 14 * DAY_MS)], 9_000 + 14 * DAY_MS).expect("a usable folder");
    // A step at a time, with what comes or without.
    view.forget_old(9_000 + 14 * DAY_MS).expect("a usable folder");
    assert_eq!(count(&view), (1_006, Some(json!(20_000))), "9,000 and later, and the new one");
}

/// A change of who is one person, as the journal has it.
fn change(offset: i64, timestamp_ms: i64, what: &str, id: &str) -> (Feed, CommittedRecord) {
    let value = json!({"change": what, "one": {"id": id, "type": null, "value": null}, "command": offset});
    (Feed::IdentityJournal, CommittedRecord { timestamp_ms, ..record(offset, id, Some(value)) })
}

#[test]
fn what_is_too_old_goes_wherever_it_is_among_what_is_not() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    // Partitions are read one after the other, so a young record may come before old ones; and far more than one step takes.
    let young = 20 * DAY_MS;
    let records =
        (0..4_000).map(|offset| change(offset, if offset % 4 == 0 { young } else { 1_000 + offset }, "linked", "a"));
    view.apply(records.collect(), 2_000).expect("a usable folder");
    let kept = || {
        let page = view.list(&feed(Feed::IdentityJournal), None, usize::MAX, &|_| true).expect("readable");
        let of_index = view.list(&Index::Journal.by(&["a"]), None, usize::MAX, &|_| true).expect("readable");
        assert_eq!(page.records.len(), of_index.records.len(), "and nothing is found that is not there");
        page.records.iter().map(|kept| kept.timestamp_ms).collect::<Vec<_>>()
    };
    assert_eq!(kept().len(), 4_000);
    view.forget_old(young).expect("a usable folder");
    assert_eq!(kept(), [young; 1_000]);
    // What is kept is counted without what is gone: the newest ten thousand, and no fewer.
    let more = (4_000..14_000).map(|offset| change(offset, young, "linked", "a"));
    view.apply(more.collect(), young).expect("a usable folder");
    assert_eq!(kept().len() as u64, KEPT_MAX);
    let page = view.list(&feed(Feed::IdentityJournal), None, usize::MAX, &|_| true).expect("readable");
    let last = page.records.last().map(|kept| kept.value["command"].clone());
    assert_eq!(last, Some(json!(4_000)), "the ones that came first went");
}

#[test]
fn an_erasure_stays_confirmed_after_ten_thousand_other_changes_and_for_as_long_as_the_journal_keeps_it() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let confirmed = |id: &str| view.get(&Place::of_erasure(id)).expect("readable").map(|kept| kept.timestamp_ms);
    view.apply(vec![change(0, 1_000, "erased", "a"), change(1, 1_000, "linked", "b")], 2_000).expect("a usable folder");
    let others = (2..i64::try_from(KEPT_MAX).expect("small") + 10).map(|offset| change(offset, 3_000, "linked", "b"));
    view.apply(others.collect(), 3_000).expect("a usable folder");
    let journal = view.list(&Index::Journal.by(&["a"]), None, 1, &|_| true).expect("readable").records;
    assert_eq!((journal.len(), confirmed("a"), confirmed("b")), (0, Some(1_000), None));
    // Erased again, in whatever order the two are read.
    view.apply(vec![change(20_000, 9_000, "erased", "a")], 9_000).expect("a usable folder");
    view.apply(vec![change(20_001, 5_000, "erased", "a")], 9_000).expect("a usable folder");
    assert_eq!(confirmed("a"), Some(9_000));
    view.flush().expect("a usable folder");
    view.forget_old(9_000 + 14 * DAY_MS).expect("a usable folder");
    assert_eq!(confirmed("a"), Some(9_000), "still kept");
    view.forget_old(9_001 + 14 * DAY_MS).expect("a usable folder");
    assert_eq!(confirmed("a"), None);
    assert_eq!(view.list(&feed(Feed::IdentityJournal), None, 5, &|_| true).expect("readable").records, []);
}

#[test]
fn alerts_are_found_by_person_and_by_cause_without_looking_at_others() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let alert = |offset: i64, cause: &str, person: &str, day: u32| {
        let id = format!("{cause}-{person}-{day}");
        let since = format!("2026-01-{day:02}");
        (id.clone(), record(offset, &id, Some(json!({"id": id, "cause": cause, "person": person, "since": since}))))
    };
    let all = [
        alert(0, "case_unanswered", "a", 7),
        alert(1, "customer_lapsed", "b", 1),
        alert(2, "customer_lapsed", "a", 3),
        alert(3, "metric_unusual", "", 2),
        alert(4, "customer_lapsed", "ab", 2),
    ];
    let ids: Vec<String> = all.iter().map(|(id, _)| id.clone()).collect();
    apply(&view, Feed::Alerts, all.into_iter().map(|(_, record)| record).collect());
    let found = |index: Index, part: &str| -> Vec<String> {
        let looked_at = std::cell::Cell::new(0);
        let count = |_: &Value| {
            looked_at.set(looked_at.get() + 1);
            true
        };
        let page = view.list(&index.by(&[part]), None, 100, &count).expect("readable");
        assert_eq!(looked_at.get(), page.records.len(), "no others are looked at");
        page.records.into_iter().filter_map(|kept| kept.key).collect()
    };
    assert_eq!(found(Index::AlertsOfPerson, "a"), [&*ids[2], &*ids[0]], "the oldest first");
    assert_eq!(found(Index::NewestAlertsOfPerson, "a"), [&*ids[0], &*ids[2]], "the newest first");
    assert_eq!(found(Index::AlertsOfPerson, ""), [&*ids[3]], "what is about a metric");
    let about_persons = || -> Vec<String> {
        let page = view.list(&Index::AlertsAboutPersons.by(&[]), None, 100, &|_| true).expect("readable");
        page.records.into_iter().filter_map(|kept| kept.key).collect()
    };
    assert_eq!(about_persons(), [&*ids[1], &*ids[4], &*ids[2], &*ids[0]], "the oldest first, and none about a metric");
    assert_eq!(found(Index::AlertsOfCause, "customer_lapsed"), [&*ids[1], &*ids[4], &*ids[2]]);
    // Closed: the last word names no cause any more, and a tombstone follows.
    let closed = json!({"id": ids[2], "cause": "", "person": "a", "since": "2026-01-03", "state": "closed"});
    apply(&view, Feed::Alerts, vec![record(5, &ids[2], Some(closed))]);
    assert_eq!(found(Index::AlertsOfCause, "customer_lapsed"), [&*ids[1], &*ids[4]]);
    apply(&view, Feed::Alerts, vec![record(6, &ids[2], None)]);
    assert_eq!(about_persons(), [&*ids[1], &*ids[4], &*ids[0]]);
    assert_eq!(found(Index::AlertsOfPerson, "a"), [&*ids[0]]);
}

#[test]
fn what_was_removed_is_in_no_file_after_a_thorough_cleaning() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let secret = "ann-whom-nobody-must-know";
    apply(&view, Feed::Customers, vec![record(0, "a", Some(json!({"identifiers": {"email": [secret]}})))]);
    view.flush().expect("a usable folder");
    assert!(holds(folder.path(), secret.as_bytes()), "the test sees what is in files");
    // What the journal tells of it is there until it is too old, whenever it was looked for that last.
    apply(&view, Feed::IdentityJournal, vec![record(2, "a", Some(json!({"one": {"type": "email", "value": secret}})))]);
    view.forget_old(0).expect("a usable folder");
    apply(&view, Feed::Customers, vec![record(1, "a", None)]);
    let old_ms = 9_001 + 14 * DAY_MS;
    view.clean_thoroughly(old_ms - DAY_MS).expect("a usable folder");
    assert!(holds(folder.path(), secret.as_bytes()), "what is kept for a while is kept");
    view.clean_thoroughly(old_ms).expect("a usable folder");
    assert!(!holds(folder.path(), secret.as_bytes()));
}

fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        std::fs::read(&path).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn what_no_hub_wrote_changes_nothing() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let (key, value) = metric(1, "", 1.0);
    let mut foreign = record(1, &key, None);
    foreign.value = Some(b"no JSON".to_vec());
    apply(&view, Feed::Metrics, vec![record(0, &key, Some(value)), foreign, record(2, "", None)]);
    assert_eq!(values(&view, &["nps"]), [1.0]);
    assert_eq!(view.positions(Feed::Metrics).expect("readable"), BTreeMap::from([(0, 3)]), "it goes on behind it");
}

#[test]
fn whoever_watches_hears_what_comes_after_the_positions_that_they_were_told() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    apply(&view, Feed::Metrics, vec![record(0, &metric(1, "", 1.0).0, Some(metric(1, "", 1.0).1))]);
    let (positions, mut watch) = view.watch_from_here(Feed::Metrics).expect("readable");
    assert_eq!(positions, BTreeMap::from([(0, 1)]));
    apply(&view, Feed::Metrics, vec![record(1, &metric(1, "", 1.0).0, None)]);
    view.note_whole(2_000);
    apply(&view, Feed::Metrics, vec![record(2, &metric(2, "", 2.0).0, None)]);
    view.note_whole(3_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut next = || runtime.block_on(watch.next()).expect("it keeps up");
    let news = next();
    assert_eq!((news.offset, &news.value, news.whole_until_ms), (1, &None, None));
    let news = next();
    assert_eq!((news.offset, news.whole_until_ms), (2, Some(2_000)), "as it was before this, whenever it is heard");
}

#[test]
fn whoever_does_not_keep_up_is_told_so_and_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let (mut slow, mut quick) = (view.watch(Feed::Metrics), view.watch(Feed::Metrics));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (key, value) = metric(1, "", 1.0);
    for offset in 0..1_100 {
        apply(&view, Feed::Metrics, vec![record(offset, &key, Some(value.clone()))]);
        assert_eq!(runtime.block_on(quick.next()).map(|news| news.offset), Some(offset));
    }
    assert!(runtime.block_on(slow.next()).is_none(), "what it missed it would never know");
}

#[test]
fn no_key_that_somebody_writes_is_too_long_for_the_view() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let long = "x".repeat(3_000);
    let value = json!({"metric": long, "window": {"kind": long, "start": long}, "dimension": long, "dimension_value": long,
        "currency": long, "value": 1.0});
    // Two that are the same for as long as an index looks, and one that no feed has.
    let keys = ["a", "b"].map(|end| format!("{}{end}", "k".repeat(2_047)));
    let mut records: Vec<CommittedRecord> =
        (0..).zip(&keys).map(|(offset, key)| record(offset, key, Some(value.clone()))).collect();
    records.push(record(2, &"k".repeat(5_000), Some(value)));
    apply(&view, Feed::Metrics, records);
    assert_eq!(values(&view, &[&long]).len(), 2);
    apply(&view, Feed::Metrics, vec![record(3, &keys[0], None)]);
    let left = view.list(&Index::Series.by(&[&long]), None, 5, &|_| true).expect("readable").records;
    assert_eq!(left.iter().map(|kept| kept.key.as_ref()).collect::<Vec<_>>(), [Some(&keys[1])]);
    apply(&view, Feed::Metrics, vec![record(4, &keys[1], None)]);
    assert!(values(&view, &[&long]).is_empty());
}

#[test]
fn the_last_of_a_list_is_found_however_long_the_list_is() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    // More months than one look takes, by number and by bytes.
    let of = "x".repeat(300 << 10);
    let set = |month: i64| {
        let key = format!("parameters|month:{:04}-{:02}|model=buying", 2020 + month / 12, 1 + month % 12);
        record(month, &key, Some(json!({ "month": month, "of": of })))
    };
    let parameters = beginning_with(Feed::Catalogue, "parameters|");
    let last = |accept: &dyn Fn(&Value) -> bool| {
        view.last(&parameters, accept).expect("readable").map(|kept| kept.value["month"].clone())
    };
    assert_eq!(last(&|_| true), None);
    apply(
        &view,
        Feed::Catalogue,
        (0..70).map(set).chain([record(70, "reach", Some(json!({ "month": 99 })))]).collect(),
    );
    assert_eq!(last(&|_| true), Some(json!(69)));
    assert_eq!(last(&|value| value["month"].as_i64() < Some(10)), Some(json!(9)));
    assert_eq!(last(&|_| false), None);
}

#[test]
fn a_question_looks_at_so_much_and_says_where_it_goes_on() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = open(folder.path(), 0);
    let of = "x".repeat(100 << 10);
    let count = 300;
    let records =
        (0..count).map(|number| record(number, &format!("{number:03}"), Some(json!({"of": of, "n": number}))));
    apply(&view, Feed::Journeys, records.collect());
    let is_last = |value: &Value| value["n"] == count - 1;
    let (mut found, mut pages, mut place) = (0, 0, None);
    loop {
        let page = view.list(&feed(Feed::Journeys), place.as_deref(), 100, &is_last).expect("readable");
        (found, pages) = (found + page.records.len(), pages + 1);
        place = page.next;
        if place.is_none() {
            break;
        }
    }
    assert_eq!(found, 1);
    let bytes = usize::try_from(count).expect("few") * of.len();
    assert!((3..=bytes / SCANNED_BYTES_MAX + 1).contains(&pages), "{pages} pages of {bytes} bytes");
}
