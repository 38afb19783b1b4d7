//! What a record says besides its touchpoints: the schema that it names, and kinds that nobody mapped.

use super::*;
use crate::wire::{avro::encode_touchpoint, schemas::TOUCHPOINT_SCHEMA};

#[derive(Default)]
struct Heard(Vec<String>);

impl Notes for Heard {
    fn schema(&mut self, schema: SchemaRef) {
        self.0.push(schema.short());
    }

    fn unmapped_kind(&mut self, word: &str) {
        self.0.push(word.to_owned());
    }
}

fn heard(spoke: &Spoke, payload: &[u8]) -> Vec<String> {
    let mut heard = Heard::default();
    spoke.map_noting(&record(Some(payload)), &mut heard, &mut |_| {}).expect("its schema is at hand");
    heard.0
}

const SPOKE: &str = r#"
spoke = "web"
topic = "web.events"
format = "json"
id = "content"
each = "all"
occurred_at = { path = "at", format = "epoch_s" }
kind = { path = ".what", map = { "Sold" = "order_placed", "Misc" = "other" } }
identifiers = { customer_id = ".who" }
"#;

#[test]
fn kinds_without_a_mapping_are_noted_whether_they_are_taken_or_not() {
    let elements: Vec<String> = ["Sold", "Misc", "other", "order_placed", "Archived", "Archived", "Lost"]
        .map(|word| format!(r#"{{"what":"{word}","who":"C1"}}"#))
        .into();
    let payload = format!(r#"{{"at":1770000000,"all":[{}]}}"#, elements.join(","));
    let taking = spoke(SPOKE).expect("a spoke file");
    assert_eq!(heard(&taking, payload.as_bytes()), ["Archived", "Archived", "Lost"]);
    let refusing = SPOKE.replace("path = \".what\"", "path = \".what\", unmapped = \"reject\"");
    let refusing = spoke(&refusing).expect("a spoke file");
    assert_eq!(heard(&refusing, payload.as_bytes()), ["Archived", "Archived", "Lost"]);
    // Rejected for another reason, its kind is nobody's concern.
    assert_eq!(heard(&taking, br#"{"at":1770000000,"all":[{"what":"Lost"}]}"#), [""; 0]);
    assert_eq!(heard(&taking, b"Lost"), [""; 0]);
}

#[test]
fn a_schema_is_noted_if_it_is_known() {
    let schemas = Arc::new(
        crate::wire::SchemaFolder::from_files([("17.avsc", TOUCHPOINT_SCHEMA)]).expect("the built-in schema").into(),
    );
    let file = SpokeFile::parse("sales.toml", SALES).expect("an example");
    let spoke = Spoke::compile(&file, Options::default(), &schemas).expect("an example");
    let event = r#"{"id":"o-1","kind":"order_placed","occurred_at":"2026-02-10T09:00:00Z","identifiers":{"customer_id":["C1"]}}"#;
    let mut single = Vec::new();
    super::spoke(OPERATIONS).expect("an example").map_json(&record(Some(event.as_bytes())), &mut |outcome| {
        if let Mapped::Touchpoint(touchpoint) = outcome {
            encode_touchpoint(&Touchpoint { spoke: "", ..touchpoint }, &mut single);
        }
    });
    let fingerprint = u64::from_le_bytes(single[2..10].try_into().expect("eight bytes"));
    assert_eq!(heard(&spoke, &single), [format!("fp:{fingerprint:016x}")]);
    let registry = |id: u8| [&[0, 0, 0, 0, id], &single[10..]].concat();
    assert_eq!(heard(&spoke, &registry(17)), ["id:17"]);
    assert_eq!(heard(&spoke, &registry(17)[..9]), ["id:17"], "what follows is damaged");
    assert_eq!(heard(&spoke, &registry(18)), [""; 0]);
    assert_eq!(heard(&spoke, &[0xC3, 0x01, 1, 2, 3]), [""; 0]);
}
