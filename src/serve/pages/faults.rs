//! What cannot be shown, or not as it should be, in; a page that says so, and what to do, out.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{
    AGAIN_AFTER, Desk, Inside, Page, Visitor, Who,
    blocks::{link, notice, paragraph, text},
    is_read, redirect, secure, shown, whole,
    words::{self, href},
};
use crate::serve::http::inside::Refused;

/// A copy that is further behind than the records of a moment is worth a word.
const STALE_RECORDS: u64 = 5_000;

/// What went wrong, as a page.
pub(super) fn failed(desk: &Inside, who: Option<&Who>, refused: &Refused) -> Response {
    let mut response = shown(desk, who, refused.status, &in_a_page(refused));
    let waits = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    if waits.contains(&refused.status) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(AGAIN_AFTER));
    }
    response
}

pub(super) fn in_a_page(refused: &Refused) -> Page {
    let mut page = Page { title: refused.title.clone(), ..Page::default() };
    page.top.push(notice("error", format!("{}.", words::title(&refused.detail))));
    let more = match refused.status {
        StatusCode::FORBIDDEN => "Log in with a token that has the role; whoever runs the hub makes one.",
        StatusCode::TOO_MANY_REQUESTS => "Wait for some seconds, then load the page again.",
        StatusCode::SERVICE_UNAVAILABLE => "It is worth another try in some seconds.",
        status if status.is_server_error() => {
            "This is a fault of the hub. Whoever runs it finds the reason in its log, at this minute."
        }
        _ => "",
    };
    if !more.is_empty() {
        page.top.push(paragraph(more));
    }
    page.top.push(super::blocks::Block::Text { line: vec![link("/", "To the overview")] });
    page
}

/// Nothing can be shown before everything was read once.
pub(super) fn filling(desk: &Inside, who: &Who) -> Response {
    let mut page = Page { title: "The feeds are being read".to_owned(), is_waiting: true, ..Page::default() };
    let behind = words::count(whole(desk.view().progress().behind()));
    page.top.push(notice("info", format!("{behind} records are still to be read. This page tries again by itself.")));
    let mut response = shown(desk, Some(who), StatusCode::SERVICE_UNAVAILABLE, &page);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(AGAIN_AFTER));
    response
}

pub(super) fn late() -> Refused {
    Refused {
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "The answer took too long".to_owned(),
        detail: "ask for less at a time".to_owned(),
    }
}

/// The login that leads back to a path.
pub(super) fn to_login(path: &str) -> String {
    href("/login", &[("next", if path == "/" { "" } else { path })])
}

/// A form was sent by nobody any more.
pub(super) fn session_over(desk: &Inside, path: &str) -> Response {
    let mut page = Page { title: "The session is over".to_owned(), ..Page::default() };
    page.top.push(notice("error", "What you have sent was not taken: nobody is logged in any more."));
    let back = if path == "/logout" { "/" } else { path };
    page.top.push(super::blocks::Block::Text {
        line: vec![link(to_login(back), "Log in and go back"), text(", then send it once more.")],
    });
    shown(desk, None, StatusCode::UNAUTHORIZED, &page)
}

/// What people see who ask for an address that is no page; programs see what the API says.
pub(super) async fn in_words(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let is_of_people = !request.uri().path().starts_with("/api/") && accepts_pages(&request);
    let asked = is_of_people.then(|| {
        let path = request.uri().path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
        (Visitor::of(request.headers(), desk.over_tls()), path, is_read(request.method()))
    });
    let response = next.run(request).await;
    let status = response.status();
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let is_wrong = status.is_client_error() || status.is_server_error();
    let Some((visitor, path, is_read)) = asked.filter(|_| is_wrong && !is_page) else { return response };
    let who = visitor.who(&desk);
    let mut response = match who {
        Err(refused) if refused.status == StatusCode::UNAUTHORIZED && is_read => redirect(&to_login(&path)),
        who => failed(&desk, who.ok().as_ref(), &no_page(status)),
    };
    secure(&mut response);
    response
}

/// Why an address shows nothing. A session is none of the API's, which says of an unknown address that a token is needed.
fn no_page(status: StatusCode) -> Refused {
    let (status, title, detail) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => {
            (StatusCode::NOT_FOUND, "There is no such page", "the address is wrong, or is no page any more")
        }
        StatusCode::METHOD_NOT_ALLOWED => (status, "This page takes no such request", "open it from another page"),
        StatusCode::TOO_MANY_REQUESTS => (status, "Too many requests", "too much was asked at a time"),
        status if status.is_server_error() => (status, "Something does not work here", "the page cannot be made"),
        status => (status, "The request is wrong", "the address or what was sent is not as it should be"),
    };
    Refused { status, title: title.to_owned(), detail: detail.to_owned() }
}

fn accepts_pages(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accepted.is_some_and(|accepted| accepted.split(',').any(|kind| kind.trim().starts_with("text/html")))
}

/// What is said where the copy of the feeds is not up to date; and how it does, for the foot of a page.
pub(super) fn state(desk: &Inside) -> (Option<String>, String) {
    let progress = desk.view().progress();
    let as_of = desk.view().whole_until_ms().map(|at| (at, desk.now_ms()));
    said(progress.status(), progress.is_complete(), progress.behind(), as_of)
}

/// The same of a status; `as_of`: when it was up to date last, and now, in milliseconds since 1970.
fn said(status: &str, is_complete: bool, behind: u64, as_of: Option<(i64, i64)>) -> (Option<String>, String) {
    let behind_words = words::count(whole(behind));
    let of = as_of.map_or_else(String::new, |(at, now)| {
        let ago = now.saturating_sub(at).max(0) / 1_000;
        let ago = if ago < 60 { format!("{ago} s") } else { words::duration(ago as f64) };
        format!(" It is of {}, {ago} ago.", words::moment(at))
    });
    let state = match status {
        "current" => "Current: everything that the feeds hold is shown.".to_owned(),
        "stalled" => "The copy of the feeds that is shown here does not follow them at present.".to_owned(),
        "filling" => format!("The feeds are still being read: {behind_words} records to go."),
        _ => format!("{behind_words} records of the feeds are still to be taken over."),
    };
    let stale = match status {
        _ if !is_complete => None,
        "stalled" => Some(format!(
            "What is shown here may be old: the copy of the feeds does not follow them at present.{of} The log of the hub says why."
        )),
        _ if behind > STALE_RECORDS => {
            Some(format!("What is shown here is behind the feeds by {behind_words} records and catches up.{of}"))
        }
        _ => None,
    };
    (stale, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_how_old_it_is_when_it_is_not_up_to_date() {
        let as_of = Some((1_769_850_000_000, 1_769_850_185_000));
        let stale = |status: &str, behind| said(status, true, behind, as_of).0;
        assert_eq!(stale("current", 0), None);
        assert_eq!(stale("behind", STALE_RECORDS), None, "the records of a moment");
        let behind = stale("behind", STALE_RECORDS + 1).expect("a word");
        assert!(behind.contains("by 5,001 records") && behind.contains("31 Jan 2026 09:00 UTC, 3 min ago"), "{behind}");
        let stalled = stale("stalled", 0).expect("a word");
        assert!(stalled.contains("may be old") && stalled.contains("3 min ago"), "{stalled}");
        assert_eq!(said("stalled", false, 9, None).0, None, "nothing is shown yet");
        assert!(said("stalled", true, 9, None).0.is_some_and(|words| !words.contains("ago")));
    }

    #[test]
    fn what_went_wrong_says_what_to_do() {
        let page = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            let page = in_a_page(&Refused { status, title: "T".to_owned(), detail: "the <b>detail</b>".to_owned() });
            (page.title, page.top.iter().map(ToString::to_string).collect::<String>())
        };
        for (status, word) in
            [(403, "has the role"), (404, "overview"), (429, "some seconds"), (500, "in its log"), (503, "another try")]
        {
            let (title, html) = page(status);
            assert!(title == "T" && html.contains("role=\"alert\"") && html.contains(word), "{status}: {html}");
            assert!(html.contains("The &#60;b&#62;detail"), "{html}");
        }
        assert_eq!(no_page(StatusCode::UNAUTHORIZED).status, StatusCode::NOT_FOUND);
        for status in [404, 405, 400, 429, 500] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(no_page(status).status, status);
        }
    }
}
