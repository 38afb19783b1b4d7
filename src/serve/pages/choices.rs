//! What is chosen on several pages in: months, spokes, segments, metrics; the fields of forms for it, and the values of one choice, out.

use serde_json::Value;

use super::{
    Asker,
    blocks::{Block, Field},
    charts::Point,
    words::{self, count_of, interval, list_of, number_of, parsed_day, percent, text_of},
};
use crate::{
    model::{Window, WindowKind},
    serve::http::inside::Refused,
};

/// A metric of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) unit: String,
    pub(super) dimensions: Vec<String>,
}

/// The first days of the months that something happened in, the oldest first.
pub(super) async fn months(asker: &Asker) -> Result<Vec<String>, Refused> {
    let values = asker.all("/api/v1/metrics/reach/series?window=month").await?;
    let mut months: Vec<String> = values.iter().map(|value| text_of(value, "/window/start").to_owned()).collect();
    months.sort();
    months.dedup();
    Ok(months)
}

/// What an empty page of a list says. The API looks at so much of a list at a time: only where there is no next page, all was looked at.
/// `cursor`: where the page begins; `none`: what it means that all were looked at and there is none.
pub(super) fn empty_of(found: &Value, cursor: &str, none: &'static str) -> &'static str {
    match (text_of(found, "/next"), cursor) {
        ("", "") => none,
        ("", _) => "There are no more.",
        _ => "None is among those looked at so far, and there are more to look at: go on with the next ones.",
    }
}

/// The metrics, by title.
pub(super) async fn catalogue(asker: &Asker) -> Result<Vec<Metric>, Refused> {
    let definitions = asker.all("/api/v1/metrics").await?;
    let metric = |value: &Value| Metric {
        id: text_of(value, "/metric").to_owned(),
        title: text_of(value, "/title").to_owned(),
        unit: text_of(value, "/unit").to_owned(),
        dimensions: list_of(value, "/dimensions").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    let mut metrics: Vec<Metric> = definitions.iter().map(metric).collect();
    metrics.sort_by(|a, b| a.title.cmp(&b.title).then(a.id.cmp(&b.id)));
    Ok(metrics)
}

/// The title of a metric; its id where the catalogue has none.
pub(super) fn title_of<'m>(metrics: &'m [Metric], id: &'m str) -> &'m str {
    metrics.iter().find(|metric| metric.id == id).map_or(id, |metric| &metric.title)
}

/// The departments, by name.
pub(super) async fn spokes(asker: &Asker) -> Result<Vec<Value>, Refused> {
    asker.all("/api/v1/spokes").await
}

/// The findings of an analysis in one month.
pub(super) async fn of_month(asker: &Asker, analysis: &str, month: &str) -> Result<Vec<Value>, Refused> {
    let end = after(month);
    asker.all(&format!("/api/v1/{analysis}?window=month&from={}&to={}", percent(month), percent(&end))).await
}

/// The first day after a month.
pub(super) fn after(month: &str) -> String {
    parsed_day(month).map_or_else(|| month.to_owned(), |day| Window::of(WindowKind::Month, day).end().to_string())
}

/// What is chosen: what was asked for if there is such a thing, else `otherwise`.
pub(super) fn chosen<'c>(asked: &'c str, known: &'c [String], otherwise: Option<&'c String>) -> &'c str {
    if known.iter().any(|it| it == asked) { asked } else { otherwise.map_or("", String::as_str) }
}

/// A field to choose a month, the newest first.
pub(super) fn month_field(months: &[String], chosen: &str) -> Field {
    let options = months.iter().rev().map(|month| (month.clone(), words::month(month))).collect();
    Field::Select { name: "month", label: "Month", options, chosen: chosen.to_owned() }
}

/// A field to choose a word.
pub(super) fn word_field(name: &'static str, label: &'static str, known: &[String], chosen: &str) -> Field {
    let options = known.iter().map(|word| (word.clone(), words::title(word))).collect();
    Field::Select { name, label, options, chosen: chosen.to_owned() }
}

/// A field to choose a segment, or the company.
pub(super) fn segment_field(segments: &[String], chosen: &str) -> Field {
    let company = (String::new(), "The whole company".to_owned());
    let options = std::iter::once(company).chain(segments.iter().map(|it| (it.clone(), it.clone()))).collect();
    Field::Select { name: "segment", label: "Customers", options, chosen: chosen.to_owned() }
}

/// A form that asks for another view of the same page.
pub(super) fn asking(action: &str, fields: Vec<Field>) -> Block {
    Block::Form { action: action.to_owned(), is_post: false, csrf: None, fields, button: "Show" }
}

/// The different values at a pointer, in their order.
pub(super) fn different(records: &[Value], pointer: &str) -> Vec<String> {
    let mut found: Vec<String> =
        records.iter().map(|record| text_of(record, pointer).to_owned()).filter(|value| !value.is_empty()).collect();
    found.sort();
    found.dedup();
    found
}

/// A metric's record as a point of a chart.
pub(super) fn point(record: &Value) -> Point {
    Point {
        start: text_of(record, "/window/start").to_owned(),
        value: number_of(record, "/value"),
        interval: interval(record),
        n: count_of(record, "/n"),
        status: text_of(record, "/status").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_chosen_if_it_is_there() {
        let known = ["2026-01-01".to_owned(), "2026-02-01".to_owned()];
        assert_eq!(chosen("2026-01-01", &known, known.last()), "2026-01-01");
        assert_eq!(chosen("<b>", &known, known.last()), "2026-02-01");
        assert_eq!(chosen("x", &[], None), "");
        assert_eq!(after("2026-12-01"), "2027-01-01");
        assert_eq!(after("nonsense"), "nonsense");
    }
}
