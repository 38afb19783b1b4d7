//! Conditions over JSON in, what they say out; and the `cel` crate's own interpreter as another opinion.

use std::collections::BTreeMap;

use proptest::{prelude::*, test_runner::TestRunner};

use super::*;
use crate::wire::{ShapeBuilder, json};

/// What a condition is at a payload: `true`, `false`, `FIELD: problem`, or why it is no condition.
fn asked(source: &str, payload: &str) -> String {
    let mut builder = ShapeBuilder::default();
    builder.each("parcels").expect("a path of this test");
    let mut place = |path: &str| match path.strip_prefix('@') {
        Some(_) => builder.outside(path).map_err(|error| error.to_string()),
        None => builder.leaf(path).map_err(|error| error.to_string()),
    };
    let condition = match Condition::compile(source, true, &mut place) {
        Ok(condition) => condition,
        Err(problem) => return format!("no condition: {problem}"),
    };
    let shape = builder.build();
    let mut capture = Capture::default();
    shape.begin(&mut capture);
    json::capture_at(&shape, None, payload.as_bytes(), &mut capture).expect("a payload of this test");
    capture.select(&shape, 0);
    match condition.holds(&capture) {
        Ok(holds) => holds.to_string(),
        Err(Undecided { slot, problem }) => {
            let field = slot.map(|slot| shape.path(slot)).unwrap_or_default();
            format!("{field}: {}", problem.split([';', ',']).next().unwrap_or_default())
        }
    }
}

const PAYLOAD: &str = r#"{"type":"Order","n":5,"big":18446744073709551615,"half":0.5,"yes":true,"no":null,"a b":{"c.d":"x"},
    "items":[{"sku":"P-1"},{"sku":"P-2"}],"at":"2026-01-31T10:00:00+01:00","parcels":[{"number":7,"open":false}],"key":"own",
    "price":"12.50","zero":0,"package":"p","list":[1]}"#;

#[test]
fn conditions_look_at_every_place_that_a_mapping_can_name() {
    for source in [
        "type == 'Order' && n > 4",
        "payload.type == \"Order\"",
        "items[1].sku == 'P-2' && payload.items[0].sku.startsWith('P-')",
        "payload[\"a b\"][\"c.d\"] == 'x' && payload.`a b`.`c.d` == 'x'",
        "element.number == 7 && !element.open",
        "payload.key == 'own' && !has(key) && !has(headers[\"ce_type\"]) && !has(headers.ce_type)",
        "payload.package == 'p'",
        "has(items) && has(items[1]) && !has(items[2].sku) && !has(element.weight) && has(element)",
        // null is nothing, and can be asked for as well.
        "!has(no) && no == null && no != 'x' && type != null",
        "type in ['Order', 'Return'] && !(n in [1, 2, 3]) && n in [5.0]",
        "n == 5.0 && half < 1 && big > 9223372036854775807 && n < big && -n == -5 && -half == -0.5",
        "n + 1 == 6 && n - 6 == -1 && n * 2 == 10 && n / 2 == 2 && n % 2 == 1 && n * half == 2.5 && n / 2.0 == 2.5",
        "type + '!' == 'Order!' && size(type) == 5 && type.size() == 5 && size('é') == 1",
        "type.contains('rd') && type.endsWith('er') && type.matches('^O.*r$') && type.matches('rd')",
        "type.lowerAscii() == 'order' && type.upperAscii() == 'ORDER' && ' a '.trim() == 'a'",
        "double(price) == 12.5 && int('7') == 7 && int(half) == 0 && string(n) == '5' && string(yes) == 'true'",
        "timestamp(at) == timestamp('2026-01-31T09:00:00Z') && timestamp(at) < timestamp('2026-02-01T00:00:00Z')",
        "timestamp(n) == timestamp('1970-01-01T00:00:05Z')",
        "yes ? n == 5 : zero == 1",
        // What is of another type is not equal, and that is no error.
        "type != 5 && !(n == 'five') && !(type in [1, 2])",
        // One side that decides is enough.
        "n == 5 || missing > 1",
        "missing > 1 || n == 5",
        "!(n == 6 && missing > 1) && !(missing > 1 && n == 6)",
        "!has(missing) || missing > 1",
        "n in [missing, 5]",
    ] {
        assert_eq!(asked(source, PAYLOAD), "true", "{source}");
        assert_eq!(asked(&format!("!({source})"), PAYLOAD), "false", "{source}");
    }
}

#[test]
fn what_nobody_can_say_names_the_place_and_the_way_out() {
    for (source, expected) in [
        ("missing == 'x'", "missing: there is nothing here"),
        ("has(missing) || items[7].sku == 'x'", "items[7].sku: there is nothing here"),
        ("key == 'x'", "@key: there is nothing here"),
        ("headers[\"ce_type\"] != 'x'", "@header:ce_type: there is nothing here"),
        ("element.weight > 1", "parcels[].weight: there is nothing here"),
        ("type", "type: its outcome is not true or false"),
        ("type && yes", "type: it is not true or false"),
        ("!n", "n: it is not true or false"),
        ("n < 'x'", "n: it is of another type than what it is compared with"),
        ("no < 1", "no: it is no number"),
        ("yes < true", "no condition: `<` compares numbers, texts and times, not true or false"),
        ("items == 'x'", "items: it is a list or an object"),
        ("size(list) == 1", "list: it is a list or an object"),
        ("n.startsWith('x')", "n: it is no text"),
        ("n.matches('x')", "n: it is no text"),
        ("type + n == 'x'", "n: text is added to text only"),
        ("type - 1 == 0", "type: it is no number"),
        ("n / zero == 1", "zero: it is zero"),
        ("n % zero == 1", "zero: it is zero"),
        ("half % 2 == 1", "half: % takes whole numbers"),
        ("big * big > 1", "big: the calculation leaves the range of its numbers"),
        ("-big < 1", "big: the calculation leaves the range of its numbers"),
        ("int(type) == 1", "type: it is no whole number"),
        ("double(type) > 1", "type: it is no number"),
        ("timestamp(type) > timestamp('2026-01-31T09:00:00Z')", "type: it is no time"),
        ("string(items) == 'x'", "items: it is no text"),
        ("yes ? missing : yes", "missing: there is nothing here"),
        ("n in [missing, 4]", "missing: there is nothing here"),
    ] {
        assert_eq!(asked(source, PAYLOAD), expected, "{source}");
    }
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX + 1));
    assert_eq!(asked("type.contains('x')", &long), "type: the text is longer than 16384 bytes");
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX - 1));
    assert_eq!(asked("type + type == 'x'", &long), "type: the text is longer than 16384 bytes");
}

#[test]
fn what_is_no_condition_says_what_to_write() {
    for (source, expected) in [
        ("type ==", "it is not readable as CEL at its character 8: mismatched input '<EOF>'"),
        ("type = 'x'", "it is not readable as CEL at its character 6: token recognition error at: '= '"),
        ("\ntype and n", "it is not readable as CEL at its line 2, character 6: mismatched input 'and'"),
        ("package == 'x'", "it is not readable as CEL at its character 1: reserved identifier: package"),
        ("'x'", "its outcome is text, and not true or false; compare it with something"),
        ("n + 1", "its outcome is a number, and not true or false; compare it with something"),
        ("timestamp(at)", "its outcome is a time, and not true or false; compare it with something"),
        ("n > 1 && 'x'", "`&&` takes true or false, not text"),
        ("1 == 'x'", "`==` has a number on one side and text on the other"),
        ("key == 5", "`==` has text on one side and a number on the other"),
        ("size(type) in ['a']", "`in` has a number on one side and text on the other"),
        ("type.startsWith(5)", "`startsWith` takes text, not a number"),
        ("true + 1 == 2", "`+` takes a number or text, not true or false"),
        ("type.startswith('x')", "there is no function \"startswith\"; did you mean \"startsWith\"?; there are has,"),
        ("type.size(1)", "size() does not take 2 values"),
        ("items.exists(i, i.sku == 'x')", "exists() goes through a list; a condition sees single values"),
        ("[1, 2] == n", "a list stands only after `in`"),
        ("n in items", "after `in` stands a list that is written down"),
        ("{'a': 1} == n", "it makes an object; a condition has single values only"),
        ("type.matches(key)", "matches() takes a pattern in quotes"),
        ("type.matches('(')", "its pattern is no regular expression"),
        ("type.matches('(?:a{1000}){1000}')", "its pattern is too large"),
        ("timestamp('yesterday') < timestamp(at)", "it is no time; send one such as"),
        ("b'x' == n", "it has bytes"),
        ("payload", "name a field of the payload"),
        ("key.x == 1", "the record's key is text and has no fields"),
        ("headers == 'x'", "a header is headers[\"NAME\"]"),
        ("(n + 1).x == 1", "only a place of the record has fields"),
        ("has(1)", "only a place of the record has fields, and has() takes only a place"),
        ("items[n] == 1", "an index is a number or a key in quotes"),
        (".n == 1", "write \"n\" without the dot in front"),
        ("payload[\"\"] == 1", "a key is empty"),
        ("items[-1] == 1", "the path \"$.items[-1]\" has an index that is not a number up to 1000 in brackets"),
        ("parcels[0].number == 7", "the path \"$.parcels[0].number\" leads into what is taken as a whole"),
        ("a.?b == 1", "it is not readable as CEL"),
    ] {
        let found = asked(source, PAYLOAD);
        let problem = found.strip_prefix("no condition: ").unwrap_or(&found);
        assert!(problem.starts_with(expected), "{source}: {problem}");
    }
}

#[test]
fn what_is_too_large_is_no_condition() {
    for (source, expected) in [
        ("n == 1".to_owned() + &" || n == 1".repeat(300), "it is longer than 2000 bytes"),
        ("(".repeat(500) + "n" + &")".repeat(500), "it is nested deeper than 32 brackets"),
        (vec!["n"; 900].join("+") + " == 1", "it is deeper than 64 steps"),
        (format!("n in [{}]", vec!["1"; 600].join(",")), "it has more than 500 parts"),
        (vec!["n"; 900].join("."), "the path"),
    ] {
        let found = asked(&source, PAYLOAD);
        assert!(found.starts_with(&format!("no condition: {expected}")), "{}: {found}", &source[..20]);
    }
}

/// The same by the interpreter of the `cel` crate, if it has an answer.
fn another_opinion(source: &str, values: &BTreeMap<&'static str, cel::Value>) -> Option<bool> {
    let mut context = cel::Context::default();
    for (name, value) in values {
        context.add_variable_from_value(*name, value.clone());
    }
    match cel::Program::compile(source).ok()?.execute(&context) {
        Ok(cel::Value::Bool(truth)) => Some(truth),
        _ => None,
    }
}

/// Expressions over `a` to `d` of any kinds, most of them wrong.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "a", "b", "c", "d", "true", "false", "null", "''", "'x'", "'xy'", "0", "1", "-2", "0.5", "7.0"
        ])
        .prop_map(str::to_owned),
        any::<i64>()
            .prop_filter("CEL reads the smallest as a negated larger one", |n| *n != i64::MIN)
            .prop_map(|n| n.to_string()),
    ];
    leaf.prop_recursive(4, 40, 3, |inner| {
        let operators = vec!["==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "/", "%"];
        prop_oneof![
            (inner.clone(), prop::sample::select(operators), inner.clone())
                .prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            inner.clone().prop_map(|e| format!("!({e})")),
            inner.clone().prop_map(|e| format!("-({e})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(e, list)| format!("({e} in [{}])", list.join(", "))),
            (inner.clone(), prop::sample::select(vec!["contains", "startsWith", "endsWith"]), inner.clone())
                .prop_map(|(l, call, r)| format!("({l}).{call}({r})")),
            inner.prop_map(|e| format!("size({e})")),
        ]
    })
}

fn word(words: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn texts() -> impl Strategy<Value = String> {
    word(&["c", "''", "'x'", "'xy'"])
        .prop_recursive(2, 4, 2, |inner| (inner.clone(), inner).prop_map(|(l, r)| format!("({l} + {r})")))
}

fn numbers() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        word(&["a", "b", "0", "1", "-2", "0.5", "7.0"]),
        (-9_000_000_000_000_000_000_i64..9_000_000_000_000_000_000).prop_map(|n| n.to_string()),
        texts().prop_map(|text| format!("size({text})")),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), word(&["+", "-", "*", "/", "%"]), inner.clone())
                .prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            inner.prop_map(|number| format!("-({number})")),
        ]
    })
}

/// Expressions that are true or false, of parts of the right kinds; `d` is not there.
fn truths() -> impl Strategy<Value = String> {
    let comparison = || word(&["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        4 => (numbers(), comparison(), numbers()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
        3 => (texts(), comparison(), texts()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
        2 => (texts(), word(&["contains", "startsWith", "endsWith"]), texts()).prop_map(|(l, call, r)| format!("{l}.{call}({r})")),
        1 => (numbers(), prop::collection::vec(numbers(), 0..3)).prop_map(|(n, list)| format!("({n} in [{}])", list.join(", "))),
        1 => (texts(), prop::collection::vec(texts(), 0..3)).prop_map(|(t, list)| format!("({t} in [{}])", list.join(", "))),
        1 => word(&["true", "false", "d", "a == null", "null == null"]),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => (inner.clone(), word(&["&&", "||", "==", "!="]), inner.clone()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            1 => inner.clone().prop_map(|truth| format!("!({truth})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

#[test]
fn where_cel_has_an_answer_it_is_ours() {
    let values = (
        prop_oneof![any::<i64>(), -3i64..3],
        prop_oneof![Just(0.5), Just(7.0), -1e3..1e3],
        prop::sample::select(vec!["", "x", "xy", "yx"]),
    );
    let compared = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let checked = runner.run(&(truths(), values), |(source, (a, b, c))| {
        let values = BTreeMap::from([("a", cel::Value::Int(a)), ("b", cel::Value::Float(b)), ("c", c.into())]);
        let ours = asked(&source, &format!(r#"{{"a":{a},"b":{b:?},"c":"{c}"}}"#));
        // What can never be true we do not take: a number is not compared with a text that is written down.
        let theirs = another_opinion(&source, &values).filter(|_| !ours.starts_with("no condition: "));
        if let Some(theirs) = theirs {
            compared.set(compared.get() + 1);
            prop_assert_eq!(ours, theirs.to_string(), "{}", source);
        }
        Ok(())
    });
    checked.expect("two opinions that are one");
    assert!(compared.get() > 1_000, "{} of 2000 expressions have an answer", compared.get());
}

proptest! {
    #[test]
    fn no_record_makes_it_panic(
        source in expressions(),
        values in prop::collection::vec(
            prop::sample::select(vec![
                "0", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e308", "-0.0", "0.5",
                "\"\"", "\"xy\"", "\"\\u00e9\"", "true", "null", "[1,[2]]", "{\"a\":1}",
            ]),
            3,
        ),
    ) {
        asked(&source, &format!(r#"{{"a":{},"b":{},"c":{}}}"#, values[0], values[1], values[2]));
    }

    #[test]
    fn no_text_makes_it_panic(source in "([a-z]{1,3}|[0-9]{1,20}|[-+*/%!.,?:()\\[\\]{}'\"`\\\\<>=&|]| |has|size|true|null|\\PC){0,40}") {
        asked(&source, PAYLOAD);
    }
}
