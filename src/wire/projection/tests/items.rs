//! Items of lists and values of maps that are wanted as they are, under a reader's schema.

use std::sync::Arc;

use apache_avro::Schema;
use serde_json::Value;

use super::{compare_with_serde, shown, value};
use crate::wire::{Capture, ShapeBuilder, avro, projection::Projection, schemas::WriterSchema};

/// What a reader finds in a list, and in a map, of what a writer wrote of one type where the reader has another.
fn read_items(written: &str, items: &[&str], wanted: &str) -> [Result<Vec<String>, String>; 2] {
    ["list", "entries"].map(|how| {
        let schema = |item: &str| {
            let whole = match how {
                "list" => format!(r#"{{"type":"array","items":{item}}}"#),
                _ => format!(r#"{{"type":"map","values":{item}}}"#),
            };
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"l","type":{whole}}}]}}"#)
        };
        let json: Value = match how {
            "list" => serde_json::from_str(&format!(r#"{{"l":[{}]}}"#, items.join(","))),
            _ => {
                let entries = items.iter().enumerate().map(|(number, item)| format!(r#""{number}":{item}"#));
                serde_json::from_str(&format!(r#"{{"l":{{{}}}}}"#, entries.collect::<Vec<_>>().join(",")))
            }
        }
        .expect("JSON");
        let parsed = Schema::parse_str(&schema(written)).expect("a schema");
        let mut datum = Vec::new();
        let writing = apache_avro::writer::datum::GenericDatumWriter::builder(&parsed).build().expect("a writer");
        writing.write_value(&mut datum, value(&parsed, &json)).expect("it fits");
        let writer = Arc::new(WriterSchema::parse("writer.avsc", &schema(written)).expect("a safe schema"));
        let reader = WriterSchema::parse("reader.avsc", &schema(wanted)).expect("a safe schema");
        let mut builder = ShapeBuilder::default();
        let slot = if how == "list" { builder.list("l") } else { builder.entries("l") }.expect("a path");
        let shape = builder.build();
        let projection = Projection::new(&shape, None, &[], &writer, Some(&reader)).map_err(|it| it.problem)?;
        let mut capture = Capture::default();
        shape.begin(&mut capture);
        avro::capture_at(&shape, &datum, &projection, &mut capture).expect("what was written is readable");
        compare_with_serde(&projection, &shape, &writer, &datum);
        let mut found: Vec<(String, String)> =
            capture.entries(slot).map(|entry| (entry.key.to_string(), shown(&entry.value))).collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found.into_iter().map(|(_, value)| value).collect())
    })
}

#[test]
fn items_of_lists_and_values_of_maps_are_resolved_as_fields_are() {
    let words = |symbols: &str| format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}],"default":"A"}}"#);
    let (few, many) = (words(r#""A","B""#), words(r#""A","B","C""#));
    let cases: [(&str, &[&str], &str, &[&str]); 8] = [
        (r#""string""#, &[r#""a""#, r#""b""#], r#""string""#, &["a", "b"]),
        (r#""bytes""#, &[r#""a""#, r#""b""#], r#""string""#, &["a", "b"]),
        (r#"["null","bytes"]"#, &["null"], r#"["null","string"]"#, &["-"]),
        (r#""int""#, &["3", "4"], r#""long""#, &["3", "4"]),
        (r#""float""#, &["3.25"], r#""double""#, &["3.25"]),
        (&many, &[r#""C""#, r#""B""#], &few, &["A", "B"]),
        (&few, &[r#""B""#], &many, &["B"]),
        // Bytes that nobody wants as text are none.
        (r#""bytes""#, &[r#""a""#], r#""bytes""#, &["composite"]),
    ];
    for (written, items, wanted, expected) in cases {
        for found in read_items(written, items, wanted) {
            assert_eq!(found.expect("legal"), expected, "{written} read as {wanted}");
        }
    }
    for (written, items, wanted) in [
        (r#""long""#, &["3"], r#""string""#),
        (r#""string""#, &[r#""a""#], r#""int""#),
        (r#""long""#, &["3"], r#""int""#),
    ] {
        for found in read_items(written, items, wanted) {
            assert!(found.expect_err(wanted).contains("another type"), "{written} read as {wanted}");
        }
    }
}
