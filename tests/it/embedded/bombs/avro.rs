//! Bombs in Avro: framings, lengths and counts that lie, and schemas that no message may name.

use insight_hub::wire::schemas::{TOUCHPOINT_SCHEMA, fingerprint};

use super::Case;

/// A schema whose values have every type, besides what a touchpoint needs.
pub const WIDE_SCHEMA: &str = r#"{"type":"record","name":"Wide","fields":[
    {"name":"flag","type":"boolean"},
    {"name":"mark","type":{"type":"fixed","name":"Mark","size":4}},
    {"name":"ratio","type":"double"},
    {"name":"blob","type":"bytes"},
    {"name":"id","type":"string"},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["order_placed","visit_made"]}},
    {"name":"occurred_at","type":"long"},
    {"name":"identifiers","type":{"type":"map","values":"string"}}
]}"#;

/// A number as Avro writes it: zigzag, seven bits a byte.
pub fn long(value: i64) -> Vec<u8> {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while zigzag >= 0x80 {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes
}

pub fn string(text: &str) -> Vec<u8> {
    bytes(text.as_bytes())
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [&long(bytes.len() as i64), bytes].concat()
}

fn some(value: &[u8]) -> Vec<u8> {
    [&long(1), value].concat()
}

/// The canonical touchpoint's value, some of its fields replaced by other bytes.
fn datum(replaced: &[(&str, &[u8])]) -> Vec<u8> {
    let identifiers = [long(1), string("customer_id"), long(1), string("C1"), long(0), long(0)].concat();
    let null = long(0);
    let mut value = Vec::new();
    for name in [
        "id",
        "spoke",
        "kind",
        "label",
        "occurred_at",
        "identifiers",
        "channel",
        "subject",
        "product",
        "region",
        "segment",
        "campaign",
        "content",
        "account",
        "amount",
        "cost",
        "score",
        "promised_at",
        "initiator",
        "visibility",
        "sentiment",
        "referrer",
        "effort",
        "properties",
    ] {
        let usual = match name {
            "id" => string("a-1"),
            "kind" => string("order_placed"),
            "occurred_at" => long(1_773_000_000_000),
            "identifiers" => identifiers.clone(),
            _ => null.clone(),
        };
        let by = replaced.iter().find(|(replaced, _)| *replaced == name);
        value.extend_from_slice(by.map_or(&usual[..], |(_, by)| by));
    }
    value
}

/// A good record in single-object encoding, some of its fields replaced.
pub fn single(replaced: &[(&str, &[u8])]) -> Vec<u8> {
    let fingerprint = fingerprint(TOUCHPOINT_SCHEMA).unwrap();
    [&[0xC3, 0x01][..], &fingerprint, &datum(replaced)].concat()
}

fn registry(id: u32, value: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), value].concat()
}

/// Every case.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, payload: Vec<u8>, reason: &'static str, field: &'static str| {
        cases.push(Case { name: format!("shop: {name}"), spoke: "shop", payload, reason, field });
    };
    let whole = single(&[]);
    for length in 0..whole.len() {
        add(&format!("cut after {length} bytes"), whole[..length].to_vec(), "undecodable", "");
    }
    framings(&mut add, &whole);
    lengths(&mut add);
    wide(&mut add);
    values(&mut add);
    cases
}

type Add<'a> = &'a mut dyn FnMut(&str, Vec<u8>, &'static str, &'static str);

fn framings(add: Add<'_>, whole: &[u8]) {
    add("JSON", b"{\"id\":\"a-1\"}".to_vec(), "undecodable", "");
    add("a fingerprint that nobody knows", [&[0xC3, 1][..], &[0x5A; 60]].concat(), "unknown_schema", "");
    add(
        "a fingerprint in the other byte order",
        {
            let mut reversed = whole.to_vec();
            reversed[2..10].reverse();
            reversed
        },
        "unknown_schema",
        "",
    );
    add("a registry's id that nobody knows", registry(99, &datum(&[])), "unknown_schema", "");
    add("the largest id of a registry", registry(u32::MAX, &[]), "unknown_schema", "");
    add("another marker", [&[0xC3, 0x02][..], &whole[2..]].concat(), "undecodable", "");
    add("an object container file", [&b"Obj\x01"[..], &[0; 40]].concat(), "undecodable", "");
    add("a registry's id and nothing", registry(7, &[]), "undecodable", "");
    add("a framing twice", [&whole[..10], whole].concat(), "undecodable", "");
    add("the value of another schema", registry(8, &datum(&[])), "undecodable", "");
    add("a byte too many", [whole, &[0]].concat(), "undecodable", "");
    add("a value twice", [whole, &whole[10..]].concat(), "undecodable", "");
    add("a million bytes too many", [whole, &vec![0; 1_000_000][..]].concat(), "undecodable", "");
    add("a payload of 2 MiB", [whole, &vec![0; 2 << 20][..]].concat(), "too_large", "");
    add("1 MiB of 0xFF", vec![0xFF; 1 << 20], "undecodable", "");
}

/// Lengths, counts and choices that lie.
fn lengths(add: Add<'_>) {
    let mut field = |name: &str, field: &str, bytes: &[u8]| add(name, single(&[(field, bytes)]), "undecodable", "");
    for (name, length) in [
        ("is negative", -1),
        ("is the smallest of 64 bits", i64::MIN),
        ("is the largest of 64 bits", i64::MAX),
        ("is 2 GiB", 1 << 31),
        ("is 1 MiB", 1 << 20),
        ("is just more than there is", 200),
    ] {
        field(&format!("a text whose length {name}"), "id", &long(length));
        field(&format!("an optional text whose length {name}"), "label", &some(&long(length)));
        if length != 200 {
            field(&format!("a map whose count {name}"), "properties", &long(length));
            field(&format!("a map of lists whose count {name}"), "identifiers", &long(length));
            let list = [long(1), string("customer_id"), long(length)].concat();
            field(&format!("a list whose count {name}"), "identifiers", &list);
        }
    }
    for index in [2, -1, i64::MAX, i64::MIN] {
        field(&format!("choice {index} of two"), "label", &[long(index), string("x")].concat());
        field(&format!("choice {index} of nothing or money"), "amount", &long(index));
    }
    field("a number that never ends", "occurred_at", &[0x80; 64]);
    field("a number of eleven bytes", "occurred_at", &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]);
    field("a length that never ends", "id", &[0xFF; 64]);
    // A negative count is followed by the size of its block in bytes.
    let block = |size: i64| [long(-1), long(size), string("a"), string("b"), long(0)].concat();
    field("a block that says it has no end", "properties", &block(i64::MAX)[..2]);
    field("a block of lists that are not there", "identifiers", &[long(-1_000_000), long(3), long(0)].concat());
    for (name, text) in [
        ("a slash in two bytes", &[0xC0, 0xAF][..]),
        ("half of a surrogate pair", &[0xED, 0xA0, 0x80]),
        ("a character after the last one", &[0xF4, 0x90, 0x80, 0x80]),
        ("0xFF", &[0xFF]),
    ] {
        field(&format!("a text with {name}"), "id", &bytes(text));
        field(&format!("a property with {name}"), "properties", &[long(1), string("a"), bytes(text), long(0)].concat());
    }
}

/// Types that the canonical schema does not have.
fn wide(add: Add<'_>) {
    let value = |flag: &[u8], mark: &[u8], blob: &[u8], kind: i64| {
        let identifiers = [long(1), string("customer_id"), string("C1"), long(0)].concat();
        let ratio = 0.5_f64.to_le_bytes();
        let tail = [string("a-2"), long(kind), long(1_773_000_000_000), identifiers].concat();
        registry(8, &[flag, mark, &ratio, blob, &tail].concat())
    };
    let (flag, mark, blob) = (&[1][..], &[1, 2, 3, 4][..], bytes(b"blob"));
    let good = value(flag, mark, &blob, 0);
    add("every type, and a byte too many", [&good[..], &[0]].concat(), "undecodable", "");
    add("every type, and a byte too few", good[..good.len() - 1].to_vec(), "undecodable", "");
    for wrong in [2_u8, 255] {
        add(&format!("true, false or {wrong}"), value(&[wrong], mark, &blob, 0), "undecodable", "");
    }
    for index in [2, -1, i64::MAX, i64::MIN] {
        add(&format!("word {index} of two"), value(flag, mark, &blob, index), "undecodable", "");
    }
    for length in [-1, i64::MAX, 1 << 30] {
        add(&format!("{length} bytes that nobody reads"), value(flag, mark, &long(length), 0), "undecodable", "");
    }
    add("a mark that is too short", value(flag, &mark[..1], &blob, 0), "undecodable", "");
}

/// Values that are written rightly and are not right.
fn values(add: Add<'_>) {
    let mut field =
        |name: &str, replaced: (&str, &[u8]), reason, blamed| add(name, single(&[replaced]), reason, blamed);
    let letters = "x".repeat(900_000);
    field("an id of nothing", ("id", &string("")), "missing_field", "id");
    field("an id of 900,000 letters", ("id", &string(&letters)), "too_large", "id");
    field("an id with NUL", ("id", &string("a\0b")), "wrong_type", "id");
    field("a kind that nobody knows", ("kind", &string("\u{202e}order_placed")), "unknown_kind", "kind");
    field("a kind of 900,000 letters", ("kind", &string(&letters)), "too_large", "kind");
    field("a time at the end of 64 bits", ("occurred_at", &long(i64::MAX)), "bad_timestamp", "occurred_at");
    field("a time at their beginning", ("occurred_at", &long(i64::MIN)), "bad_timestamp", "occurred_at");
    field("a time far ahead", ("occurred_at", &long(1_774_500_000_000)), "too_far_in_future", "occurred_at");
    field("no identifiers", ("identifiers", &long(0)), "no_usable_identifier", "identifiers");
    let of_type = |kind: &str, values: Vec<u8>| [long(1), string(kind), values, long(0)].concat();
    field(
        "identifiers that are nobody",
        ("identifiers", &of_type("customer_id", [long(1), string("null"), long(0)].concat())),
        "no_usable_identifier",
        "identifiers",
    );
    // Nearly 1 MiB of texts of one byte each.
    let empty = [long(1_000_000), vec![0; 1_000_000], long(0)].concat();
    field(
        "a million empty identifiers",
        ("identifiers", &of_type("customer_id", empty)),
        "no_usable_identifier",
        "identifiers",
    );
    let block = |number: usize| [long(1), string(&format!("C{number}"))].concat();
    let blocks = [(0..100_000).map(block).collect::<Vec<_>>().concat(), long(0)].concat();
    field(
        "100,000 blocks of one identifier",
        ("identifiers", &of_type("customer_id", blocks)),
        "too_large",
        "identifiers",
    );
    let same = [long(90_000), [string("k"), string("v")].concat().repeat(90_000), long(0)].concat();
    field("one property 90,000 times", ("properties", &same), "too_large", "properties");
    field("another spoke's name", ("spoke", &some(&string("till"))), "spoke_not_allowed", "spoke");
    field(
        "money at the end of 64 bits",
        ("amount", &some(&[long(i64::MAX), string("EUR")].concat())),
        "wrong_type",
        "amount.minor",
    );
    field(
        "money in no currency",
        ("amount", &some(&[long(5), string("")].concat())),
        "missing_field",
        "amount.currency",
    );
    field(
        "an answer of 32 bits",
        ("score", &some(&[string("nps"), long(i64::from(i32::MAX)), long(0)].concat())),
        "score_out_of_range",
        "score.value",
    );
    field("a mood of 32 bits", ("sentiment", &some(&long(i64::from(i32::MIN)))), "score_out_of_range", "sentiment");
}

/// Schemas that may not be used, and why: name, text, a part of what is said.
pub fn schemas() -> Vec<(&'static str, String, &'static str)> {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"Bomb","fields":[{fields}]}}"#);
    let of = |kind: &str| record(&format!(r#"{{"name":"a","type":{kind}}}"#));
    let deep = |depth: usize| format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(depth), "}".repeat(depth));
    let fields: Vec<String> = (0..201).map(|number| format!(r#"{{"name":"f{number}","type":"int"}}"#)).collect();
    let empty = r#"{"type":"record","name":"Empty","fields":[]}"#;
    vec![
        ("a list of nothings", of(r#"{"type":"array","items":"null"}"#), "no bytes"),
        ("a list of lists of nothings", of(r#"{"type":"array","items":{"type":"array","items":"null"}}"#), "no bytes"),
        ("a list of empty records", of(&format!(r#"{{"type":"array","items":{empty}}}"#)), "no bytes"),
        (
            "a list of texts of no bytes",
            of(r#"{"type":"array","items":{"type":"fixed","name":"F","size":0}}"#),
            "no bytes",
        ),
        ("a map of nothings", of(r#"{"type":"map","values":"null"}"#), "no bytes"),
        ("itself", of(r#"["null","Bomb"]"#), "recurs"),
        ("a list of itself", of(r#"{"type":"array","items":"Bomb"}"#), "recurs"),
        ("17 lists in each other", of(&deep(17)), "deeper"),
        ("1,000 lists in each other", of(&deep(1_000)), ""),
        ("201 fields", record(&fields.join(",")), "200 fields"),
        ("300 KiB of white space", of("\"int\"") + &" ".repeat(300 << 10), "256 KiB"),
        ("no JSON", "{".to_owned(), ""),
        ("no schema", "{\"type\":\"recrod\"}".to_owned(), ""),
    ]
}
