//! What is no text in each text that a department can write: in no cell of any table it is a formula, and on no page markup.

use insight_hub::engine::log::access::{Durability, NewRecord};

use super::*;

const TEXTS: [&str; 8] = ["label", "subject", "product", "region", "segment", "campaign", "content", "account"];
const NAMES: [&str; 8] = ["loyalty", "device", "cookie", "anonymous", "order", "case", "contract", "customer_id"];

/// Everything that a touchpoint can say, planted. `of`: what stands in the place of a field.
fn touchpoint(of: &dyn Fn(&str) -> String) -> Value {
    let mut identifiers: serde_json::Map<String, Value> =
        NAMES.iter().map(|kind| ((*kind).to_owned(), json!(of(kind)))).collect();
    identifiers.insert("email".to_owned(), json!(of("@email.example")));
    // What has a word in it is no number and stays as it is.
    identifiers.insert("phone".to_owned(), json!([of("phone"), "+49 30 5550199"]));
    let mut touchpoint = event(&of("id"), 3, "case_opened", Value::Object(identifiers));
    for field in TEXTS {
        touchpoint[field] = json!(of(field));
    }
    touchpoint["score"] = json!({ "scale": "expectation", "value": 3, "item": of("item") });
    touchpoint["properties"] = json!({ of("property"): of("said") });
    touchpoint["referrer"] = json!({ "type": "customer_id", "value": of("referrer") });
    touchpoint
}

/// A hub that has taken it all in, with a pair that does not link, and who may see all of it.
fn planted(name: &str, of: &dyn Fn(&str) -> String) -> (Desk, String) {
    let mut desk = Desk::open(name, &["serve.requests_per_second=100000", "time.idle_partition_seconds=1"]);
    let who = json!({ "cookie": of("cookie"), "device": of("device") });
    let mut events = vec![event("1", 2, "page_viewed", who), touchpoint(of)];
    // A word that is no kind, and time that goes on until the case has waited too long.
    events.push(event("2", 4, &of("kind"), json!({ "customer_id": of("customer_id") })));
    events.extend([28, 29, 30].map(|day| event(&day.to_string(), day, "page_viewed", json!({ "cookie": "later" }))));
    desk.house.append(DAY_MS, &events);
    let (key, value) = (of("key"), of("letter"));
    let record = NewRecord {
        partition: Some(0),
        timestamp_ms: DAY_MS,
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &[],
    };
    desk.house.access().append("shop.events", &[record], Durability::AsConfigured).unwrap();
    let customer = format!("customer_id:{}", of("customer_id"));
    desk.house.becomes(&customer, &|shown| shown.is_some_and(|it| it["identifiers_total"] == 11));
    desk.house.succeed(&["identity", "never-link", &customer, &format!("cookie:{}", of("cookie"))]);
    let (reader, _) = desk.token("read:customers", &["--role", "review", "--role", "operate"]);
    (desk, reader)
}

/// Bytes as a path has them.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The cells of a table (RFC 4180), by line.
fn cells(table: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = table.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => cell.extend(characters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => line.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            other => cell.push(other),
        }
    }
    assert!(cell.is_empty() && line.is_empty(), "it ends with a line");
    lines
}

#[test]
fn no_cell_of_any_table_is_a_formula_whatever_a_department_writes() {
    let formula = |field: &str| format!("=1+{field}");
    let (desk, reader) = planted("formulas", &formula);
    let by = [("authorization", reader.as_str())];
    let of_timeline: Vec<String> =
        TEXTS.into_iter().chain(["id", "item", "property", "said", "order", "phone"]).map(formula).collect();
    let timeline =
        format!("/api/v1/customers/{}/timeline?", percent(&format!("customer_id:{}", formula("customer_id"))));
    let expected = [
        (timeline.as_str(), of_timeline),
        ("/api/v1/alerts?cause=case_unanswered&", vec![formula("case")]),
        ("/api/v1/identity/conflicts?", vec![formula("customer_id"), formula("cookie")]),
        ("/api/v1/dead-letters?", ["key", "letter", "kind"].map(formula).to_vec()),
        ("/api/v1/spokes?", vec!["unknown_kind".to_owned()]),
    ];
    for (path, parts) in expected {
        let is_whole =
            |answer: &Answer| answer.status == 200 && parts.iter().all(|part| answer.body.contains(part.as_str()));
        let table = desk.becomes(&format!("{path}format=csv"), &by, &is_whole);
        let lines = cells(&table.body);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() == lines[0].len()), "{path}: {lines:?}");
        for (name, cell) in lines.iter().skip(1).flat_map(|line| lines[0].iter().zip(line)) {
            // As one reads it, too, that takes something else for the end of a cell.
            for part in cell.split([';', '\t', '|', '\r', '\n']) {
                let part = part.trim_start_matches([' ', '"']);
                let is_number = part.parse::<f64>().is_ok() && !part.starts_with('+');
                assert!(is_number || !part.starts_with(['=', '+', '-', '@']), "{path}, {name}: {cell}");
            }
        }
    }
}

#[test]
fn nothing_that_a_department_writes_is_markup_on_a_page() {
    const MARKUP: &str = "\"'><img src=x onerror=hurt()>";
    let markup = |field: &str| format!("{MARKUP}{field}");
    let (desk, reader) = planted("markup", &markup);
    let by = [("authorization", reader.as_str())];
    let customer = percent(&format!("customer_id:{}", markup("customer_id")));
    let has_alert = |answer: &Answer| answer.status == 200 && !answer.items().is_empty();
    desk.becomes("/api/v1/alerts?cause=case_unanswered", &by, &has_alert);
    let person = desk.becomes(&format!("/api/v1/customers/{customer}"), &by, &|answer| answer.status == 200);
    let person = format!("/customers/{}", person.json()["person"].as_str().unwrap());
    let of_person: Vec<&str> =
        TEXTS.into_iter().chain(NAMES).chain(["id", "said", "@email.example", "phone"]).collect();
    let expected: [(&str, &[&str]); 4] = [
        (&person, &of_person),
        ("/alerts", &["case"]),
        ("/customers/review", &["customer_id", "cookie"]),
        ("/spokes/letters?spoke=shop", &["letter"]),
    ];
    for (path, fields) in expected {
        let lacks = |page: &Answer| {
            let text = unescaped(&page.body);
            fields.iter().filter(|field| !text.contains(&markup(field))).copied().collect::<Vec<&str>>()
        };
        let began = Instant::now();
        let page = loop {
            let page = desk.becomes(path, &by, &|answer| answer.status == 200);
            if lacks(&page).is_empty() {
                break page;
            }
            assert!(began.elapsed() < WITHIN, "{:?} as text on {path}: {}", lacks(&page), page.body);
        };
        assert!(!page.body.contains("<img"), "{path}: {}", page.body);
    }
}

/// What a browser shows of text in a page.
fn unescaped(body: &str) -> String {
    ["&#60; <", "&lt; <", "&#62; >", "&gt; >", "&#34; \"", "&quot; \"", "&#39; '", "&#38; &", "&amp; &"]
        .iter()
        .filter_map(|pair| pair.split_once(' '))
        .fold(body.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}
