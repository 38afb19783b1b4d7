//! A plan and serde_avro_fast under the same shape: whatever the schema, the shape and the bytes, both give the same or both
//! refuse.

mod dice;

use std::sync::Arc;

use proptest::prelude::*;
use serde_avro_fast::{
    de::{DeserializerConfig, DeserializerState, read::SliceRead},
    schema::{Schema, SchemaMut},
};

use self::dice::Dice;
use super::{
    super::{
        Projection,
        tests::{compare_with_serde, shape as shape_of, shown},
    },
    Plan, Step,
};
use crate::wire::{Capture, Fault, Shape, ShapeBuilder, Slot, avro, avro::AvroError, schemas::WriterSchema};

pub(in super::super) fn frozen(layout: &SchemaMut) -> Schema {
    layout.clone().freeze().expect("a schema that was parsed")
}

/// What the same bytes are to serde_avro_fast.
pub(in super::super) fn by_serde<'a>(
    shape: &Shape,
    root: Option<Slot>,
    schema: &Schema,
    datum: &'a [u8],
    capture: &mut Capture<'a>,
) -> Result<(), AvroError> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = datum.len();
    let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
    shape.capture(root, capture, state.deserializer()).map_err(|_| AvroError::Malformed)?;
    match std::io::Read::read(&mut state.into_reader(), &mut [0]) {
        Ok(0) => Ok(()),
        _ => Err(AvroError::Trailing),
    }
}

/// What became of it and what was captured, as far as anybody looks at it.
pub(in super::super) fn outcome(result: Result<(), AvroError>, capture: &Capture<'_>) -> String {
    match (result, capture.fault()) {
        (Err(error), Some(Fault::Repeated(slot))) => format!("{error:?}, {slot:?} is there twice"),
        (Err(error), _) => format!("{error:?}"),
        (Ok(()), _) => format!("{capture:#?}"),
    }
}

/// Asserts that both agree; whether the bytes were readable.
fn both(plan: &Plan, shape: &Shape, root: Option<Slot>, schema: &Schema, datum: &[u8]) -> bool {
    let (mut found, mut expected) = (Capture::default(), Capture::default());
    shape.begin(&mut found);
    shape.begin(&mut expected);
    let by_plan = match plan.run(shape, datum, &mut found) {
        Err(_) => Err(AvroError::Malformed),
        Ok([]) => Ok(()),
        Ok(_) => Err(AvroError::Trailing),
    };
    let by_serde = by_serde(shape, root, schema, datum, &mut expected);
    let is_readable = by_serde.is_ok();
    assert_eq!(outcome(by_plan, &found), outcome(by_serde, &expected), "{datum:?} of {}", schema.json());
    is_readable
}

/// Compares both over values of a schema and over what becomes of them: cut, with bytes changed, added and lost. How many of
/// the values were readable.
fn compare(dice: &mut Dice, schema: &str) -> Option<usize> {
    let writer = WriterSchema::parse("writer.avsc", schema).ok()?;
    let (shape, root) = dice.shape(&writer.layout);
    let node = root.map_or(0, |slot| slot.0);
    let plan = Plan::compile(&shape, node, &writer.layout).expect("few ways through it");
    let schema = frozen(&writer.layout);
    let mut readable = 0;
    for _ in 0..4 {
        let datum = dice.value(&writer.layout);
        readable += usize::from(both(&plan, &shape, root, &schema, &datum));
        for _ in 0..24 {
            both(&plan, &shape, root, &schema, &dice.damaged(&datum));
        }
    }
    Some(readable)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_plan_gives_what_serde_gives_or_both_refuse(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let schema = dice.schema();
        compare(&mut dice, &schema);
    }
}

#[test]
fn the_schemas_and_values_of_this_test_are_mostly_readable() {
    let (mut schemas, mut readable) = (0, 0);
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let schema = dice.schema();
        if let Some(values) = compare(&mut dice, &schema) {
            schemas += 1;
            readable += values;
        }
    }
    assert!(schemas > 250 && readable > 600, "{schemas} schemas, {readable} values");
}

fn compiled(schema: &str, paths: &[&str]) -> (Plan, Shape, Schema) {
    let writer = WriterSchema::parse("writer.avsc", schema).expect("a safe schema");
    let mut builder = ShapeBuilder::default();
    for path in paths {
        builder.leaf(path).expect("a path");
    }
    let shape = builder.build();
    (Plan::compile(&shape, 0, &writer.layout).expect("a small plan"), shape, frozen(&writer.layout))
}

#[test]
fn the_layout_of_a_plan_is_the_one_that_is_drawn() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"string"},
        {"name":"paid","type":["null",{"type":"record","name":"P","fields":[{"name":"cents","type":"long"},
            {"name":"rate","type":"double"},{"name":"by","type":"string"}]}]},
        {"name":"tags","type":{"type":"array","items":"string"}}]}"#;
    let (plan, ..) = compiled(schema, &["id", "paid.cents"]);
    let expected = [
        Step::Object(0),
        Step::Text(1),
        Step::Nullable { null: 0, absent: super::Absent::At(2), span: 4 },
        Step::Object(2),
        Step::Long(3),
        Step::Skip(8),
        Step::SkipSized,
        Step::SkipItems { keyed: false, by_size: true, span: 1 },
        Step::SkipSized,
    ];
    assert_eq!(plan.steps, expected);
}

#[test]
fn neighbours_that_are_skipped_are_one_step() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"double"},{"name":"n","type":
        {"type":"record","name":"N","fields":[{"name":"f","type":"float"},
            {"name":"d","type":{"type":"fixed","name":"D","size":12,"logicalType":"duration"}}]}},
        {"name":"h","type":{"type":"fixed","name":"H","size":16}},{"name":"x","type":"int"}]}"#;
    let (plan, ..) = compiled(schema, &["x"]);
    assert_eq!(plan.steps, [Step::Object(0), Step::Skip(40), Step::Take(1, super::Read::Int)]);
}

#[test]
fn what_is_skipped_is_compiled_once_however_often_a_schema_names_it() {
    let mut fields = r#"{"name":"f","type":["null","string"]}"#.to_owned();
    for level in 0..5 {
        let uses: Vec<String> = (1..4).map(|number| format!(r#"{{"name":"f{number}","type":"L{level}"}}"#)).collect();
        fields = format!(
            r#"{{"name":"f0","type":{{"type":"record","name":"L{level}","fields":[{fields}]}}}},{}"#,
            uses.join(",")
        );
    }
    let (plan, shape, schema) = compiled(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#), &["x"]);
    assert!(plan.steps.len() < 100, "{}", plan.steps.len());
    assert!(both(&plan, &shape, None, &schema, &[0; 1024]));
    assert!(!both(&plan, &shape, None, &schema, &[0; 1023]));
}

#[test]
fn lists_beyond_the_limit_end_alike() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"l","type":{"type":"array","items":"int"}},
        {"name":"r","type":{"type":"array","items":{"type":"record","name":"N","fields":[{"name":"x","type":"int"},
        {"name":"m","type":{"type":"map","values":"int"}}]}}}]}"#;
    let writer = WriterSchema::parse("writer.avsc", schema).expect("a safe schema");
    let mut builder = ShapeBuilder::default();
    builder.list("l").expect("a path");
    builder.each("r").expect("a path");
    builder.leaf(".x").expect("a path");
    builder.entries(".m").expect("a path");
    let shape = builder.build();
    let plan = Plan::compile(&shape, 0, &writer.layout).expect("a small plan");
    for count in [0_usize, 1, 999, 1_000, 1_001, 1_002, 1_500] {
        let block = |item: &[u8]| {
            let mut bytes = Vec::new();
            dice::write_long(i64::try_from(count).expect("small"), &mut bytes);
            bytes.extend(item.repeat(count));
            bytes.extend(&[0][..usize::from(count > 0)]);
            bytes
        };
        for datum in [[block(&[2]), block(&[4, 2, 2, b'k', 6, 0])].concat(), [block(&[2]), block(&[0x80])].concat()] {
            both(&plan, &shape, None, &frozen(&writer.layout), &datum);
        }
    }
}

#[test]
fn numbers_and_blocks_that_lie_are_refused_alike() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"},{"name":"i","type":"int"},
        {"name":"u","type":["null","string"]},{"name":"b","type":"boolean"},
        {"name":"a","type":{"type":"array","items":"long"}},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}}]}"#;
    let ten = |last: u8| [vec![0xFF; 9], vec![last]].concat();
    let numbers =
        [vec![0], vec![0x80, 0], ten(1), ten(2), ten(0x81), vec![0xFF; 11], vec![0xFE, 0xFF, 0xFF, 0xFF, 0x0F]];
    let blocks = [
        vec![0],
        vec![2, 4, 0],
        vec![1, 2, 4, 0],
        vec![1, 4, 4, 0],
        vec![1, 1, 4, 0],
        [ten(1), vec![2, 4, 0]].concat(),
        [vec![0xFE; 9], vec![1, 4, 0]].concat(),
        [vec![1], ten(1)].concat(),
        vec![3, 2, 4, 4, 0],
    ];
    let unions = [vec![0], vec![2, 2, b'a'], vec![2, 2, 0xFF], vec![4], vec![1], vec![0x80, 0], vec![2, 1], ten(1)];
    for paths in [vec!["n", "i", "u", "b", "a", "e"], vec!["a[0]", "e"], vec!["zzz"]] {
        let (plan, shape, schema) = compiled(schema, &paths);
        let whole: [&[u8]; 6] = [&[2], &[2], &[0], &[1], &[0], &[0]];
        let mut readable = 0;
        let mut check = |part: usize, bytes: &[u8]| {
            let mut parts = whole;
            parts[part] = bytes;
            readable += usize::from(both(&plan, &shape, None, &schema, &parts.concat()));
        };
        for number in &numbers {
            check(0, number);
            check(1, number);
        }
        for union in &unions {
            check(2, union);
        }
        for byte in [0, 1, 2, 0xFF] {
            check(3, &[byte]);
        }
        for block in &blocks {
            check(4, block);
        }
        for symbol in [0, 2, 4, 1] {
            check(5, &[symbol]);
        }
        assert!(readable >= 12, "{readable}");
    }
}

#[test]
fn unions_in_which_every_record_leads_to_every_record_of_the_next_are_looked_through_once() {
    const LEVELS: usize = 6;
    const EACH: usize = 30;
    // The first of each level holds the next ones, the others name them.
    fn record(level: usize, index: usize) -> String {
        let next = |other| if index == 0 { record(level + 1, other) } else { format!("\"R{}x{other}\"", level + 1) };
        let field = match level == LEVELS {
            true => "\"int\"".to_owned(),
            false => format!("[{}]", (0..EACH).map(next).collect::<Vec<_>>().join(",")),
        };
        format!(r#"{{"type":"record","name":"R{level}x{index}","fields":[{{"name":"a","type":{field}}}]}}"#)
    }
    let writer = Arc::new(WriterSchema::parse("writer.avsc", &record(0, 0)).expect("a safe schema"));
    let (shape, _) = shape_of(&["a"; LEVELS + 1].join("."));
    // There are seven hundred million ways.
    Projection::new(&shape, None, &[], &writer, None).expect("each record and each union is compiled twice at most");
}

#[test]
fn a_wide_record_that_every_branch_of_a_union_names_is_not_compiled_for_each() {
    let field = |number: usize| format!(r#"{{"name":"f{number}","type":["null","string","long"]}}"#);
    let fields: Vec<String> = (0..99).map(field).collect();
    let row =
        format!(r#"{{"type":"record","name":"Row","fields":[{{"name":"id","type":"string"}},{}]}}"#, fields.join(","));
    let branch = |number: usize| {
        let row = if number == 0 { &row } else { "\"Row\"" };
        format!(r#"{{"type":"record","name":"E{number}","fields":[{{"name":"row","type":{row}}}]}}"#)
    };
    let schema = format!("[{}]", (0..40).map(branch).collect::<Vec<_>>().join(","));
    let writer = Arc::new(WriterSchema::parse("writer.avsc", &schema).expect("a safe schema"));
    let (shape, slot) = shape_of("row.id");
    let projection = Projection::new(&shape, None, &[], &writer, None).expect("it is no larger than it looks");
    for branch in [0, 1, 39] {
        // The branch, the id, and nothing else.
        let datum = [&[branch * 2, 4, b'i', b'7'][..], &[0; 99]].concat();
        let mut capture = Capture::default();
        shape.begin(&mut capture);
        avro::capture_at(&shape, &datum, &projection, &mut capture).expect("a record");
        assert_eq!(shown(capture.scalar(slot)), "i7", "branch {branch}");
        compare_with_serde(&projection, &shape, &writer, &datum);
    }
}
