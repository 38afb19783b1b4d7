//! A type of identifiers of the hub's own: known to spokes, commands, the API and the pages, and fixed from the start.

use serde_json::{Value, json};

use super::{Desk, WITHIN};
use crate::embedded::{
    identity::{DAY_MS, event},
    process::command,
};

#[test]
fn a_type_of_the_hubs_own_finds_its_person_everywhere_and_never_changes() {
    let types = "identity.types=tax_number=1, badge";
    let mut desk = Desk::open("own-types", &["serve.requests_per_second=100000", types]);
    desk.house.append(
        DAY_MS,
        &[
            event("1", 1, "page_viewed", json!({ "device": "d" })),
            event("2", 2, "order_placed", json!({ "tax_number": " DE-7 ", "device": "d", "order": "o" })),
            event("3", 3, "page_viewed", json!({ "badge": "b", "tax_number": "DE-7" })),
            event("4", 4, "page_viewed", json!({ "badge": "b", "tax_number": "DE-8" })),
            event("5", 5, "page_viewed", json!({ "passport": "p", "badge": "b" })),
        ],
    );
    // A badge is stronger than a tax number by its name; which of the two tax numbers is hers, the first in order says.
    let ann = desk.house.has("device:d", 4);
    for identifier in ["badge:b", "tax_number:DE-7", "order:o"] {
        assert_eq!(desk.house.has(identifier, 4), ann, "{identifier}");
    }
    assert_ne!(desk.house.has("tax_number:DE-8", 1), ann);
    let conflicts = desk.house.succeed(&["identity", "conflicts", "-o", "json"]);
    assert!(conflicts.contains("limit_tax_number"), "{conflicts}");
    let customer = desk.house.customer("tax_number:DE-7", 4);
    assert_eq!(customer["record"]["identifiers"]["tax_number"], json!(["DE-7", "DE-8"]), "what her touchpoints carry");
    assert_eq!(customer["person"].as_str(), Some(ann.as_str()));
    let explained = desk.house.succeed(&["explain", "5", "-o", "json"]);
    assert!(explained.contains("phone, loyalty, badge, tax_number, device"), "{explained}");
    let (status, _, errors) = desk.house.run(&["identity", "show", "passport:p"]);
    assert!(status.code() == Some(2) && errors.contains("phone, loyalty, badge, tax_number, device"), "{errors}");
    let rejected = desk.house.succeed(&["rejected", "list", "-o", "json"]);
    assert!(rejected.contains("wrong_type"), "{rejected}");

    let (customers, _) = desk.token("read:customers", &[]);
    let by = [("authorization", customers.as_str())];
    let found = desk.becomes("/api/v1/customers/tax_number:DE-7", &by, &|answer| answer.status == 200).json();
    assert_eq!(found["person"].as_str(), Some(ann.as_str()));
    assert_eq!(desk.ask("/api/v1/customers/passport:p", &by).status, 400);
    let page = desk.ask("/customers", &by);
    assert!(page.body.contains("Tax number") && page.body.contains("value=\"badge\""), "{}", page.body);
    let description = desk.ask("/api/v1/openapi.json", &[]).json();
    let texts = &description["components"]["schemas"];
    for text in ["IdentifierText", "DecidedText", "CustomerText"] {
        let pattern = texts[text]["pattern"].as_str().unwrap();
        assert!(pattern.contains("|loyalty|badge|tax_number|device|"), "{text}: {pattern}");
    }

    desk.house.succeed(&["identity", "never-link", "tax_number:DE-7", "device:d", "--id", "apart"]);
    assert_ne!(desk.house.has("device:d", 1), ann);
    desk.house.succeed(&["identity", "undo", "apart"]);
    assert_eq!(desk.house.has("device:d", 4), ann);
    let kept: Value = serde_json::from_str(&desk.house.succeed(&["export-person", "tax_number:DE-7"])).unwrap();
    assert_eq!(kept["identifiers"]["tax_number"], json!(["DE-7", "DE-8"]), "{kept}");
    desk.house.succeed(&["erase", "tax_number:DE-7", "--yes"]);
    for identifier in ["tax_number:DE-7", "badge:b", "device:d", "order:o"] {
        desk.house.becomes(identifier, &|shown| shown.is_none());
    }
    desk.becomes("/api/v1/customers/tax_number:DE-7", &by, &|answer| answer.status == 404);

    // With another list the hub does not start, and says why; with its own it goes on.
    let data = desk.house.stop();
    for other in ["identity.types=tax_number=1", "identity.types=tax_number=1, badge, member_card", "identity.types="] {
        let (command, _) = command("other-types", Some(&data), &[other]);
        let (status, _, errors) = command.args(["run"]).run(WITHIN);
        assert_eq!(status.code(), Some(2), "{other}: {errors}");
        assert!(
            errors.contains("[identity]: types, unique, limits") && errors.contains("go back to the person key"),
            "{other}: {errors}"
        );
    }
    desk.house.restart();
    desk.house.append(DAY_MS, &[event("6", 6, "page_viewed", json!({ "tax_number": "DE-9" }))]);
    desk.house.has("tax_number:DE-9", 1);
}
