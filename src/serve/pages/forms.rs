//! What a form sends in (`application/x-www-form-urlencoded`, WHATWG URL standard, section 5), its fields out, once it is known to be ours.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::Response,
};

use super::{
    Desk, failed,
    visitor::{Visitor, Who},
};
use crate::serve::http::inside::Refused;

/// The longest form: a pasted mapping with a sample.
pub(super) const FORM_BYTES_MAX: usize = 512 << 10;
/// Fields of a form.
const FIELDS_MAX: usize = 64;

/// The fields of a form that one of our pages made for whoever sends it.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// A field; empty where there is none.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// Of a body, for tests of what pages make of one.
    #[cfg(test)]
    pub(super) fn of(body: &[u8]) -> Form {
        Form(fields(body).expect("few fields"))
    }

    /// Everything that a field of several values has.
    pub(super) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

impl FromRequest<Desk> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, desk: &Desk) -> Result<Form, Response> {
        let (parts, body) = request.into_parts();
        let who = parts.extensions.get::<Who>();
        let refused = |refused: Refused| failed(desk, who, &refused);
        let body = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| refused(too_long(FORM_BYTES_MAX)))?;
        let form = Form(fields(&body).ok_or_else(|| refused(too_long(FORM_BYTES_MAX)))?);
        let sent = form.field("csrf");
        let checked = match (who, parts.extensions.get::<Visitor>()) {
            (Some(who), _) => who.check_form(sent),
            (None, Some(visitor)) => visitor.check_form(sent),
            (None, None) => Visitor::of(&parts.headers, desk.over_tls()).check_form(sent),
        };
        checked.map_err(refused)?;
        Ok(form)
    }
}

pub(super) fn too_long(bytes_max: usize) -> Refused {
    Refused {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        title: "That is too much".to_owned(),
        detail: format!("a form may have {} KiB", bytes_max >> 10),
    }
}

/// Names and values; `None`: more than a form has.
pub(super) fn fields(body: &[u8]) -> Option<Vec<(String, String)>> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let fields: Vec<(String, String)> = pairs
        .take(FIELDS_MAX + 1)
        .map(|pair| {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            (decoded(name), decoded(value))
        })
        .collect();
    (fields.len() <= FIELDS_MAX).then_some(fields)
}

fn decoded(part: &[u8]) -> String {
    let digit = |at: usize| part.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut bytes, mut at) = (Vec::with_capacity(part.len()), 0);
    while at < part.len() {
        match (part[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => bytes.push(b' '),
            (byte, ..) => bytes.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The parameters of an address.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Form);

impl Asked {
    /// A parameter; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.field(name)
    }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Asked, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Asked(Form(fields(query.as_bytes()).unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::pages::words::percent;

    #[test]
    fn fields_are_what_was_typed() {
        let typed = "Zoë & co = 100 % + \"x\"\n<b>";
        let body = format!("a={}&b=1+2&&c&d=%zz%4&a=second", percent(typed));
        let form = Form(fields(body.as_bytes()).expect("few"));
        assert_eq!((form.field("a"), form.field("b"), form.field("c")), (typed, "1 2", ""));
        assert_eq!((form.field("d"), form.field("none")), ("%zz%4", ""));
        assert_eq!((form.all("a").nth(1), form.all("none").next()), (Some("second"), None));
        assert_eq!(Form(fields(b"a=%ff").expect("one")).field("a"), "\u{fffd}");
        assert!(fields("a=1&".repeat(65).as_bytes()).is_none());
    }
}
