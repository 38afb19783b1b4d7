//! One customer, Ann, of whom nothing is to be left, and her history with Bob's beside it, as a department writes it.

use serde_json::{Value, json};

/// 2026-03-20T00:00:00Z.
pub const DAY_MS: i64 = 1_773_964_800_000;

/// Ann, by everything that says who she is: as departments write it, as the hub keeps it, and the number of her order as an id.
pub const ANN: [&str; 8] = [
    "Zq.Wörtlich-Ann@W9-Erased.Example",
    "zq.wörtlich-ann@w9-erased.example",
    "zq-customer-5f31b9c2",
    "+49-zq-170-5550-9913",
    "zq-cookie-a81e",
    "ZQ-ORDER-88172",
    "zq-property-of-hers",
    "zq-late-cookie-77",
];

pub fn event(id: &str, day: i64, kind: &str, more: Value) -> String {
    let mut event = json!({ "id": id, "kind": kind, "occurred_at": DAY_MS - (30 - day) * 86_400_000 });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event.to_string()
}

pub fn by(identifiers: Value) -> Value {
    json!({ "identifiers": identifiers })
}

/// What is known of both before Ann is erased: canonical touchpoints, and a letter that nobody can deliver.
pub fn history() -> Vec<String> {
    let [as_written, email, customer, phone, cookie, order, property, _] = ANN;
    vec![
        event("1", 1, "page_viewed", by(json!({ "cookie": cookie }))),
        event("2", 2, "lead_created", by(json!({ "email": as_written, "cookie": cookie }))),
        event("3", 3, "case_opened", by(json!({ "email": email, "phone": phone, "case": "case-1" }))),
        event(
            order,
            4,
            "order_placed",
            json!({ "identifiers": { "customer_id": customer, "email": email, "order": order },
                    "properties": { "note": property } }),
        ),
        event("5", 5, "order_delivered", by(json!({ "order": order }))),
        event(
            "6",
            6,
            "referral_made",
            json!({ "identifiers": { "customer_id": "bob-customer-1", "email": "bob@example.org" },
                    "referrer": { "type": "customer_id", "value": customer } }),
        ),
        event("7", 7, "page_viewed", by(json!({ "email": "bob@example.org", "cookie": "bob-cookie" }))),
        // A letter that nobody can deliver.
        format!(
            "{{\"id\":\"8\",\"kind\":\"order_placed\",\"occurred_at\":\"never\",\"identifiers\":{{\"email\":\"{email}\"}}}}"
        ),
    ]
}
