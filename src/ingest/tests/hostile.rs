//! Rubbish into every decoder: cut off, huge, deeply nested, random, bits flipped. No panic, one outcome at least, no hang.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    model::EventTime,
    wire::{avro::encode_touchpoint, schemas::TOUCHPOINT_SCHEMA},
};

/// Every decoder with a payload that it takes: JSON with a mapping, canonical JSON, Avro in both framings.
fn decoders() -> &'static [(Spoke, Vec<u8>)] {
    static DECODERS: LazyLock<Vec<(Spoke, Vec<u8>)>> = LazyLock::new(compiled_decoders);
    &DECODERS
}

/// A condition that looks at much, and never skips: what it cannot decide is rejected.
fn conditional() -> String {
    MARKETING.replacen(
        "id = \"id\"",
        "condition = 'event.size() < 99999 && ts + 1 >= ts - 1 && (profile.mail.matches(\"@\") || true) && (has(cmp.x) || event.size() >= 0)'\nid = \"id\"",
        1,
    )
}

fn compiled_decoders() -> Vec<(Spoke, Vec<u8>)> {
    let schemas = Arc::new(Schemas::from(
        crate::wire::SchemaFolder::from_files([("7.avsc", TOUCHPOINT_SCHEMA)]).expect("the built-in schema"),
    ));
    let compiled = |toml: &str| {
        let file = SpokeFile::parse("test.toml", toml).expect("an example spoke file");
        Spoke::compile(&file, Options::default(), &schemas).expect("an example spoke file")
    };
    let sample = |toml: &'static str| {
        let sample = toml.lines().find_map(|line| line.strip_prefix("# ").filter(|line| line.starts_with('{')));
        sample.expect("an example").as_bytes().to_vec()
    };
    let mut single = Vec::new();
    let operations = sample(OPERATIONS);
    compiled(OPERATIONS)
        .map(&record(Some(&operations)), &mut |outcome| {
            if let Mapped::Touchpoint(touchpoint) = outcome {
                let properties = vec![("a", "b"), ("c", "d")];
                let promised_at = Some(EventTime(NOW_MS));
                encode_touchpoint(&Touchpoint { spoke: "", properties, promised_at, ..touchpoint }, &mut single);
            }
        })
        .expect("its schema is at hand");
    let mut registry = vec![0, 0, 0, 0, 7];
    registry.extend_from_slice(&single[10..]);
    vec![
        (compiled(MARKETING), sample(MARKETING)),
        (compiled(&conditional()), sample(MARKETING)),
        (compiled(SUPPORT), sample(SUPPORT)),
        (compiled(OPERATIONS), operations),
        (compiled(SALES), single),
        (compiled(SALES), registry),
    ]
}

fn count(spoke: &Spoke, payload: &[u8]) -> (usize, usize) {
    let (mut touchpoints, mut rejections) = (0, 0);
    spoke
        .map(&record(Some(payload)), &mut |outcome| match outcome {
            Mapped::Touchpoint(_) => touchpoints += 1,
            Mapped::Skipped(_) => {}
            Mapped::Rejected(_) => rejections += 1,
        })
        .expect("its schema is at hand");
    (touchpoints, rejections)
}

#[test]
fn every_payload_cut_off_anywhere_is_rejected() {
    for (spoke, payload) in decoders() {
        assert_eq!(count(spoke, payload), (1, 0));
        for length in 0..payload.len() {
            assert_eq!(count(spoke, &payload[..length]), (0, 1), "{} bytes for {}", length, spoke.name());
        }
        let longer = [&payload[..], b"x"].concat();
        assert_eq!(count(spoke, &longer), (0, 1), "{}", spoke.name());
    }
}

#[test]
fn every_single_bit_may_flip() {
    for (spoke, payload) in decoders() {
        for bit in 0..payload.len() * 8 {
            let mut payload = payload.clone();
            payload[bit / 8] ^= 1 << (bit % 8);
            let (touchpoints, rejections) = count(spoke, &payload);
            assert_eq!(touchpoints + rejections, 1);
        }
    }
}

#[test]
fn deep_and_huge_documents_are_skipped_or_rejected() {
    let depth = 100_000;
    for (open, close) in
        [("[", "]"), ("{\"a\":", "}"), ("{\"data\":", "}"), ("{\"identifiers\":", "}"), ("[{\"id\":", "}]")]
    {
        for middle in ["1", ""] {
            let nested = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            // At every place: alone, under a key that nobody maps, under one that is mapped, in a list of identifiers.
            for payload in [
                nested.clone(),
                format!("{{\"x\":{nested}}}"),
                format!("{{\"id\":{nested}}}"),
                format!("{{\"profile\":{nested}}}"),
                format!("{{\"identifiers\":{nested}}}"),
                format!("{{\"identifiers\":{{\"email\":{nested}}}}}"),
                format!("{{\"properties\":{{\"x\":[{nested}]}}}}"),
            ] {
                for (spoke, _) in decoders() {
                    assert_eq!(count(spoke, payload.as_bytes()), (0, 1));
                }
            }
        }
    }
    for (spoke, payload) in decoders() {
        assert_eq!(count(spoke, &payload.repeat(20_000)), (0, 1));
        assert_eq!(count(spoke, &vec![0; 1 << 20]), (0, 1));
        assert_eq!(count(spoke, &vec![0xFF; 1 << 20]), (0, 1));
        assert_eq!(count(spoke, &vec![b'9'; 100_000]), (0, 1));
    }
}

#[test]
fn lengths_in_avro_that_lie_are_rejected() {
    let varint = |value: i64| {
        let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
        let mut bytes = Vec::new();
        while zigzag >= 0x80 {
            bytes.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        bytes.push(zigzag as u8);
        bytes
    };
    let (spoke, payload) = decoders().last().expect("the last one is Avro with a registry's framing");
    for place in 5..payload.len() {
        for lie in [i64::MAX, i64::MIN, i64::MIN + 1, -1, -2, 1 << 31, 1 << 20, 1 << 40, -(1 << 40), i64::MAX / 2] {
            for rest in [&payload[place..], &payload[place + 1..]] {
                let bomb = [&payload[..place], &varint(lie), rest].concat();
                let (touchpoints, rejections) = count(spoke, &bomb);
                assert_eq!(touchpoints + rejections, 1);
            }
        }
        // A number that never ends.
        let endless = [&payload[..place], &[0x80; 64][..]].concat();
        assert_eq!(count(spoke, &endless), (0, 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_have_one_outcome(mut bytes in prop::collection::vec(any::<u8>(), 0..400), framing in 0_usize..4) {
        let decoders = decoders();
        let header: &[u8] = match framing { 0 => &[], 1 => &decoders[3].1[..10], 2 => &decoders[4].1[..5], _ => b"{\"id\":" };
        bytes.splice(0..0, header.iter().copied());
        for (spoke, _) in decoders {
            let (touchpoints, rejections) = count(spoke, &bytes);
            prop_assert_eq!(touchpoints + rejections, 1);
        }
    }

    #[test]
    fn damaged_payloads_have_one_outcome(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..8)) {
        for (spoke, payload) in decoders() {
            let mut payload = payload.clone();
            for (at, byte, how) in &damage {
                let at = at.index(payload.len());
                match how {
                    0 => payload[at] = *byte,
                    1 => payload.insert(at, *byte),
                    _ => drop(payload.drain(at..(at + usize::from(*byte % 9)).min(payload.len()))),
                }
                if payload.is_empty() { break; }
            }
            let (touchpoints, rejections) = count(spoke, &payload);
            prop_assert_eq!(touchpoints + rejections, 1);
        }
    }

    #[test]
    fn random_json_has_one_outcome(json in json_value()) {
        let text = json.to_string();
        for (spoke, _) in decoders() {
            let (touchpoints, rejections) = count(spoke, text.as_bytes());
            prop_assert_eq!(touchpoints + rejections, 1);
        }
    }
}

/// JSON with the keys that the mappings look for, and anything under them.
fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
        prop::sample::select(vec!["C1", "EUR", "nps", "order_placed", "EmailOpened", "2026-01-31T09:00:00Z", "a@b"])
            .prop_map(serde_json::Value::from),
    ];
    let key = prop::sample::select(vec![
        "id",
        "kind",
        "event",
        "type",
        "ts",
        "time",
        "occurred_at",
        "identifiers",
        "customer_id",
        "email",
        "profile",
        "data",
        "requester",
        "customer",
        "number",
        "amount",
        "minor",
        "currency",
        "score",
        "scale",
        "value",
        "survey",
        "answer",
        "properties",
        "promised_at",
        "region",
        "sentiment",
        "effort",
        "spend",
    ]);
    leaf.prop_recursive(4, 64, 12, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((key.clone(), inner), 0..12)
                .prop_map(|entries| entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}
