//! JSON bytes → captured scalars.

use serde::de::IgnoredAny;

use super::{
    capture::Capture,
    json_digits::{Document, may_have_long_numbers},
    shape::{Shape, Slot},
};

/// Bytes that are no JSON document. Line and column only: serde_json's own text would quote the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid JSON at line {line}, column {column}{}", if *.cut_off { " (it ends too early)" } else { "" })]
pub struct JsonError {
    line: usize,
    column: usize,
    cut_off: bool,
}

/// Picks the shape's scalars out of one JSON document; nothing but white space may follow it. `root`: where the document
/// stands in the shape; `None`: it is the whole payload. The capture must have been begun.
pub fn capture_at<'a>(
    shape: &Shape,
    root: Option<Slot>,
    bytes: &'a [u8],
    capture: &mut Capture<'a>,
) -> Result<(), JsonError> {
    // Checked once for the whole document: several times faster than serde_json's check of each string.
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        JsonError {
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: before.len() - line_start + 1,
            cut_off: error.error_len().is_none(),
        }
    })?;
    let wrong =
        |error: serde_json::Error| JsonError { line: error.line(), column: error.column(), cut_off: error.is_eof() };
    capture.empty_is_nothing = true;
    if may_have_long_numbers(text) {
        serde_json::from_str::<IgnoredAny>(text).map_err(wrong)?;
        // It is JSON: what is not read is a key that is there twice, which the capture's fault says.
        let read = shape.capture(root, capture, &mut Document::new(text));
        return read.map_err(|_| JsonError { line: 1, column: 1, cut_off: false });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    shape.capture(root, capture, &mut deserializer).and_then(|()| deserializer.end()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::{super::shape::ShapeBuilder, *};
    use crate::wire::{Fault, Scalar};

    fn scalars(paths: &[&str], json: &str) -> Vec<String> {
        let mut builder = ShapeBuilder::default();
        let slots: Vec<_> = paths.iter().map(|path| builder.leaf(path).expect("a path of this test")).collect();
        let shape = builder.build();
        let mut captured = Capture::default();
        shape.begin(&mut captured);
        if let Err(error) = capture_at(&shape, None, json.as_bytes(), &mut captured) {
            return vec![captured.fault().map_or(error.to_string(), |fault| format!("{fault:?}"))];
        }
        let mut shown: Vec<String> = slots
            .iter()
            .map(|&slot| match captured.scalar(slot) {
                Scalar::Text(text) => format!("{text}"),
                other => format!("{other:?}"),
            })
            .collect();
        if let Some(Fault::NotAContainer(slot)) = captured.fault() {
            shown.push(format!("no container: {:?}", shape.path(slot)));
        }
        shown
    }

    #[test]
    fn paths_lead_through_objects_arrays_and_escapes() {
        let json =
            r#"{"a":{"b":[{"c":1},{"c":"two"}]},"d.e":{"f[0]":true},"g":null,"$":{"h":-1.5},"b":18446744073709551615}"#;
        assert_eq!(
            scalars(&["a.b[1].c", "a.b[0].c", r"d\.e.f\[0]", "g", "$.$.h", "b", "a.missing", "a"], json),
            [
                "two",
                "Int(1)",
                "Bool(true)",
                "Null",
                "Float(-1.5)",
                "Large(18446744073709551615)",
                "Missing",
                "Composite"
            ]
        );
        assert_eq!(scalars(&["[1].a"], r#"[{"a":1},{"a":2}]"#), ["Int(2)"]);
        assert_eq!(scalars(&["a"], r#"{"\u0061":"\u00e9\n"}"#), ["é\n"]);
    }

    #[test]
    fn what_is_empty_where_a_path_leads_on_is_nothing() {
        for long in ["", ",\"x\":123456789012345678901234"] {
            for empty in ["\"\"", "\" \"", "[]", "null"] {
                let json = format!("{{\"a\":{empty},\"d\":1{long}}}");
                assert_eq!(scalars(&["a.b.c", "d"], &json), ["Missing", "Int(1)"], "{json}");
                // It is a value where a value is wanted.
                assert_ne!(scalars(&["a"], &json), ["Missing"], "{json}");
            }
            for other in ["\"x\"", "0", "false", "[1]", "[[]]"] {
                let json = format!("{{\"a\":{other},\"d\":1{long}}}");
                assert_eq!(scalars(&["a.b.c", "d"], &json), ["Missing", "Int(1)", "no container: \"a\""], "{json}");
            }
        }
        for payload in ["\"\"", "[]"] {
            assert_eq!(scalars(&["a.b"], payload), ["Missing", "no container: \"\""], "{payload}");
        }
    }

    #[test]
    fn numbers_keep_the_digits_that_a_float_does_not_hold() {
        let json = r#" {"x":[[{}],"\"]"],"id":123456789012345678901234,"list":[{"v":-0.12345678901234567},{"v":1.5}],"t":"a\n",
            "n":null,"b":true,"i":1234567890123456789,"u":18446744073709551615,"e":1.2345678901234567e2,"s":[]} "#;
        assert_eq!(
            scalars(&["id", "list[0].v", "list[1].v", "t", "n", "b", "i", "u", "e", "s", "y"], json),
            [
                "Digits(\"123456789012345678901234\")",
                "Digits(\"-0.12345678901234567\")",
                "Float(1.5)",
                "a\n",
                "Null",
                "Bool(true)",
                "Int(1234567890123456789)",
                "Large(18446744073709551615)",
                "Digits(\"1.2345678901234567e2\")",
                "Composite",
                "Missing",
            ]
        );
        let twice = r#"{"a":1,"a":123456789012345678901234}"#;
        assert_eq!(scalars(&["a"], twice), ["Repeated(Slot(1))"]);
        assert_eq!(scalars(&["a"], r#"{"a":123456789012345678901234]"#), ["not valid JSON at line 1, column 30"]);
        let mut builder = ShapeBuilder::default();
        let (list, entries) = (builder.list("l").expect("a path"), builder.entries("e").expect("a path"));
        let (shape, mut captured) = (builder.build(), Capture::default());
        shape.begin(&mut captured);
        let json = br#"{"l":[12345678901234567890123],"e":{"k":[0.1234567890123456],"o":{}}}"#;
        capture_at(&shape, None, json, &mut captured).expect("JSON");
        let values = |slot| captured.entries(slot).map(|entry| format!("{:?}", entry.value)).collect::<Vec<_>>();
        assert_eq!(values(list), ["Digits(\"12345678901234567890123\")"]);
        assert_eq!(values(entries), ["Digits(\"0.1234567890123456\")", "Composite"]);
    }

    #[test]
    fn what_cannot_be_a_path_is_an_error() {
        for path in ["", "a..b", ".a", "a.", "a[x]", "a[1", "a[1]b", r"a\b", "a[99999999]", "$.", &"a.".repeat(40)] {
            assert!(ShapeBuilder::default().leaf(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_mapped_key_twice_is_ambiguous_and_an_unmapped_one_is_not() {
        assert_eq!(scalars(&["a"], r#"{"a":1,"x":1,"x":2,"a":2}"#), ["Repeated(Slot(1))"]);
        assert_eq!(scalars(&["a.b", "a.c"], r#"{"a":{"b":1},"a":{"c":1}}"#), ["Repeated(Slot(1))"]);
        assert_eq!(scalars(&["a"], r#"{"x":1,"x":2,"a":2}"#), ["Int(2)"]);
    }

    #[test]
    fn a_scalar_where_a_path_leads_on_is_noted() {
        assert_eq!(scalars(&["a.b"], r#"{"a":"x"}"#), ["Missing", "no container: \"a\""]);
        assert_eq!(scalars(&["a.b"], r#"{"a":[1]}"#), ["Missing", "no container: \"a\""]);
        assert_eq!(scalars(&["a[0]"], r#"{"a":{"b":1}}"#), ["Missing", "no container: \"a\""]);
        assert_eq!(scalars(&["a.b"], r#"{"a":null}"#), ["Missing"]);
        assert_eq!(scalars(&["a.b"], "7"), ["Missing", "no container: \"\""]);
    }

    #[test]
    fn errors_name_the_place_and_never_the_payload() {
        assert_eq!(scalars(&["a"], "{\"a\":\n secret}"), ["not valid JSON at line 2, column 2"]);
        assert_eq!(scalars(&["a"], "{\"a\":"), ["not valid JSON at line 1, column 5 (it ends too early)"]);
        let (shape, mut captured) = (ShapeBuilder::default().build(), Capture::default());
        shape.begin(&mut captured);
        let no_text = capture_at(&shape, None, b"{\n \xff}", &mut captured);
        assert_eq!(no_text.map_err(|error| error.to_string()), Err("not valid JSON at line 2, column 2".into()));
        assert_eq!(scalars(&["a"], "{\"a\":1} x"), ["not valid JSON at line 1, column 9"]);
    }
}
