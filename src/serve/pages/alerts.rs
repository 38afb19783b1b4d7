//! `insight.alerts` in; what somebody should look at, the oldest first, out. Those about customers only for whoever may see them.

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, acknowledge, answered,
    blocks::{Block, Field, Line, Page, Section, Table, columns, line, link, notice, soft, text},
    choices::{asking, catalogue, empty_of, title_of},
    customers::shortened,
    forms::Asked,
    part,
    words::{self, amount, count, href, list_of, number_of, text_of},
};
use crate::{
    feeds::Feed,
    model::AlertCause,
    serve::{access::Role, http::inside::Refused},
};

/// Alerts of a page.
const LIMIT: &str = "100";

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let [cause, state, owner, cursor, further] =
        ["cause", "state", "owner", "cursor", "metrics"].map(|name| asked.get(name));
    let path = |cause: &str, more: &[(&str, &str)]| {
        href("/api/v1/alerts", &[&[("state", state), ("owner", owner), ("cause", cause)], more].concat())
    };
    let unusual = AlertCause::MetricUnusual.as_str();
    let of_metrics = match cause.is_empty() || cause == unusual {
        true => asker.of_metrics().get(&path(unusual, &[("limit", LIMIT), ("cursor", further)])).await,
        false => Ok(Value::Null),
    };
    let metrics = catalogue(asker).await.unwrap_or_default();
    let mut page = Page {
        title: "Alerts".to_owned(),
        nav: "/alerts",
        lead: line(
            "What is open and somebody should look at, the oldest first. It closes by itself when its cause does.",
        ),
        feeds: vec![Feed::Alerts],
        ..Page::default()
    };
    let pair = |value: &str, text: &str| (value.to_owned(), text.to_owned());
    let causes = AlertCause::ALL.iter().map(|it| pair(it.as_str(), &words::title(it.as_str())));
    let select = |name, label, options, chosen: &str| Field::Select { name, label, options, chosen: chosen.to_owned() };
    let states = vec![pair("", "Any"), pair("open", "Open"), pair("acknowledged", "Acknowledged")];
    page.top.extend(acknowledge::done(asked.get("done")));
    let sign = acknowledge::sign_of_alerts(asker, [cause, state, owner]);
    page.top.push(asking(
        "/alerts",
        vec![
            select("cause", "Cause", std::iter::once(pair("", "Any")).chain(causes).collect(), cause),
            select("state", "State", states, state),
            Field::Input { name: "owner", label: "Department", kind: "text", value: owner.to_owned(), hint: "" },
        ],
    ));
    // Each list goes on by itself.
    let next_ones = |found: &Value, of: &'static str| {
        let next = text_of(found, "/next");
        let asked = [("cause", cause), ("state", state), ("owner", owner), (of, next)];
        (!next.is_empty()).then(|| Block::Text { line: vec![link(href("/alerts", &asked), "The next ones")] })
    };
    let is_narrowed = ![cause, state, owner].iter().all(|it| it.is_empty());
    let of_metrics = of_metrics.map(|found| {
        let empty = match is_narrowed {
            false => "No metric is outside its usual range.",
            true => "No such metric is outside its usual range.",
        };
        let empty = empty_of(&found, further, empty);
        let row = |alert: &Value| signed(of_metric(alert, &metrics), alert, sign.as_ref());
        let rows = list_of(&found, "/items").iter().map(row).collect();
        let columns = columns(UNUSUAL);
        let caption = "Metrics outside their usual range".to_owned();
        let table = Table { caption, columns, rows, empty };
        std::iter::once(table.into()).chain(next_ones(&found, "metrics")).collect()
    });
    page.sections.push(Section::new("unusual", "Metrics", part(of_metrics)));
    if !asker.who.caller.roles.contains(&Role::ReadCustomers) {
        let words = "Alerts about customers are not shown: that needs the role read:customers.";
        page.sections.push(Section::new("customers", "Customers", vec![notice("info", words)]));
        return Ok(page);
    }
    let found = asker.get(&path(cause, &[("about", "person"), ("limit", LIMIT), ("cursor", cursor)])).await?;
    let none = if is_narrowed { "None of these is open." } else { "None is open." };
    let mut blocks = vec![
        Table {
            caption: "Alerts about customers".to_owned(),
            columns: columns(["Cause", "Since", "Customer", "About", "Whose"]),
            rows: list_of(&found, "/items")
                .iter()
                .map(|alert| signed(of_person(alert), alert, sign.as_ref()))
                .collect(),
            empty: empty_of(&found, cursor, none),
        }
        .into(),
    ];
    blocks.extend(next_ones(&found, "cursor"));
    page.sections.push(Section::new("customers", "Customers", blocks));
    Ok(page)
}

/// With a button in the first cell, where somebody may say that they have seen it and nobody has.
fn signed(mut row: Vec<Line>, alert: &Value, sign: Option<&acknowledge::Sign>) -> Vec<Line> {
    let (Some(sign), Some(first)) = (sign.filter(|_| !acknowledge::is_acknowledged(alert)), row.first_mut()) else {
        return row;
    };
    let about = format!("{}, since {}", words::word(text_of(alert, "/cause")), words::day(text_of(alert, "/since")));
    first.extend([text(" "), sign.of_alert(text_of(alert, "/id"), &about)]);
    row
}

/// The columns of [`of_metric`].
pub(super) const UNUSUAL: [&str; 6] = ["Metric", "Since", "#Value", "#n", "#Usual range", "Whose"];

fn owner(alert: &Value) -> Line {
    let owner = text_of(alert, "/owner");
    if owner.is_empty() {
        vec![soft("nobody named")]
    } else {
        vec![link(href("/department", &[("spoke", owner)]), owner)]
    }
}

/// An alert about a metric.
pub(super) fn of_metric(alert: &Value, metrics: &[super::choices::Metric]) -> Vec<Line> {
    let id = text_of(alert, "/metric/id");
    let unit = metrics.iter().find(|metric| metric.id == id).map_or("", |metric| &metric.unit);
    let currency = text_of(alert, "/metric/currency");
    let (dimension, value) = (text_of(alert, "/metric/dimension"), text_of(alert, "/metric/dimension_value"));
    let kind = text_of(alert, "/metric/window/kind");
    let by = if dimension == "company" { "" } else { dimension };
    let series = href("/metrics", &[("metric", id), ("window", kind), ("dimension", by), ("value", value)]);
    let mut what = vec![link(series, title_of(metrics, id))];
    if !by.is_empty() {
        what.push(text(format!(", {} {value}", words::word(by))));
    }
    what.extend(acknowledge::badge_of(alert));
    let figure = |name: &str| number_of(alert, &format!("/figures/{name}")).map(|value| amount(value, unit, currency));
    let n = number_of(alert, "/figures/n").map(|n| count(n as i64));
    let window = words::window(kind, text_of(alert, "/metric/window/start"));
    let usual = figure("usual_low").zip(figure("usual_high")).map(|(low, high)| format!("{low} to {high}"));
    vec![
        what,
        line(words::day(text_of(alert, "/since"))),
        vec![text(figure("value").unwrap_or_else(|| "–".to_owned())), soft(format!(" {window}"))],
        line(n.unwrap_or_else(|| "–".to_owned())),
        with_test(usual.unwrap_or_else(|| "–".to_owned()), alert),
        owner(alert),
    ]
}

/// The range, and by which test the value is outside.
fn with_test(range: String, alert: &Value) -> Line {
    let test = text_of(alert, "/test");
    if test.is_empty() { line(range) } else { vec![text(range), soft(format!(" {test}"))] }
}

/// An alert about a customer.
pub(super) fn of_person(alert: &Value) -> Vec<Line> {
    let person = text_of(alert, "/person");
    let mut cause = line(words::title(text_of(alert, "/cause")));
    cause.extend(acknowledge::badge_of(alert));
    vec![
        cause,
        line(words::day(text_of(alert, "/since"))),
        vec![link(format!("/customers/{}", words::percent(person)), shortened(person))],
        line(about(alert)),
        owner(alert),
    ]
}

/// The thing and the numbers behind it.
pub(super) fn about(alert: &Value) -> String {
    let thing = match text_of(alert, "/thing/type") {
        "" => None,
        kind => Some(format!("{} {}", words::word(kind), text_of(alert, "/thing/value"))),
    };
    let figures = alert.get("figures").and_then(Value::as_object).into_iter().flatten();
    let figure = |(name, value): (&String, &Value)| {
        let value = value.as_f64()?;
        let digits = usize::from((value - value.round()).abs() > 1e-9);
        Some(format!("{} {}", words::word(name), words::decimal(value, digits)))
    };
    let figures = figures.filter_map(figure);
    thing.into_iter().chain(figures).collect::<Vec<_>>().join(", ")
}
