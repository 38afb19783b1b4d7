//! A request's body in; its bytes, no more than it may have, or the document in it, out.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
};

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use futures_core::Stream as _;
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

/// The longest document: a decision about thousands of identifiers.
pub(super) const DOCUMENT_BYTES_MAX: usize = 1 << 20;

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("a body has at most {bytes_max} bytes; send fewer items at a time"))
}

/// The bytes of a body, and no more than it may have.
pub(super) async fn collected(body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    collected_within(body, bytes_max, &mut |_| Ok(())).await
}

/// The same. `grow`: takes room for so many bytes more, of which it is asked before they are kept; what it refuses is what is answered,
/// once the rest has come.
pub(super) async fn collected_within(
    body: Body,
    bytes_max: usize,
    grow: &mut (dyn FnMut(usize) -> Result<(), Problem> + Send),
) -> Result<Vec<u8>, Problem> {
    let mut stream = pin!(body.into_data_stream());
    let mut bytes = Vec::new();
    while let Some(chunk) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        let chunk = chunk.map_err(|_| Problem::new(Kind::InvalidBody, "the body did not come to its end"))?;
        if bytes.len() + chunk.len() > bytes_max {
            drop(bytes);
            // As long again: most who send too much send little more.
            rest(stream, bytes_max).await;
            return Err(too_large(bytes_max));
        }
        if let Err(problem) = grow(chunk.len()) {
            let left = bytes_max - bytes.len();
            drop(bytes);
            rest(stream, left).await;
            return Err(problem);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads what comes of a body, at most what one may have, and keeps nothing: a client that is still sending when it is answered may
/// never see the answer.
pub(super) async fn discard(body: Body, bytes_max: usize) {
    rest(pin!(body.into_data_stream()), bytes_max).await;
}

async fn rest(mut stream: Pin<&mut BodyDataStream>, mut left: usize) {
    while let Some(Ok(chunk)) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// What the headers say of the length of a body; refused at once if it is more than it may be.
pub(super) fn length(headers: &HeaderMap, bytes_max: usize) -> Result<Option<usize>, Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > bytes_max => Err(too_large(bytes_max)),
        length => Ok(length),
    }
}

/// A document that is sent.
#[derive(Clone, Debug)]
pub(super) struct Document<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Document<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Document<T>, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        let (kind, parameter) = kind.split_once(';').unwrap_or((&kind, ""));
        if kind.trim() != "application/json"
            || !matches!(parameter.trim(), "" | "charset=utf-8")
            || request.headers().contains_key(header::CONTENT_ENCODING)
        {
            return Err(Problem::new(Kind::UnsupportedMediaType, "send `content-type: application/json`, not packed"));
        }
        length(request.headers(), DOCUMENT_BYTES_MAX)?;
        let bytes = collected(request.into_body(), DOCUMENT_BYTES_MAX).await?;
        // A list of its values would be taken for a document as well.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::new(Kind::InvalidBody, "the body is no JSON object"));
        }
        serde_json::from_slice(&bytes).map(Document).map_err(|error| {
            // What it would quote is the caller's own.
            let (line, column) = (error.line(), error.column());
            let detail = format!(
                "the body is not what the description of the operation says, seen at line {line} column {column}"
            );
            Problem::new(Kind::InvalidBody, detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn a_body_ends_where_it_may_not_go_on() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let collect = |bytes_max| runtime.block_on(collected(Body::from("12345"), bytes_max));
        assert_eq!(collect(5).expect("as long as it may be"), b"12345");
        assert!(collect(4).is_err());
        runtime.block_on(discard(Body::from("12345"), 4));
        let mut headers = HeaderMap::new();
        assert_eq!(length(&headers, 5).expect("nothing is said"), None);
        headers.insert(header::CONTENT_LENGTH, 6.into());
        assert!(length(&headers, 5).is_err());
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        number: i64,
    }

    #[test]
    fn a_document_is_json_as_described_and_nothing_of_it_is_quoted() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let read = |headers: &[(&str, &str)], body: &'static str| {
            let mut request = axum::http::Request::builder();
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::from(body)).expect("a request");
            runtime.block_on(Document::<One>::from_request(request, &())).map(|Document(One { number })| number)
        };
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(read(&[json], "{\"number\": 7}").expect("a document"), 7);
        for wrong in
            ["", "{}", "[7]", "{\"number\": \"ann@x.org\"}", "{\"number\": 7, \"ann@x.org\": 1}", "{\"number\": 7} x"]
        {
            let problem = read(&[json], wrong).expect_err(wrong);
            assert!(!format!("{problem:?}").contains("ann"), "{problem:?}");
        }
        for headers in [&[][..], &[("content-type", "text/json")], &[json, ("content-encoding", "gzip")]] {
            assert!(read(headers, "{\"number\": 7}").is_err(), "{headers:?}");
        }
    }
}
