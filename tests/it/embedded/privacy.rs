//! What the hub gives away: identifiers as keyed hashes on every feed, and all of one person's data to whoever asks for it.

use serde_json::{Value, json};

use super::identity::{DAY_MS, House, event};

const FEEDS: [&str; 7] =
    ["customers", "touchpoints", "identities", "identity-journal", "metrics", "spokes", "catalogue"];
const IN_CLEAR: [&str; 6] =
    ["ann@example.org", "cookie-of-ann", "order-of-ann", "bob@example.org", "number-of-bob", "4930123456"];

fn events() -> Vec<Value> {
    let mut referred =
        event("5", 5, "referral_made", json!({ "email": "bob@example.org", "customer_id": "number-of-bob" }));
    referred["referrer"] = json!({ "type": "email", "value": "ann@example.org" });
    vec![
        event("1", 1, "page_viewed", json!({ "cookie": "cookie-of-ann" })),
        event("2", 2, "order_placed", json!({ "email": "Ann@Example.org", "cookie": "cookie-of-ann" })),
        event(
            "3",
            3,
            "order_placed",
            json!({ "email": "ann@example.org", "order": "order-of-ann", "phone": "030 123456" }),
        ),
        event("4", 4, "order_delivered", json!({ "order": "order-of-ann" })),
        referred,
        // A kind that nobody knows: rejected.
        event("6", 6, "juggled", json!({ "phone": "030/123456", "email": "ann@example.org" })),
    ]
}

#[test]
fn hashed_identifiers_are_on_no_feed_in_clear_and_still_find_their_customer() {
    let mut house = House::with("privacy", &["identity.publish=hashed", "identity.phone_region=DE"]);
    house.append(DAY_MS, &events());
    let ann = house.has("cookie:cookie-of-ann", 4);
    assert_eq!(house.has("phone:0049 30 123456", 4), ann);
    let customer = house.customer("email:ann@example.org", 4);
    assert_eq!(customer["person"], json!(ann));
    let counts = customer["timeline"].as_array().unwrap().iter().filter(|step| step["counts_for"] != json!([])).count();
    assert!(counts >= 3, "what each counts for is told of hashed touchpoints too: {customer}");
    house.customer("customer_id:number-of-bob", 1);
    for feed in FEEDS {
        let exported = house.succeed(&["export", feed]);
        assert!(!exported.trim().is_empty(), "{feed} is empty");
        for clear in IN_CLEAR {
            assert!(!exported.to_lowercase().contains(clear), "{feed} says {clear}: {exported}");
        }
    }
    // The same customer is still told from others: her hash is the key of her identity.
    let exported = house.succeed(&["export", "customers"]);
    assert!(exported.contains(&format!("\"email\":[\"{ann}\"]")), "{exported}");
    check_export(&house, &ann);
}

#[test]
fn whoever_asks_gets_everything_that_is_kept_about_them_and_nothing_about_others() {
    let mut house = House::with("access", &["identity.phone_region=DE", "topics.touchpoints_feed=false"]);
    house.append(DAY_MS, &events());
    let ann = house.has("cookie:cookie-of-ann", 4);
    house.customer("cookie:cookie-of-ann", 4);
    check_export(&house, &ann);
}

/// Ann's data, in clear and whole, however the feeds are written.
fn check_export(house: &House, ann: &str) {
    let file = house.path().join("ann.json");
    let shown = house.succeed(&["export-person", "order:order-of-ann", "--to", file.to_str().unwrap()]);
    assert!(shown.contains("4 touchpoints") && shown.contains(ann), "{shown}");
    let text = std::fs::read_to_string(&file).unwrap();
    let data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["person"], json!(ann));
    let identifiers = json!({
        "cookie": ["cookie-of-ann"], "email": ["ann@example.org"], "order": ["order-of-ann"], "phone": ["+4930123456"],
    });
    assert_eq!(data["identifiers"], identifiers);
    let ids: Vec<&str> = data["touchpoints"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["1", "2", "3", "4"]);
    assert_eq!(data["touchpoints"][1]["identifiers"]["email"], json!(["ann@example.org"]));
    assert_eq!(data["record"]["orders"], 2);
    let linked = data["journal"].as_array().unwrap().iter().filter(|line| line["change"] == "linked").count();
    assert_eq!(linked, 3, "{}", data["journal"]);
    assert_eq!(data["rejected"].as_array().unwrap().len(), 1, "{}", data["rejected"]);
    assert_eq!(data["rejected"][0]["reason"], "unknown_kind");
    assert!(!text.contains("bob"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
