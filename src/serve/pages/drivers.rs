//! `insight.drivers` in; which experiences go together with an outcome, and how surely, out.

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{Block, Line, Page, Section, Table, columns, line, paragraph, soft, text},
    charts::{Bar, Bars, bars},
    choices::{asking, chosen, different, month_field, segment_field, word_field},
    forms::Asked,
    words::{self, count, count_of, decimal, list_of, number_of, status_badge, text_of},
};
use crate::{feeds::Feed, serve::http::inside::Refused};

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let all = asker.all("/api/v1/drivers?window=month").await?;
    let months = different(&all, "/window/start");
    let outcomes = different(&all, "/outcome");
    let segments = different(&all, "/dimension_value");
    // The newest month in which anything is known.
    let has_drivers = |month: &&String| {
        all.iter().any(|it| text_of(it, "/window/start") == **month && !list_of(it, "/drivers").is_empty())
    };
    let month = chosen(asked.get("month"), &months, months.iter().rev().find(has_drivers).or(months.last()));
    let bought = "bought_again".to_owned();
    let outcome =
        chosen(asked.get("outcome"), &outcomes, outcomes.iter().find(|it| **it == bought).or(outcomes.first()));
    let segment = chosen(asked.get("segment"), &segments, None);
    let found = all.iter().find(|it| {
        text_of(it, "/window/start") == month
            && text_of(it, "/outcome") == outcome
            && text_of(it, "/dimension_value") == segment
    });
    let mut page = Page {
        title: "Drivers".to_owned(),
        nav: "/drivers",
        lead: line(
            "Which experiences of a month go together with what customers did in it. A correlation is a correlation: it does not say that one makes the other.",
        ),
        feeds: vec![Feed::Drivers],
        ..Page::default()
    };
    if !months.is_empty() {
        let fields = vec![
            word_field("outcome", "Outcome", &outcomes, outcome),
            month_field(&months, month),
            segment_field(&segments, segment),
        ];
        page.top.push(asking("/drivers", fields));
    }
    let blocks = found.map_or_else(
        || vec![paragraph("Nothing is known of this. Drivers of a month come with its first customers.")],
        |record| of_outcome(record, &asker.currency()),
    );
    page.sections.push(Section::new("drivers", title(outcome, month, segment), blocks));
    Ok(page)
}

fn title(outcome: &str, month: &str, segment: &str) -> String {
    if month.is_empty() {
        return "Drivers".to_owned();
    }
    let of = if segment.is_empty() { String::new() } else { format!(", {segment}") };
    format!("{}, {}{of}", words::title(outcome), words::month(month))
}

fn of_outcome(record: &Value, currency: &str) -> Vec<Block> {
    let outcome = text_of(record, "/outcome");
    let mean = match (number_of(record, "/mean"), outcome) {
        (None, _) => vec![soft("not known")],
        (Some(mean), "revenue" | "margin") => line(words::money(mean, currency)),
        (Some(mean), _) => line(format!("{} %", decimal(100.0 * mean, 1))),
    };
    let mut n = line(count(count_of(record, "/n")));
    n.extend(status_badge(text_of(record, "/status")).into_iter().flat_map(|badge| [text(" "), badge]));
    let explained = number_of(record, "/r_squared");
    let mut blocks = vec![Block::Facts {
        facts: vec![
            ("Customers whose outcome is known", n),
            ("Mean outcome", mean),
            (
                "Part of the outcome that goes together with all drivers",
                explained.map_or_else(
                    || vec![soft("not known")],
                    |value| {
                        vec![
                            text(format!("{} %", decimal(100.0 * value, 1))),
                            soft(format!(", n at least {}", count(count_of(record, "/n_min")))),
                        ]
                    },
                ),
            ),
        ],
    }];
    let table = Table {
        caption: "Drivers, as numbers".to_owned(),
        columns: columns(["Experience", "#r", "#95 %", "#n", "#Relative weight"]),
        rows: list_of(record, "/drivers").iter().map(row).collect(),
        empty: "No experience is known of at least 30 customers.",
    };
    let dot = |driver: &Value| {
        let r = number_of(driver, "/correlation")?;
        Some(Bar {
            name: words::title(text_of(driver, "/driver")),
            value: r,
            interval: number_of(driver, "/interval_low").zip(number_of(driver, "/interval_high")),
            shown: format!("{}, n {}", decimal(r, 2), count(count_of(driver, "/n"))),
        })
    };
    let dots: Vec<Bar> = list_of(record, "/drivers").iter().filter_map(dot).collect();
    if dots.is_empty() {
        blocks.push(table.into());
        return blocks;
    }
    blocks.push(
        bars(Bars {
            id: "correlations".to_owned(),
            title: "Pearson’s r with its 95 % interval (Fisher)".to_owned(),
            unit: "correlation".to_owned(),
            currency: String::new(),
            bars: dots,
            are_dots: true,
            table,
        })
        .into(),
    );
    if record.get("adjusted").and_then(Value::as_bool) == Some(true) {
        blocks.push(Block::Text {
            line: vec![soft("The correlations, each over other customers, contradicted each other and were adjusted before weights were found.")],
        });
    }
    blocks
}

/// An experience, its correlation, interval and n.
pub(super) fn correlation_row(driver: &Value, field: &str) -> Vec<Line> {
    let shown = |pointer: &str| number_of(driver, pointer).map(|value| decimal(value, 2));
    let interval = shown("/interval_low").zip(shown("/interval_high")).map(|(low, high)| format!("{low} to {high}"));
    vec![
        line(words::title(text_of(driver, "/driver"))),
        line(shown(field).unwrap_or_else(|| "–".to_owned())),
        line(interval.unwrap_or_else(|| "–".to_owned())),
        line(count(count_of(driver, "/n"))),
    ]
}

fn row(driver: &Value) -> Vec<Line> {
    let mut row = correlation_row(driver, "/correlation");
    let weight = number_of(driver, "/relative_weight");
    row.push(
        weight.map_or_else(|| vec![soft("not taken in")], |weight| line(format!("{} %", decimal(100.0 * weight, 2)))),
    );
    row
}
