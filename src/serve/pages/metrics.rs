//! The catalogue and `insight.metrics` in; any series with its definition, beside another one if that is asked for, out.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{Block, Field, Page, Section, Table, columns, line, link, paragraph, soft},
    charts::{Bar, Bars, Series, TimeChart, bars, line as over_time},
    choices::{Metric, asking, catalogue, chosen, different, point},
    forms::Asked,
    part,
    words::{self, amount, count, count_of, href, interval, number_of, percent, text_of},
};
use crate::{feeds::Feed, serve::http::inside::Refused};

/// Windows of each length that are drawn.
const WINDOWS: [(&str, usize); 3] = [("day", 92), ("week", 53), ("month", 36)];
/// Values of a dimension that are drawn over time, when none is chosen.
const SERIES: usize = 5;
/// Of those, beside each other.
const BARS: usize = 15;
/// The newest windows whose values can be chosen: the very newest may have begun this minute.
const RECENT: usize = 3;

/// What is asked for.
struct Wanted<'a> {
    metric: &'a Metric,
    window: &'static str,
    dimension: &'a str,
    value: &'a str,
}

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let metrics = catalogue(asker).await?;
    let mut page = Page {
        title: "Metrics".to_owned(),
        nav: "/metrics",
        lead: line(
            "Every metric, window by window, of the company or of one of its parts; and two of them beside each other.",
        ),
        feeds: vec![Feed::Metrics, Feed::Catalogue],
        ..Page::default()
    };
    let Some(metric) =
        metrics.iter().find(|it| it.id == asked.get("metric")).or(metrics.iter().find(|it| it.id == "nps"))
    else {
        page.top.push(paragraph("The catalogue is empty: it comes when the hub has begun."));
        return Ok(page);
    };
    let window = WINDOWS.iter().map(|(kind, _)| *kind).find(|kind| *kind == asked.get("window")).unwrap_or("week");
    let dimension = chosen(asked.get("dimension"), &metric.dimensions, None);
    let dimension = if dimension == "company" { "" } else { dimension };
    let with = metrics.iter().find(|it| it.id == asked.get("with") && it.id != metric.id);
    let wanted = Wanted { metric, window, dimension, value: asked.get("value") };
    let first = found(asker, &wanted).await;
    let known = first.as_ref().map(|found| found.known.clone()).unwrap_or_default();
    let value = if dimension.is_empty() { "" } else { chosen(wanted.value, &known, None) };
    let wanted = Wanted { value, ..wanted };
    page.top.push(asking("/metrics", fields(&metrics, &wanted, &known, with)));
    let blocks = part(first.map(|found| of_series(&wanted, &found.values, "one")));
    page.sections.push(Section::new("series", metric.title.clone(), blocks));
    if let Some(other) = with {
        let beside = chosen(dimension, &other.dimensions, None);
        let beside =
            Wanted { metric: other, window, dimension: beside, value: if beside.is_empty() { "" } else { value } };
        let mut blocks = Vec::new();
        if beside.dimension != dimension {
            blocks.push(paragraph(format!(
                "It is not published by {}: this is the whole company.",
                words::word(dimension)
            )));
        }
        blocks.extend(part(found(asker, &beside).await.map(|found| of_series(&beside, &found.values, "two"))));
        page.sections.push(Section::new("beside", format!("Beside it: {}", other.title), blocks));
    }
    page.sections.push(Section::new("meaning", "What it means", part(meaning(asker, metric).await)));
    page.sections.push(Section::new("all", "All metrics", vec![list(&metrics, window)]));
    Ok(page)
}

fn fields(metrics: &[Metric], wanted: &Wanted<'_>, known: &[String], with: Option<&Metric>) -> Vec<Field> {
    let all = || metrics.iter().map(|metric| (metric.id.clone(), metric.title.clone()));
    let pair = |value: &str, text: &str| (value.to_owned(), text.to_owned());
    let dimensions = wanted.metric.dimensions.iter().filter(|dimension| *dimension != "company");
    let company = std::iter::once(pair("", "The whole company"));
    let mut fields = vec![
        Field::Select { name: "metric", label: "Metric", options: all().collect(), chosen: wanted.metric.id.clone() },
        Field::Select {
            name: "window",
            label: "Windows",
            options: vec![pair("day", "Days"), pair("week", "Weeks"), pair("month", "Months")],
            chosen: wanted.window.to_owned(),
        },
        Field::Select {
            name: "dimension",
            label: "By",
            options: company.chain(dimensions.map(|dimension| (dimension.clone(), words::title(dimension)))).collect(),
            chosen: wanted.dimension.to_owned(),
        },
    ];
    if !wanted.dimension.is_empty() {
        let each = std::iter::once(pair("", "The largest ones"));
        fields.push(Field::Select {
            name: "value",
            label: "Which one",
            options: each.chain(known.iter().map(|value| pair(value, value))).collect(),
            chosen: wanted.value.to_owned(),
        });
    }
    let nothing = std::iter::once(pair("", "Nothing"));
    fields.push(Field::Select {
        name: "with",
        label: "Beside it",
        options: nothing.chain(all()).collect(),
        chosen: with.map_or_else(String::new, |metric| metric.id.clone()),
    });
    fields
}

/// What the API has of what is asked for.
struct Found {
    /// The values of the dimension of the newest windows, and the one that is asked for: so that there is something to choose.
    known: Vec<String>,
    /// In the windows that are drawn: of the one that is asked for, or of the largest of the newest window, and of all others in that.
    values: Vec<Value>,
}

/// Of a part of the company, the newest windows as a whole, and then those that are drawn over time one by one: a thousand values in years
/// of days would be too many.
async fn found(asker: &Asker, wanted: &Wanted<'_>) -> Result<Found, Refused> {
    let series = format!("/api/v1/metrics/{}/series", percent(&wanted.metric.id));
    let of_company = asker.all(&href(&series, &[("window", wanted.window)])).await?;
    if wanted.dimension.is_empty() {
        return Ok(Found { known: Vec::new(), values: of_company });
    }
    let starts = different(&of_company, "/window/start");
    let since = |windows: usize| starts.len().checked_sub(windows).map_or("", |first| starts[first].as_str());
    let by = [("window", wanted.window), ("dimension", wanted.dimension)];
    let mut recent = asker.all(&href(&series, &[by[0], by[1], ("from", since(RECENT))])).await?;
    if recent.is_empty() {
        // Nothing was said of it lately.
        recent = asker.all(&href(&series, &[by[0], by[1], ("from", since(drawn(wanted.window)))])).await?;
    }
    let mut known = different(&recent, "/dimension_value");
    let of_one = async |value: &str| {
        let asked = [by[0], by[1], ("dimension_value", value), ("from", since(drawn(wanted.window)))];
        asker.all(&href(&series, &asked)).await
    };
    if !wanted.value.is_empty() {
        let values = of_one(wanted.value).await?;
        if !values.is_empty() {
            if let Err(place) = known.binary_search_by(|it| it.as_str().cmp(wanted.value)) {
                known.insert(place, wanted.value.to_owned());
            }
            return Ok(Found { known, values });
        }
    }
    let newest = newest_windows(&recent);
    let is_newest = |value: &Value| {
        newest.get(text_of(value, "/currency")).map(String::as_str) == Some(text_of(value, "/window/start"))
    };
    let mut values: Vec<Value> = Vec::new();
    for name in largest(recent.iter().filter(|value| is_newest(value))) {
        values.extend(of_one(&name).await?);
    }
    let drawn = different(&values, "/dimension_value");
    let is_drawn = |value: &Value| drawn.iter().any(|name| name == text_of(value, "/dimension_value"));
    values.extend(recent.into_iter().filter(|value| is_newest(value) && !is_drawn(value)));
    Ok(Found { known, values })
}

/// The start of the newest window of each currency: there are days on which nobody pays in one.
fn newest_windows(values: &[Value]) -> BTreeMap<String, String> {
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    for value in values {
        let (currency, start) = (text_of(value, "/currency"), text_of(value, "/window/start"));
        match newest.get_mut(currency) {
            Some(known) if known.as_str() < start => start.clone_into(known),
            Some(_) => {}
            None => _ = newest.insert(currency.to_owned(), start.to_owned()),
        }
    }
    newest
}

/// The names of those that are drawn over time: of each currency, the values of a window with the most observations.
fn largest<'v>(values: impl Iterator<Item = &'v Value>) -> Vec<String> {
    let mut by_currency: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for value in values {
        by_currency.entry(text_of(value, "/currency")).or_default().push(value);
    }
    let mut names = BTreeSet::new();
    for values in by_currency.values_mut() {
        values.sort_by_key(|value| std::cmp::Reverse(count_of(value, "/n")));
        names.extend(values.iter().take(SERIES).map(|value| text_of(value, "/dimension_value").to_owned()));
    }
    names.into_iter().collect()
}

/// How many windows are drawn.
fn drawn(window: &str) -> usize {
    WINDOWS.iter().find(|(kind, _)| *kind == window).map_or(53, |(_, limit)| *limit)
}

/// What is drawn of the values. `place`: tells the pictures of a page apart.
fn of_series(wanted: &Wanted<'_>, values: &[Value], place: &str) -> Vec<Block> {
    let mine: Vec<&Value> = values
        .iter()
        .filter(|value| wanted.value.is_empty() || text_of(value, "/dimension_value") == wanted.value)
        .collect();
    if mine.is_empty() {
        return vec![paragraph("There are no values yet.")];
    }
    let mut currencies: Vec<&str> = mine.iter().map(|value| text_of(value, "/currency")).collect();
    currencies.sort_unstable();
    currencies.dedup();
    let mut blocks = Vec::new();
    for currency in currencies {
        let of_currency: Vec<&Value> =
            mine.iter().copied().filter(|value| text_of(value, "/currency") == currency).collect();
        blocks.extend(of_one_currency(wanted, &of_currency, currency, place));
    }
    blocks.extend(newest(&mine).map(further));
    blocks
}

fn of_one_currency(wanted: &Wanted<'_>, values: &[&Value], currency: &str, place: &str) -> Vec<Block> {
    let newest = values.iter().map(|value| text_of(value, "/window/start")).max().unwrap_or_default().to_owned();
    let mut latest: Vec<&Value> =
        values.iter().copied().filter(|value| text_of(value, "/window/start") == newest).collect();
    latest.sort_by_key(|value| std::cmp::Reverse(count_of(value, "/n")));
    let names: Vec<&str> = latest.iter().take(SERIES).map(|value| text_of(value, "/dimension_value")).collect();
    let limit = drawn(wanted.window);
    let series = names.iter().map(|name| {
        let of_one: Vec<&Value> =
            values.iter().copied().filter(|value| text_of(value, "/dimension_value") == *name).collect();
        let newest = &of_one[of_one.len().saturating_sub(limit)..];
        Series { name: (*name).to_owned(), points: newest.iter().map(|value| point(value)).collect() }
    });
    let title = match currency {
        "" => wanted.metric.title.clone(),
        currency => format!("{}, {currency}", wanted.metric.title),
    };
    let by = match (wanted.dimension, wanted.value) {
        ("", _) => String::new(),
        (dimension, "") => format!(" by {}", words::word(dimension)),
        (dimension, value) => format!(" of {} {value}", words::word(dimension)),
    };
    let id = |what: &str| format!("{place}-{what}{}", currency.to_ascii_lowercase());
    let mut blocks: Vec<Block> = vec![
        over_time(TimeChart {
            id: id("line"),
            title: format!("{title}{by}"),
            unit: wanted.metric.unit.clone(),
            currency: currency.to_owned(),
            window: wanted.window.to_owned(),
            series: series.collect(),
        })
        .into(),
    ];
    if latest.len() > 1 {
        blocks.push(beside(wanted, &latest, currency, &title, &newest, id("bars")));
    }
    blocks
}

/// The values of the newest window beside each other.
fn beside(wanted: &Wanted<'_>, latest: &[&Value], currency: &str, title: &str, newest: &str, id: String) -> Block {
    let shown = |value: f64| amount(value, &wanted.metric.unit, currency);
    let bar = |value: &&Value| {
        let number = number_of(value, "/value")?;
        Some(Bar {
            name: text_of(value, "/dimension_value").to_owned(),
            value: number,
            interval: interval(value),
            shown: shown(number),
        })
    };
    let row = |value: &&Value| {
        let name = text_of(value, "/dimension_value");
        let one = href(
            "/metrics",
            &[
                ("metric", &wanted.metric.id),
                ("window", wanted.window),
                ("dimension", wanted.dimension),
                ("value", name),
            ],
        );
        let ends = interval(value).map(|ends| words::interval_words(ends, &wanted.metric.unit, currency));
        vec![
            vec![link(one, name)],
            words::figure(value),
            line(ends.unwrap_or_default()),
            line(count(count_of(value, "/n"))),
        ]
    };
    let by = words::word(wanted.dimension);
    let window = words::window(wanted.window, newest);
    bars(Bars {
        id,
        title: format!("{title} by {by}, {window}"),
        unit: wanted.metric.unit.clone(),
        currency: currency.to_owned(),
        bars: latest.iter().take(BARS).filter_map(bar).collect(),
        are_dots: false,
        table: Table {
            caption: format!("{title} by {by}, {window}, as numbers"),
            columns: columns(["Which one", "#Value", "#Interval", "#n"]),
            rows: latest.iter().map(row).collect(),
            empty: "There are no values.",
        },
    })
    .into()
}

fn newest<'v>(values: &[&'v Value]) -> Option<&'v Value> {
    values.iter().copied().max_by(|a, b| text_of(a, "/window/start").cmp(text_of(b, "/window/start")))
}

/// What the newest window says besides: percentiles and further figures.
fn further(record: &Value) -> Block {
    let (unit, currency) = (text_of(record, "/unit"), text_of(record, "/currency"));
    let mut rows: Vec<Vec<super::blocks::Line>> = Vec::new();
    for (field, name) in
        [("/p50", "Median"), ("/p90", "Nine of ten at most"), ("/p99", "Ninety-nine of a hundred at most")]
    {
        rows.extend(number_of(record, field).map(|value| vec![line(name), line(amount(value, unit, currency))]));
    }
    for field in ["numerator", "denominator", "n", "revision", "definition_version"] {
        rows.push(vec![line(words::title(field)), line(count(count_of(record, &format!("/{field}"))))]);
    }
    for (name, value) in record.get("details").and_then(Value::as_object).into_iter().flatten() {
        rows.push(vec![
            line(words::title(name)),
            line(value.as_f64().map_or_else(String::new, |it| words::decimal(it, 2))),
        ]);
    }
    let title = format!("All figures of the newest window, {}", words::window_of(record));
    let table = Table { caption: title.clone(), columns: columns(["Figure", "#Value"]), rows, empty: "" };
    Block::Details { summary: title, blocks: vec![table.into()] }
}

/// Its definition.
async fn meaning(asker: &Asker, metric: &Metric) -> Result<Vec<Block>, Refused> {
    let definition = asker.get(&format!("/api/v1/metrics/{}", percent(&metric.id))).await?;
    let fact = |name, field| (name, line(text_of(&definition, field)));
    let dimensions: Vec<String> = metric.dimensions.iter().map(|it| words::word(it)).collect();
    Ok(vec![Block::Facts {
        facts: vec![
            ("Name in the feed", vec![super::blocks::code(&*metric.id)]),
            ("Unit", line(words::word(&metric.unit))),
            fact("How it is computed", "/formula"),
            fact("What is counted", "/inclusion"),
            fact("Counted at", "/counted_at"),
            fact("Source", "/source"),
            ("Published by", line(dimensions.join(", "))),
            ("Version", line(count(count_of(&definition, "/version")))),
        ],
    }])
}

fn list(metrics: &[Metric], window: &str) -> Block {
    let item = |metric: &Metric| {
        let page = href("/metrics", &[("metric", &metric.id), ("window", window)]);
        vec![link(page, &*metric.title), soft(format!(" ({})", words::word(&metric.unit)))]
    };
    Block::List { lines: metrics.iter().map(item).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_drawn_is_the_largest_of_the_newest_window_of_each_currency() {
        let value = |start: &str, currency: &str, name: &str, n: i64| json!({ "window": { "start": start }, "currency": currency, "dimension_value": name, "n": n });
        let mut recent: Vec<Value> =
            (0..8).map(|number| value("2026-03-01", "USD", &format!("us{number}"), 10 - number)).collect();
        recent.push(value("2026-03-02", "EUR", "de", 1));
        recent.push(value("2026-03-01", "EUR", "fr", 9));
        let newest = newest_windows(&recent);
        assert_eq!((newest["EUR"].as_str(), newest["USD"].as_str()), ("2026-03-02", "2026-03-01"));
        let is_newest = |value: &&Value| newest[text_of(value, "/currency")] == text_of(value, "/window/start");
        assert_eq!(largest(recent.iter().filter(is_newest)), ["de", "us0", "us1", "us2", "us3", "us4"]);
        assert!(newest_windows(&[]).is_empty() && largest([].iter()).is_empty());
    }
}
