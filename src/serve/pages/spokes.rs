//! `insight.spokes`, `data_quality` and dead letters in; how each department's data does, and a mapping tried on a sample, out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{http::StatusCode, response::Response};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Asker, answered,
    blocks::{Block, Field, Line, Page, Section, Table, code, columns, line, link, notice, paragraph, soft, text},
    charts::{Series, TimeChart, line as over_time},
    choices::{chosen, different, point, spokes},
    failed,
    forms::{Asked, Form},
    part, shown,
    words::{self, count, count_of, href, instant, list_of, percent, text_of},
};
use crate::{
    feeds::Feed,
    ingest::{Mapped, NoHeaders, Options, SourceRecord, Spoke, SpokeFile, fields},
    serve::{
        access::{Place, Places, Role},
        http::inside::Refused,
    },
    wire::{SchemaFolder, Schemas},
};

/// Dead letters of the page.
const LETTERS: usize = 10;
/// Samples that are tried at once.
const SAMPLES_MAX: usize = 50;
/// Of what they become, so much is shown: a list in one record becomes a thousand touchpoints.
const OUTCOMES_MAX: usize = 100;
/// And so many bytes of it.
const OUTCOMES_BYTES_MAX: usize = 1 << 20;
/// Characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 1_000;
/// How long records are tried.
const TRIED_WITHIN: Duration = Duration::from_secs(2);
/// Mappings that are tried at a time: each has a thread and a core meanwhile.
const TRIALS_MAX: usize = 2;

/// The mappings that are being tried: few, and one of each caller.
pub(super) struct Trials {
    all: Arc<Semaphore>,
    of_caller: Places,
}

impl Default for Trials {
    fn default() -> Trials {
        Trials { all: Arc::new(Semaphore::new(TRIALS_MAX)), of_caller: Places::new(1) }
    }
}

impl Trials {
    /// A place for one of a caller, for as long as it is being tried.
    fn take(&self, caller: &str) -> Result<(OwnedSemaphorePermit, Place), Refused> {
        let refused =
            |status, title: &str, detail: &str| Refused { status, title: title.to_owned(), detail: detail.to_owned() };
        let of_caller = self.of_caller.take(caller).ok_or_else(|| {
            refused(StatusCode::TOO_MANY_REQUESTS, "Too many requests", "another mapping of this token is being tried")
        })?;
        let place = Arc::clone(&self.all).try_acquire_owned().map_err(|_| {
            refused(StatusCode::SERVICE_UNAVAILABLE, "Too much to do", "mappings of others are being tried")
        })?;
        Ok((place, of_caller))
    }
}

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
    Ok(newest(&page, spoke))
}

/// The first page of them.
fn newest(page: &Value, spoke: &str) -> Vec<Block> {
    let caption = format!("The newest {LETTERS} that could not be taken in");
    let mut blocks = vec![super::letters::table(page, "", caption, super::letters::TAKEN_IN).into()];
    let next = text_of(page, "/next");
    if list_of(page, "/items").is_empty() && !next.is_empty() {
        let further = href("/spokes/letters", &[("spoke", spoke), ("cursor", next)]);
        blocks.push(Block::Text { line: vec![link(further, "The next ones")] });
    }
    let all = href("/spokes/letters", &[("spoke", spoke)]);
    blocks
        .push(Block::Text { line: vec![link(all, "All dead letters, by reason and day, and how to send them again")] });
    blocks
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
    let place = match asker.desk.trials.take(&asker.who.caller.id) {
        Ok(place) => place,
        Err(refused) => return failed(&asker.desk, Some(&asker.who), &refused),
    };
    let (mapping, sample) = (sent.field("mapping").to_owned(), sent.field("sample").to_owned());
    let options = Options { identifiers: asker.desk.rules().clone(), ..Options::default() };
    let (of, on) = (mapping.clone(), sample.clone());
    let trying = move || {
        // Until it ends, though nobody waits for it any more.
        let _place = place;
        attempt(&of, &on, options, Instant::now() + TRIED_WITHIN)
    };
    let found = tokio::task::spawn_blocking(trying).await;
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

/// What is shown of a trial, and how much of it is not.
#[derive(Default)]
struct Shown {
    blocks: Vec<Block>,
    outcomes: usize,
    bytes: usize,
    left_out: usize,
}

impl Shown {
    fn is_full(&self) -> bool {
        self.outcomes >= OUTCOMES_MAX || self.bytes >= OUTCOMES_BYTES_MAX
    }

    fn take(&mut self, number: usize, outcome: &Mapped<'_>) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        let blocks = became(number, outcome);
        self.outcomes += 1;
        self.bytes += blocks.iter().map(|block| block.to_string().len()).sum::<usize>();
        self.blocks.extend(blocks);
    }
}

/// Each record of the sample, by the mapping, until there is enough to show or it is late.
fn attempt(mapping: &str, sample: &str, options: Options, until: Instant) -> Vec<Block> {
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
    let mut shown = Shown::default();
    let records: Vec<&str> = sample.lines().map(str::trim).filter(|record| !record.is_empty()).collect();
    let mut tried = 0;
    for (number, record) in records.iter().take(SAMPLES_MAX).enumerate() {
        if shown.is_full() || Instant::now() >= until {
            break;
        }
        tried += 1;
        let record = SourceRecord {
            topic: spoke.topic(),
            partition: 0,
            offset: number as i64,
            timestamp_ms: -1,
            key: None,
            payload: Some(record.as_bytes()),
            headers: &NoHeaders,
        };
        spoke.map_json(&record, &mut |outcome| shown.take(number + 1, &outcome));
    }
    let Shown { mut blocks, left_out, .. } = shown;
    let number = |n: usize| count(words::many(n));
    if left_out > 0 {
        let words = format!(
            "{} more outcomes of record {tried} are not shown: there is room for {OUTCOMES_MAX}, or less where they are long.",
            number(left_out)
        );
        blocks.push(notice("warning", words));
    }
    if tried < records.len() {
        let words = format!(
            "{} of {} records were not tried: at most {SAMPLES_MAX} are, while there is room to show what they become, and for {} \
             seconds. Paste fewer.",
            number(records.len() - tried),
            number(records.len()),
            TRIED_WITHIN.as_secs()
        );
        blocks.push(notice("warning", words));
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
                let mut shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if let Some((at, _)) = shown.char_indices().nth(VALUE_CHARS_MAX) {
                    shown.truncate(at);
                    shown.push('…');
                }
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
        let until = Instant::now() + Duration::from_secs(60);
        attempt(mapping, sample, Options::default(), until).iter().map(ToString::to_string).collect()
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

    /// Records with a list of so many elements each.
    fn lists(records: usize, elements: usize, note: &str) -> (String, String) {
        let mapping = EXAMPLE_MAPPING.replace("[kind]", "each = { path = \"visits\", key = \".n\" }\n\n[kind]");
        let record = |number| {
            let visits: Vec<_> = (0..elements).map(|n| serde_json::json!({ "n": n })).collect();
            let customer = serde_json::json!({ "mail": "ann@example.org" });
            serde_json::json!({ "id": format!("g-{number}"), "type": "visit.done", "at": "2026-01-31T09:00:00Z", "about": note,
                "customer": customer, "visits": visits })
            .to_string()
        };
        (mapping, (0..records).map(record).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn of_what_records_become_so_much_is_shown_and_the_rest_is_not_tried() {
        let (mapping, sample) = lists(50, 1_000, "tyres");
        let html = shown_of(&mapping, &sample);
        assert_eq!(html.matches("becomes a touchpoint").count(), OUTCOMES_MAX, "{}", &html[..2_000]);
        for part in ["900 more outcomes of record 1 are not shown", "49 of 50 records were not tried"] {
            assert!(html.contains(part), "{part} in {}", &html[html.len() - 2_000..]);
        }
        // Long values fill the room as well.
        let (mapping, sample) = lists(1, 1_000, &"é".repeat(50_000));
        let html = shown_of(&mapping, &sample);
        assert!(html.len() < 2 * OUTCOMES_BYTES_MAX, "{} bytes", html.len());
        // What fits is whole, and nothing is said.
        let (mapping, sample) = lists(2, 3, "tyres");
        let html = shown_of(&mapping, &sample);
        assert!(html.matches("becomes a touchpoint").count() == 6 && !html.contains("not "), "{html}");
    }

    #[test]
    fn a_trial_ends_at_its_time_and_says_so() {
        let shown = attempt(EXAMPLE_MAPPING, EXAMPLE_SAMPLE, Options::default(), Instant::now());
        let html: String = shown.iter().map(ToString::to_string).collect();
        assert!(html.contains("2 of 2 records were not tried") && !html.contains("becomes"), "{html}");
        let many = format!("{EXAMPLE_SAMPLE}\n").repeat(30);
        assert!(shown_of(EXAMPLE_MAPPING, &many).contains("10 of 60 records were not tried"));
    }

    #[test]
    fn a_caller_has_one_trial_at_a_time_and_all_have_few() {
        let trials = Trials::default();
        let status = |caller: &str| trials.take(caller).map(|_| ()).map_err(|refused| refused.status);
        let one = trials.take("one").expect("there is room");
        assert_eq!(status("one"), Err(StatusCode::TOO_MANY_REQUESTS));
        let other = trials.take("other").expect("there is room");
        assert_eq!(status("third"), Err(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(status("other"), Err(StatusCode::TOO_MANY_REQUESTS));
        drop((one, other));
        assert_eq!(
            (status("third"), status("one")),
            (Ok(()), Ok(())),
            "a place is free when it ends, also after a refusal"
        );
    }

    #[test]
    fn where_not_all_letters_were_looked_at_nothing_is_said_of_all() {
        let html = |page: Value| newest(&page, "other").iter().map(ToString::to_string).collect::<String>();
        let shown = html(serde_json::json!({ "items": [], "next": "abc" }));
        assert!(!shown.contains("Everything that arrived") && shown.contains("more to look at"), "{shown}");
        assert!(shown.contains("/spokes/letters?spoke=other&#38;cursor=abc"), "{shown}");
        let shown = html(serde_json::json!({ "items": [], "next": null }));
        assert!(shown.contains("Everything that arrived could be taken in.") && !shown.contains("cursor"), "{shown}");
    }
}
