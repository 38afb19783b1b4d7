//! An identifier in; one customer as every department sees them out: record, timeline, journey, scores, what is open, how sure it is
//! that this is one person. All of it asked of the API, which notes who saw whom.

use axum::{extract::Path, http::StatusCode, response::Response};
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{
        Block, Entry, Field, Line, Page, Section, Table, badge, code, columns, line, link, notice, paragraph, soft,
        text,
    },
    failed,
    forms::{Asked, Form},
    part, redirect, review, shown,
    words::{self, count, count_of, decimal, duration, href, instant, list_of, number_of, percent, step, text_of},
};
use crate::{
    feeds::Feed,
    serve::{access::Role, http::inside::Refused},
};

/// Touchpoints of a page.
const TOUCHPOINTS: usize = 50;

/// The first digits of an id tell persons of a page apart.
pub(super) fn shortened(person: &str) -> String {
    person.chars().take(8).collect::<String>() + "…"
}

/// The form.
pub(super) async fn search(asker: Asker) -> Response {
    shown(&asker.desk, Some(&asker.who), StatusCode::OK, &form(&asker, "customer_id", "", None))
}

fn may_see(asker: &Asker) -> bool {
    asker.who.caller.roles.contains(&Role::ReadCustomers)
}

fn form(asker: &Asker, kind: &str, value: &str, wrong: Option<&str>) -> Page {
    let mut page = Page {
        title: "Customers".to_owned(),
        nav: "/customers",
        lead: line("One customer as every department sees them, by any identifier that any department knows."),
        ..Page::default()
    };
    if !may_see(asker) {
        let words = "Customers are personal data: they are shown to whoever logs in with a token that has the role read:customers, and each \
            access is noted.";
        page.top.push(notice("info", words));
        page.sections.extend(besides(asker));
        return page;
    }
    page.top.extend(wrong.map(|wrong| notice("error", wrong)));
    let person = ("person".to_owned(), "Person’s id in the feeds".to_owned());
    let kinds = asker.desk.rules().kinds().into_iter();
    let kinds = kinds.map(|kind| (kind.as_str().to_owned(), words::title(kind.as_str())));
    page.top.push(Block::Form {
        action: "/customers".to_owned(),
        is_post: true,
        csrf: Some(asker.who.form_token()),
        fields: vec![
            Field::Select {
                name: "kind",
                label: "Kind of identifier",
                options: kinds.chain([person]).collect(),
                chosen: kind.to_owned(),
            },
            Field::Input {
                name: "value",
                label: "Identifier",
                kind: "text",
                value: value.to_owned(),
                hint: "As the department has it.",
            },
        ],
        button: "Find the customer",
    });
    page.top.push(paragraph("Each look at a customer is noted on insight.audit, with your token."));
    page.sections.extend(besides(asker));
    page
}

/// What else can be done about customers, by who may.
fn besides(asker: &Asker) -> Option<Section> {
    let mut lines = Vec::new();
    if asker.may(&Role::Review) || may_see(asker) {
        lines.push(vec![
            link("/customers/review", "Identity review"),
            soft(" – pairs of identifiers that do not link, and decisions about who is one person"),
        ]);
    }
    if asker.may(&Role::Erase) {
        lines.push(vec![
            link("/customers/privacy", "Erasure and access"),
            soft(" – somebody asks to be forgotten, or for what is kept of them"),
        ]);
    }
    (!lines.is_empty()).then(|| Section::new("besides", "Besides", vec![Block::List { lines }]))
}

/// Its answer. By POST, so that no identifier is in an address, a history or a log.
pub(super) async fn find(asker: Asker, sent: Form) -> Response {
    let (kind, value) = (sent.field("kind"), sent.field("value").trim());
    let sought = if kind == "person" { value.to_owned() } else { format!("{kind}:{value}") };
    let again =
        |status, wrong: &str| shown(&asker.desk, Some(&asker.who), status, &form(&asker, kind, value, Some(wrong)));
    if value.is_empty() {
        return again(StatusCode::BAD_REQUEST, "Write an identifier.");
    }
    match asker.get(&format!("/api/v1/customers/{}", percent(&sought))).await {
        Ok(record) => redirect(&format!("/customers/{}", percent(text_of(&record, "/person")))),
        Err(refused) if refused.status == StatusCode::NOT_FOUND => {
            again(refused.status, "Nobody is known by that identifier.")
        }
        Err(refused) if refused.status == StatusCode::BAD_REQUEST => {
            again(refused.status, "This is no identifier of that kind.")
        }
        Err(refused) => failed(&asker.desk, Some(&asker.who), &refused),
    }
}

/// One customer.
pub(super) async fn page(asker: Asker, Path(person): Path<String>, asked: Asked) -> Response {
    if !may_see(&asker) {
        return shown(&asker.desk, Some(&asker.who), StatusCode::FORBIDDEN, &form(&asker, "", "", None));
    }
    let page = made(&asker, &person, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, person: &str, asked: &Asked) -> Result<Page, Refused> {
    let at = format!("/api/v1/customers/{}", percent(person));
    let record = asker.get(&at).await?;
    let cursor = asked.get("cursor");
    let more = if cursor.is_empty() { String::new() } else { format!("&cursor={}", percent(cursor)) };
    let timeline = asker.get(&format!("{at}/timeline?limit={TOUCHPOINTS}{more}")).await;
    let identity = asker.get(&format!("{at}/identity")).await;
    let person = text_of(&record, "/person").to_owned();
    let alerts = asker.all(&href("/api/v1/alerts", &[("person", &person)])).await;
    Ok(Page {
        title: "A customer".to_owned(),
        nav: "/customers",
        lead: vec![soft("Person "), code(person.clone()), text(". "), link("/customers", "Look for another one")],
        sections: vec![
            Section::new("who", "Who it is", who(&record)),
            Section::new("health", "How the relationship is", health(&record)),
            Section::new("open", "What is open", part(alerts.map(|alerts| open(&record, &alerts)))),
            Section::new("scores", "What they said and felt", scores(&record)),
            Section::new("journey", "The journey since the last purchase", journey(&record)),
            Section::new(
                "timeline",
                "Timeline across departments",
                part(timeline.map(|page| touchpoints(&record, &page, &person))),
            ),
            Section::new("identity", "Why this is one person", part(identity.map(|found| evidence(asker, &found)))),
        ],
        feeds: vec![Feed::Customers, Feed::Touchpoints, Feed::Identities],
        key: Some(person),
        ..Page::default()
    })
}

fn who(record: &Value) -> Vec<Block> {
    let mut rows = Vec::new();
    for (kind, values) in record.get("identifiers").and_then(Value::as_object).into_iter().flatten() {
        for value in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
            rows.push(vec![line(words::title(kind)), vec![code(value)]]);
        }
    }
    let or_none = |field: &str| match text_of(record, field) {
        "" => vec![soft("not known")],
        value => line(value),
    };
    vec![
        Block::Facts {
            facts: vec![
                ("First seen", line(instant(text_of(record, "/first_seen")))),
                ("Last seen", line(instant(text_of(record, "/last_seen")))),
                ("Touchpoints", line(count(count_of(record, "/touchpoints")))),
                ("Segment", or_none("/segment")),
                ("Region", or_none("/region")),
                ("Account", or_none("/account")),
            ],
        },
        Table {
            caption: "Identifiers".to_owned(),
            columns: columns(["Kind", "Value"]),
            rows,
            empty: "No identifier is published.",
        }
        .into(),
    ]
}

fn health(record: &Value) -> Vec<Block> {
    let by_currency = |field: &str, shown: &dyn Fn(f64, &str) -> String| -> Line {
        let all = record.get(field).and_then(Value::as_object).into_iter().flatten();
        let all: Vec<String> = all.filter_map(|(currency, value)| Some(shown(value.as_f64()?, currency))).collect();
        if all.is_empty() { vec![soft("none")] } else { line(all.join(", ")) }
    };
    let rhythm = match record.get("rhythm").filter(|rhythm| !rhythm.is_null()) {
        None => vec![soft("not known before three days of purchase")],
        Some(rhythm) => {
            let gap = number_of(rhythm, "/mean_gap_days")
                .map_or_else(String::new, |days| format!("every {} days; ", decimal(days, 1)));
            let lapses = words::day(text_of(rhythm, "/lapses_on"));
            match rhythm.get("lapsed").and_then(Value::as_bool) {
                Some(true) => vec![text(format!("{gap}lapsed on {lapses} ")), badge("bad", "lapsed")],
                _ => line(format!("{gap}would lapse on {lapses}")),
            }
        }
    };
    let (kept, late) = (count_of(record, "/deliveries_on_time"), count_of(record, "/deliveries_late"));
    let mut blocks = vec![Block::Facts {
        facts: vec![
            ("Phase", line(words::title(text_of(record, "/phase")))),
            ("Buys", rhythm),
            ("Orders", line(count(count_of(record, "/orders")))),
            ("Revenue", by_currency("revenue", &words::money)),
            ("Mean purchase", by_currency("monetary_value", &words::money)),
            ("Deliveries on time", line(format!("{} of {}", count(kept), count(kept + late)))),
            ("Messages in 30 days", line(count(count_of(record, "/contacts_30_days")))),
        ],
    }];
    blocks.extend(expected(record));
    blocks
}

/// What customers who bought alike would do, with what has to be said with it; nothing of who has bought nothing.
fn expected(record: &Value) -> Vec<Block> {
    if !record.get("buying").is_some_and(Value::is_object) {
        return Vec::new();
    }
    let Some(said) = record.get("expected").filter(|said| said.is_object()) else {
        return vec![paragraph(
            "What to expect of them is not known: no closed month has parameters: too few bought again, or how they did does not determine them.",
        )];
    };
    let currency = text_of(said, "/currency");
    let money = |field: &str| match number_of(said, field) {
        Some(minor) => line(words::money(minor, currency)),
        None => vec![soft("not known: amounts do not determine their parameters")],
    };
    let alive = number_of(said, "/p_alive").unwrap_or_default();
    let mut alive = vec![text(format!("{} %", decimal(100.0 * alive, 1)))];
    if said.get("one_time_buyer").and_then(Value::as_bool) == Some(true) {
        alive.extend([text(" "), badge("doubt", "bought once")]);
    }
    let horizon = count_of(said, "/horizon_days");
    let by = format!(
        "Expected in the {horizon} days after {}: what customers who bought alike would do, by the parameters of {} ({}, revision {}). ",
        words::day(text_of(said, "/as_of")),
        words::window("month", &format!("{}-01", text_of(said, "/parameters"))),
        text_of(said, "/parameters_status"),
        count(count_of(said, "/parameters_revision")),
    );
    let caveat = match text_of(said, "/caveat") {
        "" => "It is no sign that somebody has left.".to_owned(),
        caveat => {
            let mut letters = caveat.chars();
            letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
        }
    };
    vec![
        Block::Facts {
            facts: vec![
                ("Still a customer, P(alive)", alive),
                (
                    "Days with a purchase",
                    line(number_of(said, "/expected_purchases").map_or_else(|| "–".to_owned(), |it| decimal(it, 2))),
                ),
                ("Amount of each", money("/expected_amount")),
                ("Value expected", money("/expected_value")),
            ],
        },
        Block::Text { line: vec![soft(by), soft(caveat)] },
    ]
}

fn open(record: &Value, alerts: &[Value]) -> Vec<Block> {
    let overdue = count_of(record, "/overdue_promises");
    let mut promises = line(count(count_of(record, "/open_promises")));
    if overdue > 0 {
        promises.extend([text(" "), badge("bad", format!("{} overdue", count(overdue)))]);
    }
    let by = |alert: &Value| match text_of(alert, "/acknowledged_by") {
        "" => Line::new(),
        by => vec![soft(format!(" by {by}"))],
    };
    let row = |alert: &Value| {
        vec![
            line(words::title(text_of(alert, "/cause"))),
            line(words::day(text_of(alert, "/since"))),
            line(super::alerts::about(alert)),
            line(text_of(alert, "/owner")),
            [line(words::word(text_of(alert, "/state"))), by(alert)].concat(),
        ]
    };
    vec![
        Block::Facts {
            facts: vec![("Open promises", promises), ("Open cases", line(count(count_of(record, "/open_cases"))))],
        },
        Table {
            caption: "Alerts".to_owned(),
            columns: columns(["Cause", "Since", "About", "Whose", "State"]),
            rows: alerts.iter().map(row).collect(),
            empty: "No alert is open.",
        }
        .into(),
    ]
}

fn scores(record: &Value) -> Vec<Block> {
    let summary = |name: String, score: &Value| {
        vec![
            line(name),
            line(count(count_of(score, "/last"))),
            line(number_of(score, "/mean").map_or_else(|| "–".to_owned(), |mean| decimal(mean, 2))),
            line(count(count_of(score, "/n"))),
        ]
    };
    let scales = record.get("scores").and_then(Value::as_object).into_iter().flatten();
    let mut rows: Vec<Vec<Line>> = scales.map(|(scale, score)| summary(words::title(scale), score)).collect();
    rows.extend(record.get("sentiment").filter(|it| !it.is_null()).map(|score| summary("Sentiment".to_owned(), score)));
    let time = |field: &str| {
        let (mean, n) =
            (number_of(record, &format!("/{field}/mean_seconds")), count_of(record, &format!("/{field}/n")));
        mean.map_or_else(|| vec![soft("none")], |mean| vec![text(duration(mean)), soft(format!(", n {}", count(n)))])
    };
    vec![
        Table {
            caption: "Answers and sentiment".to_owned(),
            columns: columns(["Scale", "#Newest", "#Mean", "#n"]),
            rows,
            empty: "They have not been asked, and no department said how they felt.",
        }
        .into(),
        Block::Facts {
            facts: vec![
                ("Mean time to first response", time("first_response_time")),
                ("Mean time to resolution", time("resolution_time")),
            ],
        },
    ]
}

fn journey(record: &Value) -> Vec<Block> {
    let steps: Vec<Line> = list_of(record, "/journey")
        .iter()
        .map(|at| {
            let name = format!("{}:{}:{}", text_of(at, "/spoke"), text_of(at, "/kind"), text_of(at, "/channel"));
            line(step(&name))
        })
        .collect();
    match steps.is_empty() {
        true => vec![paragraph("No step since then.")],
        false => vec![Block::List { lines: steps }],
    }
}

fn touchpoints(record: &Value, page: &Value, person: &str) -> Vec<Block> {
    let spokes: Vec<&String> = record
        .get("touchpoints_by_spoke")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(spoke, _)| spoke)
        .collect();
    let entries: Vec<Entry> = list_of(page, "/items").iter().map(|touchpoint| entry(touchpoint, &spokes)).collect();
    let mut blocks = vec![Block::Timeline { entries }];
    let next = text_of(page, "/next");
    if !next.is_empty() {
        let older = href(&format!("/customers/{}", percent(person)), &[("cursor", next)]);
        blocks.push(Block::Text { line: vec![link(older + "#timeline", "Older touchpoints")] });
    }
    blocks
}

fn entry(touchpoint: &Value, spokes: &[&String]) -> Entry {
    let (kind, spoke) = (text_of(touchpoint, "/kind"), text_of(touchpoint, "/spoke"));
    let at = text_of(touchpoint, "/occurred_at");
    // The department's own word where ours has none.
    let name = match (kind, text_of(touchpoint, "/label")) {
        ("other", label) if !label.is_empty() => words::title(label),
        (kind, _) => words::title(kind),
    };
    let mut line = vec![super::blocks::strong(name.clone())];
    let subject = text_of(touchpoint, "/subject");
    if !subject.is_empty() {
        line.push(text(format!(": {subject}")));
    }
    let channel = text_of(touchpoint, "/channel");
    let by = if channel.is_empty() { String::new() } else { format!(" by {}", words::word(channel)) };
    line.push(soft(format!(" · {spoke}{by}")));
    if let Some(value) = number_of(touchpoint, "/score/value") {
        line.extend([
            text(" "),
            badge("plain", format!("{} {}", text_of(touchpoint, "/score/scale"), decimal(value, 0))),
        ]);
    }
    if let Some(minor) = number_of(touchpoint, "/amount/minor") {
        line.extend([text(" "), badge("plain", words::money(minor, text_of(touchpoint, "/amount/currency")))]);
    }
    let lane = spokes.iter().position(|known| *known == spoke).map_or(6, |at| at % 5 + 1);
    Entry {
        at: at.to_owned(),
        shown_at: instant(at),
        lane,
        line,
        about: format!("{name}, {}", instant(at)),
        more: further(touchpoint),
    }
}

/// Everything else that a touchpoint says.
fn further(touchpoint: &Value) -> Vec<(String, String)> {
    let mut more = Vec::new();
    let mut push = |name: &str, value: String| {
        if !value.is_empty() {
            more.push((words::title(name), value));
        }
    };
    for name in
        ["id", "label", "product", "region", "segment", "campaign", "content", "account", "initiator", "visibility"]
    {
        push(name, text_of(touchpoint, &format!("/{name}")).to_owned());
    }
    push(
        "promised for",
        match text_of(touchpoint, "/promised_at") {
            "" => String::new(),
            at => instant(at),
        },
    );
    for name in ["sentiment", "effort"] {
        push(name, number_of(touchpoint, &format!("/{name}")).map_or_else(String::new, |value| decimal(value, 0)));
    }
    push(
        "cost",
        number_of(touchpoint, "/cost/minor")
            .map_or_else(String::new, |minor| words::money(minor, text_of(touchpoint, "/cost/currency"))),
    );
    for (kind, values) in touchpoint.get("identifiers").and_then(Value::as_object).into_iter().flatten() {
        let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        push(&format!("named by {kind}"), values.join(", "));
    }
    for (name, value) in touchpoint.get("properties").and_then(Value::as_object).into_iter().flatten() {
        push(name, value.as_str().unwrap_or_default().to_owned());
    }
    more
}

/// An identifier in words.
pub(super) fn named(identifier: &Value) -> String {
    format!("{} {}", words::word(text_of(identifier, "/type")), text_of(identifier, "/value"))
}

fn evidence(asker: &Asker, found: &Value) -> Vec<Block> {
    let person = text_of(found, "/person/person").to_owned();
    let members = list_of(found, "/identifiers").iter().map(|identity| {
        let is_strongest = text_of(identity, "/identifier/type") == text_of(identity, "/strongest/type")
            && text_of(identity, "/identifier/value") == text_of(identity, "/strongest/value");
        let mut says = Line::new();
        if is_strongest {
            says.push(badge("plain", "gives the person the id"));
        }
        if identity.get("shared").and_then(Value::as_bool) == Some(true) {
            says.push(badge("doubt", "shared by many: links nobody"));
        }
        vec![line(named(&identity["identifier"])), says]
    });
    let changes = list_of(found, "/changes").iter().map(|change| {
        let name = |of: &str| match change.get(of).filter(|it| !it.is_null()) {
            None => String::new(),
            Some(it) if text_of(it, "/type").is_empty() => "an erased identifier".to_owned(),
            Some(it) => named(it),
        };
        let cause = match (change.get("command").and_then(Value::as_i64), text_of(change, "/home")) {
            (Some(_), _) => "an operator’s decision".to_owned(),
            (None, "") => String::new(),
            (None, _) => match text_of(change, "/spoke") {
                "" => "a touchpoint".to_owned(),
                spoke => {
                    let day = words::day(text_of(change, "/occurred_at"));
                    format!("{spoke} {}, {day}", text_of(change, "/touchpoint"))
                }
            },
        };
        vec![line(words::word(text_of(change, "/change"))), line(name("one")), line(name("other")), line(cause)]
    });
    let table = |caption: &str, columns, rows: Vec<Vec<Line>>, empty| -> Block {
        Table { caption: caption.to_owned(), columns, rows, empty }.into()
    };
    let mut blocks = vec![
        Block::Text {
            line: vec![
                text(format!("{} identifiers are one person, ", count(count_of(found, "/person/identifiers_total")))),
                code(person),
                text("."),
            ],
        },
        table(
            "Identifiers that are this person",
            columns(["Identifier", "What it is"]),
            members.collect(),
            "None is published.",
        ),
        review::conflicts(asker, found.get("person").map(|record| (record, list_of(found, "/seen"))).into_iter()),
        Block::Details {
            summary: "How it came about".to_owned(),
            blocks: vec![table(
                "Links, refusals and decisions, as far as the journal has them",
                columns(["What", "Identifier", "And", "By"]),
                changes.collect(),
                "The journal has nothing of it any more.",
            )],
        },
    ];
    blocks.extend(review::split_form(asker, found));
    blocks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_expected_is_shown_with_what_must_be_said_of_it() {
        let shown = |record: &Value| expected(record).iter().map(ToString::to_string).collect::<String>();
        let known = |said: Value| json!({"buying": {"days": 3}, "expected": said});
        let mut said = json!({
            "as_of": "2026-02-05", "parameters": "2026-01", "parameters_status": "final", "parameters_revision": 3,
            "horizon_days": 90, "p_alive": 0.5, "expected_purchases": 1.5, "expected_amount": 2_000.0, "expected_value": 3_000.0,
            "currency": "EUR", "one_time_buyer": false, "caveat": null,
        });
        let html = shown(&known(said.clone()));
        for part in
            ["50.0 %", "1.50", "Jan 2026 (final, revision 3)", "after 5 Feb 2026", "no sign that somebody has left"]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(html.contains(&words::money(3_000.0, "EUR")), "{html}");
        said["one_time_buyer"] = json!(true);
        said["caveat"] = json!("of a one-time buyer the models know nothing");
        said["expected_value"] = Value::Null;
        let html = shown(&known(said));
        for part in ["bought once", "Of a one-time buyer the models know nothing.", "amounts do not determine"] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(
            shown(&known(Value::Null)).contains(
                "no closed month has parameters: too few bought again, or how they did does not determine them"
            )
        );
        assert_eq!(shown(&json!({"buying": null, "expected": null})), "", "who has bought nothing");
    }
}
