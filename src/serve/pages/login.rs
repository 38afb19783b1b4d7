//! A token in, a session out, and its end.

use axum::{
    Extension,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::Response,
};

use super::{
    Asker, Desk, LOGIN_BYTES_MAX, Refused,
    blocks::{Block, Field, Page, line, notice, paragraph},
    failed,
    forms::{self, Asked, Form},
    redirect, shown,
    visitor::Visitor,
};
use crate::{
    serve::{access::Refusal, http::inside::Inside},
    telemetry::Event,
};

/// The form.
pub(super) async fn page(State(desk): State<Desk>, Extension(visitor): Extension<Visitor>, asked: Asked) -> Response {
    shown(&desk, None, StatusCode::OK, &form(&desk, &visitor, within(asked.get("next")), None))
}

/// A login whose token can be checked: the company's keys for it were asked for, if they had to be.
pub(super) async fn prepared(desk: &Inside, request: Request) -> Result<Request, Refused> {
    if request.method() != Method::POST {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LOGIN_BYTES_MAX).await.map_err(|_| forms::too_long(LOGIN_BYTES_MAX))?;
    let sent = forms::fields(&body).unwrap_or_default();
    if let Some((_, token)) = sent.iter().find(|(name, _)| name == "token") {
        desk.access().prepare_for(token.trim()).await;
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// Its answer: a session, or the form again.
pub(super) async fn log_in(
    State(desk): State<Desk>,
    Extension(visitor): Extension<Visitor>,
    form_sent: Form,
) -> Response {
    let next = within(form_sent.field("next"));
    let session = match desk.access().log_in(form_sent.field("token")) {
        Ok(session) => session,
        Err(error) => return failed(&desk, None, &Inside::failed(&error)),
    };
    if session == Err(Refusal::Unready) {
        let later = "Tokens of your company’s login cannot be checked yet: its keys are not there. Try again in a while; the log of the hub \
                     says why.";
        return shown(&desk, None, StatusCode::SERVICE_UNAVAILABLE, &form(&desk, &visitor, next, Some(later)));
    }
    desk.telemetry().emit(Event::LoggedIn { accepted: session.is_ok() });
    let Ok(secret) = session else {
        if let Err(refused) = desk.take_refused() {
            return failed(&desk, None, &refused);
        }
        let wrong = "This token is none of this hub’s, has ended or was revoked.";
        return shown(&desk, None, StatusCode::UNAUTHORIZED, &form(&desk, &visitor, next, Some(wrong)));
    };
    // Whoever had the browser before has it no longer.
    if let Some(before) = visitor.session() {
        desk.access().log_out(before);
    }
    let mut response = redirect(next);
    if let Some(cookie) = visitor.session_cookie(&secret) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Ends the session.
pub(super) async fn log_out(asker: Asker, _form: Form) -> Response {
    let visitor = asker.who.visitor();
    if let Some(session) = visitor.session() {
        asker.desk.access().log_out(session);
    }
    let mut response = redirect("/login");
    if let Some(cookie) = visitor.no_session_cookie() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn form(desk: &Inside, visitor: &Visitor, next: &str, wrong: Option<&str>) -> Page {
    let hint = match desk.access().takes_signed() {
        true => {
            "One that begins with ihub_ and was shown once, when it was made; or a signed one (JWT) of your company’s login."
        }
        false => "It begins with ihub_ and was shown once, when it was made.",
    };
    let mut page = Page { title: "Log in".to_owned(), ..Page::default() };
    page.lead = line("Show a token of this hub, and this browser may see what the token may see, until you log out.");
    page.top.extend(wrong.map(|wrong| notice("error", wrong)));
    page.top.push(Block::Form {
        action: "/login".to_owned(),
        is_post: true,
        csrf: Some(visitor.form_token()),
        fields: vec![
            Field::Input { name: "token", label: "Token", kind: "password", value: String::new(), hint },
            Field::Hidden { name: "next", value: next.to_owned() },
        ],
        button: "Log in",
    });
    page.top.push(paragraph(
        "You have none? Whoever runs the hub makes one: insight-hub token create NAME --role read:metrics. A session ends after half \
         an hour without use, after twelve hours, and with its token.",
    ));
    page
}

/// The page to go on with: one of ours, whatever was asked for.
fn within(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\");
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_path && is_plain && next.len() <= 2_048 { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_page_of_ours() {
        assert_eq!(within("/metrics?metric=nps"), "/metrics?metric=nps");
        for elsewhere in [
            "",
            "http://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\\b",
            "javascript:alert(1)",
            "/a\r\nb",
            "/\t/evil.example",
        ] {
            assert_eq!(within(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
