//! `insight.priorities` and `insight.changes` in; what to fix first, what was done, and what moved after it, out.

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, acknowledge, answered,
    blocks::{Block, Line, Page, Section, Table, badge, columns, line, link, paragraph, soft, strong, text},
    charts::{Bar, Bars, bars},
    choices::{Metric, asking, catalogue, chosen, different, month_field, title_of},
    forms::Asked,
    part,
    words::{self, amount, count, count_of, decimal, href, list_of, number_of, status_badge, text_of},
};
use crate::{feeds::Feed, serve::http::inside::Refused};

/// Priorities of the picture.
const DRAWN: usize = 10;

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let all = asker.all("/api/v1/priorities?window=month").await?;
    let months = different(&all, "/window/start");
    let is_full = |month: &&String| {
        all.iter().any(|it| text_of(it, "/window/start") == **month && !list_of(it, "/priorities").is_empty())
    };
    let newest = months.iter().rev().find(is_full).or(months.last());
    let month = chosen(asked.get("month"), &months, newest);
    let record = all.iter().find(|record| text_of(record, "/window/start") == month);
    let metrics = catalogue(asker).await.unwrap_or_default();
    let mut page = Page {
        title: "Priorities & changes".to_owned(),
        nav: "/priorities",
        lead: line(
            "Subjects whose customers fare worse than others, the first by what is at stake for the effort. Then: what was done, and what moved.",
        ),
        feeds: vec![Feed::Priorities, Feed::Changes],
        ..Page::default()
    };
    if !months.is_empty() {
        page.top.push(asking("/priorities", vec![month_field(&months, month)]));
    }
    page.top.extend(acknowledge::done(asked.get("done")));
    let sign = acknowledge::sign_of(asker, month);
    let found = record.map_or_else(
        || vec![paragraph("There are no priorities yet: those of a month are told when the month after it is over.")],
        |record| of_month(record, &asker.currency(), sign.as_ref()),
    );
    page.sections.push(Section::new("priorities", format!("What to fix first{}", of(month)), found));
    page.sections.push(Section::new("changes", "What was done, and what moved", part(done(asker, &metrics).await)));
    Ok(page)
}

fn of(month: &str) -> String {
    if month.is_empty() { String::new() } else { format!(", of {}", words::month(month)) }
}

fn of_month(record: &Value, currency: &str, sign: Option<&acknowledge::Sign>) -> Vec<Block> {
    let mut intro =
        vec![text(format!("{} customers had a touchpoint in the month. ", count(count_of(record, "/persons"))))];
    intro.extend(status_badge(text_of(record, "/status")));
    let numbers = ["/judged", "/no_worse", "/too_few", "/other"].map(|field| count(count_of(record, field)));
    let [judged, no_worse, too_few, other] = numbers;
    let mut blocks = vec![Block::Text { line: intro }];
    let drawn: Vec<Bar> =
        list_of(record, "/priorities").iter().take(DRAWN).filter_map(|it| bar(it, currency)).collect();
    if !drawn.is_empty() {
        blocks.push(
            bars(Bars {
                id: "ranking".to_owned(),
                title: "Score: reach × drop × revenue per person, with its 95 % interval".to_owned(),
                unit: "minor_units".to_owned(),
                currency: currency.to_owned(),
                bars: drawn,
                are_dots: false,
                table: table(record, usize::MAX, currency, None),
            })
            .into(),
        );
    }
    let mut shown = table(record, DRAWN, currency, sign);
    shown.caption = "The first priorities".to_owned();
    blocks.push(shown.into());
    blocks.push(Block::Text {
        line: vec![soft(format!(
            "{judged} subjects had enough customers to say, {no_worse} of them fare no worse; {too_few} had too few; {other} more are not \
             shown. With many of them, some intervals leave zero out by chance. Where to look first, not what a fix brings."
        ))],
    });
    blocks
}

fn bar(priority: &Value, currency: &str) -> Option<Bar> {
    let score = number_of(priority, "/score")?;
    Some(Bar {
        name: name(priority),
        value: score,
        interval: number_of(priority, "/score_low").zip(number_of(priority, "/score_high")),
        shown: words::money(score, currency),
    })
}

/// What came up, where.
fn name(priority: &Value) -> String {
    format!(
        "{} ({}, {})",
        text_of(priority, "/subject"),
        words::word(text_of(priority, "/kind")),
        text_of(priority, "/owner")
    )
}

/// What it takes to fix something, and whose estimate that is.
pub(super) fn effort(priority: &Value) -> Line {
    let mut shown = line(count(count_of(priority, "/effort")));
    match text_of(priority, "/effort_source") {
        "configured" => shown.push(soft(" (configured)")),
        "touchpoints" => shown.push(soft(" (its touchpoints’ mean)")),
        "assumed" => shown.push(soft(" (nobody says)")),
        _ => {}
    }
    shown
}

/// The first priorities of a month; `sign`: how one is taken on, where its reader may.
pub(super) fn table(record: &Value, first: usize, currency: &str, sign: Option<&acknowledge::Sign>) -> Table {
    let drop = |priority: &Value, name: &str, scale: f64, unit: &str| -> Line {
        let part = |end: &str| number_of(priority, &format!("/{name}{end}")).map(|value| scale * value);
        match (part(""), part("_low"), part("_high")) {
            (Some(value), Some(low), Some(high)) => vec![
                text(format!("{}{unit}", decimal(value, 1))),
                soft(format!(" ({} to {})", decimal(low, 1), decimal(high, 1))),
            ],
            _ => vec![soft("too few")],
        }
    };
    let row = |priority: &Value| -> Vec<Line> {
        let mut what = vec![
            text(format!("{}. ", count_of(priority, "/rank"))),
            strong(text_of(priority, "/subject")),
            soft(format!(" {}", words::word(text_of(priority, "/kind")))),
        ];
        what.extend(acknowledge::badge_of(priority));
        if let Some(sign) = sign.filter(|_| !acknowledge::is_acknowledged(priority)) {
            what.extend([text(" "), sign.of_priority(text_of(priority, "/id"), &name(priority))]);
        }
        let owner = text_of(priority, "/owner");
        vec![
            what,
            vec![link(href("/department", &[("spoke", owner)]), owner)],
            line(count(count_of(priority, "/reach"))),
            drop(priority, "outcome_drop", 100.0, " of 100"),
            drop(priority, "score_drop", 1.0, " points"),
            line(words::money(count_of(priority, "/value_at_risk") as f64, currency)),
            effort(priority),
        ]
    };
    Table {
        caption: "Priorities, as numbers".to_owned(),
        columns: columns([
            "Subject",
            "Department",
            "#Customers",
            "#Fewer bought after (95 %)",
            "#Less satisfied (95 %)",
            "#They paid in a year",
            "#Effort",
        ]),
        rows: list_of(record, "/priorities").iter().take(first).map(row).collect(),
        empty: if count_of(record, "/judged") > 0 {
            "No subject’s customers fare worse than others."
        } else {
            "No subject had enough customers to say whether they fare worse than others."
        },
    }
}

/// Something that a department did, and the metrics that are compared before and after.
pub(super) struct Change<'v> {
    by: &'v str,
    day: &'v str,
    dimension: &'v str,
    value: &'v str,
    records: Vec<&'v Value>,
}

/// What was done, the newest first.
pub(super) fn changes(records: &[Value]) -> Vec<Change<'_>> {
    let mut changes: Vec<Change<'_>> = Vec::new();
    for record in records {
        let [by, day, dimension, value] =
            ["/by", "/window/start", "/dimension", "/dimension_value"].map(|pointer| text_of(record, pointer));
        let same = |change: &&mut Change<'_>| {
            (change.by, change.day, change.dimension, change.value) == (by, day, dimension, value)
        };
        match changes.iter_mut().find(same) {
            Some(change) => change.records.push(record),
            None => changes.push(Change { by, day, dimension, value, records: vec![record] }),
        }
    }
    changes.sort_by(|a, b| b.day.cmp(a.day).then(a.by.cmp(b.by)).then(a.value.cmp(b.value)));
    changes
}

impl Change<'_> {
    /// The metrics that moved for certain.
    pub(super) fn moved(&self) -> impl Iterator<Item = &Value> {
        self.records.iter().copied().filter(|record| matches!(text_of(record, "/movement"), "up" | "down"))
    }

    /// What it took, if it says so.
    fn took(&self) -> Option<Line> {
        let effort = self.records.iter().find_map(|record| number_of(record, "/effort"))?;
        Some(vec![text(format!("{} says that it took {} of effort.", self.by, decimal(effort, 0)))])
    }

    fn about(&self) -> String {
        match self.dimension {
            "company" => "the whole company".to_owned(),
            dimension => format!("{} {}", words::word(dimension), self.value),
        }
    }

    /// When it was, by whom and about what.
    fn title(&self) -> String {
        format!("{}: {} about {}", words::day(self.day), self.by, self.about())
    }
}

/// The series of a metric that is compared.
fn metric_page(change: &Change<'_>, record: &Value) -> String {
    let dimension = if change.dimension == "company" { "" } else { change.dimension };
    href(
        "/metrics",
        &[
            ("metric", text_of(record, "/metric")),
            ("dimension", dimension),
            ("value", change.value),
            ("window", "week"),
        ],
    )
}

/// The columns of [`moved`].
pub(super) const MOVED: [&str; 6] =
    ["What was done", "Metric", "#Before", "#After", "#Difference (95 %)", "#n before, after"];

/// A metric that something was done about.
pub(super) fn moved(change: &Change<'_>, record: &Value, metrics: &[Metric]) -> Vec<Line> {
    let [metric, before, after, difference, n, movement]: [Line; 6] =
        row(change, record, metrics).try_into().unwrap_or_default();
    // The badge of what can still change stands with the movement.
    let provisional = movement.into_iter().skip(1);
    vec![vec![strong(change.title())], metric, before, after, difference, n.into_iter().chain(provisional).collect()]
}

async fn done(asker: &Asker, metrics: &[Metric]) -> Result<Vec<Block>, Refused> {
    let records = asker.all("/api/v1/changes").await?;
    let changes = changes(&records);
    if changes.is_empty() {
        return Ok(vec![paragraph(
            "No department has said that it did something about a region, a product or whatever else it may be.",
        )]);
    }
    let mut blocks = vec![Block::Text {
        line: vec![soft(
            "As many days after the change as before it; the day itself belongs to neither. Not to be concluded: that the change did it. \
             Of many metrics some move by chance.",
        )],
    }];
    for change in &changes {
        blocks.push(Block::Heading { text: change.title() });
        blocks.extend(change.took().map(|line| Block::Text { line }));
        let mut records = change.records.clone();
        records.sort_by_key(|record| !matches!(text_of(record, "/movement"), "up" | "down"));
        blocks.push(
            Table {
                caption: format!("{}, {}, {}: before and after", words::day(change.day), change.by, change.about()),
                columns: columns(["Metric", "#Before", "#After", "#Difference (95 %)", "#n before, after", "Movement"]),
                rows: records.iter().map(|record| row(change, record, metrics)).collect(),
                empty: "Too few observations to compare.",
            }
            .into(),
        );
    }
    Ok(blocks)
}

fn row(change: &Change<'_>, record: &Value, metrics: &[Metric]) -> Vec<Line> {
    let unit = text_of(record, "/unit");
    let shown =
        |pointer: &str| number_of(record, pointer).map_or_else(|| "–".to_owned(), |value| amount(value, unit, ""));
    let differs = |pointer: &str| {
        number_of(record, pointer).map_or_else(|| "–".to_owned(), |value| words::difference(value, unit, ""))
    };
    let mut movement = match text_of(record, "/movement") {
        "unclear" => vec![soft("unclear")],
        word => vec![badge("plain", word)],
    };
    movement.extend(status_badge(text_of(record, "/status")).into_iter().flat_map(|badge| [text(" "), badge]));
    vec![
        vec![link(metric_page(change, record), title_of(metrics, text_of(record, "/metric")))],
        line(shown("/before")),
        line(shown("/after")),
        vec![
            text(differs("/difference")),
            soft(format!(" ({} to {})", differs("/interval_low"), differs("/interval_high"))),
        ],
        line(format!("{}, {}", count(count_of(record, "/n_before")), count(count_of(record, "/n_after")))),
        movement,
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(day: &str, metric: &str, movement: &str) -> Value {
        json!({"by": "operations", "window": {"kind": "day", "start": day}, "dimension": "region", "dimension_value": "south",
            "metric": metric, "unit": "percent", "before": 51.26, "after": 93.5, "difference": 42.2, "interval_low": 30.0,
            "interval_high": 50.0, "n_before": 100, "n_after": 120, "movement": movement, "status": "final"})
    }

    #[test]
    fn what_was_done_is_told_once_with_everything_that_moved() {
        let records = [
            change("2026-05-01", "on_time", "up"),
            change("2026-07-16", "on_time", "up"),
            change("2026-07-16", "csat", "unclear"),
        ];
        let changes = changes(&records);
        assert_eq!(changes.iter().map(|change| change.day).collect::<Vec<_>>(), ["2026-07-16", "2026-05-01"]);
        let moved: Vec<String> = changes[0].moved().map(|record| words_of(&moved(&changes[0], record, &[]))).collect();
        assert_eq!(moved.len(), 1, "what is unclear did not move");
        for part in
            ["16 Jul 2026: operations about region south", "51.3 %", "93.5 %", "+42.2 %-points", "+30.0", "100, 120"]
        {
            assert!(moved[0].contains(part), "{part} in {}", moved[0]);
        }
        assert!(!moved[0].contains("provisional"));
        assert_eq!(changes[0].took(), None, "nobody said what it took");
        let mut told = records.clone();
        told[2]["effort"] = json!(1_200);
        let told = super::changes(&told);
        assert!(words_of(&[told[0].took().unwrap()]).contains("operations says that it took 1,200 of effort."));
        let mut open = change("2026-07-16", "on_time", "up");
        open["status"] = json!("provisional");
        let open = [open];
        let open = super::changes(&open);
        assert!(words_of(&super::moved(&open[0], open[0].records[0], &[])).contains("provisional"));
    }

    fn without_tags(html: &str) -> String {
        html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
    }

    fn words_of(row: &[Line]) -> String {
        row.iter().flatten().map(ToString::to_string).collect()
    }

    #[test]
    fn a_priority_says_how_sure_it_is() {
        let record = json!({"window": {"kind": "month", "start": "2026-05-01"}, "priorities": [{"rank": 1, "owner": "support", "kind":
            "case_opened", "subject": "delivery", "reach": 1234, "value_at_risk": 500_000, "outcome_drop": 0.158, "outcome_drop_low": 0.06,
            "outcome_drop_high": 0.25, "score_drop": null, "effort": 1, "acknowledged_by": ""}]});
        for (source, shown) in [
            ("configured", "12 (configured)"),
            ("touchpoints", "12 (its touchpoints’ mean)"),
            ("assumed", "12 (nobody says)"),
        ] {
            let shown_effort = words_of(&[effort(&json!({"effort": 12, "effort_source": source}))]);
            assert!(without_tags(&shown_effort).contains(shown), "{shown} in {shown_effort}");
        }
        let unsaid = words_of(&[effort(&json!({"effort": 12}))]);
        assert!(!unsaid.contains('('), "records from before it was said: {unsaid}");
        let html = table(&record, 5, "EUR", None).to_string();
        for part in ["1,234", "15.8 of 100", "(6.0 to 25.0)", "too few", "EUR 5,000.00", "acknowledged"] {
            assert!(html.contains(part), "{part} in {html}");
        }
        for (currency, shown) in [("JPY", "JPY 500,000<"), ("KWD", "KWD 500.000"), ("", "500,000 minor units")] {
            let html = table(&record, 5, currency, None).to_string();
            assert!(html.contains(shown), "{shown} in {html}");
        }
        assert!(
            table(&json!({"priorities": [], "judged": 3}), 5, "", None)
                .to_string()
                .contains("No subject’s customers fare worse")
        );
        assert!(
            table(&json!({"priorities": [], "judged": 0}), 5, "", None).to_string().contains("enough customers to say")
        );
    }
}
