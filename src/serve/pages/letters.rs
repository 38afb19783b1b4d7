//! Dead letters in; a list by department, reason and day out, with what became wrong and how they are sent again.

use axum::response::Response;
use serde_json::Value;

use super::{
    Asker, answered,
    blocks::{Block, Field, Line, Page, Section, Table, badge, code, columns, line, link, paragraph, soft, text},
    choices::{asking, different, empty_of, spokes},
    forms::Asked,
    words::{self, count, count_of, href, instant, list_of, text_of},
};
use crate::{
    feeds::Feed,
    model::Reason,
    serve::{access::Role, http::inside::Refused},
};

/// Dead letters of a page.
const LIMIT: usize = 50;
/// There is no dead letter at all.
pub(super) const TAKEN_IN: &str = "Everything that arrived could be taken in.";
/// Characters of a record that are shown at once; the rest is folded away.
const SHOWN: usize = 160;

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    let [spoke, reason, from, to, cursor] = ["spoke", "reason", "from", "to", "cursor"].map(|name| asked.get(name));
    let filters = [("spoke", spoke), ("reason", reason), ("from", from), ("to", to)];
    let known = match asker.may(&Role::ReadMetrics) || asker.may(&Role::Operate) {
        true => different(&spokes(asker).await.unwrap_or_default(), "/spoke"),
        false => Vec::new(),
    };
    let mut page = Page {
        title: "Dead letters".to_owned(),
        nav: "/spokes",
        lead: vec![
            text("What departments sent and the hub could not take in, the newest first; of 10,000 at most. "),
            link("/spokes", "All departments"),
        ],
        feeds: vec![Feed::Rejected],
        ..Page::default()
    };
    let any = || std::iter::once((String::new(), "Any".to_owned()));
    let named = |word: &str| (word.to_owned(), words::title(word));
    let select = |name, label, options, chosen: &str| Field::Select { name, label, options, chosen: chosen.to_owned() };
    let day = |name, label, value: &str| Field::Input { name, label, kind: "date", value: value.to_owned(), hint: "" };
    page.top.push(asking(
        "/spokes/letters",
        vec![
            select("spoke", "Department", any().chain(known.iter().map(|it| named(it))).collect(), spoke),
            select("reason", "Why", any().chain(Reason::ALL.iter().map(|it| named(it.as_str()))).collect(), reason),
            day("from", "From", from),
            day("to", "Before", to),
        ],
    ));
    let path =
        href("/api/v1/dead-letters", &[&filters[..], &[("limit", &LIMIT.to_string()), ("cursor", cursor)]].concat());
    let found = asker.get(&path).await?;
    page.sections.push(Section::new("letters", "Dead letters", listed(&found, &filters, cursor)));
    page.sections.push(Section::new("again", "Sending them again", again(&filters)));
    Ok(page)
}

/// A page of them, and where it goes on.
fn listed(found: &Value, filters: &[(&str, &str)], cursor: &str) -> Vec<Block> {
    let none = match filters.iter().all(|(_, value)| value.is_empty()) {
        true => TAKEN_IN,
        false => "None of these is kept.",
    };
    let mut blocks = vec![table(found, cursor, "What could not be taken in".to_owned(), none).into()];
    let next = text_of(found, "/next");
    if !next.is_empty() {
        let older = href("/spokes/letters", &[filters, &[("cursor", next)]].concat());
        blocks.push(Block::Text { line: vec![link(older, "Older ones")] });
    }
    blocks
}

/// How what is chosen here is sent again.
fn again(filters: &[(&str, &str)]) -> Vec<Block> {
    let mut command = "insight-hub rejected replay".to_owned();
    for (name, value) in filters {
        // What is no plain word is no department's name, and nobody is to paste it.
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            let option = match *name {
                "from" => "since",
                "to" => "until",
                name => name,
            };
            command.push_str(&format!(" --{option} {value}"));
        }
    }
    vec![
        paragraph(
            "Once the mapping knows them, they are sent again from where the hub runs. First see what would be, then send:",
        ),
        Block::List { lines: vec![vec![code(format!("{command} --dry-run"))], vec![code(command)]] },
        Block::Text {
            line: vec![
                soft("What is sent again counts once, however often it is. "),
                link("/spokes/try", "Try a mapping on a record"),
            ],
        },
    ]
}

/// Dead letters with what was wrong. `found`: a page of them; `cursor`: where it begins; `none`: what it means that all were looked
/// through and there is none.
pub(super) fn table(found: &Value, cursor: &str, caption: String, none: &'static str) -> Table {
    Table {
        caption,
        columns: columns(["Topic, partition, offset", "Rejected", "Why", "What to do", "The record"]),
        rows: list_of(found, "/items").iter().map(row).collect(),
        empty: empty_of(found, cursor, none),
    }
}

fn row(letter: &Value) -> Vec<Line> {
    let content = match letter.get("value").and_then(Value::as_str) {
        None => vec![soft("withheld: that needs the role read:customers")],
        Some("") => vec![soft("empty")],
        Some(value) if value.chars().count() <= SHOWN => vec![code(value)],
        Some(value) => vec![
            code(value.chars().take(SHOWN).collect::<String>() + "…"),
            soft(format!(" of {} bytes", count(count_of(letter, "/value_bytes")))),
        ],
    };
    let field = text_of(letter, "/field");
    vec![
        line(format!(
            "{} {} {}",
            text_of(letter, "/topic"),
            count_of(letter, "/partition"),
            count_of(letter, "/offset")
        )),
        line(instant(text_of(letter, "/rejected_at"))),
        vec![
            badge("plain", words::word(text_of(letter, "/reason"))),
            soft(if field.is_empty() { String::new() } else { format!(" in {field}") }),
        ],
        line(text_of(letter, "/message")),
        content,
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_to_send_them_again_is_that_of_what_is_chosen() {
        let html = |filters: &[(&str, &str)]| again(filters).iter().map(ToString::to_string).collect::<String>();
        let shown =
            html(&[("spoke", "support"), ("reason", "bad_timestamp"), ("from", "2026-01-31"), ("to", "2026-02-01")]);
        let options = "--spoke support --reason bad_timestamp --since 2026-01-31 --until 2026-02-01 --dry-run";
        assert!(shown.contains(&format!("insight-hub rejected replay {options}")), "{shown}");
        let shown = html(&[("spoke", "x; rm -rf ~"), ("reason", "$(id)")]);
        assert!(!shown.contains("rm") && !shown.contains("id)"), "{shown}");
    }

    #[test]
    fn that_there_is_none_is_said_only_where_all_were_looked_at() {
        let html = |next: Value, filters: &[(&str, &str)], cursor: &str| {
            let found = json!({ "items": [], "next": next });
            listed(&found, filters, cursor).iter().map(ToString::to_string).collect::<String>()
        };
        assert!(html(Value::Null, &[("spoke", "")], "").contains(TAKEN_IN));
        for (filters, cursor) in [(&[][..], ""), (&[("spoke", "other")], ""), (&[("reason", "bad_timestamp")], "abc")] {
            let shown = html(json!("def"), filters, cursor);
            assert!(!shown.contains("Everything") && shown.contains("more to look at"), "{shown}");
            assert!(shown.contains("cursor=def") && shown.contains("Older ones"), "{shown}");
        }
        assert!(html(Value::Null, &[("spoke", "other")], "").contains("None of these is kept."));
        assert!(html(Value::Null, &[("spoke", "")], "abc").contains("There are no more."));
    }

    #[test]
    fn a_record_is_shown_as_text_as_far_as_there_is_room() {
        let letter = |value: Value| {
            json!({"topic": "t", "partition": 1, "offset": 2, "rejected_at": "2026-01-31T09:00:00Z", "reason": "bad_timestamp",
                "field": "at", "message": "write it so", "value": value, "value_bytes": 4_000})
        };
        let html = |value: Value| table(&json!({ "items": [letter(value)] }), "", "c".to_owned(), TAKEN_IN).to_string();
        assert!(html(json!("<script>")).contains("<code>&#60;script&#62;</code>"));
        assert!(html(Value::Null).contains("withheld") && html(json!("")).contains("empty"));
        let long = html(json!("é".repeat(SHOWN + 1)));
        assert!(long.contains(&format!("{}…", "é".repeat(SHOWN))) && long.contains("of 4,000 bytes"), "{long}");
    }
}
