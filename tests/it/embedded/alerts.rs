//! Alerts at the command line beside a running hub: listed, seen, closed by a follow-up, gone with the person.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::identity::{DAY_MS, House, event};

const WITHIN: Duration = Duration::from_secs(120);

/// What the list says, once it has so many.
#[track_caller]
fn listed(house: &House, flags: &[&str], count: usize) -> Vec<Value> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let output = house.succeed(&[&["alerts", "list", "-o", "json"], flags].concat());
        let list: Value = serde_json::from_str(&output).unwrap();
        if list["count"] == count {
            return list["alerts"].as_array().unwrap().clone();
        }
        assert!(Instant::now() < deadline, "{flags:?}: {output}");
    }
}

#[test]
fn an_operator_lists_alerts_says_that_one_was_seen_and_the_causes_end() {
    let mut house = House::with("alerts", &["time.idle_partition_seconds=1"]);
    let ann = json!({ "email": "ann@example.org" });
    let case = json!({ "email": "ann@example.org", "case": "T-1" });
    house.append(
        DAY_MS,
        &[
            event("1", 1, "case_opened", case.clone()),
            event("2", 2, "complaint_made", ann.clone()),
            event("3", 29, "page_viewed", ann.clone()),
            event("4", 30, "page_viewed", ann.clone()),
        ],
    );
    let alerts = listed(&house, &[], 2);
    let causes: Vec<&Value> = alerts.iter().map(|alert| &alert["cause"]).collect();
    assert_eq!(causes, ["case_unanswered", "follow_up_missing"], "the oldest first");
    assert_eq!((&alerts[0]["owner"], &alerts[0]["state"]), (&json!("shop"), &json!("open")));
    assert_eq!(alerts[0]["thing"], json!({ "type": "case", "value": "T-1" }));
    let table = house.succeed(&["alerts", "list", "--owner", "shop"]);
    assert!(table.contains("case:T-1") && table.contains("target_hours 48"), "{table}");
    assert!(house.succeed(&["alerts", "list", "--owner", "nobody"]).contains("no alerts"));

    let id = alerts[0]["id"].as_str().unwrap();
    house.succeed(&["alerts", "acknowledge", id, "--by", "mo"]);
    let seen = listed(&house, &["--state", "acknowledged"], 1);
    assert_eq!((seen[0]["id"].as_str(), &seen[0]["acknowledged_by"]), (Some(id), &json!("mo")));
    listed(&house, &["--state", "open"], 1);
    let (status, _, errors) = house.run(&["alerts", "acknowledge", &"0".repeat(32)]);
    assert!(status.code() == Some(1) && errors.contains("alerts list"), "{errors}");
    let (status, _, errors) = house.run(&["alerts", "acknowledge", "T-1"]);
    assert!(status.code() == Some(2) && errors.contains("32 hexadecimal digits"), "{errors}");
    let kept = house.succeed(&["export-person", "email:ann@example.org"]);
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["alerts"].as_array().map(Vec::len), Some(2), "{kept}");

    house.append(DAY_MS, &[event("5", 30, "case_replied", case)]);
    let left = listed(&house, &[], 1);
    assert_eq!(left[0]["cause"], "follow_up_missing");
    house.succeed(&["erase", "email:ann@example.org", "--yes"]);
    listed(&house, &[], 0);
}
