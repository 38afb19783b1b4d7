//! Bytes of files in; their rows out.

use std::fmt::Write as _;
use std::sync::{Arc, atomic::AtomicU64};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::{
    rows::{Content, Row, RowFormat, Rows},
    source::Source,
};
use super::*;

const CSV: RowFormat = RowFormat::Csv { delimiter: b',' };

fn open(content: &[u8], format: RowFormat, limit: usize, place: (u64, u64)) -> Result<Rows, Failure> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("file");
    fs::write(&file, content).expect("a writable directory");
    Rows::open(&Source::open(&file)?, format, limit, place, &Arc::new(AtomicU64::new(0)))
}

fn show(row: &Row<'_>) -> String {
    match &row.content {
        Content::Payload(payload) => format!("{} {}\n", row.line, String::from_utf8_lossy(payload)),
        Content::Bad(defect) => {
            format!("{} {}: {:?}\n", row.line, defect.reason(), String::from_utf8_lossy(row.text))
        }
    }
}

fn shown(content: &[u8], format: RowFormat, limit: usize) -> String {
    let mut rows = open(content, format, limit, (0, 0)).expect("a right header");
    let mut shown = String::new();
    while let Some(row) = rows.next().expect("a readable file") {
        shown += &show(&row);
    }
    shown
}

fn check(content: &[u8], format: RowFormat, expected: Expect) {
    expected.assert_eq(&shown(content, format, 100));
}

#[test]
fn rows_of_csv_are_objects_without_empty_cells() {
    check(
        b"\xEF\xBB\xBFid, name ,note\r\n1,Ann,\"says \"\"hi\"\", then\r\nleaves\"\r\n\r\n2,,\r\n3,\" \",a\"b\"c\r\n,,\r\n4,\xC3\xA9,last",
        CSV,
        expect![[r#"
            2 {"id":"1","name":"Ann","note":"says \"hi\", then\r\nleaves"}
            5 {"id":"2"}
            6 {"id":"3","note":"a\"b\"c"}
            7 {}
            8 {"id":"4","name":"é","note":"last"}
        "#]],
    );
    check(
        b"id\tname\n1\tAnn, or \"so\"\n",
        RowFormat::Csv { delimiter: b'\t' },
        expect![[r#"
        2 {"id":"1","name":"Ann, or \"so\""}
    "#]],
    );
    check(
        b"\"id\";\"a.b\"\n\"1\";\"x;y\"\n",
        RowFormat::Csv { delimiter: b';' },
        expect![[r#"
        2 {"id":"1","a.b":"x;y"}
    "#]],
    );
    check(b"id,name\n", CSV, expect![[""]]);
}

#[test]
fn a_bad_row_of_csv_costs_itself_and_no_other() {
    // Other numbers of cells, other encodings.
    check(
        b"id,name\n1\n2,Bob,x\n3,\xFFx\n4,Dan\n\"5\xC3\",\"\xA9\"\n6,Eve\n",
        CSV,
        expect![[r#"
        2 wrong_field_count: "1"
        3 wrong_field_count: "2,Bob,x"
        4 not_utf8: "3,�x"
        5 {"id":"4","name":"Dan"}
        6 not_utf8: "\"5�\",\"�\""
        7 {"id":"6","name":"Eve"}
    "#]],
    );
    // A quote that closes in the middle of another cell, one that is closed at the end of the file, and one nowhere.
    check(
        b"id,name\n1,\"Ann\n2,Bob\n3,\"Cy\"\n4,Dan\n",
        CSV,
        expect![[r#"
        2 unclosed_quote: "1,\"Ann"
        3 {"id":"2","name":"Bob"}
        4 {"id":"3","name":"Cy"}
        5 {"id":"4","name":"Dan"}
    "#]],
    );
    check(
        b"id,name\n1,\"Ann\n2,Bob\n",
        CSV,
        expect![[r#"
        2 unclosed_quote: "1,\"Ann"
        3 {"id":"2","name":"Bob"}
    "#]],
    );
    check(
        b"id,name\n1,Ann\n2,\"Bob",
        CSV,
        expect![[r#"
        2 {"id":"1","name":"Ann"}
        3 unclosed_quote: "2,\"Bob"
    "#]],
    );
    // One that is followed by more than a message may have.
    let mut text = b"id,name\n1,\"Ann\n".to_vec();
    for number in 2..=30 {
        text.extend_from_slice(format!("{number},Bob\n").as_bytes());
    }
    let all = shown(&text, CSV, 100);
    assert!(all.starts_with("2 too_large: \"1,\\\"Ann\"\n3 {\"id\":\"2\",\"name\":\"Bob\"}\n"), "{all}");
    assert_eq!(all.lines().count(), 30);
    // A line that is itself too long; one that is so with the names of its columns only.
    let long = format!("id,name\n1,{}\n2,Bob\n3,{}\n4,Dan", "x".repeat(1_000), "y".repeat(90));
    let all = shown(long.as_bytes(), CSV, 100).replace(&"x".repeat(1_000), "…").replace(&"y".repeat(90), "…");
    expect![[r#"
        2 too_large: "1,…"
        3 {"id":"2","name":"Bob"}
        4 too_large: "3,…"
        5 {"id":"4","name":"Dan"}
    "#]]
    .assert_eq(&all);
}

#[test]
fn lines_of_json_are_sent_as_they_are() {
    let text = format!("\u{FEFF}{{\"id\": 1}}\r\n\n  \n not JSON \n{}\n\"\n{{\"id\":2}}", "z".repeat(101));
    check(
        text.as_bytes(),
        RowFormat::Ndjson,
        expect![[r#"
        1 {"id": 1}
        4  not JSON 
        5 too_large: "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
        6 "
        7 {"id":2}
    "#]],
    );
    check(b"", RowFormat::Ndjson, expect![[""]]);
    check(
        &[b"x".repeat(100), b"\r\n".to_vec()].concat(),
        RowFormat::Ndjson,
        expect![[r#"
        1 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    "#]],
    );
}

#[test]
fn the_elements_of_one_list_are_events() {
    let list = "\u{FEFF} [ {\"id\":1, \"t\":\"a,]}\\\"\"},\n{\"id\":2,\n \"in\":[{},[1]]}\n,\"x\", 7,\n null ]\n";
    let expected = expect![[r#"
        1 {"id":1, "t":"a,]}\""}
        2 {"id":2,
         "in":[{},[1]]}
        4 "x"
        4 7
        5 null
    "#]];
    expected.assert_eq(&shown(list.as_bytes(), RowFormat::Ndjson, 100));
    expected.assert_eq(&shown(list.as_bytes(), RowFormat::Json, 100));
    for (text, format, rows) in [
        ("[]", RowFormat::Ndjson, ""),
        (" [\n]\n", RowFormat::Json, ""),
        // On lines of their own they are records, which no mapping takes.
        ("[1]\n[2]\n", RowFormat::Ndjson, "1 [1]\n2 [2]\n"),
        ("[{\"a\":1}]\n", RowFormat::Ndjson, "1 {\"a\":1}\n"),
        ("{\n \"a\": 1\n}\n{\"a\":2}", RowFormat::Json, "1 {\n \"a\": 1\n}\n4 {\"a\":2}\n"),
        // What is damaged is sent as it stands, and what comes after it cannot be told from it.
        ("[{\"a\":1},{\"a\":\"x},{\"a\":3}]", RowFormat::Json, "1 {\"a\":1}\n1 {\"a\":\"x},{\"a\":3}]\n"),
        ("[{\"a\":1},}, {\"a\":3}]", RowFormat::Json, "1 {\"a\":1}\n1 }\n1 {\"a\":3}\n"),
    ] {
        assert_eq!(shown(text.as_bytes(), format, 100), rows, "{text}");
    }
    // What breaks off between two elements is told, but to who goes on at its very end.
    for text in ["[{\"a\":1},{\"a\":2},", "[{\"a\":1},{\"a\":2}", "["] {
        let mut rows = open(text.as_bytes(), RowFormat::Json, 100, (0, 0)).expect("a list");
        let error = loop {
            match rows.next() {
                Ok(row) => assert!(row.is_some(), "{text}"),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(error, "the list has no end; is the file whole?", "{text}");
    }
    let large = format!("[{{\"a\":1}},\n{{\"a\":\"{}\"}},\n{{\"a\":3}}]", "z".repeat(200));
    let seen = shown(large.as_bytes(), RowFormat::Json, 100);
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("2 too_large: ") && lines[2] == "3 {\"a\":3}", "{seen}");
}

#[test]
fn a_wrong_header_is_an_error_that_says_which_column() {
    let mut all = String::new();
    for header in [
        "",
        "\n\n",
        "id,name,\n",
        "id,name,id\n",
        "id, id\n",
        "id;name\n",
        "id\n",
        "id,\"name\n1,Ann\n",
        "{\"id\":1,\"name\":2}\n",
        "id,\u{0}\u{0}\n",
    ] {
        match open(header.as_bytes(), CSV, 100, (0, 0)) {
            Ok(_) => writeln!(all, "{header:?}: right"),
            Err(failure) => {
                assert_eq!(failure.exit, Exit::Usage);
                let at = failure.happened.find("/file: ").expect("the file's name") + 7;
                writeln!(all, "{}; {}", &failure.happened[at..], failure.next)
            }
        }
        .expect("memory");
    }
    for bytes in [&b"\xFF\xFEi\0d\0"[..], b"id,n\xE4me\n", &[b'x'; 200]] {
        let failure = open(bytes, CSV, 100, (0, 0)).err().expect("a wrong header");
        let at = failure.happened.find("/file: ").expect("the file's name") + 7;
        writeln!(all, "{}; {}", &failure.happened[at..], failure.next).expect("memory");
    }
    expect![[r#"
        it is empty: a CSV file begins with the names of its columns; add them
        it is empty: a CSV file begins with the names of its columns; add them
        column 3 has no name; name every column
        columns 1 and 3 have the same name, "id"; give each column its own name
        columns 1 and 2 have the same name, "id"; give each column its own name
        it has one column only, and no event has place in one; add --delimiter ";"
        it has one column only, and no event has place in one; name what stands between two columns with --delimiter
        a quote in its header is not closed; close it
        its header begins as JSON does; add --format ndjson
        "id,\0\0\n": right
        it is UTF-16; save it as UTF-8
        its header is not UTF-8; write the file in that encoding
        its header is longer than 100 bytes, or a quote in it is not closed; see whether it is CSV with a header
    "#]]
    .assert_eq(&all);
}

#[test]
fn gzip_is_known_by_its_bytes_also_in_several_members() {
    use std::io::Write as _;
    let member = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let packed = [member("id,name\n1,An"), member("n\n2,Bob\n")].concat();
    assert_eq!(shown(&packed, CSV, 100), shown(b"id,name\n1,Ann\n2,Bob\n", CSV, 100));
}

#[test]
fn memory_is_bounded_by_the_largest_message_whatever_a_line_has() {
    let limit = 64 << 10;
    let huge = "x".repeat(24 << 20);
    for (text, format) in [
        (format!("{{\"id\":1}}\n{huge}\n{{\"id\":2}}\n"), RowFormat::Ndjson),
        (format!("[{{\"id\":1}},{{\"id\":\"{huge}\"}},\n{{\"id\":2}}]"), RowFormat::Ndjson),
        (format!("id,name\n1,Ann\n2,{huge}\n3,Cy\n"), CSV),
        (format!("id,name\n1,Ann\n2,\"{huge}\n3,Cy\n"), CSV),
        (format!("id,name\n1,Ann\n2{}\n3,Cy\n", ",".repeat(2 << 20)), CSV),
    ] {
        let mut rows = open(text.as_bytes(), format, limit, (0, 0)).expect("right");
        let (mut good, mut bad) = (0, 0);
        while let Some(row) = rows.next().expect("a readable file") {
            match row.content {
                Content::Payload(_) => good += 1,
                Content::Bad(defect) => {
                    assert_eq!((defect.reason(), row.text.len()), ("too_large", 4 << 10));
                    bad += 1;
                }
            }
        }
        assert_eq!((good, bad), (2, 1));
        // The window holds a message and what is read at once; cells are counted with eight bytes each.
        assert!(rows.capacity() < 4 << 20, "{} bytes", rows.capacity());
    }
}

/// A cell as a careful writer writes it.
fn cell(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_from_every_place_between_rows(
        table in prop::collection::vec(prop::array::uniform3("[ab\",\n\r é]{0,5}"), 0..12),
        end in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let mut text = format!("a,b,c{end}");
        let mut expected = String::new();
        for cells in &table {
            let line = text.matches('\n').count() + 1;
            let object: Vec<String> = ["a", "b", "c"]
                .iter()
                .zip(cells)
                .filter(|(_, cell)| !cell.trim().is_empty())
                .map(|(name, cell)| format!("\"{name}\":{}", Value::from(cell.as_str())))
                .collect();
            writeln!(expected, "{line} {{{}}}", object.join(",")).expect("memory");
            text += &cells.each_ref().map(|text| cell(text)).join(",");
            text += end;
        }
        let mut rows = open(text.as_bytes(), CSV, 1_000, (0, 0)).expect("a right header");
        let mut read = String::new();
        loop {
            let mut rest = String::new();
            let mut resumed = open(text.as_bytes(), CSV, 1_000, rows.place()).expect("a right header");
            while let Some(row) = resumed.next().expect("a readable file") {
                rest += &show(&row);
            }
            prop_assert_eq!(format!("{read}{rest}"), expected.as_str());
            let Some(row) = rows.next().expect("a readable file") else { break };
            read += &show(&row);
        }
    }
}

proptest! {
    #[test]
    fn a_list_is_read_from_every_place_between_its_elements(
        texts in prop::collection::vec("[ab\",\\\\\\[\\]{}\n é]{0,6}", 0..12),
        between in prop_oneof![Just(","), Just(",\n  "), Just(" ,")],
    ) {
        let elements: Vec<String> = texts
            .iter()
            .map(|text| serde_json::json!({"t": text, "in": [{ "": text }]}).to_string())
            .collect();
        let text = format!("[\n{}\n]\n", elements.join(between));
        let mut rows = open(text.as_bytes(), RowFormat::Json, 1_000, (0, 0)).expect("a list");
        let mut read = Vec::new();
        loop {
            let mut resumed = open(text.as_bytes(), RowFormat::Json, 1_000, rows.place()).expect("a list");
            let mut all = read.clone();
            while let Some(row) = resumed.next().expect("a readable file") {
                prop_assert_eq!(row.line as usize, 2 + all.len() * between.matches('\n').count());
                all.push(String::from_utf8_lossy(row.text).into_owned());
            }
            prop_assert_eq!(&all, &elements);
            let Some(row) = rows.next().expect("a readable file") else { break };
            read.push(String::from_utf8_lossy(row.text).into_owned());
        }
    }
}

#[test]
fn rows_lie_across_what_is_read_at_once() {
    let mut text = "id,note\n".to_owned();
    let mut expected = String::new();
    let mut line = 2;
    for number in 0..20_000 {
        let note = format!("{}\n\"{}\"", "n".repeat(number % 61), number);
        writeln!(text, "{number},{}", cell(&note)).expect("memory");
        writeln!(expected, "{line} {{\"id\":\"{number}\",\"note\":{}}}", Value::from(note)).expect("memory");
        line += 2;
    }
    assert!(text.len() > 4 * (128 << 10));
    assert!(shown(text.as_bytes(), CSV, 1_000) == expected);
    let lines = expected.replace("\\n", " ");
    let numbered: String = lines.lines().enumerate().map(|(index, line)| format!("{} {line}\n", index + 1)).collect();
    assert!(shown(lines.as_bytes(), RowFormat::Ndjson, 1_000) == numbered);
    let objects: Vec<&str> = lines.lines().map(|line| line.split_once(' ').expect("a number").1).collect();
    let list = format!("[{}]", objects.join(",\n"));
    let expected: String = objects.iter().enumerate().map(|(index, line)| format!("{} {line}\n", index + 1)).collect();
    assert!(shown(list.as_bytes(), RowFormat::Ndjson, 1_000) == expected);
}
