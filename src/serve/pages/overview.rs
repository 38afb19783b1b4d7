//! Changes, priorities, the metrics of the scoreboard and alerts in; where to look first, on one page, out.
//!
//! It is the dearest page, and the first one of everybody: what it says is kept while nothing of its feeds is new, and made anew at
//! most once a second, for all who look at it. They wait for that without a turn, so that they hold up nobody else:
//!
//! ```text
//!  viewers ── wait for who makes it, or until the second is over ──▶ one of them: turn ── reads ──▶ each: turn ── writes ──▶
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::response::Response;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    Asker, answered,
    blocks::{Block, Card, Field, Line, Page, Section, Table, badge, columns, line, link, paragraph, soft, text},
    charts::{Point, spark},
    choices::{Metric, asking, catalogue, point},
    forms::Asked,
    part, priorities, turned,
    words::{
        self, amount, count, count_of, href, interval, interval_words, number_of, percent, text_of, window, window_of,
    },
};
use crate::{
    feeds::Feed,
    model::{AlertCause, Day, Window, WindowKind},
    serve::{access::Role, http::inside::Refused},
};

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
/// Windows that are read for it: those that are still open, and some in which nothing was counted, are among them.
const READ: i32 = 18;
/// What is shown of lists that have a page of their own.
const FIRST: usize = 5;
/// Of what its feeds have, it is not read anew sooner.
const ANEW_AFTER: Duration = Duration::from_secs(1);
/// What it is made of.
const FEEDS: [Feed; 5] = [Feed::Metrics, Feed::Catalogue, Feed::Changes, Feed::Priorities, Feed::Alerts];

/// The parts of the page as they were made last, by the length of windows. Nothing of persons is in them, and only those see them who
/// may read metrics.
#[derive(Default)]
pub(super) struct Boards([Mutex<Option<Board>>; 3]);

struct Board {
    /// Whoever asked before this may have it: when reading for it began, or when it was refused.
    begun: Instant,
    /// Of its feeds, before that; `None`: it is not all there, and for nobody who asks later.
    revisions: Option<[u64; FEEDS.len()]>,
    made: Made,
}

type Made = Result<Arc<Vec<Section>>, Refused>;

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    turned(&asker.desk, Some(&asker.who), async { answered(&asker, page) }).await
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let (at, kind) = match asked.get("window") {
        "week" => (1, WindowKind::Week),
        "day" => (2, WindowKind::Day),
        _ => (0, WindowKind::Month),
    };
    let sections = match asker.may(&Role::ReadMetrics) {
        true => kept(asker, at, kind).await?,
        false => {
            let _turn = asker.desk.turn().await?;
            Arc::new(sections(asker, kind).await.0)
        }
    };
    Ok(Page {
        title: "Overview".to_owned(),
        nav: "/",
        lead: line("What changed, what to fix first, and how the company does for its customers."),
        sections: sections.to_vec(),
        feeds: vec![Feed::Metrics, Feed::Changes, Feed::Priorities, Feed::Alerts],
        ..Page::default()
    })
}

/// The parts as they are kept, or made anew for all who wait for them.
async fn kept(asker: &Asker, at: usize, kind: WindowKind) -> Made {
    let asked = Instant::now();
    let revisions = || FEEDS.map(|feed| asker.desk.view().revision(feed));
    let mut board = asker.desk.boards.0[at].lock().await;
    if let Some(kept) = &*board {
        if kept.begun >= asked || kept.revisions == Some(revisions()) {
            return kept.made.clone();
        }
        tokio::time::sleep(ANEW_AFTER.saturating_sub(kept.begun.elapsed())).await;
    }
    let new = match asker.desk.turn().await {
        Ok(_turn) => {
            let (begun, revisions) = (Instant::now(), revisions());
            let (sections, is_whole) = sections(&asker.of_metrics(), kind).await;
            Board { begun, revisions: is_whole.then_some(revisions), made: Ok(Arc::new(sections)) }
        }
        // Those who wait with it would wait as long for nothing, one after the other.
        Err(refused) => Board { begun: Instant::now(), revisions: None, made: Err(refused) },
    };
    board.insert(new).made.clone()
}

/// The parts, and whether every one could be made.
async fn sections(asker: &Asker, kind: WindowKind) -> (Vec<Section>, bool) {
    let metrics = catalogue(asker).await;
    let known: &[Metric] = metrics.as_deref().unwrap_or_default();
    let changed = changed(asker, known).await;
    let first = first(asker).await;
    let figures = match &metrics {
        Ok(metrics) => scoreboard(asker, metrics, kind).await,
        Err(refused) => Err(refused.clone()),
    };
    let is_whole = changed.is_ok() && first.is_ok() && figures.is_ok();
    let mut board = vec![asking(
        "/",
        vec![Field::Select {
            name: "window",
            label: "Windows",
            options: [("month", "Months"), ("week", "Weeks"), ("day", "Days")]
                .map(|(value, text)| (value.to_owned(), text.to_owned()))
                .into(),
            chosen: kind.as_str().to_owned(),
        }],
    )];
    board.extend(part(figures));
    let sections = vec![
        Section::new("changed", "What changed", part(changed)),
        Section::new("first", "What to fix first", part(first)),
        Section::new("board", "Scoreboard", board),
    ];
    (sections, is_whole)
}

/// What was done and moved something, and metrics outside their usual range.
async fn changed(asker: &Asker, metrics: &[Metric]) -> Result<Vec<Block>, Refused> {
    let all = asker.all("/api/v1/changes").await?;
    let newest = asker.of_metrics().get(&newest_unusual()).await?;
    let done = priorities::changes(&all);
    let moved: Vec<Vec<Line>> = done
        .iter()
        .filter(|change| change.moved().next().is_some())
        .take(FIRST)
        .flat_map(|change| change.moved().map(|record| priorities::moved(change, record, metrics)))
        .collect();
    let unusual = unusual(&newest, metrics);
    let mut blocks = Vec::new();
    if moved.is_empty() && unusual.is_none() {
        blocks.push(paragraph(
            "Nothing that a department did has moved a metric for certain, and no metric is outside its usual range.",
        ));
    }
    if !moved.is_empty() {
        blocks.push(
            Table {
                caption: "What was done, and the metrics that moved: as many days before as after".to_owned(),
                columns: columns(priorities::MOVED),
                rows: moved,
                empty: "",
            }
            .into(),
        );
    }
    blocks.extend(unusual);
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

/// Where the newest metrics are asked for that are outside their usual range, and no more than are shown: a bad day moves thousands of series.
fn newest_unusual() -> String {
    let cause = AlertCause::MetricUnusual.as_str();
    href("/api/v1/alerts", &[("cause", cause), ("order", "newest"), ("limit", &FIRST.to_string())])
}

/// Those, if there are some.
fn unusual(newest: &Value, metrics: &[Metric]) -> Option<Block> {
    let rows: Vec<Vec<Line>> =
        words::list_of(newest, "/items").iter().map(|alert| super::alerts::of_metric(alert, metrics)).collect();
    let caption = match text_of(newest, "/next") {
        "" => "Outside their usual range, the newest first",
        _ => "Outside their usual range: the newest, of more than are shown here",
    };
    let columns = columns(super::alerts::UNUSUAL);
    (!rows.is_empty()).then(|| Table { caption: caption.to_owned(), columns, rows, empty: "" }.into())
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
    let mut table = priorities::table(newest, FIRST, &asker.currency(), None);
    table.caption = format!("First of {}", window_of(newest));
    let mut more = vec![link("/priorities", "All priorities"), soft(" – where to look first, not what a fix brings. ")];
    more.extend(words::status_badge(text_of(newest, "/status")));
    Ok(vec![table.into(), Block::Text { line: more }])
}

async fn scoreboard(asker: &Asker, metrics: &[Metric], kind: WindowKind) -> Result<Vec<Block>, Refused> {
    let nothing = "There are no values yet. They come with the first touchpoints of a department.";
    let months = super::choices::months(asker).await?;
    let Some(newest) = months.last().and_then(|month| words::parsed_day(month)) else {
        return Ok(vec![paragraph(nothing)]);
    };
    let (name, from) = (kind.as_str(), read_from(kind, newest).to_string());
    let mut cards = Vec::new();
    for id in BOARD {
        let Some(metric) = metrics.iter().find(|metric| metric.id == id) else { continue };
        let path = format!("/api/v1/metrics/{id}/series?window={name}&from={}", percent(&from));
        let values = asker.all(&path).await?;
        cards.extend(card(metric, &values, name));
    }
    if cards.is_empty() {
        return Ok(vec![paragraph(nothing)]);
    }
    let intro = format!(
        "Large figures are of the last {name} that is closed, compared with the closed one before it. The {name} under way is marked \
         provisional and dashed: a part of a {name} is not compared with a whole one."
    );
    Ok(vec![Block::Text { line: vec![soft(intro)] }, Block::Cards { cards }])
}

/// The first day of the windows that are read; `newest`: that of the newest month.
fn read_from(kind: WindowKind, newest: Day) -> Day {
    match kind {
        WindowKind::Day => newest.plus(-READ),
        WindowKind::Week => newest.plus(-7 * READ),
        WindowKind::Month => {
            let mut month = Window::of(WindowKind::Month, newest);
            for _ in 0..READ {
                month = month.before();
            }
            month.start
        }
    }
}

/// A card for each currency, or the one of all.
fn card(metric: &Metric, values: &[Value], window: &str) -> Vec<Card> {
    let mut currencies: Vec<&str> = values.iter().map(|value| text_of(value, "/currency")).collect();
    currencies.sort_unstable();
    currencies.dedup();
    currencies.into_iter().filter_map(|currency| card_of(metric, values, window, currency)).collect()
}

fn is_open(value: &Value) -> bool {
    text_of(value, "/status") == "provisional"
}

fn card_of(metric: &Metric, values: &[Value], kind: &str, currency: &str) -> Option<Card> {
    let mine: Vec<&Value> = values
        .iter()
        .filter(|value| text_of(value, "/currency") == currency && number_of(value, "/value").is_some())
        .collect();
    let closed: Vec<&Value> = mine.iter().copied().filter(|value| !is_open(value)).collect();
    let newest = *mine.last()?;
    let told = closed.last().copied().unwrap_or(newest);
    let shown = |value: &Value| {
        number_of(value, "/value").map_or_else(|| "–".to_owned(), |it| amount(it, &metric.unit, currency))
    };
    let n = |value: &Value| count(count_of(value, "/n"));
    let mut detail = vec![text(format!("{}, n {}", window_of(told), n(told)))];
    detail.extend(interval(told).map(|ends| text(format!(", {}", interval_words(ends, &metric.unit, currency)))));
    let mut running = Line::new();
    if !closed.is_empty() && is_open(newest) {
        running.extend([text(format!("{} so far: {}, n {} ", window_of(newest), shown(newest), n(newest)))]);
        running.push(badge("doubt", "provisional"));
    }
    let before = closed.iter().rev().nth(1);
    let change = before.map(|before| compared(told, before, (&shown(before), &n(before)))).unwrap_or_default();
    let trend = &mine[mine.len().saturating_sub(TREND)..];
    let points: Vec<Point> = trend.iter().map(|value| point(value)).collect();
    let description = format!("{}: the last {} windows", metric.title, points.len());
    Some(Card {
        title: if currency.is_empty() { metric.title.clone() } else { format!("{}, {currency}", metric.title) },
        href: href("/metrics", &[("metric", &metric.id), ("window", kind), ("currency", currency)]),
        value: shown(told),
        badge: words::status_badge(text_of(told, "/status")),
        detail,
        spark: spark(&points, description),
        change,
        running,
    })
}

/// A closed window against the one before it.
fn compared(told: &Value, before: &Value, (shown, n): (&str, &str)) -> Line {
    let Some((now, was)) = number_of(told, "/value").zip(number_of(before, "/value")) else { return Line::new() };
    let how = match now.total_cmp(&was) {
        std::cmp::Ordering::Greater => "up from",
        std::cmp::Ordering::Less => "down from",
        std::cmp::Ordering::Equal => "the same as",
    };
    let start = text_of(before, "/window/start");
    let mut words = vec![text(format!("{how} {shown} in {}, n {n}", window(text_of(before, "/window/kind"), start)))];
    if let Some(((low, high), (low_before, high_before))) = interval(told).zip(interval(before))
        && now.total_cmp(&was).is_ne()
    {
        let is_clear = low > high_before || high < low_before;
        words.push(soft(if is_clear { "; their intervals do not meet" } else { "; their intervals overlap" }));
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(month: u32, value: f64, status: &str) -> Value {
        json!({"window": {"kind": "month", "start": format!("2026-{month:02}-01")}, "currency": null, "unit": "percent", "value": value,
            "n": 100 * month, "interval_low": value - 4.0, "interval_high": value + 4.0, "status": status})
    }

    fn metric() -> Metric {
        Metric { id: "csat".to_owned(), title: "T".to_owned(), unit: "percent".to_owned(), dimensions: Vec::new() }
    }

    fn words(line: &Line) -> String {
        line.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_part_of_a_month_is_never_compared_with_a_whole_one() {
        let values = [
            value(6, 60.0, "final"),
            value(7, 62.0, "revised"),
            value(8, 80.0, "provisional"),
            value(9, 20.0, "provisional"),
        ];
        let cards = card(&metric(), &values, "month");
        let card = &cards[0];
        assert_eq!((cards.len(), card.value.as_str()), (1, "62.0 %"));
        assert!(words(&card.detail).starts_with("Jul 2026, n 700, 95 % 58.0 %"), "{}", words(&card.detail));
        assert_eq!(card.badge, words::status_badge("revised"));
        let change = words(&card.change);
        assert!(change.starts_with("up from 60.0 % in Jun 2026, n 600") && change.contains("overlap"), "{change}");
        let running = words(&card.running);
        assert!(running.starts_with("Sep 2026 so far: 20.0 %, n 900") && running.contains("provisional"), "{running}");
        assert!(card.spark.as_ref().is_some_and(|spark| spark.open.is_some()));
    }

    #[test]
    fn where_no_window_is_closed_nothing_is_compared() {
        let cards = card(&metric(), &[value(8, 80.0, "provisional"), value(9, 20.0, "provisional")], "month");
        assert_eq!((cards[0].value.as_str(), &cards[0].badge), ("20.0 %", &words::status_badge("provisional")));
        assert!(cards[0].change.is_empty() && cards[0].running.is_empty());
        let cards = card(&metric(), &[value(8, 80.0, "final"), value(9, 20.0, "final")], "month");
        assert!(words(&cards[0].change).contains("down from") && words(&cards[0].change).contains("do not meet"));
        assert!(cards[0].running.is_empty());
    }

    #[test]
    fn of_what_is_unusual_the_newest_is_read_and_no_more() {
        assert_eq!(newest_unusual(), "/api/v1/alerts?cause=metric_unusual&order=newest&limit=5");
        let alert =
            json!({"metric": {"id": "csat", "window": {"kind": "day", "start": "2026-01-31"}}, "since": "2026-01-31"});
        let shown = |next: Value| {
            let found = json!({"items": [alert.clone()], "next": next});
            unusual(&found, &[metric()]).map(|block| block.to_string()).unwrap_or_default()
        };
        assert!(shown(Value::Null).contains("the newest first"), "{}", shown(Value::Null));
        assert!(shown(json!("AAAA")).contains("of more than are shown here"));
        assert!(unusual(&json!({"items": [], "next": null}), &[]).is_none());
    }

    #[test]
    fn a_trend_is_read_and_no_more() {
        let newest = words::parsed_day("2026-09-01").expect("a day");
        assert_eq!(read_from(WindowKind::Month, newest).to_string(), "2025-03-01");
        assert_eq!(read_from(WindowKind::Week, newest).to_string(), "2026-04-28");
        assert_eq!(read_from(WindowKind::Day, newest).to_string(), "2026-08-14");
    }
}
