//! What the hub gives away on a broker: identifiers as keyed hashes on every topic that is for others, and all of one
//! person's data to whoever asks for it, while two processes share the work.

use std::time::{Duration, Instant};

use insight_hub::company::SourceEvent;
use serde_json::{Value, json};

use super::house::{House, Instance};
use crate::{
    harness::{kafka::Broker, reader::read_settled, remains::Found, sweeper::Scratch},
    world::of_marketing,
};

const WITHIN: Duration = Duration::from_secs(120);
const FEEDS: [&str; 7] =
    ["customers", "touchpoints", "identities", "identity-journal", "metrics", "spokes", "catalogue"];
const IN_CLEAR: [&str; 4] = ["zq-ann@example.org", "zq-cookie-of-ann", "zq-number-of-ann", "zq-bob@example.org"];
/// 2026-03-02T00:00:00Z.
const DAY_S: i64 = 1_772_409_600;

fn event(id: &str, day: i64, kind: &str, profile: Value, more: Value) -> SourceEvent {
    let second = DAY_S + day * 86_400;
    let mut payload = json!({ "id": id, "event": kind, "ts": second, "profile": profile });
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    of_marketing(id, &payload, second)
}

#[test]
fn hashed_identifiers_are_on_no_feed_of_a_broker_in_clear_and_an_export_has_them_all() {
    let [email, cookie, number, bob] = IN_CLEAR;
    let house = House::new(&Broker::shared().bootstrap(), "privacy").set("identity.publish=hashed");
    let mut hubs: Vec<Instance> = ["a", "b"].map(|name| house.start(name, &[], None)).into();
    hubs.iter_mut().for_each(|hub| hub.wait_until_ready(WITHIN));
    house.write(&[
        event("1", 1, "PageViewed", json!({ "cookie": cookie }), json!({})),
        event("2", 2, "EmailClicked", json!({ "cookie": cookie, "mail": "ZQ-Ann@Example.org" }), json!({})),
        event("3", 3, "EmailOpened", json!({ "mail": email, "customer": number }), json!({})),
        event("4", 4, "Referral", json!({ "mail": bob }), json!({ "referred_by": number })),
        // A time that is none: rejected.
        event("5", 5, "PageViewed", json!({ "mail": email }), json!({ "ts": "never" })),
    ]);
    let began = Instant::now();
    let has_all = || {
        let customers = house.latest("customers");
        house.latest("touchpoints").len() == 4 && customers.len() == 2 && house.rejected().len() == 1
    };
    while !has_all() {
        assert!(began.elapsed() < WITHIN, "{:?}\n{}", house.latest("customers"), hubs[0].hub.process.story());
        std::thread::sleep(Duration::from_millis(200));
    }
    for feed in FEEDS {
        let records = read_settled(house.bootstrap(), &house.feed_topic(feed), WITHIN);
        assert!(!records.is_empty(), "{feed} is empty");
        let mut found = Found::default();
        for record in &records {
            let parts = [record.key.as_deref(), record.value.as_deref()].into_iter().flatten();
            parts.for_each(|bytes| found.look(feed, &bytes.to_ascii_lowercase(), &IN_CLEAR));
        }
        assert!(found.is_empty(), "{found:?}");
    }
    // Her hash is the key of her identity, and tells her from others.
    let customers = house.latest("customers");
    let (ann, record) = customers.iter().find(|(_, record)| record["touchpoints"] == 3).unwrap();
    assert_eq!(record["identifiers"]["customer_id"], json!([ann]), "{record}");

    let folder = Scratch::new("privacy-export");
    let file = folder.path().join("ann.json");
    let arguments = ["export-person", &format!("cookie:{cookie}"), "--to", file.to_str().unwrap()];
    let (status, shown, errors) = house.command_line(&arguments, &[]).run(WITHIN);
    assert!(status.success(), "{shown}\n{errors}");
    assert!(shown.contains("3 touchpoints") && shown.contains(ann.as_str()), "{shown}");
    let text = std::fs::read_to_string(&file).unwrap();
    let data: Value = serde_json::from_str(&text).unwrap();
    let identifiers = json!({ "cookie": [cookie], "customer_id": [number], "email": [email] });
    assert_eq!((&data["person"], &data["identifiers"]), (&json!(ann), &identifiers));
    let ids: Vec<&Value> = data["touchpoints"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(data["rejected"].as_array().unwrap().len(), 1, "{}", data["rejected"]);
    assert!(!text.contains(bob), "{text}");
    for hub in &mut hubs {
        assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
    }
}
