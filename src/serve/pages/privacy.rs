//! An identifier of somebody who asks to be forgotten, or for their data, in; what would go, the erasure and its confirmation, or
//! everything that is kept of them, out.
//!
//! ```text
//!  identifier ─┬→ what would go → confirmed → command on insight.commands → when it was made, and when no byte is left
//!              └→ gathered → summary → one JSON document to hand over
//! ```

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::{
    Asker, answered,
    blocks::{Block, Field, Line, Page, Section, Table, code, columns, line, link, notice, paragraph, soft, text},
    failed,
    forms::{Asked, Form},
    redirect, shown,
    words::{self, count, count_of, href, instant, list_of, percent, text_of},
};
use crate::serve::{access::Role, http::inside::Refused};

const PATH: &str = "/customers/privacy";

pub(super) async fn page(asker: Asker, asked: Asked) -> Response {
    let page = made(&asker, &asked).await;
    answered(&asker, page)
}

fn may(asker: &Asker) -> Result<(), Refused> {
    if asker.may(&Role::Erase) {
        return Ok(());
    }
    Err(Refused {
        status: StatusCode::FORBIDDEN,
        title: "The token does not have the role".to_owned(),
        detail: "this needs the role erase".to_owned(),
    })
}

async fn made(asker: &Asker, asked: &Asked) -> Result<Page, Refused> {
    may(asker)?;
    let mut page = empty();
    match (asked.get("erasure"), asked.get("request")) {
        ("", "") => {}
        ("", request) => {
            // The data itself leaves when it is downloaded, and that is noted.
            let found = asker.get(&format!("/api/v1/access-requests/{}?document=false", percent(request))).await?;
            page.is_waiting = text_of(&found, "/status") == "running";
            page.sections.push(Section::new("request", "What is kept of the person", gathered(&found, request)));
        }
        (erasure, _) => {
            let at = asked.get("ordered_at");
            let of_this = [("ordered_at", at)];
            let of_this = if at.is_empty() { &[][..] } else { &of_this[..] };
            let found = asker.get(&href(&format!("/api/v1/erasures/{}", percent(erasure)), of_this)).await;
            page.is_waiting = found.as_ref().is_err_and(|refused| refused.status == StatusCode::NOT_FOUND);
            let blocks = match found {
                Ok(made) => erased(&made),
                Err(_) if page.is_waiting => vec![notice(
                    "info",
                    "The erasure is handed over and lasts; the hub has not said yet that it was made. This page asks again by itself.",
                )],
                Err(refused) => return Err(refused),
            };
            page.sections.push(Section::new("erasure", "The erasure", blocks));
        }
    }
    page.sections.push(Section::new("whose", "Whose data", vec![form(asker, "customer_id", "")]));
    Ok(page)
}

fn empty() -> Page {
    Page {
        title: "Erasure and access".to_owned(),
        nav: "/customers",
        lead: vec![
            text(
                "Somebody asks for what is kept of them, or to be forgotten. Each request is noted on insight.audit, with your token. ",
            ),
            link("/customers", "Customers"),
        ],
        ..Page::default()
    }
}

fn form(asker: &Asker, kind: &str, value: &str) -> Block {
    let kinds = asker.desk.rules().kinds().into_iter();
    let kinds = kinds.map(|kind| (kind.as_str().to_owned(), words::title(kind.as_str())));
    Block::Form {
        action: PATH.to_owned(),
        is_post: true,
        csrf: Some(asker.who.form_token()),
        fields: vec![
            Field::Select {
                name: "kind",
                label: "Kind of identifier",
                options: kinds.collect(),
                chosen: kind.to_owned(),
            },
            Field::Input {
                name: "value",
                label: "Identifier",
                kind: "text",
                value: value.to_owned(),
                hint: "Any one of the person; all that is theirs is meant.",
            },
            Field::Buttons {
                name: "step",
                options: vec![("look", "Show what an erasure would take"), ("gather", "Gather all that is kept")],
            },
        ],
        button: "",
    }
}

/// What somebody does here.
pub(super) async fn sent(asker: Asker, sent: Form) -> Response {
    let identifier = format!("{}:{}", sent.field("kind"), sent.field("value").trim());
    let outcome = match (may(&asker), sent.field("step")) {
        (Err(refused), _) => Err(refused),
        (Ok(()), "gather") => gather(&asker, &identifier).await,
        (Ok(()), "erase") if sent.field("sure") == "yes" => erase(&asker, &identifier).await,
        (Ok(()), step) => look(&asker, &sent, &identifier, step == "erase").await,
    };
    let (kind, value) = (sent.field("kind"), sent.field("value"));
    match outcome {
        Ok(response) => response,
        Err(refused) if matches!(refused.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) => {
            let wrong = match refused.status {
                StatusCode::NOT_FOUND => "Nobody is known by that identifier.",
                _ => "This is no identifier of that kind.",
            };
            let mut page = empty();
            page.top.push(notice("error", wrong));
            page.sections.push(Section::new("whose", "Whose data", vec![form(&asker, kind, value)]));
            shown(&asker.desk, Some(&asker.who), refused.status, &page)
        }
        Err(refused) => failed(&asker.desk, Some(&asker.who), &refused),
    }
}

async fn gather(asker: &Asker, identifier: &str) -> Result<Response, Refused> {
    let begun = asker.send("/api/v1/access-requests", &json!({ "identifier": identifier })).await?;
    Ok(redirect(&href(PATH, &[("request", text_of(&begun, "/request"))])))
}

async fn erase(asker: &Asker, identifier: &str) -> Result<Response, Refused> {
    let ordered = asker.send("/api/v1/erasures", &json!({ "identifier": identifier })).await?;
    let of = |field| text_of(&ordered, field);
    Ok(redirect(&href(PATH, &[("erasure", of("/erasure")), ("ordered_at", of("/ordered_at"))])))
}

/// What an erasure would take, and a form that asks whether it is to be.
async fn look(asker: &Asker, sent: &Form, identifier: &str, is_unsure: bool) -> Result<Response, Refused> {
    let goes = asker.send("/api/v1/erasures", &json!({ "identifier": identifier, "dry_run": true })).await?;
    let mut page = empty();
    if is_unsure {
        page.top.push(notice("error", "Nothing was erased: tick that it is the person who asked."));
    }
    page.sections.push(Section::new("goes", "What an erasure would take", what_goes(&goes)));
    let fields = vec![
        Field::Hidden { name: "kind", value: sent.field("kind").to_owned() },
        Field::Hidden { name: "value", value: sent.field("value").to_owned() },
        Field::Ticks {
            legend: "Are you sure?",
            name: "sure",
            options: vec![(
                "yes".to_owned(),
                "I have checked that this is the person who asked to be forgotten".to_owned(),
            )],
            is_needed: true,
        },
        Field::Buttons { name: "step", options: vec![("erase", "Erase for good")] },
    ];
    page.sections.push(Section::new(
        "sure",
        "Erase",
        vec![
            notice("warning", "There is no way back."),
            Block::Form {
                action: PATH.to_owned(),
                is_post: true,
                csrf: Some(asker.who.form_token()),
                fields,
                button: "",
            },
            Block::Text { line: vec![link(PATH, "Erase nothing")] },
        ],
    ));
    let status = if is_unsure { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok(shown(&asker.desk, Some(&asker.who), status, &page))
}

fn what_goes(goes: &Value) -> Vec<Block> {
    let spokes = goes.get("touchpoints").and_then(Value::as_object).into_iter().flatten();
    let rows: Vec<Vec<Line>> =
        spokes.map(|(spoke, n)| vec![line(spoke.clone()), line(count(n.as_i64().unwrap_or_default()))]).collect();
    let total: i64 =
        goes.get("touchpoints").and_then(Value::as_object).into_iter().flatten().filter_map(|(_, n)| n.as_i64()).sum();
    let identifiers: Vec<Vec<Line>> = list_of(goes, "/identity/identifiers")
        .iter()
        .map(|identifier| {
            vec![line(words::title(text_of(identifier, "/type"))), vec![code(text_of(identifier, "/value"))]]
        })
        .collect();
    let several = |n: i64, what: &str| format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" });
    let names = several(count_of(goes, "/identity/identifiers_total"), "identifier");
    vec![
        paragraph(format!(
            "The record of one person with {names} and {}, everything that was counted of them, and what still \
             comes late of the time until now. What happens later is somebody new. The departments’ own topics, and backups, are their \
             owners’ to clean.",
            several(total, "touchpoint")
        )),
        Table {
            caption: "Identifiers that go".to_owned(),
            columns: columns(["Kind", "Value"]),
            rows: identifiers,
            empty: "None is published.",
        }
        .into(),
        Table {
            caption: "Touchpoints that go".to_owned(),
            columns: columns(["Department", "#Touchpoints"]),
            rows,
            empty: "No touchpoint of theirs is kept.",
        }
        .into(),
    ]
}

fn erased(made: &Value) -> Vec<Block> {
    let at = |field: &str| line(instant(text_of(made, field)));
    vec![
        notice("done", "The person was erased."),
        Block::Facts {
            facts: vec![
                ("Erased at", at("/erased_at")),
                ("Everything up to", at("/erased_until")),
                ("No byte is left in topics and files of the hub by", at("/bytes_gone_by")),
                ("Named in the journal as", vec![code(text_of(made, "/erasure"))]),
            ],
        },
    ]
}

fn gathered(found: &Value, request: &str) -> Vec<Block> {
    match text_of(found, "/status") {
        "running" => {
            vec![notice("info", "It is being gathered from all feeds and files. This page asks again by itself.")]
        }
        "nobody" => vec![notice("info", "Nothing is kept of anybody by that identifier.")],
        "done" => {
            let n = |field: &str| line(count(count_of(found, &format!("/contents/{field}"))));
            let facts = Block::Facts {
                facts: vec![
                    ("Touchpoints", n("touchpoints")),
                    ("Alerts", n("alerts")),
                    ("Changes of identity", n("journal")),
                    ("Dead letters", n("rejected")),
                ],
            };
            let download = Block::Text {
                line: vec![
                    link(
                        href(&format!("{PATH}/document"), &[("request", request)]),
                        "Download it as one JSON document",
                    ),
                    soft(" – it is kept for a quarter of an hour, for your token alone. That you did is noted."),
                ],
            };
            vec![facts, download]
        }
        _ => vec![notice("error", "It could not be gathered; the log of the hub says why.")],
    }
}

/// Everything that was gathered, as a file.
pub(super) async fn document(asker: Asker, asked: Asked) -> Response {
    let found = match may(&asker) {
        Ok(()) => asker.get(&format!("/api/v1/access-requests/{}", percent(asked.get("request")))).await,
        Err(refused) => Err(refused),
    };
    let document = found.and_then(|mut found| match found.get_mut("document").map(Value::take) {
        Some(document) if !document.is_null() => Ok(document),
        _ => Err(Refused {
            status: StatusCode::NOT_FOUND,
            title: "It is not there".to_owned(),
            detail: "it is not gathered yet, or there is nothing of it".to_owned(),
        }),
    });
    match document {
        Ok(document) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (
                    header::CONTENT_DISPOSITION,
                    HeaderValue::from_static("attachment; filename=\"insight-access-request.json\""),
                ),
            ];
            (headers, format!("{document:#}")).into_response()
        }
        Err(refused) => failed(&asker.desk, Some(&asker.who), &refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(blocks: &[Block]) -> String {
        blocks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_would_go_is_named_before_it_goes() {
        let shown = html(&what_goes(
            &json!({"touchpoints": {"support": 3, "sales": 1200}, "identity": {"identifiers_total": 2,
            "identifiers": [{"type": "email", "value": "<a@x.org>"}, {"type": "order", "value": "o-1"}]}}),
        ));
        for part in
            ["with 2 identifiers and 1,203 touchpoints", "&#60;a@x.org&#62;", "o-1", "1,200", "owners’ to clean"]
        {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn a_request_says_how_far_it_is() {
        let shown = |status: &str| html(&gathered(&json!({ "status": status, "contents": {"touchpoints": 2} }), "r1"));
        assert!(shown("running").contains("asks again") && shown("nobody").contains("Nothing is kept"));
        assert!(shown("failed").contains("role=\"alert\""));
        let done = shown("done");
        assert!(done.contains("/customers/privacy/document?request=r1") && done.contains("<dd>2</dd>"), "{done}");
    }
}
