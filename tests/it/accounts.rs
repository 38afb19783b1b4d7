//! What `insight.spokes` must say: the account of each department, counted from its events by the oracle's eyes.

use std::collections::{BTreeMap, BTreeSet};

use insight_hub::company::SourceEvent;
use serde_json::{Value, json};

use crate::oracle;

#[derive(Default)]
struct Account {
    records: u64,
    accepted: u64,
    repeated: u64,
    rejections: BTreeMap<&'static str, u64>,
    unmapped_kinds: BTreeMap<String, u64>,
    schemas: BTreeMap<String, (u64, i64)>,
    arrived: Option<(i64, i64)>,
    newest_occurred_at: Option<i64>,
    /// Identifier and id of each touchpoint.
    known: BTreeSet<((usize, String), String)>,
}

impl Account {
    fn count(&mut self, event: &SourceEvent) {
        self.records += 1;
        let at = event.timestamp_ms;
        let (first, last) = self.arrived.unwrap_or((at, at));
        self.arrived = Some((first.min(at), last.max(at)));
        let source = oracle::Source { spoke: event.spoke, payload: &event.payload, timestamp_ms: at };
        let touch = oracle::read(&source, &oracle::Options::default());
        if let (Some(fingerprint), false) = (fingerprint(&event.payload), touch == Err("unknown_schema")) {
            let (records, newest) = self.schemas.entry(fingerprint).or_insert((0, at));
            *records += 1;
            *newest = at.max(*newest);
        }
        match touch {
            Ok(touch) => {
                self.accepted += 1;
                self.newest_occurred_at = self.newest_occurred_at.max(Some(touch.occurred_at));
                if let ("other", Some(word)) = (touch.kind.as_str(), &touch.label) {
                    *self.unmapped_kinds.entry(word.clone()).or_default() += 1;
                }
                let home = touch.identifiers.first().unwrap().clone();
                self.repeated += u64::from(!self.known.insert((home, touch.id)));
            }
            Err(reason) => {
                *self.rejections.entry(reason).or_default() += 1;
                if reason == "unknown_kind" {
                    let event: Value = serde_json::from_slice(&event.payload).unwrap();
                    // As each department calls it.
                    let word = ["kind", "what"].iter().find_map(|field| event[field].as_str()).unwrap();
                    *self.unmapped_kinds.entry(word.to_owned()).or_default() += 1;
                }
            }
        }
    }

    fn to_json(&self, spoke: &str) -> Value {
        let schemas: Vec<Value> = self
            .schemas
            .iter()
            .map(|(schema, (records, newest))| {
                json!({"schema": schema, "records": records, "last_arrived_at": oracle::instant(*newest)})
            })
            .collect();
        json!({
            "spoke": spoke,
            "records": self.records,
            // Without what the oracle cannot know: caps, and what had come before.
            "outcomes": {
                "accepted": self.accepted,
                "skipped": 0,
                "duplicate": self.repeated,
                "conflicting": 0,
                "rejected": self.rejections.values().sum::<u64>(),
            },
            "rejections": self.rejections,
            "unmapped_kinds": self.unmapped_kinds,
            "unmapped_kinds_unnamed": 0,
            "schemas": schemas,
            "schemas_unnamed": 0,
            "first_arrived_at": self.arrived.map(|(first, _)| oracle::instant(first)),
            "last_arrived_at": self.arrived.map(|(_, last)| oracle::instant(last)),
            "newest_occurred_at": self.newest_occurred_at.map(oracle::instant),
        })
    }
}

/// The name of the schema of Avro's single-object encoding, if it is that and has the whole of it.
fn fingerprint(payload: &[u8]) -> Option<String> {
    let bytes = payload.strip_prefix(&[0xC3, 0x01])?.get(..8)?;
    Some(bytes.iter().rev().fold("fp:".to_owned(), |name, byte| format!("{name}{byte:02x}")))
}

/// What the feed must hold, without partitions and revisions, and without what is capped: the oracle knows no caps.
pub fn expected_accounts(events: &[SourceEvent]) -> BTreeMap<String, Value> {
    let mut accounts: BTreeMap<&str, Account> = BTreeMap::new();
    for event in events {
        accounts.entry(event.spoke).or_default().count(event);
    }
    accounts.into_iter().map(|(spoke, account)| (spoke.to_owned(), account.to_json(spoke))).collect()
}

/// Fails where the feed, by key, does not say what arrived. What partitions hold must add up to it.
#[track_caller]
pub fn assert_accounts(events: &[SourceEvent], feed: &BTreeMap<String, Value>, what: &str) {
    let expected = expected_accounts(events);
    assert_eq!(feed.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}: departments");
    for (spoke, expected) in &expected {
        let mut account = feed[spoke].clone();
        let members = account.as_object_mut().unwrap();
        assert!(members.remove("revision").and_then(|it| it.as_u64()).unwrap() >= 1);
        let partitions = members.remove("partitions").unwrap();
        let outcomes = members["outcomes"].as_object_mut().unwrap();
        assert!(outcomes.remove("capped").is_some());
        assert!(outcomes.remove("late").unwrap().as_u64() <= outcomes["accepted"].as_u64());
        let records: u64 = partitions.as_array().unwrap().iter().map(|it| it["records"].as_u64().unwrap()).sum();
        assert_eq!(account, *expected, "{what}: account of {spoke}");
        assert_eq!(records, account["records"].as_u64().unwrap(), "{what}: partitions of {spoke}");
    }
}
