//! `insight.spokes`, `data_quality` and dead letters in; how each department's data does, and a mapping tried on a sample, out.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{Block, Field, Line, Page, Section, Table, code, columns, line, link, notice, paragraph, soft, text},
    charts::{Series, TimeChart, line as over_time},
    choices::{chosen, different, point, spokes},
    forms::{Asked, Form},
    part, shown,
    words::{self, count, count_of, href, instant, list_of, percent, text_of},
};
use crate::{
    feeds::Feed,
    ingest::{Mapped, NoHeaders, Options, SourceRecord, Spoke, SpokeFile, fields},
    serve::{access::Role, http::inside::Refused},
    wire::{SchemaFolder, Schemas},
};

/// Dead letters of the page.
const LETTERS: usize = 10;
/// Samples that are tried at once.
const SAMPLES_MAX: usize = 50;

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let all = spokes(asker).await?;
    let names = different(&all, "/spoke");
    let spoke = chosen(asked.get("spoke"), &names, None);
    let mut page = Page {
        title: "Spokes".to_owned(),
        nav: "/spokes",
        lead: vec![
            text("The departments that are plugged in: what arrived from each, what became of it, how fresh it is. "),
            link("/spokes/try", "Plug in another one: try a mapping"),
        ],
        feeds: vec![Feed::Spokes, Feed::Rejected],
        ..Page::default()
    };
    let table = Table {
        caption: "All departments, since the hub began to count".to_owned(),
        columns: columns([
            "Department",
            "#Records",
            "#Accepted",
            "#Rejected",
            "#Duplicates",
            "#Late",
            "Newest record",
            "Newest touchpoint",
        ]),
        rows: all.iter().map(row).collect(),
        empty: "Nothing has arrived from any department yet.",
    };
    page.sections.push(Section::new("spokes", "Departments", vec![table.into()]));
    if let Some(record) = all.iter().find(|record| text_of(record, "/spoke") == spoke) {
        page.sections.push(Section::new("one", words::title(spoke), of_one(record)));
        page.sections.push(Section::new(
            "quality",
            format!("Quality of {spoke}, by day"),
            part(quality(asker, spoke).await),
        ));
    }
    let title = if spoke.is_empty() { "Dead letters".to_owned() } else { format!("Dead letters of {spoke}") };
    page.sections.push(Section::new("letters", title, part(letters(asker, spoke).await)));
    Ok(page)
}

fn outcome(record: &Value, name: &str) -> Line {
    line(count(count_of(record, &format!("/outcomes/{name}"))))
}

fn moment(record: &Value, field: &str) -> Line {
    match text_of(record, field) {
        "" => vec![soft("not known")],
        at => line(instant(at)),
    }
}

fn row(record: &Value) -> Vec<Line> {
    let spoke = text_of(record, "/spoke");
    vec![
        vec![link(href("/spokes", &[("spoke", spoke)]), spoke)],
        line(count(count_of(record, "/records"))),
        outcome(record, "accepted"),
        outcome(record, "rejected"),
        outcome(record, "duplicate"),
        outcome(record, "late"),
        moment(record, "/last_arrived_at"),
        moment(record, "/newest_occurred_at"),
    ]
}

/// A table of a map of counts, the largest first.
fn counts(record: &Value, field: &str, caption: &str, what: &'static str, empty: &'static str) -> Block {
    let map = record.get(field).and_then(Value::as_object).into_iter().flatten();
    let mut all: Vec<(&String, i64)> = map.filter_map(|(name, n)| Some((name, n.as_i64()?))).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let rows = all.into_iter().map(|(name, n)| vec![line(words::word(name)), line(count(n))]).collect();
    Table { caption: caption.to_owned(), columns: columns([what, "#How often"]), rows, empty }.into()
}

fn of_one(record: &Value) -> Vec<Block> {
    let schema = |schema: &Value| {
        vec![
            vec![code(text_of(schema, "/schema"))],
            line(count(count_of(schema, "/records"))),
            moment(schema, "/last_arrived_at"),
        ]
    };
    let partition = |partition: &Value| {
        vec![
            line(format!("{} {}", text_of(partition, "/topic"), count_of(partition, "/partition"))),
            line(count(count_of(partition, "/records"))),
            line(count(count_of(partition, "/next_offset"))),
            moment(partition, "/last_arrived_at"),
        ]
    };
    let unnamed = count_of(record, "/unmapped_kinds_unnamed");
    let mut blocks = vec![
        counts(record, "outcomes", "What became of records and touchpoints", "Outcome", "Nothing yet."),
        counts(record, "rejections", "Why some were rejected", "Reason", "None was rejected."),
        counts(
            record,
            "unmapped_kinds",
            "The department’s own kinds that its mapping does not know",
            "Kind",
            "Its mapping knows every kind that came.",
        ),
    ];
    if unnamed > 0 {
        blocks.push(paragraph(format!("{} times another kind came that the mapping does not know.", count(unnamed))));
    }
    blocks.push(
        Table {
            caption: "Partitions of its topic".to_owned(),
            columns: columns(["Partition", "#Records", "#Next offset", "Newest record"]),
            rows: list_of(record, "/partitions").iter().map(partition).collect(),
            empty: "None was read.",
        }
        .into(),
    );
    blocks.push(
        Table {
            caption: "Avro schemas that its records name".to_owned(),
            columns: columns(["Schema", "#Records", "Newest record"]),
            rows: list_of(record, "/schemas").iter().map(schema).collect(),
            empty: "Its records name no Avro schema.",
        }
        .into(),
    );
    blocks
}

/// The share of what arrived that is counted, day by day.
async fn quality(asker: &Asker, spoke: &str) -> Result<Vec<Block>, Refused> {
    let path =
        format!("/api/v1/metrics/data_quality/series?window=day&dimension=spoke&dimension_value={}", percent(spoke));
    let values = asker.all(&path).await?;
    if values.is_empty() {
        return Ok(vec![paragraph("Nothing is counted yet.")]);
    }
    let newest = &values[values.len().saturating_sub(92)..];
    let chart = over_time(TimeChart {
        id: "quality-chart".to_owned(),
        title: "Data quality: share of what arrived that was accepted".to_owned(),
        unit: "share".to_owned(),
        window: "day".to_owned(),
        series: vec![Series { name: String::new(), points: newest.iter().map(point).collect() }],
        ..TimeChart::default()
    });
    Ok(vec![chart.into()])
}

async fn letters(asker: &Asker, spoke: &str) -> Result<Vec<Block>, Refused> {
    let of = if spoke.is_empty() { String::new() } else { format!("&spoke={}", percent(spoke)) };
    let page = asker.get(&format!("/api/v1/dead-letters?limit={LETTERS}{of}")).await?;
    let table =
        super::letters::table(list_of(&page, "/items"), format!("The newest {LETTERS} that could not be taken in"));
    Ok(vec![
        table.into(),
        Block::Text {
            line: vec![link(
                href("/spokes/letters", &[("spoke", spoke)]),
                "All dead letters, by reason and day, and how to send them again",
            )],
        },
    ])
}

const EXAMPLE_MAPPING: &str = r#"spoke = "garage"
topic = "garage.events"
format = "json"

id = "id"
occurred_at = { path = "at", format = "rfc3339" }
subject = "about"

[kind]
path = "type"
unmapped = "other"

[kind.map]
"visit.booked" = "meeting_held"
"visit.done" = "visit_made"

[identifiers]
email = "customer.mail"
phone = "customer.phone"
"#;
const EXAMPLE_SAMPLE: &str = r#"{"id":"g-1","type":"visit.done","at":"2026-01-31T09:00:00Z","about":"tyres","customer":{"mail":"ann@example.org"}}
{"id":"g-2","type":"visit.booked","at":"yesterday","about":"brakes","customer":{"phone":"+31201234567"}}"#;

/// Whether somebody may have the hub try a mapping.
fn may_try(asker: &Asker) -> bool {
    let caller = &asker.who.caller;
    caller.id == "anonymous" || caller.roles.iter().any(|role| matches!(role, Role::Operate | Role::Ingest(_)))
}

/// The form of a mapping with a sample.
pub(super) async fn trial(asker: Asker) -> Response {
    let page = trial_page(&asker, EXAMPLE_MAPPING, EXAMPLE_SAMPLE, Vec::new());
    shown(&asker.desk, Some(&asker.who), StatusCode::OK, &page)
}

/// What the sample becomes.
pub(super) async fn tried(asker: Asker, sent: Form) -> Response {
    if !may_try(&asker) {
        let page = trial_page(&asker, "", "", Vec::new());
        return shown(&asker.desk, Some(&asker.who), StatusCode::FORBIDDEN, &page);
    }
    let (mapping, sample) = (sent.field("mapping").to_owned(), sent.field("sample").to_owned());
    let options = Options { identifiers: asker.desk.rules().clone(), ..Options::default() };
    let (of, on) = (mapping.clone(), sample.clone());
    let found = tokio::task::spawn_blocking(move || attempt(&of, &on, options)).await;
    let found =
        found.unwrap_or_else(|_| vec![notice("error", "The mapping could not be tried; the log of the hub says why.")]);
    let page = trial_page(&asker, &mapping, &sample, found);
    shown(&asker.desk, Some(&asker.who), StatusCode::OK, &page)
}

fn trial_page(asker: &Asker, mapping: &str, sample: &str, found: Vec<Block>) -> Page {
    let mut page = Page {
        title: "Try a mapping".to_owned(),
        nav: "/spokes",
        lead: line(
            "A department keeps its own event format: a small file says where the hub finds what. Paste it with some records, and see what they become. Nothing is kept or sent.",
        ),
        ..Page::default()
    };
    if !may_try(asker) {
        page.top.push(notice("info", "This needs the role operate, or the role ingest of a department."));
        return page;
    }
    if !found.is_empty() {
        page.sections.push(Section::new("found", "What it becomes", found));
    }
    let area = |name, label, value: &str, rows| Field::Area { name, label, value: value.to_owned(), rows };
    page.sections.push(Section::new(
        "try",
        "Mapping and sample",
        vec![Block::Form {
            action: "/spokes/try".to_owned(),
            is_post: true,
            csrf: Some(asker.who.form_token()),
            fields: vec![
                area("mapping", "The mapping, as TOML", mapping, 20),
                area("sample", "Records, as JSON, one on each line", sample, 8),
            ],
            button: "Try it",
        }],
    ));
    page
}

/// Each record of the sample, by the mapping.
fn attempt(mapping: &str, sample: &str, options: Options) -> Vec<Block> {
    let schemas = Arc::new(Schemas::from(SchemaFolder::default()));
    let spoke = SpokeFile::parse("mapping", mapping).and_then(|file| Spoke::compile(&file, options, &schemas));
    let spoke = match spoke {
        Ok(spoke) => spoke,
        Err(error) => {
            let at = error.line.map_or_else(String::new, |number| format!("Line {number}"));
            let key = if error.key.is_empty() { String::new() } else { format!(" [{}]", error.key) };
            return vec![notice("error", format!("{at}{key}: {}", error.problem))];
        }
    };
    let mut blocks = Vec::new();
    let records = sample.lines().map(str::trim).filter(|record| !record.is_empty());
    for (number, record) in records.take(SAMPLES_MAX).enumerate() {
        let record = SourceRecord {
            topic: spoke.topic(),
            partition: 0,
            offset: number as i64,
            timestamp_ms: -1,
            key: None,
            payload: Some(record.as_bytes()),
            headers: &NoHeaders,
        };
        spoke.map_json(&record, &mut |outcome| blocks.extend(became(number + 1, &outcome)));
    }
    if blocks.is_empty() {
        blocks.push(notice("info", "The mapping is in order. Paste a record to see what it becomes."));
    }
    blocks
}

fn became(number: usize, outcome: &Mapped<'_>) -> Vec<Block> {
    match outcome {
        Mapped::Touchpoint(touchpoint) => {
            let rows = fields(touchpoint).into_iter().map(|(name, value)| {
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                vec![line(name), vec![code(shown)]]
            });
            let table = Table {
                caption: format!("Record {number}, touchpoint {}", touchpoint.id),
                columns: columns(["Field", "Value"]),
                rows: rows.collect(),
                empty: "",
            };
            vec![
                notice("done", format!("Record {number} becomes a touchpoint of kind {}.", touchpoint.kind)),
                table.into(),
            ]
        }
        Mapped::Skipped(skip) => vec![notice("info", format!("Record {number} is left out: {}.", skip.in_words()))],
        Mapped::Rejected(rejection) => {
            let at = if rejection.field.is_empty() { String::new() } else { format!(" in {}", rejection.field) };
            vec![notice(
                "warning",
                format!(
                    "Record {number} is rejected: {}{at}. {}",
                    words::word(&rejection.reason.to_string()),
                    rejection.message
                ),
            )]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_of(mapping: &str, sample: &str) -> String {
        attempt(mapping, sample, Options::default()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_example_shows_a_touchpoint_and_a_rejection() {
        let html = shown_of(EXAMPLE_MAPPING, EXAMPLE_SAMPLE);
        for part in [
            "Record 1 becomes a touchpoint of kind visit_made",
            "ann@example.org",
            "Record 2 is rejected: bad timestamp in at",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_mapping_is_said_with_its_line() {
        assert!(shown_of("spoke = ", "{}").contains("Line 1"));
        let html = shown_of(&EXAMPLE_MAPPING.replace("subject", "sujet"), "{}");
        assert!(html.contains("Line 7 [sujet]"), "{html}");
        assert!(shown_of(EXAMPLE_MAPPING, "  \n").contains("in order"));
    }
}
