//! What one home tells at once: every message of it is one that a broker takes, as each of the simulation is refused above 1 MiB.

use std::time::Duration;

use insight_hub::{company::SourceEvent, engine::worker::WorkerOptions};
use serde_json::{Value, json};

use super::{Clerk, DEPARTMENTS, Hub, Id, Said, id, touch};
use crate::oracle::{self, Feeds};

/// More than a broker takes in one message, unless it is said otherwise.
const MESSAGE_BYTES: usize = 1 << 20;

/// One instance that takes everything that is said into one transaction.
fn hub() -> Hub {
    let worker = WorkerOptions { commit_interval: Duration::from_secs(60), ..WorkerOptions::default() };
    Hub::with_worker(0, 1, worker)
}

fn told(parts: &[Vec<SourceEvent>], what: &str) -> Feeds {
    let (mut hub, mut clerk, mut feeds) = (hub(), Clerk::default(), Feeds::default());
    for part in parts {
        let said: Vec<Said> = part.iter().cloned().map(Said::Event).collect();
        hub.tell(&said);
        clerk.hear(&said);
        feeds = hub.rest(what);
    }
    let mut differences = oracle::compare(&clerk.truth().feeds, &feeds);
    // Of more conflicts than are listed, which are is nobody's promise.
    differences.retain(|difference| !difference.field.starts_with("conflicts.[]."));
    assert!(differences.is_empty(), "{what}: {}", differences[0]);
    feeds
}

fn wide(number: usize, field: &str) -> String {
    let start = format!("{field}-{number:06}-");
    format!("{start}{}", "x".repeat(250 - start.len()))
}

#[test]
fn pairs_of_a_home_that_sees_very_many_identifiers_at_once_come_in_messages_that_a_broker_takes() {
    let events = (0..6).map(|number| {
        let others = (0..31).map(|other| id(&format!("customer_id:{}", wide(1 + number * 31 + other, "z"))));
        let identifiers: Vec<Id> = [id("customer_id:a")].into_iter().chain(others).collect();
        touch(DEPARTMENTS[0], number, number as i64, "page_viewed", &identifiers)
    });
    let pairs_of_one = 31 * 32 / 2;
    assert!(6 * pairs_of_one * 500 > MESSAGE_BYTES);
    let feeds = told(&[events.collect()], "pairs");
    assert_eq!(feeds.touchpoints.len(), 6);
    assert_eq!(feeds.identities.len(), 1 + 6 * 31, "each customer number is somebody of their own");
}

#[test]
fn touchpoints_that_a_home_hands_on_at_once_come_in_messages_that_a_broker_takes() {
    let visit = |number: usize| {
        let mut event = touch(DEPARTMENTS[0], number, 1 + number as i64 / 60, "page_viewed", &[id("cookie:k")]);
        let mut payload: Value = serde_json::from_slice(&event.payload).unwrap();
        for field in ["subject", "product", "content"] {
            payload[field] = json!(wide(number % 7, field));
        }
        event.payload = payload.to_string().into_bytes();
        event
    };
    let link = touch(DEPARTMENTS[1], 1, 0, "page_viewed", &[id("customer_id:7"), id("cookie:k")]);
    // Its home knows whose it is before it sees the others.
    let known = vec![link, visit(0)];
    let visits: Vec<SourceEvent> = (1..1_800).map(visit).collect();
    assert!(visits.len() * 3 * 250 > MESSAGE_BYTES);
    let feeds = told(&[known, visits], "touchpoints");
    let record = feeds.customers.values().next().unwrap();
    assert_eq!((feeds.customers.len(), &record["touchpoints"]), (1, &json!(1_801)));
}
