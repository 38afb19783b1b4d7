//! `insight.journeys` and `insight.attribution` in; the ways to a goal, where they end, what goes with reaching it, and what each step is
//! credited with, out.

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{Block, Line, Page, Section, Table, columns, line, paragraph, soft, text},
    charts::{Bar, Bars, Way, bars, flow},
    choices::{asking, chosen, different, month_field, months, of_month, segment_field, word_field},
    forms::Asked,
    part,
    words::{self, count, count_of, decimal, duration, list_of, number_of, status_badge, step, text_of},
};
use crate::{feeds::Feed, serve::http::inside::Refused};

/// Rows of tables of what there are many of.
const ROWS: usize = 20;
/// Steps of pictures.
const BARS: usize = 12;

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let months = months(asker).await?;
    let mut page = Page {
        title: "Journeys".to_owned(),
        nav: "/journeys",
        lead: line(
            "Customers’ ways across the departments towards a goal: which are travelled, where they end, and which steps go with reaching it.",
        ),
        feeds: vec![Feed::Journeys, Feed::Attribution],
        ..Page::default()
    };
    // The newest month has journeys that are still under way: the one before is told first, if there is one.
    let whole = months.iter().rev().nth(1).or(months.last());
    let month = chosen(asked.get("month"), &months, whole);
    if month.is_empty() {
        page.top.push(paragraph("There are no journeys yet. They come with the first touchpoints."));
        return Ok(page);
    }
    let journeys = of_month(asker, "journeys", month).await?;
    let goals = different(&journeys, "/goal");
    let repurchase = "repurchase".to_owned();
    let goal = chosen(asked.get("goal"), &goals, goals.iter().find(|it| **it == repurchase).or(goals.first()));
    let segments = different(&journeys, "/dimension_value");
    let segment = chosen(asked.get("segment"), &segments, None);
    let is_it = |record: &&Value| text_of(record, "/goal") == goal && text_of(record, "/dimension_value") == segment;
    let fields =
        vec![word_field("goal", "Goal", &goals, goal), month_field(&months, month), segment_field(&segments, segment)];
    page.top.push(asking("/journeys", fields));
    let Some(record) = journeys.iter().find(is_it) else {
        page.top.push(paragraph("No journey towards this goal ended in the month."));
        return Ok(page);
    };
    let attribution = of_month(asker, "attribution", month).await;
    let credited = part(attribution.map(|all| all.iter().find(is_it).map_or_else(Vec::new, credits)));
    page.sections = vec![
        Section::new("ways", format!("{}, {}", words::title(goal), words::month(month)), ways(record, goal)),
        Section::new("ends", "Where journeys end without it", ends(record)),
        Section::new("critical", "Critical steps", critical(record)),
        Section::new("credit", "What each step is credited with", credited),
    ];
    Ok(page)
}

fn ways(record: &Value, goal: &str) -> Vec<Block> {
    let n = |field: &str| count(count_of(record, field));
    let rate = match (
        number_of(record, "/conversion"),
        number_of(record, "/interval_low"),
        number_of(record, "/interval_high"),
    ) {
        (Some(rate), Some(low), Some(high)) => vec![
            text(format!("{} %", decimal(100.0 * rate, 1))),
            soft(format!(" (95 % {} to {} %)", decimal(100.0 * low, 1), decimal(100.0 * high, 1))),
        ],
        _ => vec![soft("not known")],
    };
    let time =
        |field: &str| number_of(record, field).map_or_else(|| vec![soft("not known")], |value| line(duration(value)));
    let mut ended = line(n("/journeys"));
    ended.extend(status_badge(text_of(record, "/status")).into_iter().flat_map(|badge| [text(" "), badge]));
    let facts = Block::Facts {
        facts: vec![
            ("Journeys that ended", ended),
            ("Reached the goal", line(n("/converted"))),
            ("Ended without it", line(n("/lost"))),
            ("Share that reached it", rate),
            ("Median time to it", time("/time/p50_seconds")),
            ("Nine of ten within", time("/time/p90_seconds")),
        ],
    };
    let all = list_of(record, "/paths");
    let way = |path: &Value| Way {
        steps: list_of(path, "/steps").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        converted: count_of(path, "/converted"),
        lost: count_of(path, "/lost"),
    };
    let ways: Vec<Way> = all.iter().map(way).collect();
    let row = |path: &Value| -> Vec<Line> {
        let steps: Vec<String> = list_of(path, "/steps").iter().filter_map(Value::as_str).map(step).collect();
        let time = number_of(path, "/time/p50_seconds");
        vec![
            line(if steps.is_empty() { "no step before".to_owned() } else { steps.join(" → ") }),
            line(count(count_of(path, "/converted"))),
            line(count(count_of(path, "/lost"))),
            line(time.map_or_else(|| "–".to_owned(), duration)),
        ]
    };
    let table = Table {
        caption: "The most travelled ways, as numbers".to_owned(),
        columns: columns(["Way", "#Reached it", "#Ended without", "#Median time"]),
        rows: all.iter().map(row).collect(),
        empty: "No way is known.",
    };
    let rest = (count_of(record, "/paths_other/kinds"), count_of(record, "/paths_other/n"));
    let title = format!("The most travelled ways to {}", words::word(goal));
    let mut blocks = vec![facts, flow("flow", &title, &words::word(goal), &ways, table).into()];
    if rest.0 > 0 {
        blocks.push(Block::Text {
            line: vec![soft(format!(
                "{} other ways, of {} journeys together, are not drawn.",
                count(rest.0),
                count(rest.1)
            ))],
        });
    }
    blocks.push(followed(record));
    blocks
}

/// What followed what.
fn followed(record: &Value) -> Block {
    let row = |transition: &Value| -> Vec<Line> {
        let share = number_of(transition, "/share");
        vec![
            line(step(text_of(transition, "/from"))),
            line(step(text_of(transition, "/to"))),
            line(count(count_of(transition, "/n"))),
            line(share.map_or_else(|| "–".to_owned(), |share| format!("{} %", decimal(100.0 * share, 1)))),
        ]
    };
    let table = Table {
        caption: "What followed what, the most frequent first".to_owned(),
        columns: columns(["After", "Came", "#How often", "#Of all that left the first"]),
        rows: list_of(record, "/transitions").iter().take(2 * ROWS).map(row).collect(),
        empty: "Nothing.",
    };
    Block::Details { summary: "What followed what".to_owned(), blocks: vec![table.into()] }
}

fn ends(record: &Value) -> Vec<Block> {
    let all = list_of(record, "/ends");
    let lost = count_of(record, "/lost");
    let name = |end: &Value| match text_of(end, "/step") {
        "" => "without any step".to_owned(),
        last => step(last),
    };
    let share =
        |n: i64| if lost > 0 { format!("{} %", decimal(100.0 * n as f64 / lost as f64, 1)) } else { "–".to_owned() };
    let row = |end: &Value| {
        let n = count_of(end, "/n");
        vec![line(name(end)), line(count(n)), line(share(n))]
    };
    let table = Table {
        caption: "Last steps of journeys that ended without the goal".to_owned(),
        columns: columns(["Last step", "#Journeys", "#Of those that ended without it"]),
        rows: all.iter().take(ROWS).map(row).collect(),
        empty: "No journey ended without the goal.",
    };
    let bar = |end: &Value| {
        let n = count_of(end, "/n");
        Bar { name: name(end), value: n as f64, interval: None, shown: format!("{} ({})", count(n), share(n)) }
    };
    let drawn: Vec<Bar> = all.iter().take(BARS).map(bar).collect();
    if drawn.is_empty() {
        return vec![table.into()];
    }
    let chart = bars(Bars {
        id: "drop-offs".to_owned(),
        title: format!("Drop-offs: the last step of {} journeys", count(lost)),
        unit: "orders".to_owned(),
        currency: String::new(),
        bars: drawn,
        are_dots: false,
        table,
    });
    vec![chart.into()]
}

fn critical(record: &Value) -> Vec<Block> {
    let mut blocks = vec![Block::Text {
        line: vec![soft(
            "Steps with which the goal was reached more often than without them. That a step goes with the goal does not say that it leads to it.",
        )],
    }];
    let compared = |field: &str| count(count_of(record, field));
    let parts = [
        ("/critical_steps", "step", "steps", format!("{} steps were compared.", compared("/critical_steps_compared"))),
        ("/critical_pairs", "pair", "pairs", format!("{} pairs were compared.", compared("/critical_pairs_compared"))),
    ];
    for (field, one, many, words) in parts {
        let all = list_of(record, field);
        let name = |critical: &Value| {
            let steps: Vec<String> = list_of(critical, "/steps").iter().filter_map(Value::as_str).map(step).collect();
            steps.join(" → ")
        };
        let percent = |critical: &Value, of: &str| number_of(critical, of).map(|value| 100.0 * value);
        let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| decimal(value, 1));
        let share = |critical: &Value, n: &str, converted: &str| {
            let (n, converted) = (count_of(critical, n), count_of(critical, converted));
            let rate =
                if n > 0 { format!("{} %", decimal(100.0 * converted as f64 / n as f64, 1)) } else { "–".to_owned() };
            vec![text(rate), soft(format!(", n {}", count(n)))]
        };
        let row = |critical: &Value| -> Vec<Line> {
            vec![
                line(name(critical)),
                share(critical, "/with_n", "/with_converted"),
                share(critical, "/without_n", "/without_converted"),
                vec![
                    text(shown(percent(critical, "/difference"))),
                    soft(format!(
                        " ({} to {})",
                        shown(percent(critical, "/interval_low")),
                        shown(percent(critical, "/interval_high"))
                    )),
                ],
            ]
        };
        let table = Table {
            caption: format!("Critical {many}, as numbers"),
            columns: columns([
                if one == "step" { "Step" } else { "Pair" },
                "#With it",
                "#Without it",
                "#Percentage points (95 %)",
            ]),
            rows: all.iter().take(ROWS).map(row).collect(),
            empty: "None for certain.",
        };
        let dot = |critical: &Value| {
            let value = percent(critical, "/difference")?;
            Some(Bar {
                name: name(critical),
                value,
                interval: percent(critical, "/interval_low").zip(percent(critical, "/interval_high")),
                shown: words::difference(value, "percent", ""),
            })
        };
        let dots: Vec<Bar> = all.iter().take(BARS).filter_map(dot).collect();
        if dots.is_empty() {
            blocks.push(table.into());
        } else {
            let title =
                format!("Critical {many}: share that reached the goal with it, less without, with its 95 % interval");
            let id = format!("critical-{one}");
            let (unit, currency) = (String::new(), String::new());
            blocks.push(bars(Bars { id, title, unit, currency, bars: dots, are_dots: true, table }).into());
        }
        blocks.push(Block::Text { line: vec![soft(words)] });
    }
    blocks
}

fn credits(record: &Value) -> Vec<Block> {
    let all = list_of(record, "/steps");
    let shown =
        |credit: &Value, rule: &str| number_of(credit, rule).map_or_else(|| "–".to_owned(), |value| decimal(value, 1));
    let row = |credit: &Value| -> Vec<Line> {
        let mut row = vec![line(step(text_of(credit, "/step"))), line(count(count_of(credit, "/conversions")))];
        row.extend(["/markov", "/first", "/last", "/linear", "/position"].map(|rule| line(shown(credit, rule))));
        let effect = number_of(credit, "/removal_effect");
        row.push(line(effect.map_or_else(|| "–".to_owned(), |value| format!("{} %", decimal(100.0 * value, 1)))));
        row
    };
    let table = Table {
        caption: "Credits by five rules, as numbers".to_owned(),
        columns: columns([
            "Step",
            "#Conversions with it",
            "#Markov",
            "#First",
            "#Last",
            "#Linear",
            "#Position",
            "#Lost without it",
        ]),
        rows: all.iter().map(row).collect(),
        empty: "Nothing is credited with fewer than 30 conversions that had a step.",
    };
    let bar = |credit: &Value| {
        let value = number_of(credit, "/markov")?;
        Some(Bar { name: step(text_of(credit, "/step")), value, interval: None, shown: decimal(value, 1) })
    };
    let drawn: Vec<Bar> = all.iter().take(BARS).filter_map(bar).collect();
    let mut blocks = vec![Block::Text {
        line: vec![
            text(format!(
                "{} of {} conversions had a step and are divided among the steps.",
                count(count_of(record, "/credited")),
                count(count_of(record, "/conversions"))
            )),
            soft(" Credits divide what happened: without a step, people might have come another way."),
        ],
    }];
    if drawn.is_empty() {
        blocks.push(table.into());
        return blocks;
    }
    blocks.push(
        bars(Bars {
            id: "credits".to_owned(),
            title: "Conversions credited by the removal effect in a Markov chain".to_owned(),
            unit: "orders".to_owned(),
            currency: String::new(),
            bars: drawn,
            are_dots: false,
            table,
        })
        .into(),
    );
    blocks
}
