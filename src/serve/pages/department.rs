//! `insight.scorecards` in; one department's months out: what its customers feel, what it brings and takes, what its failures do to
//! others, what it should fix.

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{Block, Line, Page, Section, Table, columns, line, link, paragraph, soft, text},
    charts::{Bar, Bars, Point, Series, TimeChart, bars, line as over_time},
    choices::{asking, chosen, different, month_field, word_field},
    forms::Asked,
    priorities::effort,
    words::{self, count, count_of, decimal, href, list_of, number_of, status_badge, text_of},
};
use crate::{feeds::Feed, serve::http::inside::Refused};

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let all = asker.all("/api/v1/scorecards?window=month").await?;
    let spokes = different(&all, "/spoke");
    let spoke = chosen(asked.get("spoke"), &spokes, spokes.first());
    let mine: Vec<&Value> = all.iter().filter(|record| text_of(record, "/spoke") == spoke).collect();
    let mut months: Vec<String> = mine.iter().map(|record| text_of(record, "/window/start").to_owned()).collect();
    months.sort();
    let month = chosen(asked.get("month"), &months, months.last());
    let mut page = Page {
        title: "My department".to_owned(),
        nav: "/department",
        lead: line(
            "A department’s month: what customers feel there, what it brings and takes, and what its failures do to others.",
        ),
        feeds: vec![Feed::Scorecards],
        ..Page::default()
    };
    let Some(card) = mine.iter().find(|record| text_of(record, "/window/start") == month) else {
        page.top.push(paragraph(
            "No department has a scorecard yet. The first comes with the first touchpoints of a month.",
        ));
        return Ok(page);
    };
    let fields = vec![word_field("spoke", "Department", &spokes, spoke), month_field(&months, month)];
    page.top.push(asking("/department", fields));
    page.sections = vec![
        Section::new("figures", format!("{}, {}", words::title(spoke), words::month(month)), of_month(card)),
        Section::new("feel", "What customers feel here", feel(card, &mine)),
        Section::new("balance", "What it brings and takes", balance(card)),
        Section::new("elsewhere", "What its failures do to others", elsewhere(card)),
        Section::new("drivers", "Its part in drivers", drivers(card)),
        Section::new("fix", "What it should fix first", fix(card, month, &asker.currency())),
        Section::new("open", "Open alerts", open(card, spoke)),
        Section::new("arrived", "Data quality", arrived(card, spoke)),
    ];
    Ok(page)
}

fn of_month(card: &Value) -> Vec<Block> {
    let mut touchpoints = line(count(count_of(card, "/touchpoints")));
    touchpoints.extend(status_badge(text_of(card, "/status")).into_iter().flat_map(|badge| [text(" "), badge]));
    let (promises, kept) = (count_of(card, "/promises"), count_of(card, "/kept"));
    let promises = match promises {
        0 => vec![soft("none told of")],
        n => vec![
            text(format!("{} of {} kept", count(kept), count(n))),
            soft(format!(" ({} %)", decimal(100.0 * kept as f64 / n as f64, 1))),
        ],
    };
    vec![Block::Facts {
        facts: vec![
            ("Touchpoints", touchpoints),
            ("Cases opened", line(count(count_of(card, "/cases")))),
            ("Promises of delivery", promises),
            ("Its own promises, still open", open_promises(card)),
        ],
    }]
}

/// The promises that it made and that had not ended by the month's end.
fn open_promises(card: &Value) -> Line {
    let (open, overdue) = (count_of(card, "/open_promises"), count_of(card, "/overdue_promises"));
    if open == 0 {
        return vec![soft("none")];
    }
    let by = match text_of(card, "/status") {
        "provisional" => "to be kept by the month’s end",
        _ => "overdue at the month’s end",
    };
    let mut words = line(count(open));
    if overdue > 0 {
        words.push(text(format!(", {} of them {by}", count(overdue))));
    }
    words
}

/// The mean of answers, and how it differs from that of all others.
fn feeling(card: &Value, field: &str, digits: usize) -> Line {
    let number = |name: &str| number_of(card, &format!("/{field}/{name}"));
    let n = count_of(card, &format!("/{field}/n"));
    let Some(mean) = number("mean") else { return vec![soft(format!("too few answers, n {}", count(n)))] };
    let mut words = vec![text(decimal(mean, digits)), soft(format!(", n {}", count(n)))];
    if let (Some(difference), Some(low), Some(high)) =
        (number("difference"), number("interval_low"), number("interval_high"))
    {
        let sign = if difference > 0.0 { "+" } else { "" };
        words.push(text(format!("; {sign}{} against all others", decimal(difference, digits))));
        words.push(soft(format!(" (95 % {} to {})", decimal(low, digits), decimal(high, digits))));
    }
    words
}

fn feel(card: &Value, months: &[&Value]) -> Vec<Block> {
    let point = |record: &&Value| Point {
        start: text_of(record, "/window/start").to_owned(),
        value: number_of(record, "/score/mean"),
        interval: None,
        n: count_of(record, "/score/n"),
        status: text_of(record, "/status").to_owned(),
    };
    let mut points: Vec<Point> = months.iter().map(point).collect();
    points.sort_by(|a, b| a.start.cmp(&b.start));
    let mut blocks = vec![Block::Facts {
        facts: vec![
            ("Satisfaction, mean of 1 to 5", feeling(card, "score", 2)),
            ("Sentiment, mean of −100 to 100", feeling(card, "sentiment", 1)),
        ],
    }];
    if points.iter().filter(|point| point.value.is_some()).count() > 1 {
        blocks.push(
            over_time(TimeChart {
                id: "score".to_owned(),
                title: "Satisfaction by month, mean of 1 to 5".to_owned(),
                unit: "points".to_owned(),
                window: "month".to_owned(),
                series: vec![Series { name: String::new(), points }],
                ..TimeChart::default()
            })
            .into(),
        );
    }
    blocks
}

fn balance(card: &Value) -> Vec<Block> {
    let share = |field: &str| {
        number_of(card, field)
            .map_or_else(|| vec![soft("nothing is credited")], |value| line(format!("{} %", decimal(100.0 * value, 1))))
    };
    let net = match number_of(card, "/net") {
        None => vec![soft("not known")],
        Some(net) => {
            let words = if net >= 0.0 {
                "it brings a greater part than it takes"
            } else {
                "it takes a greater part than it brings"
            };
            vec![text(format!("{} percentage points", decimal(100.0 * net, 1))), soft(format!(": {words}"))]
        }
    };
    let basis = text_of(card, "/cost_basis");
    vec![
        Block::Facts {
            facts: vec![
                ("Part of all credited purchases", share("/contribution")),
                (
                    "Part of what all took",
                    [share("/cost_share"), vec![soft(format!(" by {}", words::word(basis)))]].concat(),
                ),
                ("Net", net),
                (
                    "Purchases credited (Markov)",
                    number_of(card, "/credited").map_or_else(|| vec![soft("none")], |value| line(decimal(value, 1))),
                ),
            ],
        },
        Block::Text {
            line: vec![soft(
                "Not to be concluded: that a department below zero could be saved on. Who keeps customers is credited with no purchase.",
            )],
        },
    ]
}

fn elsewhere(card: &Value) -> Vec<Block> {
    let row = |name: &str, field: &str| -> Vec<Line> {
        let number = |of: &str| number_of(card, &format!("/{field}/{of}"));
        let shown = |of: &str| number(of).map_or_else(|| "–".to_owned(), |value| decimal(value, 2));
        let n = |of: &str| count(count_of(card, &format!("/{field}/{of}")));
        let difference = match number("difference") {
            None => vec![soft("too few to compare")],
            Some(_) => vec![
                text(shown("difference")),
                soft(format!(" ({} to {})", shown("interval_low"), shown("interval_high"))),
            ],
        };
        vec![
            line(name),
            vec![text(shown("failed_mean")), soft(format!(", n {}", n("failed")))],
            vec![text(shown("others_mean")), soft(format!(", n {}", n("others")))],
            difference,
        ]
    };
    vec![
        Table {
            caption: "Customers whom it failed, against those whom it touched without failing them".to_owned(),
            columns: columns(["What others see", "#Failed", "#Others", "#Difference (95 %)"]),
            rows: vec![
                row("Cases at other departments, per customer", "cases_elsewhere"),
                row("Satisfaction at other departments, 1 to 5", "score_elsewhere"),
            ],
            empty: "",
        }
        .into(),
        Block::Text {
            line: vec![soft(
                "It failed somebody by a delivery later than promised, an answer or review of 1 or 2, a detractor’s answer, or a sentiment below \
                 −20. That both go together does not say that one makes the other.",
            )],
        },
    ]
}

fn drivers(card: &Value) -> Vec<Block> {
    let all = list_of(card, "/drivers");
    let table = Table {
        caption: "Its part in drivers, as numbers".to_owned(),
        columns: columns(["What customers felt here", "#r with buying again", "#95 %", "#n"]),
        rows: all.iter().map(|driver| super::drivers::correlation_row(driver, "/correlation")).collect(),
        empty: "Too few customers to say: at least 30 are needed.",
    };
    let dot = |driver: &Value| {
        let r = number_of(driver, "/correlation")?;
        Some(Bar {
            name: words::title(text_of(driver, "/driver")),
            value: r,
            interval: number_of(driver, "/interval_low").zip(number_of(driver, "/interval_high")),
            shown: decimal(r, 2),
        })
    };
    let dots: Vec<Bar> = all.iter().filter_map(dot).collect();
    if dots.is_empty() {
        return vec![table.into()];
    }
    let chart = bars(Bars {
        id: "felt".to_owned(),
        title: "What customers felt here and buying again in the month: correlation with its 95 % interval".to_owned(),
        unit: "correlation".to_owned(),
        currency: String::new(),
        bars: dots,
        are_dots: true,
        table,
    });
    vec![chart.into()]
}

fn fix(card: &Value, month: &str, currency: &str) -> Vec<Block> {
    let row = |priority: &Value| {
        vec![
            vec![
                text(format!("{}. ", count_of(priority, "/rank"))),
                text(text_of(priority, "/subject")),
                soft(format!(" {}", words::word(text_of(priority, "/kind")))),
            ],
            line(count(count_of(priority, "/reach"))),
            line(words::money(count_of(priority, "/value_at_risk") as f64, currency)),
            line(number_of(priority, "/score").map_or_else(|| "–".to_owned(), |score| words::money(score, currency))),
            effort(priority),
        ]
    };
    let mut blocks = vec![
        Table {
            caption: "Priorities that it owns".to_owned(),
            columns: columns(["Rank and subject", "#Customers", "#They paid in a year", "#Score", "#Effort"]),
            rows: list_of(card, "/priorities").iter().map(row).collect(),
            empty: "None of the month’s priorities is its own, or they are not known yet: that is a month later.",
        }
        .into(),
    ];
    let more = count_of(card, "/other_priorities");
    if more > 0 {
        let page = href("/priorities", &[("month", month)]);
        blocks.push(Block::Text { line: vec![link(page, format!("{} more", count(more)))] });
    }
    blocks
}

fn open(card: &Value, spoke: &str) -> Vec<Block> {
    let row = |alerts: &Value| {
        let cause = text_of(alerts, "/cause");
        let page = href("/alerts", &[("owner", spoke), ("cause", cause)]);
        vec![vec![link(page, words::title(cause))], line(count(count_of(alerts, "/n")))]
    };
    vec![
        Table {
            caption: "Alerts of the month about customers and metrics that are open now".to_owned(),
            columns: columns(["Cause", "#Open"]),
            rows: list_of(card, "/open_alerts").iter().map(row).collect(),
            empty: "None is open.",
        }
        .into(),
    ]
}

/// What arrived in the month, in whatever quality.
fn arrived(card: &Value, spoke: &str) -> Vec<Block> {
    let of = |outcome: &str| count_of(card, &format!("/data_quality/{outcome}"));
    let outcomes = [
        ("accepted", "taken, copies among them"),
        ("rejected", "refused: a department’s mistakes, with their reasons among its dead letters"),
        ("skipped", "left out, as its spoke file says"),
        ("duplicate", "of those taken, copies of what was there already"),
        ("conflicting", "of those taken, with the id of another one and different content"),
        (
            "late",
            "of those taken and new, of a day that its source was already past, less the disorder that is allowed",
        ),
        ("capped", "touchpoints with which a customer came to the end of what is remembered"),
    ];
    let rows = outcomes.iter().filter(|(outcome, _)| of(outcome) > 0);
    vec![
        Table {
            caption: "What arrived in the month, by the day on which it came".to_owned(),
            columns: columns(["Outcome", "#How often", "What that is"]),
            rows: rows
                .map(|(outcome, what)| vec![line(words::title(outcome)), line(count(of(outcome))), line(*what)])
                .collect(),
            empty: "Nothing arrived from it in the month.",
        }
        .into(),
        Block::Text {
            line: vec![
                soft("Arrivals and copies are counted, so that another order of arrival gives other counts. More: "),
                link(href("/spokes", &[("spoke", spoke)]), "how its data arrives"),
            ],
        },
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text_of_line(line: &Line) -> String {
        line.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_customers_feel_is_said_with_how_sure_that_is() {
        let card = json!({"score": {"n": 1200, "mean": 3.456, "difference": -0.2, "interval_low": -0.3, "interval_high": -0.1},
            "sentiment": {"n": 5, "mean": null, "difference": null, "interval_low": null, "interval_high": null}});
        let words = text_of_line(&feeling(&card, "score", 2));
        for part in ["3.46", "n 1,200", "−0.20 against all others", "95 % −0.30 to −0.10"] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert!(text_of_line(&feeling(&card, "sentiment", 1)).contains("too few answers, n 5"));
    }

    #[test]
    fn promises_alerts_and_arrivals_are_shown_by_what_they_are() {
        let card = |status: &str, open: i64, overdue: i64| {
            json!({"status": status, "open_promises": open, "overdue_promises": overdue,
                "open_alerts": [{"cause": "metric_unusual", "n": 2}],
                "data_quality": {"accepted": 1200, "rejected": 3, "late": 0}})
        };
        assert_eq!(text_of_line(&open_promises(&card("final", 6, 4))), "6, 4 of them overdue at the month’s end");
        let running = text_of_line(&open_promises(&card("provisional", 6, 4)));
        assert_eq!(running, "6, 4 of them to be kept by the month’s end");
        assert_eq!(text_of_line(&open_promises(&card("final", 6, 0))), "6");
        assert!(text_of_line(&open_promises(&card("final", 0, 0))).contains("none"));
        let html = |blocks: Vec<Block>| blocks.iter().map(ToString::to_string).collect::<String>();
        let shown = html(arrived(&card("final", 0, 0), "sales"));
        assert!(shown.contains("1,200") && shown.contains("Rejected") && !shown.contains("Late"), "{shown}");
        assert!(html(open(&card("final", 0, 0), "sales")).contains("Metric unusual"));
    }
}
