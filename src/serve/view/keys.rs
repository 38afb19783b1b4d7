//! Feeds, keys and documents in; the keys under which the view keeps and finds them out.
//!
//! | first byte | then | holds |
//! | --- | --- | --- |
//! | 1 | feed, partition | the offset to go on from |
//! | 2 | feed, the record's key (of feeds that are not compacted: the arrival's number, the newest first) | the record |
//! | 3 | index, what it is found by | the key of a record |
//! | 4 | a word | what the view knows of itself |
//! | 5 | feed, a record's timestamp, its key (of feeds that are not compacted, and of confirmations) | nothing |
//! | 6 | the id of an identifier | the newest confirmation of its erasure |

use std::ops::Range;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    engine::store::table::KEY_BYTES_MAX,
    feeds::{Cleanup, Feed},
    model::Kind,
};

const POSITION: u8 = 1;
const RECORD: u8 = 2;
const INDEX: u8 = 3;
const AGE: u8 = 5;
const CONFIRMATION: u8 = 6;

/// Up to when it has followed every feed, in milliseconds since 1970.
pub(super) const FOLLOWED_AT: &[u8] = &[4, b'f'];
/// Whether it has held everything once.
pub(super) const COMPLETE: &[u8] = &[4, b'c'];

/// Longer keys of feeds are nobody's: the longest of ours has a few hundred bytes.
const FEED_KEY_BYTES_MAX: usize = 2_048;
/// What an index takes of each part; longer ones are cut, and told apart by the record's own key after them.
const PART_BYTES_MAX: usize = 512;
/// Parts of the index that has most: metric, window's kind, dimension, its value, currency, window.
const PARTS_MAX: usize = 6;
/// What an index takes of a record's key; of longer ones the beginning, and a hash that tells them apart.
const KEY_IN_INDEX_BYTES_MAX: usize = 512;

// No entry, whatever somebody writes to a feed, is longer than the table takes.
const _: () = assert!(2 + PARTS_MAX * (PART_BYTES_MAX + 1) + 2 + KEY_IN_INDEX_BYTES_MAX + 16 <= KEY_BYTES_MAX);
const _: () = assert!(2 + 8 + 1 + FEED_KEY_BYTES_MAX <= KEY_BYTES_MAX);

/// What a record is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Type and published value of an identifier → its records on `insight.identities`: after a reuse two, for a while.
    Identifier,
    /// A person → each of its records on `insight.identities`.
    Members,
    /// Persons with conflicts or close to a limit, and shared identifiers → `insight.identities`.
    Conflicts,
    /// A person → touchpoints, the newest first.
    Timeline,
    /// Metric, window kind, dimension, its value, currency, window → `insight.metrics`.
    Series,
    /// When it opened → `insight.alerts`.
    Alerts,
    /// The position of a source record → `insight.rejected`, the newest first.
    Letters,
    /// The id of an identifier → `insight.identity-journal`, the newest first.
    Journal,
    /// Person (empty: a metric's), when it opened → `insight.alerts`.
    AlertsOfPerson,
    /// Cause, when it opened → `insight.alerts`.
    AlertsOfCause,
    /// Person (empty: a metric's) → `insight.alerts`, the newest first.
    NewestAlertsOfPerson,
    /// When it opened → those of `insight.alerts` that are about a person.
    AlertsAboutPersons,
}

/// The key of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(pub(super) Vec<u8>);

impl Place {
    /// The record of a key of a compacted feed. A key that no feed has is found nowhere.
    pub fn of(feed: Feed, key: &str) -> Place {
        Place(of_feed_key(feed, key.as_bytes()).unwrap_or_default())
    }

    /// The newest confirmation of the erasure of an identifier, by its id: a record of `insight.identity-journal`.
    pub fn of_erasure(id: &str) -> Place {
        Place(confirmation(id).unwrap_or_default())
    }
}

/// The keys of all records of a feed.
pub fn feed(feed: Feed) -> Range<Vec<u8>> {
    prefixed(vec![RECORD, number(feed)])
}

/// The keys of the records of a compacted feed whose keys on it begin with a text.
pub fn beginning_with(feed: Feed, text: &str) -> Range<Vec<u8>> {
    prefixed([&[RECORD, number(feed)], text.as_bytes()].concat())
}

impl Index {
    /// The keys of everything that an index finds by some first parts.
    pub fn by(self, parts: &[&str]) -> Range<Vec<u8>> {
        prefixed(self.key(parts))
    }

    fn key(self, parts: &[&str]) -> Vec<u8> {
        let mut key = vec![INDEX, self as u8];
        for part in parts {
            push(&mut key, part);
        }
        key
    }
}

/// A part and its end. Zeros in it, which no part of ours has, would end it early.
fn push(key: &mut Vec<u8>, part: &str) {
    key.extend(part.bytes().filter(|byte| *byte != 0).take(PART_BYTES_MAX));
    key.push(0);
}

/// A part whose order is turned round.
fn push_turned(key: &mut Vec<u8>, part: &str) {
    key.extend(part.bytes().take(PART_BYTES_MAX).map(|byte| !byte));
    key.push(0xff);
}

fn prefixed(prefix: Vec<u8>) -> Range<Vec<u8>> {
    let mut end = prefix.clone();
    // No prefix is all 0xff: it begins with a small number.
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    prefix..end
}

/// A feed's number in keys: its place in [`Feed::ALL`] may change, its name does not.
pub(super) fn number(feed: Feed) -> u8 {
    match feed {
        Feed::Customers => 1,
        Feed::Touchpoints => 2,
        Feed::Identities => 3,
        Feed::IdentityJournal => 4,
        Feed::Alerts => 5,
        Feed::Metrics => 6,
        Feed::Journeys => 7,
        Feed::Attribution => 8,
        Feed::Drivers => 9,
        Feed::Priorities => 10,
        Feed::Changes => 11,
        Feed::Balance => 12,
        Feed::Scorecards => 13,
        Feed::Catalogue => 14,
        Feed::Spokes => 15,
        Feed::Rejected => 16,
        Feed::Audit => 17,
    }
}

/// What tells a feed's topic from others of its name.
pub(super) fn origin(feed: Feed) -> Vec<u8> {
    vec![4, b'o', number(feed)]
}

pub(super) fn positions(feed: Feed) -> Vec<u8> {
    vec![POSITION, number(feed)]
}

pub(super) fn position(feed: Feed, partition: i32) -> Vec<u8> {
    [&[POSITION, number(feed)], &partition.to_be_bytes()[..]].concat()
}

/// The partition that a key of a position is of.
pub(super) fn partition(key: &[u8]) -> Option<i32> {
    key.get(2..)?.try_into().ok().map(i32::from_be_bytes)
}

/// The key of a record of a compacted feed; `None`: no feed has such a key.
pub(super) fn of_feed_key(feed: Feed, key: &[u8]) -> Option<Vec<u8>> {
    (1..=FEED_KEY_BYTES_MAX).contains(&key.len()).then(|| [&[RECORD, number(feed)], key].concat())
}

/// The key on its feed of a record that is kept under a key.
pub(super) fn feed_key(key: &[u8]) -> Option<String> {
    let feed = Feed::ALL.into_iter().find(|feed| key.get(1) == Some(&number(*feed)))?;
    let is_compacted = feed.description().cleanup == Cleanup::Compact;
    key.get(2..).filter(|_| is_compacted).and_then(|key| String::from_utf8(key.to_vec()).ok())
}

/// The key of a record of another feed: the newest first.
pub(super) fn arrival(feed: Feed, number_of_arrival: u64) -> Vec<u8> {
    [&[RECORD, number(feed)], &(!number_of_arrival).to_be_bytes()[..]].concat()
}

/// The key of the newest confirmation that an identifier was erased; `None`: no identifier has such an id.
pub(super) fn confirmation(id: &str) -> Option<Vec<u8>> {
    (1..=FEED_KEY_BYTES_MAX).contains(&id.len()).then(|| [&[CONFIRMATION], id.as_bytes()].concat())
}

/// By which a record is found when it is too old: its key with its timestamp before it.
pub(super) fn age(feed: Feed, timestamp_ms: i64, key: &[u8]) -> Vec<u8> {
    [&aged(feed, timestamp_ms), key].concat()
}

/// What is older than a time.
pub(super) fn older(feed: Feed, than_ms: i64) -> Range<Vec<u8>> {
    aged(feed, i64::MIN)..aged(feed, than_ms)
}

/// The key of a record that is found by its age.
pub(super) fn of_aged(age: &[u8]) -> &[u8] {
    age.get(2 + 8..).unwrap_or_default()
}

fn aged(feed: Feed, timestamp_ms: i64) -> Vec<u8> {
    // Times before 1970 come before those after it.
    let in_order = (timestamp_ms ^ i64::MIN).to_be_bytes();
    [&[AGE, number(feed)], &in_order[..]].concat()
}

/// Under which the numbers of such records are.
pub(super) fn arrivals(feed: Feed) -> Vec<u8> {
    vec![4, b'n', number(feed)]
}

/// Whether a key is a record's own.
pub(super) fn is_record(key: &[u8]) -> bool {
    key.first() == Some(&RECORD)
}

/// The keys of the entries that a record is found by.
pub(super) fn indexes(feed: Feed, key: &[u8], value: &Value) -> Vec<Vec<u8>> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let count = |field: &str| value.get(field).and_then(Value::as_u64).unwrap_or_default();
    // Each record has an entry of its own: by whatever way records come, none takes another one's away.
    let with_key = |mut index: Vec<u8>| {
        match key.split_at_checked(KEY_IN_INDEX_BYTES_MAX).filter(|(_, rest)| !rest.is_empty()) {
            None => index.extend_from_slice(key),
            Some((first, _)) => {
                index.extend_from_slice(first);
                index.extend_from_slice(&xxh3_128(key).to_be_bytes());
            }
        }
        index
    };
    match feed {
        Feed::Identities => {
            let mut entries = vec![
                with_key(Index::Identifier.key(&[text("/identifier/type"), text("/identifier/value")])),
                with_key(Index::Members.key(&[text("/person")])),
            ];
            let is_close = value.get("close_to_limits").and_then(Value::as_array).is_some_and(|it| !it.is_empty());
            let is_shared = value.get("shared").and_then(Value::as_bool) == Some(true);
            if count("conflicts_total") > 0 || is_shared || is_close {
                entries.push(with_key(Index::Conflicts.key(&[])));
            }
            entries
        }
        Feed::Touchpoints => {
            let mut entry = Index::Timeline.key(&[text("/person")]);
            push_turned(&mut entry, text("/occurred_at"));
            entry.push(!Kind::parse(text("/kind")).map_or(0, Kind::rank));
            vec![with_key(entry)]
        }
        Feed::Metrics => {
            let parts = ["/metric", "/window/kind", "/dimension", "/dimension_value", "/currency", "/window/start"];
            vec![with_key(Index::Series.key(&parts.map(text)))]
        }
        Feed::Alerts => {
            let (person, cause, since) = (text("/person"), text("/cause"), text("/since"));
            let mut newest = Index::NewestAlertsOfPerson.key(&[person]);
            push_turned(&mut newest, since);
            let mut entries = vec![
                with_key(newest),
                with_key(Index::Alerts.key(&[since])),
                with_key(Index::AlertsOfPerson.key(&[person, since])),
                with_key(Index::AlertsOfCause.key(&[cause, since])),
            ];
            if !person.is_empty() {
                entries.push(with_key(Index::AlertsAboutPersons.key(&[since])));
            }
            entries
        }
        Feed::Rejected => vec![with_key(Index::Letters.key(&[text("/position")]))],
        Feed::IdentityJournal => {
            let ids = ["/one/id", "/other/id"].map(text);
            ids.into_iter().filter(|id| !id.is_empty()).map(|id| with_key(Index::Journal.key(&[id]))).collect()
        }
        _ => Vec::new(),
    }
}
