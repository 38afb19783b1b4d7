//! Changes, priorities, the metrics of the scoreboard and alerts in; where to look first, on one page, out.

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{Block, Card, Field, Line, Page, Section, badge, line, link, paragraph, soft, text},
    charts::{Point, spark},
    choices::{Metric, asking, catalogue, point, title_of},
    forms::Asked,
    part, priorities,
    words::{self, amount, count, href, interval, interval_words, number_of, text_of, window_of},
};
use crate::{feeds::Feed, serve::http::inside::Refused};

/// What a company looks at first: what customers feel, what they were promised, how they are answered, what they buy. All others are
/// on the page of metrics.
const BOARD: [&str; 12] = [
    "nps",
    "csat",
    "sentiment",
    "on_time",
    "first_response_time",
    "first_contact_resolution",
    "contact_rate",
    "new_customers",
    "repurchase_60",
    "churn",
    "revenue",
    "average_order_value",
];
/// Windows of a trend.
const TREND: usize = 12;
/// What is shown of lists that have a page of their own.
const FIRST: usize = 5;

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let window = match asked.get("window") {
        "week" => "week",
        "day" => "day",
        _ => "month",
    };
    let metrics = catalogue(asker).await;
    let known: &[Metric] = metrics.as_deref().unwrap_or_default();
    let changed = part(changed(asker, known).await);
    let first = part(first(asker).await);
    let mut board = vec![asking(
        "/",
        vec![Field::Select {
            name: "window",
            label: "Windows",
            options: [("month", "Months"), ("week", "Weeks"), ("day", "Days")]
                .map(|(value, text)| (value.to_owned(), text.to_owned()))
                .into(),
            chosen: window.to_owned(),
        }],
    )];
    board.extend(part(match &metrics {
        Ok(metrics) => scoreboard(asker, metrics, window).await,
        Err(refused) => Err(refused.clone()),
    }));
    Ok(Page {
        title: "Overview".to_owned(),
        nav: "/",
        lead: line("What changed, what to fix first, and how the company does for its customers."),
        sections: vec![
            Section::new("changed", "What changed", changed),
            Section::new("first", "What to fix first", first),
            Section::new("board", "Scoreboard", board),
        ],
        feeds: vec![Feed::Metrics, Feed::Changes, Feed::Priorities, Feed::Alerts],
        ..Page::default()
    })
}

/// What was done and moved something, and metrics outside their usual range.
async fn changed(asker: &Asker, metrics: &[Metric]) -> Result<Vec<Block>, Refused> {
    let all = asker.all("/api/v1/changes").await?;
    let mut done = priorities::changes(&all);
    done.retain(|change| change.moved().next().is_some());
    let mut lines: Vec<Line> = done.iter().take(FIRST).map(|change| change.in_words(metrics)).collect();
    let alerts = asker.of_metrics().all("/api/v1/alerts?cause=metric_unusual").await?;
    let unusual = alerts.iter().rev().take(FIRST).map(|alert| {
        let metric = text_of(alert, "/metric/id");
        let of = match text_of(alert, "/metric/dimension_value") {
            "" => String::new(),
            value => format!(" of {} {value}", words::word(text_of(alert, "/metric/dimension"))),
        };
        let page = href("/metrics", &[("metric", metric)]);
        vec![
            badge("doubt", "unusual"),
            text(" "),
            link(page, title_of(metrics, metric)),
            text(format!("{of}: outside its usual range since {}.", words::day(text_of(alert, "/since")))),
        ]
    });
    lines.extend(unusual);
    let mut blocks = match lines.is_empty() {
        true => vec![paragraph(
            "Nothing that a department did has moved a metric for certain, and no metric is outside its usual range.",
        )],
        false => vec![Block::List { lines }],
    };
    blocks.push(Block::Text {
        line: vec![
            soft("After is not because: seasons and other changes look the same. "),
            link("/priorities#changes", "All changes"),
            text(" · "),
            link("/alerts", "All alerts"),
        ],
    });
    Ok(blocks)
}

/// The newest month's priorities.
async fn first(asker: &Asker) -> Result<Vec<Block>, Refused> {
    let all = asker.all("/api/v1/priorities?window=month").await?;
    let Some(newest) = all.iter().rev().find(|record| !words::list_of(record, "/priorities").is_empty()) else {
        return Ok(vec![paragraph(
            "Of no subject it is known that its customers fare worse: none does, or too few had one to say. Priorities of a month are \
             told a month later.",
        )]);
    };
    let mut table = priorities::table(newest, FIRST);
    table.caption = format!("First of {}", window_of(newest));
    Ok(vec![
        table.into(),
        Block::Text {
            line: vec![link("/priorities", "All priorities"), soft(" – where to look first, not what a fix brings.")],
        },
    ])
}

async fn scoreboard(asker: &Asker, metrics: &[Metric], window: &str) -> Result<Vec<Block>, Refused> {
    let mut cards = Vec::new();
    for id in BOARD {
        let Some(metric) = metrics.iter().find(|metric| metric.id == id) else { continue };
        let values = asker.all(&format!("/api/v1/metrics/{id}/series?window={window}")).await?;
        cards.extend(card(metric, &values, window));
    }
    if cards.is_empty() {
        return Ok(vec![paragraph("There are no values yet. They come with the first touchpoints of a department.")]);
    }
    Ok(vec![Block::Cards { cards }])
}

/// A card for each currency, or the one of all.
fn card(metric: &Metric, values: &[Value], window: &str) -> Vec<Card> {
    let mut currencies: Vec<&str> = values.iter().map(|value| text_of(value, "/currency")).collect();
    currencies.sort_unstable();
    currencies.dedup();
    currencies.into_iter().filter_map(|currency| card_of(metric, values, window, currency)).collect()
}

fn card_of(metric: &Metric, values: &[Value], window: &str, currency: &str) -> Option<Card> {
    let mine: Vec<&Value> = values.iter().filter(|value| text_of(value, "/currency") == currency).collect();
    let mine = &mine[mine.len().saturating_sub(TREND)..];
    let newest = *mine.last()?;
    let shown = |value: f64| amount(value, &metric.unit, currency);
    let status = text_of(newest, "/status");
    let mut detail = vec![text(format!("{}, n {}", window_of(newest), count(words::count_of(newest, "/n"))))];
    detail.extend(interval(newest).map(|ends| text(format!(", {}", interval_words(ends, &metric.unit, currency)))));
    let before = mine.iter().rev().skip(1).find_map(|value| Some((*value, number_of(value, "/value")?)));
    let change = match (number_of(newest, "/value"), before) {
        (Some(now), Some((before, was))) => {
            let how = if now > was {
                "up"
            } else if now < was {
                "down"
            } else {
                "the same"
            };
            format!("{how} from {} in {}", shown(was), window_of(before))
        }
        _ => String::new(),
    };
    let points: Vec<Point> = mine.iter().map(|value| point(value)).collect();
    let description = format!("{}: the last {} windows", metric.title, points.len());
    Some(Card {
        title: if currency.is_empty() { metric.title.clone() } else { format!("{}, {currency}", metric.title) },
        href: href("/metrics", &[("metric", &metric.id), ("window", window), ("currency", currency)]),
        value: number_of(newest, "/value").map_or_else(|| "–".to_owned(), shown),
        badge: words::status_badge(status),
        detail,
        spark: spark(&points, description),
        change,
    })
}
