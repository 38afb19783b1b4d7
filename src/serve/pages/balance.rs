//! `insight.balance` in; one ranking of where to invest and where to save out: what customers feel at each kind of contact, what it
//! brings, what it takes, how much of its capacity is used.

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{Block, Line, Page, Piece, Section, Table, badge, columns, line, link, paragraph, soft, text},
    charts::{Bar, Bars, bars},
    choices::{asking, chosen, different, month_field, word_field},
    forms::Asked,
    words::{self, count, count_of, decimal, href, list_of, number_of, status_badge, text_of},
};
use crate::{feeds::Feed, serve::http::inside::Refused};

/// Kinds of contact at each end of the picture.
const DRAWN: usize = 8;

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let all = asker.all("/api/v1/balance?window=month").await?;
    let months = different(&all, "/window/start");
    // The month under way is told of last: its contacts have not brought yet what they will.
    let is_closed = |month: &&String| {
        all.iter().any(|it| text_of(it, "/window/start") == **month && text_of(it, "/status") != "provisional")
    };
    let newest = months.iter().rev().find(is_closed).or(months.last());
    let month = chosen(asked.get("month"), &months, newest);
    let mut page = Page {
        title: "Balance".to_owned(),
        nav: "/balance",
        lead: line(
            "What each kind of contact brings customers and the company, against what it takes: one ranking of where to invest and where to save.",
        ),
        feeds: vec![Feed::Balance],
        ..Page::default()
    };
    let Some(record) = all.iter().find(|record| text_of(record, "/window/start") == month) else {
        page.top.push(paragraph(
            "There is no balance yet: a month has one once enough purchases are credited to what came before them.",
        ));
        return Ok(page);
    };
    let contacts = list_of(record, "/contacts");
    let spokes = different(contacts, "/spoke");
    let spoke = chosen(asked.get("spoke"), &spokes, None);
    let mut of_spokes = word_field("spoke", "Department", &spokes, spoke);
    if let super::blocks::Field::Select { options, .. } = &mut of_spokes {
        options.insert(0, (String::new(), "All departments".to_owned()));
    }
    page.top.push(asking("/balance", vec![month_field(&months, month), of_spokes]));
    let mine: Vec<&Value> =
        contacts.iter().filter(|contact| spoke.is_empty() || text_of(contact, "/spoke") == spoke).collect();
    page.sections = vec![
        Section::new("figures", words::month(month), of_month(record)),
        Section::new("advice", "Where to invest, and where to save", advice(&mine)),
        Section::new("ranking", "The whole ranking", ranking(record, &mine)),
    ];
    Ok(page)
}

fn of_month(record: &Value) -> Vec<Block> {
    let currency = text_of(record, "/currency");
    let mut credited = number_of(record, "/credited").map_or_else(|| vec![soft("none")], |it| line(decimal(it, 1)));
    credited.extend(status_badge(text_of(record, "/status")).into_iter().flat_map(|badge| [text(" "), badge]));
    let basis = text_of(record, "/cost_basis");
    let cost =
        number_of(record, "/cost").map_or_else(|| vec![soft("not known")], |it| line(taken(it, basis, currency)));
    let note = match basis {
        "cost" => format!("Costs are those in {currency}."),
        "effort" => "No department tells what its contacts cost: they are compared by effort.".to_owned(),
        _ => "No department tells of costs or effort: kinds of contact are compared by how many there were.".to_owned(),
    };
    vec![
        Block::Facts {
            facts: vec![
                ("Purchases credited (Markov)", credited),
                ("What all contacts took", cost),
                ("Touchpoints", line(count(count_of(record, "/touchpoints")))),
            ],
        },
        Block::Text {
            line: vec![soft(format!(
                "{note} Net is the part of all credited purchases less the part of what all took, so that it sums to zero. Not to be concluded: \
                 that what is below zero could be saved on. Who keeps customers is credited with no purchase."
            ))],
        },
    ]
}

/// What something took, by what is compared.
fn taken(value: f64, basis: &str, currency: &str) -> String {
    match basis {
        "cost" => words::money(value, currency),
        "effort" => format!("{} of effort", decimal(value, 0)),
        _ => format!("{} touchpoints", decimal(value, 0)),
    }
}

fn name(contact: &Value) -> String {
    words::step(&format!(
        "{}:{}:{}",
        text_of(contact, "/spoke"),
        text_of(contact, "/kind"),
        text_of(contact, "/channel")
    ))
}

fn advice_badge(contact: &Value) -> Piece {
    match text_of(contact, "/advice") {
        "invest" => badge("good", "invest"),
        "save" => badge("doubt", "save"),
        advice => badge("plain", advice),
    }
}

/// Percentage points of a part of a whole.
fn points(contact: &Value, field: &str) -> Option<f64> {
    number_of(contact, field).map(|part| 100.0 * part)
}

fn advice(mine: &[&Value]) -> Vec<Block> {
    let of = |advice: &str| mine.iter().copied().filter(|it| text_of(it, "/advice") == advice).collect::<Vec<_>>();
    let (invest, mut save) = (of("invest"), of("save"));
    // The last of the ranking first.
    save.reverse();
    let table = |caption: &str, rows: &[&Value], empty| -> Block {
        Table {
            caption: caption.to_owned(),
            columns: columns(["Kind of contact", "#Net", "Why"]),
            rows: rows.iter().map(|contact| reasons(contact)).collect(),
            empty,
        }
        .into()
    };
    vec![
        table(
            "Invest: it brings more than its part, and customers suffer there or its capacity is used up",
            &invest,
            "No kind of contact brings more than it takes while customers suffer there or its capacity is used up.",
        ),
        table(
            "Save: it takes more than its part, and no customer is known to be glad of it",
            &save,
            "No kind of contact takes more than it brings without customers being glad of it.",
        ),
    ]
}

fn net(contact: &Value) -> String {
    points(contact, "/net").map_or_else(|| "–".to_owned(), |net| format!("{} %-points", signed(net, 1)))
}

fn signed(number: f64, digits: usize) -> String {
    format!("{}{}", if number > 0.0 { "+" } else { "" }, decimal(number, digits))
}

/// That it took more than is shown.
fn left_out(contact: &Value) -> Option<Piece> {
    let costs = count_of(contact, "/costs_left_out");
    (costs > 0).then(|| soft(format!(", and {} costs in other currencies", count(costs))))
}

/// The figures that an advice stands on.
fn reasons(contact: &Value) -> Vec<Line> {
    let mut why = Line::new();
    for (field, what, digits) in [("score", "satisfaction", 2), ("sentiment", "sentiment", 1)] {
        let number = |of: &str| number_of(contact, &format!("/{field}/{of}"));
        if let (Some(difference), Some(low), Some(high)) =
            (number("difference"), number("interval_low"), number("interval_high"))
        {
            why.push(text(format!("{what} {} against elsewhere", signed(difference, digits))));
            let n = count(count_of(contact, &format!("/{field}/n")));
            why.push(soft(format!(" (95 % {} to {}, n {n}); ", decimal(low, digits), decimal(high, digits))));
        }
    }
    if let Some(usage) = points(contact, "/capacity_use") {
        why.push(text(format!("{} % of its capacity used; ", decimal(usage, 0))));
    }
    why.push(soft(format!("{} touchpoints", count(count_of(contact, "/touchpoints")))));
    why.extend(left_out(contact));
    vec![line(name(contact)), line(net(contact)), why]
}

fn ranking(record: &Value, mine: &[&Value]) -> Vec<Block> {
    let (basis, currency) = (text_of(record, "/cost_basis"), text_of(record, "/currency"));
    let row = |contact: &&Value| -> Vec<Line> {
        let part =
            |field: &str| points(contact, field).map_or_else(|| "–".to_owned(), |it| format!("{} %", decimal(it, 1)));
        let took = match basis {
            "cost" => words::money(count_of(contact, "/cost") as f64, currency),
            "effort" => count(count_of(contact, "/effort")),
            _ => count(count_of(contact, "/touchpoints")),
        };
        let capacity = match (points(contact, "/capacity_use"), contact.get("capacity").and_then(Value::as_i64)) {
            (Some(usage), Some(capacity)) => {
                vec![text(format!("{} %", decimal(usage, 0))), soft(format!(" of {}", count(capacity)))]
            }
            _ => vec![soft("not stated")],
        };
        let spoke = text_of(contact, "/spoke");
        vec![
            vec![
                text(format!("{}. ", count_of(contact, "/rank"))),
                link(href("/department", &[("spoke", spoke)]), name(contact)),
                text(" "),
                advice_badge(contact),
            ],
            line(points(contact, "/net").map_or_else(|| "–".to_owned(), |net| signed(net, 1))),
            line(part("/contribution")),
            line(part("/cost_share")),
            std::iter::once(text(took)).chain(left_out(contact)).collect(),
            line(count(count_of(contact, "/touchpoints"))),
            capacity,
            feeling(contact, "score", 2),
            feeling(contact, "sentiment", 1),
            drivers(contact),
        ]
    };
    let table = Table {
        caption: "Kinds of contact by net".to_owned(),
        columns: columns([
            "Kind of contact",
            "#Net, %-points",
            "#Brings",
            "#Takes",
            "#Took",
            "#Touchpoints",
            "Capacity used",
            "Satisfaction",
            "Sentiment",
            "Goes with buying again",
        ]),
        rows: mine.iter().map(row).collect(),
        empty: "The department had no contact in the month.",
    };
    let mut blocks = Vec::new();
    let drawn: Vec<Bar> = ends(mine).into_iter().filter_map(bar).collect();
    if !drawn.is_empty() {
        let short = Table {
            caption: "The ends of the ranking, as numbers".to_owned(),
            columns: columns(["Kind of contact", "#Net", "#Brings", "#Takes"]),
            rows: ends(mine)
                .into_iter()
                .map(|contact| {
                    let part = |field: &str| {
                        points(contact, field).map_or_else(|| "–".to_owned(), |it| format!("{} %", decimal(it, 1)))
                    };
                    vec![
                        line(name(contact)),
                        line(net(contact)),
                        line(part("/contribution")),
                        line(part("/cost_share")),
                    ]
                })
                .collect(),
            empty: "",
        };
        blocks.push(
            bars(Bars {
                id: "net".to_owned(),
                title: "Net: part of what all brought less part of what all took, in %-points; the ends of the ranking"
                    .to_owned(),
                unit: "percent".to_owned(),
                currency: String::new(),
                bars: drawn,
                are_dots: false,
                table: short,
            })
            .into(),
        );
    }
    blocks.push(table.into());
    blocks.push(Block::Text {
        line: vec![soft(
            "What goes with buying again: Pearson’s r (95 %) of what a customer felt there on average and whether the customer bought again in              the month, of 30 customers or more. It is a correlation: content customers buy more, whatever made them content.",
        )],
    });
    let others = count_of(record, "/other/kinds");
    if others > 0 {
        let (touchpoints, part) = (count_of(record, "/other/touchpoints"), points(record, "/other/contribution"));
        let brings = part.map_or_else(String::new, |it| format!(", which bring {} %", decimal(it, 1)));
        blocks.push(Block::Text {
            line: vec![soft(format!(
                "Between them {} further kinds of contact with {} touchpoints{brings} are not shown.",
                count(others),
                count(touchpoints)
            ))],
        });
    }
    blocks
}

/// The first and the last of the ranking.
fn ends<'v>(mine: &[&'v Value]) -> Vec<&'v Value> {
    let is_end = |at: usize| at < DRAWN || at + DRAWN >= mine.len();
    mine.iter().enumerate().filter(|(at, _)| is_end(*at)).map(|(_, contact)| *contact).collect()
}

fn bar(contact: &Value) -> Option<Bar> {
    let value = points(contact, "/net")?;
    Some(Bar { name: name(contact), value, interval: None, shown: format!("{} %-points", signed(value, 1)) })
}

/// The mean of what customers said, and whether it differs from elsewhere.
fn feeling(contact: &Value, field: &str, digits: usize) -> Line {
    let number = |of: &str| number_of(contact, &format!("/{field}/{of}"));
    let n = count(count_of(contact, &format!("/{field}/n")));
    let Some(mean) = number("mean") else { return vec![soft(format!("too few, n {n}"))] };
    let mut words = vec![text(decimal(mean, digits)), soft(format!(", n {n}"))];
    if let (Some(difference), Some(low), Some(high)) =
        (number("difference"), number("interval_low"), number("interval_high"))
    {
        words.push(soft(format!(
            "; {} ({} to {})",
            signed(difference, digits),
            decimal(low, digits),
            decimal(high, digits)
        )));
    }
    words
}

/// What is felt there, and how far it goes together with buying again.
fn drivers(contact: &Value) -> Line {
    let all = list_of(contact, "/drivers");
    if all.is_empty() {
        return vec![soft("too few")];
    }
    let mut words = Line::new();
    for (number, driver) in all.iter().enumerate() {
        let shown = |of: &str| number_of(driver, of).map_or_else(|| "–".to_owned(), |it| decimal(it, 2));
        let separator = if number > 0 { "; " } else { "" };
        words.push(text(format!("{separator}{} {}", words::word(text_of(driver, "/driver")), shown("/correlation"))));
        let n = count(count_of(driver, "/n"));
        words.push(soft(format!(" ({} to {}, n {n})", shown("/interval_low"), shown("/interval_high"))));
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contact(rank: i64, net: f64, advice: &str) -> Value {
        json!({"rank": rank, "spoke": "support", "kind": "case_replied", "channel": "phone", "touchpoints": 1200, "cost": 123_456,
            "effort": 3, "contribution": 0.2, "cost_share": 0.1, "net": net, "capacity": 1000, "capacity_use": 1.2,
            "score": {"n": 40, "mean": 2.5, "difference": -0.5, "interval_low": -0.7, "interval_high": -0.3},
            "sentiment": {"n": 3, "mean": null, "difference": null, "interval_low": null, "interval_high": null}, "advice": advice,
            "drivers": [{"driver": "csat", "n": 64, "correlation": 0.31, "interval_low": 0.1, "interval_high": 0.5}]})
    }

    #[test]
    fn an_advice_is_told_with_what_it_stands_on() {
        let contacts = [contact(1, 0.1, "invest"), contact(2, 0.0, "keep"), contact(3, -0.1, "save")];
        let mine: Vec<&Value> = contacts.iter().collect();
        let html: String = advice(&mine).iter().map(ToString::to_string).collect();
        for part in
            ["+10.0 %-points", "satisfaction −0.50", "95 % −0.70 to −0.30, n 40", "120 % of its capacity", "−10.0"]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("sentiment"), "nothing is known of it: {html}");
        let html: String = advice(&[]).iter().map(ToString::to_string).collect();
        assert_eq!(html.matches("class=\"empty\"").count(), 2, "{html}");
    }

    #[test]
    fn costs_are_in_their_currency_or_in_what_there_is() {
        let contacts = [contact(1, 0.1, "invest")];
        let mine: Vec<&Value> = contacts.iter().collect();
        let html = |basis: &str, currency: &str| -> String {
            let record = json!({"cost_basis": basis, "currency": currency, "cost": 999, "credited": 2.5, "touchpoints": 5,
                "status": "provisional", "other": {"kinds": 7, "touchpoints": 70, "contribution": 0.01, "cost_share": 0.02}});
            of_month(&record).iter().chain(&ranking(&record, &mine)).map(ToString::to_string).collect()
        };
        assert!(html("cost", "JPY").contains("JPY 123,456") && html("cost", "KWD").contains("KWD 123.456"));
        assert!(html("effort", "EUR").contains("999 of effort") && html("touchpoints", "").contains("999 touchpoints"));
        let shown = html("cost", "EUR");
        let known = [
            "provisional",
            "invest",
            "120 %",
            "too few, n 3",
            "7 further kinds",
            "sums to zero",
            "csat 0.31",
            "0.10 to 0.50, n 64",
            "It is a correlation",
        ];
        for part in known {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn both_ends_of_a_long_ranking_are_drawn() {
        let contacts: Vec<Value> = (1..=40).map(|rank| contact(rank, 0.0, "keep")).collect();
        let mine: Vec<&Value> = contacts.iter().collect();
        let ranks: Vec<i64> = ends(&mine).iter().map(|contact| count_of(contact, "/rank")).collect();
        assert_eq!((ranks.len(), ranks[0], ranks[15]), (16, 1, 40));
        assert_eq!(ends(&mine[..3]).len(), 3);
    }
}
