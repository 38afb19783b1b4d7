//! Types of identifiers that a hub has of its own, from every form of event.

use super::*;
use crate::model::IdentifierType;

fn options(types: &[&str]) -> Options {
    let own = types.iter().map(|name| IdentifierType::own(name).expect("a name")).collect();
    Options { identifiers: IdentifierRules::default().with_own_types(own).expect("a few"), ..Options::default() }
}

fn spoke_of(types: &[&str], toml: &str) -> Result<Spoke, String> {
    let file = SpokeFile::parse("test.toml", toml).map_err(|error| error.to_string())?;
    Spoke::compile(&file, options(types), &Arc::new(Schemas::default())).map_err(|error| error.to_string())
}

const MAPPED: &str = "spoke = \"web\"\ntopic = \"t\"\nformat = \"json\"\nid = \"i\"\nkind = { constant = \"visit_made\" }\n\
    occurred_at = { path = \"at\", format = \"rfc3339\" }\nreferrer = { type = \"badge\", value = \"friend\" }\n\
    [identifiers]\ndevice = \"d\"\nvat_number = \"v\"\nbadge = \"b\"\nloyalty = \"l\"\n";
const CANONICAL: &str = "spoke = \"web\"\ntopic = \"t\"\nformat = \"touchpoint-json\"\n";

#[test]
fn a_mapping_and_a_canonical_touchpoint_name_them_and_they_are_stronger_than_a_device() {
    let told = "web 1 visit_made at 2026-02-10T09:00:00.000Z by loyalty:L badge:B vat_number:V device:D, initiator customer, \
        referrer badge:F\n";
    let mapped = spoke_of(&["vat_number", "badge"], MAPPED).expect("a mapping");
    let payload = r#"{"i":"1","at":"2026-02-10T09:00:00Z","d":"D","v":" V ","b":["B","null"],"l":"L","friend":"F"}"#;
    assert_eq!(outcomes(&mapped, payload.as_bytes()), told);
    let json = spoke_of(&["vat_number", "badge"], CANONICAL).expect("a spoke");
    let payload = r#"{"id":"1","kind":"visit_made","occurred_at":"2026-02-10T09:00:00Z","identifiers":
        {"device":["D"],"vat_number":["V"],"badge":"B","loyalty":["L"]},"referrer":{"type":"badge","value":"F"}}"#;
    assert_eq!(outcomes(&json, payload.as_bytes()), told);
    let avro = spoke_of(&["vat_number", "badge"], &CANONICAL.replace("json", "avro")).expect("a spoke");
    json.map(&record(Some(payload.as_bytes())), &mut |outcome| {
        let Mapped::Touchpoint(touchpoint) = outcome else { panic!("it is one: {outcome:?}") };
        let mut bytes = Vec::new();
        crate::wire::avro::encode_touchpoint(&touchpoint, &mut bytes);
        assert_eq!(outcomes(&avro, &bytes), told);
        // What is kept has the name in it, so that every process reads the same.
        let mut kept = Vec::new();
        touchpoint.encode_into(&mut kept);
        assert!(kept.windows(10).any(|bytes| bytes == b"vat_number"));
        assert_eq!(Touchpoint::decode(&kept), Ok(touchpoint));
    })
    .expect("it needs no schema");
}

#[test]
fn a_type_of_another_hub_is_none_of_this_one() {
    // Known to the process, as where two hubs share it.
    let error = spoke_of(&["badge"], MAPPED).expect_err("a mapping for another hub");
    assert!(error.contains("identifiers.vat_number: \"vat_number\" is not known"), "{error}");
    assert!(error.contains("phone, loyalty, badge, device, cookie"), "{error}");
    let error =
        spoke_of(&["vat_number", "badge"], &MAPPED.replace("badge = \"b\"", "bagde = \"b\"")).expect_err("misspelt");
    assert!(error.contains("did you mean \"badge\"?"), "{error}");
    assert!(spoke_of(&[], MAPPED).is_err());
    let listed = "customer_id, email, phone, loyalty, badge, device, cookie, anonymous, order, case or contract";
    let json = spoke_of(&["badge"], CANONICAL).expect("a spoke");
    let payload = |identifiers: &str, referrer: &str| {
        format!(
            r#"{{"id":"1","kind":"visit_made","occurred_at":1770000000000,"identifiers":{identifiers},"referrer":{referrer}}}"#
        )
    };
    let rejected = outcomes(&json, payload(r#"{"badge":"B","vat_number":"V"}"#, "null").as_bytes());
    assert_eq!(
        rejected,
        format!("wrong_type [identifiers] identifiers: a type of identifier is not known; use {listed}.\n")
    );
    let rejected = outcomes(&json, payload(r#"{"badge":"B"}"#, r#"{"type":"vat_number","value":"V"}"#).as_bytes());
    assert_eq!(
        rejected,
        format!("wrong_type [referrer.type] referrer.type: the word is not known; use {listed}, or map it.\n")
    );
}
