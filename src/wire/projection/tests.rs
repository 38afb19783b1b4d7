//! Every legal change of a schema, at every kind of place, written and read with the old and the new version.

mod items;

use std::sync::Arc;

use apache_avro::{Schema, types::Value as Avro};
use serde_json::Value;

use super::{
    Projection, TimeUse,
    plan::tests::{by_serde, frozen, outcome},
};
use crate::wire::{Capture, Scalar, Shape, ShapeBuilder, Slot, avro, schemas::WriterSchema};

/// A change of one field, `x`, from one version of a schema to the next.
struct Change {
    name: &'static str,
    /// The fields beside others, as each version declares them.
    old: &'static str,
    new: &'static str,
    /// The fields' values as each version writes them, in JSON.
    old_writes: &'static str,
    new_writes: &'static str,
    /// What the new version reads of the old one, and the old one of the new one; `!`: it says that it cannot.
    new_reads: &'static str,
    old_reads: &'static str,
}

const fn change(
    name: &'static str,
    (old, new): (&'static str, &'static str),
    (old_writes, new_writes): (&'static str, &'static str),
    (new_reads, old_reads): (&'static str, &'static str),
) -> Change {
    Change { name, old, new, old_writes, new_writes, new_reads, old_reads }
}

/// The legal changes of the Avro specification 1.12, "Schema Resolution". Where one direction is not legal, what must be said.
const CHANGES: &[Change] = &[
    change(
        "nothing",
        (r#"{"name":"x","type":"string"}"#, r#"{"name":"x","type":"string"}"#),
        (r#"{"x":"a"}"#, r#"{"x":"b"}"#),
        ("a", "b"),
    ),
    change(
        "documentation",
        (r#"{"name":"x","type":"string"}"#, r#"{"name":"x","type":"string","doc":"what it is"}"#),
        (r#"{"x":"a"}"#, r#"{"x":"b"}"#),
        ("a", "b"),
    ),
    change(
        "a field is added",
        (r#"{"name":"x","type":"string"}"#, r#"{"name":"x","type":"string"},{"name":"y","type":"int","default":7}"#),
        (r#"{"x":"a"}"#, r#"{"x":"b","y":9}"#),
        ("a", "b"),
    ),
    change(
        "a field is added before it",
        (
            r#"{"name":"x","type":"string"}"#,
            r#"{"name":"y","type":"double","default":1.5},{"name":"x","type":"string"}"#,
        ),
        (r#"{"x":"a"}"#, r#"{"x":"b","y":9.5}"#),
        ("a", "b"),
    ),
    change(
        "it is added with a text",
        (r#"{"name":"z","type":"int"}"#, r#"{"name":"z","type":"int"},{"name":"x","type":"string","default":"none"}"#),
        (r#"{"z":1}"#, r#"{"z":1,"x":"b"}"#),
        ("none", "!"),
    ),
    change(
        "it is added with a number",
        (r#"{"name":"z","type":"int"}"#, r#"{"name":"z","type":"int"},{"name":"x","type":"long","default":-5}"#),
        (r#"{"z":1}"#, r#"{"z":1,"x":6}"#),
        ("-5", "!"),
    ),
    change(
        "it is added with a fraction",
        (r#"{"name":"z","type":"int"}"#, r#"{"name":"z","type":"int"},{"name":"x","type":"double","default":2.25}"#),
        (r#"{"z":1}"#, r#"{"z":1,"x":6.5}"#),
        ("2.25", "!"),
    ),
    change(
        "it is added with a truth",
        (r#"{"name":"z","type":"int"}"#, r#"{"name":"z","type":"int"},{"name":"x","type":"boolean","default":true}"#),
        (r#"{"z":1}"#, r#"{"z":1,"x":false}"#),
        ("true", "!"),
    ),
    change(
        "it is added with nothing",
        (
            r#"{"name":"z","type":"int"}"#,
            r#"{"name":"z","type":"int"},{"name":"x","type":["null","string"],"default":null}"#,
        ),
        (r#"{"z":1}"#, r#"{"z":1,"x":"b"}"#),
        ("-", "!"),
    ),
    change(
        "it is added with a word",
        (
            r#"{"name":"z","type":"int"}"#,
            r#"{"name":"z","type":"int"},{"name":"x","type":{"type":"enum","name":"E","symbols":["A","B"]},"default":"B"}"#,
        ),
        (r#"{"z":1}"#, r#"{"z":1,"x":"A"}"#),
        ("B", "!"),
    ),
    change(
        "it is removed",
        (r#"{"name":"z","type":"int"},{"name":"x","type":"string","default":"gone"}"#, r#"{"name":"z","type":"int"}"#),
        (r#"{"z":1,"x":"a"}"#, r#"{"z":1}"#),
        ("!", "gone"),
    ),
    change(
        "another is removed",
        (r#"{"name":"z","type":"int","default":0},{"name":"x","type":"string"}"#, r#"{"name":"x","type":"string"}"#),
        (r#"{"z":1,"x":"a"}"#, r#"{"x":"b"}"#),
        ("a", "b"),
    ),
    change(
        "it is renamed",
        (r#"{"name":"w","type":"string"}"#, r#"{"name":"x","type":"string","aliases":["w"]}"#),
        (r#"{"w":"a"}"#, r#"{"x":"b"}"#),
        ("a", "!"),
    ),
    change(
        "it is renamed, and known by both names",
        (r#"{"name":"x","type":"string","aliases":["v"]}"#, r#"{"name":"v","type":"string","aliases":["x"]}"#),
        (r#"{"x":"a"}"#, r#"{"v":"b"}"#),
        ("!", "b"),
    ),
    change(
        "fields change places",
        (
            r#"{"name":"x","type":"string"},{"name":"y","type":"long"}"#,
            r#"{"name":"y","type":"long"},{"name":"x","type":"string"}"#,
        ),
        (r#"{"x":"a","y":1}"#, r#"{"x":"b","y":2}"#),
        ("a", "b"),
    ),
    change(
        "int to long",
        (r#"{"name":"x","type":"int"}"#, r#"{"name":"x","type":"long"}"#),
        (r#"{"x":3}"#, r#"{"x":4}"#),
        ("3", "!"),
    ),
    change(
        "int to float",
        (r#"{"name":"x","type":"int"}"#, r#"{"name":"x","type":"float"}"#),
        (r#"{"x":3}"#, r#"{"x":4.5}"#),
        ("3", "!"),
    ),
    change(
        "int to double",
        (r#"{"name":"x","type":"int"}"#, r#"{"name":"x","type":"double"}"#),
        (r#"{"x":3}"#, r#"{"x":4.5}"#),
        ("3", "!"),
    ),
    change(
        "long to float",
        (r#"{"name":"x","type":"long"}"#, r#"{"name":"x","type":"float"}"#),
        (r#"{"x":3}"#, r#"{"x":4.5}"#),
        ("3", "!"),
    ),
    change(
        "long to double",
        (r#"{"name":"x","type":"long"}"#, r#"{"name":"x","type":"double"}"#),
        (r#"{"x":3}"#, r#"{"x":4.5}"#),
        ("3", "!"),
    ),
    change(
        "float to double",
        (r#"{"name":"x","type":"float"}"#, r#"{"name":"x","type":"double"}"#),
        (r#"{"x":3.25}"#, r#"{"x":4.5}"#),
        ("3.25", "!"),
    ),
    change(
        "string to bytes and back",
        (r#"{"name":"x","type":"bytes"}"#, r#"{"name":"x","type":"string"}"#),
        (r#"{"x":"a"}"#, r#"{"x":"b"}"#),
        ("a", "b"),
    ),
    change(
        "it may be missing",
        (r#"{"name":"x","type":"string"}"#, r#"{"name":"x","type":["null","string"],"default":null}"#),
        (r#"{"x":"a"}"#, r#"{"x":"b"}"#),
        ("a", "b"),
    ),
    change(
        "it may be missing, and is",
        (r#"{"name":"x","type":"string"}"#, r#"{"name":"x","type":["null","string"],"default":null}"#),
        (r#"{"x":"a"}"#, r#"{"x":null}"#),
        ("a", "-"),
    ),
    change(
        "branches change places",
        (r#"{"name":"x","type":["null","string"]}"#, r#"{"name":"x","type":["string","null"]}"#),
        (r#"{"x":"a"}"#, r#"{"x":null}"#),
        ("a", "-"),
    ),
    change(
        "a branch is added",
        (r#"{"name":"x","type":["null","string"]}"#, r#"{"name":"x","type":["null","long","string"]}"#),
        (r#"{"x":"a"}"#, r#"{"x":"b"}"#),
        ("a", "b"),
    ),
    change(
        "a number in a union grows",
        (r#"{"name":"x","type":["null","int"]}"#, r#"{"name":"x","type":["null","long"]}"#),
        (r#"{"x":3}"#, r#"{"x":4}"#),
        ("3", "!"),
    ),
    change(
        "a word is added",
        (
            r#"{"name":"x","type":{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}}"#,
            r#"{"name":"x","type":{"type":"enum","name":"E","symbols":["A","B","C"],"default":"A"}}"#,
        ),
        (r#"{"x":"B"}"#, r#"{"x":"C"}"#),
        ("B", "A"),
    ),
    change(
        "words change places",
        (
            r#"{"name":"x","type":{"type":"enum","name":"E","symbols":["A","B"]}}"#,
            r#"{"name":"x","type":{"type":"enum","name":"E","symbols":["B","A"]}}"#,
        ),
        (r#"{"x":"B"}"#, r#"{"x":"A"}"#),
        ("B", "A"),
    ),
    change(
        "a word is removed",
        (
            r#"{"name":"x","type":{"type":"enum","name":"E","symbols":["A","B","C"],"default":"A"}}"#,
            r#"{"name":"x","type":{"type":"enum","name":"E","symbols":["A","B"],"default":"B"}}"#,
        ),
        (r#"{"x":"C"}"#, r#"{"x":"B"}"#),
        ("B", "B"),
    ),
    change(
        "a type is renamed",
        (
            r#"{"name":"x","type":{"type":"enum","name":"E","symbols":["A"]}}"#,
            r#"{"name":"x","type":{"type":"enum","name":"F","aliases":["E"],"symbols":["A"]}}"#,
        ),
        (r#"{"x":"A"}"#, r#"{"x":"A"}"#),
        ("A", "!"),
    ),
    change(
        "a namespace changes",
        (
            r#"{"name":"x","type":{"type":"enum","name":"E","namespace":"a","symbols":["A"]}}"#,
            r#"{"name":"x","type":{"type":"enum","name":"E","namespace":"b","symbols":["A"]}}"#,
        ),
        (r#"{"x":"A"}"#, r#"{"x":"A"}"#),
        ("A", "A"),
    ),
    change(
        "a number becomes a time",
        (r#"{"name":"x","type":"long"}"#, r#"{"name":"x","type":{"type":"long","logicalType":"time-micros"}}"#),
        (r#"{"x":3}"#, r#"{"x":4}"#),
        ("3", "4"),
    ),
    change(
        "a decimal becomes more precise",
        (
            r#"{"name":"x","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}}"#,
            r#"{"name":"x","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}}"#,
        ),
        (r#"{"x":[4,210]}"#, r#"{"x":[5]}"#),
        ("12.34", "0.05"),
    ),
    change(
        "a text becomes a list",
        (r#"{"name":"x","type":"string"}"#, r#"{"name":"x","type":{"type":"array","items":"string"}}"#),
        (r#"{"x":"a"}"#, r#"{"x":["b"]}"#),
        ("!", "!"),
    ),
    change(
        "a text becomes a number",
        (r#"{"name":"x","type":"string"}"#, r#"{"name":"x","type":"int"}"#),
        (r#"{"x":"a"}"#, r#"{"x":4}"#),
        ("!", "!"),
    ),
];

/// Where the fields stand: the schema around them, the value around theirs, and the path of `x`.
const PLACES: &[(&str, &str, &str, &str)] = &[
    ("at the top", r#"{"type":"record","name":"R","fields":[FIELDS]}"#, "VALUES", "x"),
    (
        "in a record",
        r#"{"type":"record","name":"R","fields":[{"name":"n","type":{"type":"record","name":"N","fields":[FIELDS]}}]}"#,
        r#"{"n":VALUES}"#,
        "n.x",
    ),
    (
        "in a record that may be missing",
        r#"{"type":"record","name":"R","fields":[{"name":"n","type":["null",{"type":"record","name":"N","fields":[FIELDS]}]}]}"#,
        r#"{"n":VALUES}"#,
        "n.x",
    ),
    (
        "in a list",
        r#"{"type":"record","name":"R","fields":[{"name":"l","type":{"type":"array","items":{"type":"record","name":"N","fields":[FIELDS]}}}]}"#,
        r#"{"l":[VALUES]}"#,
        "l[0].x",
    ),
    (
        "in a map",
        r#"{"type":"record","name":"R","fields":[{"name":"m","type":{"type":"map","values":{"type":"record","name":"N","fields":[FIELDS]}}}]}"#,
        r#"{"m":{"k":VALUES}}"#,
        "m.k.x",
    ),
    (
        "in each element",
        r#"{"type":"record","name":"R","fields":[{"name":"l","type":{"type":"array","items":{"type":"record","name":"N","fields":[FIELDS]}}}]}"#,
        r#"{"l":[VALUES,VALUES]}"#,
        ".x",
    ),
];

pub(super) fn shape(path: &str) -> (Shape, Slot) {
    let mut builder = ShapeBuilder::default();
    if path.starts_with('.') {
        builder.each("l").expect("a path");
    }
    let slot = builder.leaf(path).expect("a path");
    (builder.build(), slot)
}

pub(super) fn shown(scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Missing | Scalar::Null => "-".into(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(value) => value.to_string(),
        Scalar::Large(value) => value.to_string(),
        Scalar::Float(value) => value.to_string(),
        Scalar::Digits(number) => (*number).to_owned(),
        Scalar::Text(text) => text.to_string(),
        Scalar::Composite => "composite".into(),
    }
}

/// JSON as a schema's value, for the encoder: the reference implementation's own conversion, where it has one.
fn value(schema: &Schema, json: &Value) -> Avro {
    match (schema, json) {
        (Schema::Union(union), json) => {
            let fits = |variant: &Schema| match json {
                Value::Null => matches!(variant, Schema::Null),
                Value::String(_) => matches!(variant, Schema::String | Schema::Enum(_)),
                Value::Number(_) => matches!(variant, Schema::Int | Schema::Long),
                Value::Object(_) => matches!(variant, Schema::Record(_)),
                Value::Bool(_) | Value::Array(_) => false,
            };
            let index = union.variants().iter().position(fits).expect("a branch for the value");
            let index_in_union = u32::try_from(index).expect("few branches");
            Avro::Union(index_in_union, Box::new(value(&union.variants()[index], json)))
        }
        (Schema::Record(record), Value::Object(object)) => Avro::Record(
            record
                .fields
                .iter()
                .map(|field| (field.name.clone(), value(&field.schema, &object[&field.name])))
                .collect(),
        ),
        (Schema::Array(array), Value::Array(items)) => {
            Avro::Array(items.iter().map(|item| value(&array.items, item)).collect())
        }
        (Schema::Map(map), Value::Object(object)) => {
            Avro::Map(object.iter().map(|(key, inner)| (key.clone(), value(&map.types, inner))).collect())
        }
        (Schema::Enum(symbols), Value::String(symbol)) => {
            let index = symbols.symbols.iter().position(|known| known == symbol).expect("a symbol");
            Avro::Enum(u32::try_from(index).expect("few symbols"), symbol.clone())
        }
        (Schema::Decimal(_), Value::Array(bytes)) => {
            let bytes: Vec<u8> =
                bytes.iter().map(|byte| byte.as_u64().and_then(|byte| byte.try_into().ok()).expect("a byte")).collect();
            Avro::Decimal(bytes.into())
        }
        (Schema::TimeMicros, Value::Number(number)) => Avro::TimeMicros(number.as_i64().expect("whole")),
        (Schema::Bytes, Value::String(text)) => Avro::Bytes(text.clone().into_bytes()),
        (Schema::String, Value::String(text)) => Avro::String(text.clone()),
        (Schema::Boolean, Value::Bool(value)) => Avro::Boolean(*value),
        (Schema::Int, Value::Number(number)) => {
            Avro::Int(number.as_i64().and_then(|value| value.try_into().ok()).expect("an int"))
        }
        (Schema::Long, Value::Number(number)) => Avro::Long(number.as_i64().expect("whole")),
        (Schema::Float, Value::Number(number)) => Avro::Float(number.as_f64().expect("a number") as f32),
        (Schema::Double, Value::Number(number)) => Avro::Double(number.as_f64().expect("a number")),
        (Schema::Null, Value::Null) => Avro::Null,
        (schema, json) => panic!("{json} is no value of {schema:?}"),
    }
}

/// Whole, cut anywhere and with any byte changed: the plan gives what serde gives, or both refuse.
pub(super) fn compare_with_serde(projection: &Projection, shape: &Shape, writer: &WriterSchema, datum: &[u8]) {
    let changed = |at: usize, byte: u8| {
        let mut datum = datum.to_vec();
        datum[at] = byte;
        datum
    };
    let (schema, changes) = (frozen(&writer.layout), [0, 1, 2, 4, 0x80, 0xFF]);
    let all = (0..datum.len()).flat_map(|at| {
        let changed = changes.map(|byte| changed(at, byte)).into_iter();
        changed.chain([datum[..at].to_vec(), [datum, &datum[at..]].concat()])
    });
    for datum in all.chain([datum.to_vec()]) {
        let (mut found, mut expected) = (Capture::default(), Capture::default());
        shape.begin(&mut found);
        shape.begin(&mut expected);
        let by_plan = avro::capture_at(shape, &datum, projection, &mut found);
        let renamed = projection.shape.as_ref().unwrap_or(shape);
        let by_serde = by_serde(renamed, None, &schema, &datum, &mut expected);
        projection.settle(shape, &mut expected);
        assert_eq!(outcome(by_plan, &found), outcome(by_serde, &expected), "{datum:?}");
    }
}

/// What a reader finds at a path of what a writer wrote; `!` if it says that the schemas do not go together.
fn read(writer: &str, json: &str, reader: Option<&str>, path: &str) -> String {
    let parsed = Schema::parse_str(writer).expect("a schema");
    let json: Value = serde_json::from_str(json).expect("JSON");
    let datum = apache_avro::writer::datum::GenericDatumWriter::builder(&parsed)
        .build()
        .and_then(|writer| {
            let mut bytes = Vec::new();
            writer.write_value(&mut bytes, value(&parsed, &json)).map(|_| bytes)
        })
        .expect("the value fits the schema");
    let writer = Arc::new(WriterSchema::parse("writer.avsc", writer).expect("a safe schema"));
    let reader = reader.map(|reader| WriterSchema::parse("reader.avsc", reader).expect("a safe schema"));
    let (shape, slot) = shape(path);
    let projection = match Projection::new(&shape, None, &[], &writer, reader.as_ref()) {
        Ok(projection) => projection,
        Err(mismatch) => {
            assert!(!mismatch.path.is_empty() && !mismatch.problem.is_empty());
            return "!".into();
        }
    };
    let mut capture = Capture::default();
    shape.begin(&mut capture);
    avro::capture_at(&shape, &datum, &projection, &mut capture).expect("what was written is readable");
    compare_with_serde(&projection, &shape, &writer, &datum);
    if path.starts_with('.') {
        let elements: Vec<String> = (0..capture.elements())
            .map(|index| {
                capture.select(&shape, index);
                shown(capture.scalar(slot))
            })
            .collect();
        assert!(elements.len() == 2 && elements[0] == elements[1], "{elements:?}");
        return elements[0].clone();
    }
    shown(capture.scalar(slot))
}

#[test]
fn every_legal_change_is_read_by_the_old_and_the_new_version_at_every_place() {
    let mut pairs = 0;
    for change in CHANGES {
        for (place, schema, around, path) in PLACES {
            let (old, new) = (schema.replace("FIELDS", change.old), schema.replace("FIELDS", change.new));
            for (written, json, reader, expected) in
                [(&old, change.old_writes, &new, change.new_reads), (&new, change.new_writes, &old, change.old_reads)]
            {
                let json = around.replace("VALUES", json);
                let found = read(written, &json, Some(reader), path);
                // A reader that has no `x` cannot be asked for it, wherever it is.
                assert_eq!(found, expected, "{}, {place}: {written} read as {reader}", change.name);
                pairs += 1;
            }
        }
    }
    assert!(pairs >= 400, "{pairs}");
}

#[test]
fn without_a_reader_schema_the_writers_own_names_hold() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"x","type":["null","float"]}]}"#;
    assert_eq!(read(schema, r#"{"x":null}"#, None, "x"), "-");
    assert_eq!(read(schema, r#"{"x":null}"#, None, "y"), "-");
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"x","type":"float"}]}"#;
    // The decimal that was meant, though no binary fraction is exactly it.
    assert_eq!(read(schema, r#"{"x":19.99}"#, None, "x"), "19.99");
}

#[test]
fn the_reader_says_what_stands_in_place_of_a_record_or_a_list_that_is_missing() {
    let old = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
    let new = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"n","default":{"x":"in"},"type":
        {"type":"record","name":"N","fields":[{"name":"x","type":"string"},{"name":"y","type":"int","default":5},
        {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},"default":"\u0004\u00D2"}]}},
        {"name":"l","default":["first","second"],"type":{"type":"array","items":"string"}}]}"#;
    for (path, expected) in [("n.x", "in"), ("n.y", "5"), ("n.d", "12.34"), ("l[1]", "second"), ("l[2]", "-")] {
        assert_eq!(read(old, r#"{"a":1}"#, Some(new), path), expected, "{path}");
    }
}

#[test]
fn times_are_what_the_schema_says() {
    let read = |logical: &str, wanted| {
        let schema = format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"at","type":["null",{{"type":"long","logicalType":"{logical}"}}]}}]}}"#
        );
        let (shape, slot) = shape("at");
        let writer = Arc::new(WriterSchema::parse("writer.avsc", &schema).expect("a safe schema"));
        let projection =
            Projection::new(&shape, None, &[(slot, wanted)], &writer, None).map_err(|mismatch| mismatch.problem)?;
        let mut datum = vec![2];
        let mut number = 1_769_850_000_250_999_i64 << 1;
        while number > 0x7F {
            datum.push((number & 0x7F) as u8 | 0x80);
            number >>= 7;
        }
        datum.push(number as u8);
        let mut capture = Capture::default();
        shape.begin(&mut capture);
        avro::capture_at(&shape, &datum, &projection, &mut capture).expect("a number");
        Ok::<_, String>(shown(capture.scalar(slot)))
    };
    assert_eq!(read("local-timestamp-micros", TimeUse::LocalDue).as_deref(), Ok("2026-01-31T09:00:00.25"));
    assert_eq!(read("timestamp-micros", TimeUse::Instant).as_deref(), Ok("1769850000250"));
    assert_eq!(read("timestamp-nanos", TimeUse::Instant).as_deref(), Ok("1769850000"));
    assert_eq!(read("local-timestamp-micros", TimeUse::Local).as_deref(), Ok("2026-01-31T09:00:00.25"));
    for (logical, wanted) in
        [("none", TimeUse::Instant), ("local-timestamp-micros", TimeUse::Instant), ("timestamp-micros", TimeUse::Local)]
    {
        assert!(read(logical, wanted).expect_err(logical).contains("does not say"), "{logical}");
    }
}

#[test]
fn a_default_stands_only_where_there_is_something_for_it_to_stand_in() {
    let record = |fields: &str| {
        format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"n","type":["null",{{"type":"record","name":"N","fields":[{fields}]}}]}},
            {{"name":"l","type":{{"type":"array","items":["null",{{"type":"record","name":"L","fields":[{fields}]}}]}}}},
            {{"name":"m","type":{{"type":"map","values":{{"type":"record","name":"M","fields":[{fields}]}}}}}}]}}"#
        )
    };
    let old = record(r#"{"name":"y","type":"int"}"#);
    let new = record(r#"{"name":"y","type":"int"},{"name":"x","type":"string","default":"gold"}"#);
    let full = r#"{"n":{"y":1},"l":[{"y":2}],"m":{"k":{"y":3}}}"#;
    let empty = r#"{"n":null,"l":[null],"m":{}}"#;
    for path in ["n.x", "l[0].x", "m.k.x"] {
        let found = |json| read(&old, json, Some(&new), path);
        assert_eq!((found(full).as_str(), found(empty).as_str()), ("gold", "-"), "{path}");
    }
    assert_eq!(read(&old, r#"{"n":null,"l":[],"m":{}}"#, Some(&new), "l[0].x"), "-");
}

#[test]
fn each_field_of_a_writer_is_read_once_whatever_aliases_there_are() {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let old = record(r#"{"name":"amount","type":"int"}"#);
    let new =
        record(r#"{"name":"amount","type":"int","default":0},{"name":"total","type":"int","aliases":["amount"]}"#);
    assert_eq!(read(&old, r#"{"amount":5}"#, Some(&new), "total"), "5");
    assert_eq!(read(&old, r#"{"amount":5}"#, Some(&new), "amount"), "0");
}

#[test]
fn a_default_of_words_does_not_touch_texts() {
    let field = |symbols: &str| {
        format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":["string",{{"type":"enum","name":"E","symbols":[{symbols}],"default":"A"}}]}}]}}"#
        )
    };
    assert_eq!(read(&field(r#""A","B""#), r#"{"x":"hello"}"#, Some(&field(r#""A""#)), "x"), "hello");
}
