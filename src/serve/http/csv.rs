//! Documents of a feed in; a table that a spreadsheet takes for data and for nothing else out.

use serde_json::Value;

/// A column: its name, and the fields that lead to its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) path: Vec<String>,
}

/// The columns of a schema in Avro: one for each field, with those of inner records apart; lists and maps are JSON in one.
pub(super) fn columns(schema: &Value) -> Vec<Column> {
    let mut columns = Vec::new();
    collect(schema, &mut Vec::new(), &mut columns);
    columns
}

fn collect(schema: &Value, path: &mut Vec<String>, columns: &mut Vec<Column>) {
    for field in schema.get("fields").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        path.push(name.to_owned());
        match field.get("type") {
            Some(inner) if inner.get("type").and_then(Value::as_str) == Some("record") => collect(inner, path, columns),
            _ => columns.push(Column { name: path.join("."), path: path.clone() }),
        }
        path.pop();
    }
}

/// The table (RFC 4180), with a header.
pub(super) fn table(columns: &[Column], documents: &[Value]) -> String {
    let mut text = String::new();
    row(columns.iter().map(|column| column.name.clone()), &mut text);
    for document in documents {
        row(columns.iter().map(|column| cell(column, document)), &mut text);
    }
    text
}

fn cell(column: &Column, document: &Value) -> String {
    let value = column.path.iter().try_fold(document, |value, field| value.get(field));
    match value {
        None | Some(Value::Null) => String::new(),
        // A number begins with a minus at most, and no function follows.
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        Some(Value::String(text)) => harmless(text),
        Some(value @ (Value::Array(_) | Value::Object(_))) => harmless(&value.to_string()),
    }
}

/// A text that no spreadsheet takes for a formula: with an apostrophe before what would begin one (OWASP, "CSV Injection"; also
/// in the full width of East Asian keyboards, and behind blanks and quotes). A spreadsheet that takes semicolons or tabs for what
/// is between cells does not see our quotes, which stand where a cell of ours begins and none of its own: so within a text, what
/// follows one of them, or the end of a line, is looked at as a beginning too.
pub(crate) fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    let mut rest = text;
    // What separates would itself be taken away from before a formula.
    if text.starts_with(['\t', '\r', '\n']) || begins_formula(text.trim_start()) {
        safe.push('\'');
    }
    while let Some((at, separator)) = rest.char_indices().find(|(_, c)| is_between_cells(*c)) {
        let end = at + separator.len_utf8();
        safe.push_str(&rest[..end]);
        rest = &rest[end..];
        if begins_formula(rest) {
            safe.push('\'');
        }
    }
    safe.push_str(rest);
    safe
}

/// What some spreadsheet, or some country's, takes for the end of a cell.
fn is_between_cells(c: char) -> bool {
    matches!(c, ';' | '\t' | '|' | '\r' | '\n' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn begins_formula(cell: &str) -> bool {
    let is_passed_over = |c: char| (c.is_whitespace() && !is_between_cells(c)) || c == '"' || c == '\u{feff}';
    cell.trim_start_matches(is_passed_over).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

/// A line of cells that are [`harmless`], or numbers.
pub(crate) fn row(cells: impl Iterator<Item = String>, text: &mut String) {
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            text.push(',');
        }
        if cell.contains(['"', ',', ';', '\t', '|', '\r', '\n']) || cell.starts_with(' ') || cell.ends_with(' ') {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&cell);
        }
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_those_of_the_schema() {
        let window =
            json!({"name": "window", "type": {"type": "record", "fields": [{"name": "start", "type": "int"}]}});
        let schema = json!({"fields": [{"name": "metric", "type": "string"}, window, {"name": "details", "type": {"type": "map"}}]});
        let columns = columns(&schema);
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["metric", "window.start", "details"]);
        let text = table(&columns, &[json!({"metric": "nps", "window": {"start": "2026-01-31"}, "details": {"a": 1}})]);
        assert_eq!(text, "metric,window.start,details\r\nnps,2026-01-31,\"{\"\"a\"\":1}\"\r\n");
    }

    #[test]
    fn nothing_that_a_customer_wrote_becomes_a_formula() {
        let columns = [Column { name: "a".into(), path: vec!["a".into()] }];
        let shown = |value: Value| {
            table(&columns, &[json!({ "a": value })]).split_once("\r\n").unwrap_or_default().1.to_owned()
        };
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "=cmd|' /C calc'!A0"] {
            let cell = shown(json!(formula));
            assert!(cell.starts_with('\'') || cell.starts_with("\"'"), "{formula:?} becomes {cell:?}");
        }
        // As a spreadsheet reads it that has semicolons, or tabs, between cells, and for which our quotes are within one.
        for within in
            ["a;=1+1", "a\t=1", "a\r=1", "a\r\n=1", "a; =1", "a;\"=1\"", "a;b;@SUM(A1)", "a|+1", "a;＝1", ";-1"]
        {
            let shown = shown(json!(within));
            for (between, cell) in
                [';', '\t', '\r', '\n', '|'].iter().flat_map(|c| shown.split(*c).map(move |it| (c, it)))
            {
                let cell = cell.trim_start_matches([' ', '"']);
                assert!(
                    !cell.starts_with(['=', '+', '-', '@', '＝']),
                    "{within:?} becomes {shown:?}, with {between:?} {cell:?}"
                );
            }
            assert!(shown.starts_with(['"', '\'']), "{within:?} becomes {shown:?}");
        }
        assert_eq!(shown(json!("a;b")), "\"a;b\"\r\n", "what is harmless stays as it is");
        assert_eq!(shown(json!(-1.5)), "-1.5\r\n", "a number is one");
        assert_eq!(shown(json!("a \"b\", c")), "\"a \"\"b\"\", c\"\r\n");
        assert_eq!(shown(json!(["=1"])), "\"[\"\"=1\"\"]\"\r\n");
        assert_eq!(shown(Value::Null), "\r\n");
    }
}
