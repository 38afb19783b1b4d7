//! Identifiers that do not link although they were seen together in; whose they are now, and a decision about them, out.
//!
//! ```text
//!  pairs, or identifiers that are typed → look: whom each names now → decide → command on insight.commands → done, with its undo
//! ```
//!
//! Everything with an identifier goes by POST, so that none is in an address, a history or a log.

use std::collections::BTreeSet;

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    Asker, answered,
    blocks::{
        Act, Block, Field, Line, Page, Piece, Section, Sent, Table, badge, code, columns, line, link, notice,
        paragraph, soft, text,
    },
    customers::{named, shortened},
    failed,
    forms::{Asked, Form},
    redirect, shown,
    words::{self, count, count_of, href, list_of, percent, text_of},
};
use crate::{
    feeds::Feed,
    model::Name,
    serve::{access::Role, http::inside::Refused},
};

const PATH: &str = "/customers/review";
/// Persons of a page.
const LIMIT: usize = 50;
/// Identifiers whose persons are looked at before a decision.
const LOOKED_AT: usize = 12;
/// Identifiers that a person can be split by with ticks; of more, they are typed.
const TICKS: usize = 60;
/// Identifiers of a person that are named in a cell.
const NAMED: usize = 6;

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let cursor = asked.get("cursor");
    let path = href("/api/v1/identity/conflicts", &[("limit", LIMIT.to_string().as_str()), ("cursor", cursor)]);
    let found = asker.get(&path).await?;
    let mut page = empty();
    page.feeds = vec![Feed::Identities];
    page.top.extend(done(asker, asked));
    let persons = list_of(&found, "/items");
    let mut blocks = vec![conflicts(asker, persons.iter().map(|person| (person, list_of(person, "/seen"))))];
    let next = text_of(&found, "/next");
    if !next.is_empty() {
        blocks.push(Block::Text { line: vec![link(href(PATH, &[("cursor", next)]), "The next ones")] });
    }
    page.sections.push(Section::new("pairs", "Pairs that were seen together and do not link", blocks));
    page.sections.push(Section::new("persons", "Persons who need a look", vec![suspicious(asker, persons)]));
    if !asker.may(&Role::Review) {
        let words = "Deciding needs the role review.";
        page.sections.push(Section::new("decide", "Decide", vec![notice("info", words)]));
        return Ok(page);
    }
    page.sections.push(Section::new("decide", "Decide about identifiers", vec![typed(asker, "link", "", "")]));
    page.sections.push(Section::new("undo", "Take a decision back", vec![undo_form(asker)]));
    Ok(page)
}

fn empty() -> Page {
    Page {
        title: "Identity review".to_owned(),
        nav: "/customers",
        lead: vec![
            text("Who is one person: what the hub left open, and what people decide. A decision can be taken back. "),
            link("/customers", "Customers"),
        ],
        ..Page::default()
    }
}

/// The pairs of persons' records that do not link, each with which touchpoints name both; each can be looked at by who may decide.
pub(super) fn conflicts<'v>(asker: &Asker, persons: impl Iterator<Item = (&'v Value, &'v [Value])>) -> Block {
    let sees = asker.may(&Role::ReadCustomers);
    let rows = persons.flat_map(|(record, seen)| {
        let person = text_of(record, "/person");
        list_of(record, "/conflicts").iter().enumerate().map(move |(place, conflict)| {
            let (stronger, weaker) = (&conflict["stronger"], &conflict["weaker"]);
            let decided = conflict.get("decided").and_then(Value::as_bool) == Some(true);
            let mut why = line(words::word(text_of(conflict, "/rule")));
            if decided {
                why.push(soft(", although an operator linked them"));
            }
            vec![
                line(named(stronger)),
                line(named(weaker)),
                why,
                seen.get(place).map_or_else(Line::new, seen_together),
                if sees {
                    vec![link(format!("/customers/{}", percent(person)), shortened(person))]
                } else {
                    line(shortened(person))
                },
                look_at(asker, stronger, weaker).into_iter().collect(),
            ]
        })
    });
    Table {
        caption: "Pairs, by person".to_owned(),
        columns: columns(["Stronger", "Weaker", "Why not", "Seen together", "Person", "Decide"]),
        rows: rows.collect(),
        empty: "No pair that was seen together is left unlinked.",
    }
    .into()
}

/// Identifiers that too many share, and persons close to a limit.
fn suspicious(asker: &Asker, persons: &[Value]) -> Block {
    let sees = asker.may(&Role::ReadCustomers);
    let mut rows = Vec::new();
    for record in persons {
        let mut why: Vec<String> = Vec::new();
        if record.get("shared").and_then(Value::as_bool) == Some(true) {
            why.push("shared by many: it links nobody".to_owned());
        }
        why.extend(list_of(record, "/close_to_limits").iter().map(|close| {
            let [has, limit] = ["/count", "/limit"].map(|of| count(count_of(close, of)));
            format!("close to a limit: {has} of {limit} {}", words::word(text_of(close, "/type")))
        }));
        if why.is_empty() {
            continue;
        }
        let person = text_of(record, "/person");
        rows.push(vec![
            line(named(&record["strongest"])),
            line(why.join("; ")),
            line(count(count_of(record, "/identifiers_total"))),
            if sees {
                vec![link(format!("/customers/{}", percent(person)), shortened(person))]
            } else {
                line(shortened(person))
            },
        ]);
    }
    Table {
        caption: "Shared identifiers, and persons close to a limit".to_owned(),
        columns: columns(["Strongest identifier", "Why", "#Identifiers", "Person"]),
        rows,
        empty: "Nobody of these is shared or close to a limit.",
    }
    .into()
}

/// How often two were seen together, when and by which departments.
fn seen_together(seen: &Value) -> Line {
    let touchpoints = count_of(seen, "/touchpoints");
    let is_whole = seen.get("is_whole").and_then(Value::as_bool) == Some(true);
    if touchpoints == 0 {
        let words = if is_whole { "in no touchpoint that counts" } else { "not in the newest touchpoints" };
        return vec![soft(words)];
    }
    let [first, last] = ["/first/occurred_at", "/last/occurred_at"].map(|at| words::day(text_of(seen, at)));
    let mut line = line(format!("{} times, ", count(touchpoints)));
    if touchpoints == 1 {
        line = vec![text("once, ")];
    }
    line.push(text(if first == last { first } else { format!("{first} to {last}") }));
    let by = seen.get("by_spoke").and_then(Value::as_object).into_iter().flatten();
    let by: Vec<String> =
        by.map(|(spoke, number)| format!("{spoke} {}", count(number.as_i64().unwrap_or(0)))).collect();
    line.push(soft(format!(", by {}", by.join(", "))));
    if !is_whole {
        line.push(soft("; of the newest touchpoints"));
    }
    line
}

/// As the API names it.
fn name_of(identifier: &Value) -> String {
    format!("{}:{}", text_of(identifier, "/type"), text_of(identifier, "/value"))
}

/// As a decision takes it that somebody sees so: whose values are withheld sees `#` and the keyed hash in the place of each.
fn decided_name(asker: &Asker, identifier: &Value) -> String {
    match asker.may(&Role::ReadCustomers) {
        true => name_of(identifier),
        false => format!("{}{}", text_of(identifier, "/type"), text_of(identifier, "/value")),
    }
}

/// A button that shows whose both are; where identifiers are published as they are and something can be decided.
fn look_at(asker: &Asker, one: &Value, other: &Value) -> Option<Piece> {
    if !asker.may(&Role::Review) || !asker.desk.shows_identifiers() || text_of(one, "/type").is_empty() {
        return None;
    }
    let fields = vec![
        ("csrf", asker.who.form_token()),
        ("step", "look".to_owned()),
        ("identifiers", format!("{}\n{}", decided_name(asker, one), decided_name(asker, other))),
    ];
    let about = format!("{} and {}", named(one), named(other));
    Some(Piece::Act { act: Act { action: PATH, fields: Sent { fields }, button: "Look at both", about } })
}

/// A form for a person's identifiers, some of which are somebody else's.
pub(super) fn split_form(asker: &Asker, record: &Value) -> Option<Block> {
    let all = list_of(record, "/person/identifiers");
    if !asker.may(&Role::Review) || all.len() < 2 {
        return None;
    }
    if !asker.desk.shows_identifiers() || all.len() > TICKS {
        return Some(Block::Text { line: vec![link(PATH, "Decide who is one person, by typing the identifiers")] });
    }
    let options = all.iter().map(|identifier| (name_of(identifier), named(identifier))).collect();
    let form = Block::Form {
        action: PATH.to_owned(),
        is_post: true,
        csrf: Some(asker.who.form_token()),
        fields: vec![
            Field::Hidden { name: "step", value: "look".to_owned() },
            Field::Hidden { name: "decision", value: "split".to_owned() },
            Field::Hidden { name: "person", value: text_of(record, "/person/person").to_owned() },
            Field::Ticks { legend: "Identifiers of somebody else", name: "identifiers", options, is_needed: false },
        ],
        button: "Show what a split would part",
    };
    Some(Block::Details { summary: "Split this person".to_owned(), blocks: vec![form] })
}

fn typed(asker: &Asker, decision: &str, identifiers: &str, from: &str) -> Block {
    let pair = |value: &str, text: &str| (value.to_owned(), text.to_owned());
    Block::Form {
        action: PATH.to_owned(),
        is_post: true,
        csrf: Some(asker.who.form_token()),
        fields: vec![
            Field::Hidden { name: "step", value: "look".to_owned() },
            Field::Select {
                name: "decision",
                label: "Decision",
                options: vec![
                    pair("link", "These are one person, over shared identifiers and limits"),
                    pair("never_link", "Every two of these are never one person"),
                    pair("split", "None of these is one person with any of the others"),
                ],
                chosen: decision.to_owned(),
            },
            Field::Area {
                name: "identifiers",
                label: "These identifiers, one on each line: email:ann@example.org",
                value: identifiers.to_owned(),
                rows: 3,
            },
            Field::Area { name: "from", label: "The others, of a split", value: from.to_owned(), rows: 3 },
        ],
        button: "Show whose they are",
    }
}

fn undo_form(asker: &Asker) -> Block {
    Block::Form {
        action: PATH.to_owned(),
        is_post: true,
        csrf: Some(asker.who.form_token()),
        fields: vec![
            Field::Hidden { name: "step", value: "undo".to_owned() },
            Field::Input {
                name: "command",
                label: "The decision’s command",
                kind: "text",
                value: String::new(),
                hint: "As it was told when it was decided. Taking it back can be taken back as well.",
            },
        ],
        button: "Take it back",
    }
}

/// What was decided, with a button that takes it back.
fn done(asker: &Asker, asked: &Asked) -> Vec<Block> {
    let command = asked.get("done");
    if command.is_empty() || command.len() > 128 {
        return Vec::new();
    }
    let said = vec![
        text(
            "The decision is handed over and lasts. The hub takes it at once; feeds and pages follow. Its command is ",
        ),
        code(command),
        text("."),
    ];
    let undo = asker.may(&Role::Review).then(|| Block::Form {
        action: PATH.to_owned(),
        is_post: true,
        csrf: Some(asker.who.form_token()),
        fields: vec![
            Field::Hidden { name: "step", value: "undo".to_owned() },
            Field::Hidden { name: "command", value: command.to_owned() },
        ],
        button: "Take this decision back",
    });
    std::iter::once(Block::Notice { kind: "done", line: said }).chain(undo).collect()
}

/// What somebody does here.
pub(super) async fn sent(asker: Asker, sent: Form) -> Response {
    let outcome = match sent.field("step") {
        "decide" => decided(&asker, &decision(&sent)).await,
        "undo" => decided(&asker, &json!({ "decision": "undo", "command": sent.field("command").trim() })).await,
        _ => look(&asker, &sent).await,
    };
    match outcome {
        Ok(response) => response,
        Err(refused) => failed(&asker.desk, Some(&asker.who), &refused),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// The document of a decision that was looked at.
fn decision(sent: &Form) -> Value {
    let (word, identifiers) = (sent.field("decision"), lines(sent.field("identifiers")));
    match word {
        "split" => json!({ "decision": word, "identifiers": identifiers, "from": lines(sent.field("from")) }),
        word => json!({ "decision": word, "identifiers": identifiers }),
    }
}

async fn decided(asker: &Asker, document: &Value) -> Result<Response, Refused> {
    let ordered = asker.send("/api/v1/identity/decisions", document).await?;
    Ok(redirect(&href(PATH, &[("done", text_of(&ordered, "/command"))])))
}

/// Whose the identifiers are, before anything is decided.
async fn look(asker: &Asker, sent: &Form) -> Result<Response, Refused> {
    if !asker.may(&Role::Review) {
        return Err(Refused {
            status: StatusCode::FORBIDDEN,
            title: "The token does not have the role".to_owned(),
            detail: "this needs the role review".to_owned(),
        });
    }
    let word = sent.field("decision");
    let identifiers: Vec<String> = sent.all("identifiers").flat_map(lines).collect();
    let from = match sent.field("person") {
        "" => lines(sent.field("from")),
        person => others(asker, person, &identifiers).await?,
    };
    let is_enough = if word == "split" { !identifiers.is_empty() && !from.is_empty() } else { identifiers.len() > 1 };
    let mut page = empty();
    if !is_enough {
        let words = match word {
            "split" => "A split needs at least one identifier on each side.",
            _ => "Write at least two identifiers, one on each line.",
        };
        page.top.push(notice("error", words));
        page.top.push(typed(asker, word, &identifiers.join("\n"), &from.join("\n")));
        return Ok(shown(&asker.desk, Some(&asker.who), StatusCode::BAD_REQUEST, &page));
    }
    let evidence = match asker.may(&Role::ReadCustomers) {
        true => evidence(asker, &identifiers, &from).await?,
        false => vec![notice("info", "Whose they are is withheld: that needs the role read:customers.")],
    };
    page.sections.push(Section::new("evidence", "Whose they are now", evidence));
    page.sections.push(Section::new("decide", "Decide", confirm(asker, word, &identifiers, &from)));
    Ok(shown(&asker.desk, Some(&asker.who), StatusCode::OK, &page))
}

/// The identifiers of a person that are not among some.
async fn others(asker: &Asker, person: &str, some: &[String]) -> Result<Vec<String>, Refused> {
    let found = asker.get(&format!("/api/v1/customers/{}/identity", percent(person))).await?;
    let all = list_of(&found, "/person/identifiers").iter().map(name_of);
    Ok(all.filter(|name| !some.contains(name)).collect())
}

/// A row for each identifier, with the person whom it names.
async fn evidence(asker: &Asker, identifiers: &[String], from: &[String]) -> Result<Vec<Block>, Refused> {
    let (mut rows, mut persons) = (Vec::new(), BTreeSet::new());
    let all = identifiers.iter().chain(from);
    for (at, identifier) in all.take(LOOKED_AT).enumerate() {
        let mut what = line(identifier.clone());
        if !from.is_empty() {
            what.extend([text(" "), badge("plain", if at < identifiers.len() { "one side" } else { "the other" })]);
        }
        // The API finds a keyed hash as it finds an id of the feeds.
        let sought = Name::of_hash(identifier).map_or_else(|| identifier.clone(), |name| name.id.to_string());
        match asker.get(&format!("/api/v1/customers/{}", percent(&sought))).await {
            Ok(record) => {
                let is_new = persons.insert(text_of(&record, "/person").to_owned());
                rows.push(known(what, &record, is_new));
            }
            Err(refused) if refused.status == StatusCode::NOT_FOUND => {
                rows.push(vec![what, vec![soft("nobody is known by it")], Line::new(), Line::new(), Line::new()]);
            }
            Err(refused) => return Err(refused),
        }
    }
    let n = identifiers.len() + from.len();
    let mut blocks = vec![
        paragraph(match persons.len() {
            0 => "They name nobody at present; a decision holds for what is still to come.".to_owned(),
            1 => "They are one person now.".to_owned(),
            n => format!("They are {n} persons now."),
        }),
        Table {
            caption: "Each identifier, and the person whom it names".to_owned(),
            columns: columns(["Identifier", "Person", "Seen", "#Touchpoints", "All identifiers of the person"]),
            rows,
            empty: "",
        }
        .into(),
    ];
    if n > LOOKED_AT {
        blocks.push(paragraph(format!("{} more are not looked at here.", count(words::many(n - LOOKED_AT)))));
    }
    Ok(blocks)
}

/// `is_new`: the person is in no row before.
fn known(what: Line, record: &Value, is_new: bool) -> Vec<Line> {
    let person = text_of(record, "/person");
    if !is_new {
        let same = line(format!("{}, as above", shortened(person)));
        return vec![what, same, Line::new(), Line::new(), Line::new()];
    }
    let of_types = record.get("identifiers").and_then(Value::as_object).into_iter().flatten();
    let all: Vec<String> = of_types
        .flat_map(|(kind, values)| {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            values.map(move |value| format!("{} {value}", words::word(kind)))
        })
        .collect();
    let mut names = line(all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "));
    if all.len() > NAMED {
        names.push(soft(format!(", and {} more", count(words::many(all.len() - NAMED)))));
    }
    vec![
        what,
        vec![link(format!("/customers/{}", percent(person)), shortened(person))],
        vec![
            text(words::day(text_of(record, "/first_seen"))),
            soft(" to "),
            text(words::day(text_of(record, "/last_seen"))),
        ],
        line(count(count_of(record, "/touchpoints"))),
        names,
    ]
}

/// What can be decided, with what comes of it.
fn confirm(asker: &Asker, word: &str, identifiers: &[String], from: &[String]) -> Vec<Block> {
    let link = ("link", "They are one person");
    let never = ("never_link", "They are never one person");
    let (options, says) = match word {
        "link" => (vec![link], "They become one person, over shared identifiers and limits: their timelines are one."),
        "never_link" => (vec![never], "Every two of them are never one person, by any path, whatever is seen later."),
        "split" => (
            vec![("split", "Split them")],
            "None of one side is one person with any of the other, whatever is seen later. Touchpoints go with the identifiers that they came with.",
        ),
        _ => (
            vec![link, never],
            "One person: over shared identifiers and limits, their timelines are one. Never: by no path, whatever is seen later.",
        ),
    };
    vec![
        paragraph(format!("{says} It is noted on insight.audit with your token, and can be taken back.")),
        Block::Form {
            action: PATH.to_owned(),
            is_post: true,
            csrf: Some(asker.who.form_token()),
            fields: vec![
                Field::Hidden { name: "step", value: "decide".to_owned() },
                Field::Hidden { name: "identifiers", value: identifiers.join("\n") },
                Field::Hidden { name: "from", value: from.join("\n") },
                Field::Buttons { name: "decision", options },
            ],
            button: "",
        },
        Block::Text { line: vec![super::blocks::link(PATH, "Decide nothing")] },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Form {
        Form::of(body.as_bytes())
    }

    #[test]
    fn what_was_looked_at_is_what_is_decided() {
        let identifiers = "identifiers=email%3Aa%40x.org%0D%0A+phone%3A%2B31201234567+%0A%0A";
        assert_eq!(
            decision(&form(&format!("decision=never_link&{identifiers}&from=email%3Ab"))),
            json!({"decision": "never_link", "identifiers": ["email:a@x.org", "phone:+31201234567"]})
        );
        assert_eq!(
            decision(&form(&format!("decision=split&{identifiers}&from=email%3Ab"))),
            json!({"decision": "split", "identifiers": ["email:a@x.org", "phone:+31201234567"], "from": ["email:b"]})
        );
    }

    #[test]
    fn who_saw_a_pair_and_when_is_told_in_words() {
        let shown = |seen: &Value| seen_together(seen).iter().map(ToString::to_string).collect::<String>();
        let moment = |at: &str| json!({"occurred_at": at, "spoke": "web", "id": null, "kind": "page_viewed"});
        let mut seen = json!({"touchpoints": 1200, "by_spoke": {"sales": 1, "web": 1199}, "is_whole": true,
            "first": moment("2026-01-31T09:00:00Z"), "last": moment("2026-02-01T09:00:00Z")});
        let words = shown(&seen);
        for part in ["1,200 times", "31 Jan 2026 to 1 Feb 2026", "by sales 1, web 1,199"] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert!(!words.contains("newest"), "{words}");
        seen["is_whole"] = json!(false);
        assert!(shown(&seen).contains("of the newest touchpoints"));
        let one = json!({"touchpoints": 1, "by_spoke": {"web": 1}, "is_whole": true,
            "first": moment("2026-01-31T09:00:00Z"), "last": moment("2026-01-31T09:00:00Z")});
        let words = shown(&one);
        assert!(words.contains("once, ") && !words.contains(" to "), "{words}");
        let none = json!({"touchpoints": 0, "by_spoke": {}, "is_whole": true, "first": null, "last": null});
        assert!(shown(&none).contains("in no touchpoint"));
    }

    #[test]
    fn a_person_is_shown_with_some_of_many_identifiers() {
        let orders: Vec<String> = (0..9).map(|at| format!("o-{at}")).collect();
        let record = json!({"person": "0123456789abcdef0123456789abcdef", "first_seen": "2026-01-31T09:00:00Z",
            "last_seen": "2026-02-01T09:00:00Z", "touchpoints": 1200, "identifiers": {"order": orders}});
        let html: String = known(line("email:a"), &record, true).iter().flatten().map(ToString::to_string).collect();
        for part in ["01234567…", "1,200", "order o-5", "and 3 more", "31 Jan 2026"] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("o-6"), "{html}");
        let again: String = known(line("email:b"), &record, false).iter().flatten().map(ToString::to_string).collect();
        assert!(again.contains("01234567…, as above") && !again.contains("o-5"), "{again}");
    }
}
