//! An alert or a priority in; a button that says that somebody has seen it, and what comes of it, out.

use axum::response::Response;
use serde_json::{Value, json};

use super::{
    Asker,
    blocks::{Act, Block, Line, Piece, Sent, badge, notice, soft, text},
    failed,
    forms::Form,
    redirect,
    words::{href, percent, text_of},
};
use crate::serve::access::Role;

/// What of an address is kept when its page is shown again.
const OF_ALERTS: [&str; 3] = ["cause", "state", "owner"];

/// How its reader says that something was seen.
pub(super) struct Sign {
    csrf: String,
    back: Vec<(&'static str, String)>,
}

/// For who may do so, on a page of alerts with these filters.
pub(super) fn sign_of_alerts(asker: &Asker, filters: [&str; 3]) -> Option<Sign> {
    let back = OF_ALERTS.into_iter().zip(filters.map(str::to_owned)).collect();
    asker.may(&Role::Review).then(|| Sign { csrf: asker.who.form_token(), back })
}

/// For who may do so, on the page of a month's priorities.
pub(super) fn sign_of(asker: &Asker, month: &str) -> Option<Sign> {
    let back = vec![("month", month.to_owned())];
    asker.may(&Role::Review).then(|| Sign { csrf: asker.who.form_token(), back })
}

impl Sign {
    /// A button for an alert; `about`: what it is about.
    pub(super) fn of_alert(&self, id: &str, about: &str) -> Piece {
        self.piece("/alerts", "alert", id, about)
    }

    /// A button for a priority.
    pub(super) fn of_priority(&self, id: &str, about: &str) -> Piece {
        self.piece("/priorities", "priority", id, about)
    }

    fn piece(&self, action: &'static str, name: &'static str, id: &str, about: &str) -> Piece {
        let mut fields = vec![("csrf", self.csrf.clone()), (name, id.to_owned())];
        fields.extend(self.back.iter().filter(|(_, value)| !value.is_empty()).cloned());
        let act = Act { action, fields: Sent { fields }, button: "Acknowledge", about: about.to_owned() };
        Piece::Sign { id: id.to_owned(), act }
    }
}

pub(super) fn is_acknowledged(record: &Value) -> bool {
    record.get("acknowledged_by").is_some_and(|by| !by.is_null())
}

/// That it was seen, and by whom if they said.
pub(super) fn badge_of(record: &Value) -> Line {
    if !is_acknowledged(record) {
        return Line::new();
    }
    let mut words = vec![text(" "), badge("good", "acknowledged")];
    let by = text_of(record, "/acknowledged_by");
    if !by.is_empty() {
        words.push(soft(format!(" by {by}")));
    }
    words
}

/// What is said when somebody comes back from it.
pub(super) fn done(done: &str) -> Option<Block> {
    (done == "acknowledged")
        .then(|| notice("done", "It is handed over that this was seen. The list shows it in some seconds."))
}

pub(super) async fn alert(asker: Asker, sent: Form) -> Response {
    send(&asker, &sent, ("alerts", "alert"), &OF_ALERTS).await
}

pub(super) async fn priority(asker: Asker, sent: Form) -> Response {
    send(&asker, &sent, ("priorities", "priority"), &["month"]).await
}

async fn send(asker: &Asker, sent: &Form, (list, name): (&str, &str), back: &[&'static str]) -> Response {
    let path = format!("/api/v1/{list}/{}/acknowledgement", percent(sent.field(name)));
    match asker.send(&path, &json!({ "by": sent.field("by").trim() })).await {
        Ok(_) => {
            let kept = back.iter().map(|name| (*name, sent.field(name)));
            let back: Vec<(&str, &str)> = std::iter::once(("done", "acknowledged")).chain(kept).collect();
            redirect(&href(&format!("/{list}"), &back))
        }
        Err(refused) => failed(&asker.desk, Some(&asker.who), &refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_seen_something_is_named_if_they_said_so() {
        let words = |by: Value| badge_of(&json!({ "acknowledged_by": by })).iter().map(ToString::to_string).collect();
        let words: [String; 3] = [words(Value::Null), words(json!("")), words(json!("<b>Mo"))];
        assert!(words[0].is_empty() && words[1].contains("acknowledged") && !words[1].contains(" by "));
        assert!(words[2].contains("by &#60;b&#62;Mo"), "{}", words[2]);
    }

    #[test]
    fn a_button_sends_what_it_is_about_and_where_its_page_was() {
        let sign = Sign { csrf: "c".to_owned(), back: vec![("cause", "x".to_owned()), ("owner", String::new())] };
        let html = sign.of_alert("0a", "an alert").to_string();
        for part in [
            "action=\"/alerts\" method=\"post\"",
            "name=\"alert\" value=\"0a\"",
            "name=\"cause\" value=\"x\"",
            "for=\"by-0a\"",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("owner"), "{html}");
    }
}
