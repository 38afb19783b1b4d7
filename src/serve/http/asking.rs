//! A request's parts in; what it asks for, valid, or a problem that says which part is wrong, out.

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, Uri, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use super::{
    paging,
    problem::{Kind, Problem},
};
use crate::{
    model::Day,
    serve::access::{Caller, Role},
};

/// The longest name of a resource that is looked for.
pub(super) const NAME_BYTES_MAX: usize = 512;

/// How a list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// An object with the records and the next cursor.
    Json,
    /// A table; where it goes on is in the header `link`.
    Csv,
}

/// Where in a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// `next` of the page before, with everything else as for that page.
    cursor: Option<String>,
    /// Records of a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// How it is shown; without it, as `accept` says: a table where `text/csv` is preferred over `application/json`, else JSON.
    #[param(inline)]
    format: Option<Format>,
}

/// A list that is asked for, by some filters.
#[derive(Clone, Debug)]
pub(super) struct Asked<T> {
    /// What is to be in it.
    pub(super) filter: T,
    /// The place that it is to go on from.
    pub(super) place: Option<Vec<u8>>,
    /// How many of it.
    pub(super) limit: usize,
    /// How it is shown.
    pub(super) format: Format,
    /// The path and the filters, the same for each page.
    pub(super) question: String,
    /// The same, as a reference that a cursor can be added to.
    pub(super) reference: String,
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked<T>, Problem> {
        let uri = &parts.uri;
        let pairs: Vec<&str> = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
        let is_paging = |pair: &&str| matches!(pair.split('=').next(), Some("cursor" | "limit" | "format"));
        let (paging, mut filter): (Vec<&str>, Vec<&str>) = pairs.iter().partition(|pair| is_paging(pair));
        let asked: Paging = parsed(&paging.join("&"))?;
        let parsed_filter = parsed(&filter.join("&"))?;
        filter.sort_unstable();
        let question = format!("{}?{}", uri.path(), filter.join("&"));
        let kept: Vec<&str> = pairs.into_iter().filter(|pair| pair.split('=').next() != Some("cursor")).collect();
        Ok(Asked {
            filter: parsed_filter,
            place: asked.cursor.map(|cursor| paging::place(&question, &cursor)).transpose()?,
            limit: paging::limit(asked.limit)?,
            format: asked.format.unwrap_or_else(|| accepted(&parts.headers)),
            reference: format!("{}?{}", uri.path(), kept.iter().map(|pair| format!("{pair}&")).collect::<String>()),
            question,
        })
    }
}

/// How a list is shown to whoever sends these headers (RFC 9110, section 12.5.1): of each type the range that names it best says how
/// much it is wanted, and a table is given only where it is wanted more, or as much and by a better name.
fn accepted(headers: &HeaderMap) -> Format {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<(String, u32)> = lines.flat_map(|line| line.split(',')).filter_map(media_range).collect();
    let wanted = |names: [&str; 3]| {
        let best = names.iter().zip([2_u8, 1, 0]).find_map(|(name, fit)| {
            ranges.iter().filter(|(range, _)| range == name).map(|(_, weight)| (*weight, fit)).max()
        });
        best.unwrap_or_default()
    };
    let (csv, json) = (wanted(["text/csv", "text/*", "*/*"]), wanted(["application/json", "application/*", "*/*"]));
    if csv.0 > 0 && csv > json { Format::Csv } else { Format::Json }
}

/// A media range in small letters, without its parameters, and its weight in thousandths; `None`: it is none.
fn media_range(text: &str) -> Option<(String, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| range.contains('/'))?.to_ascii_lowercase();
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    Some((range, weight.map_or(Some(1_000), thousandths)?))
}

/// A weight: from 0 to 1, with three digits after the point at most.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let is_weight = matches!(whole, "0" | "1") && digits.len() <= 3 && digits.bytes().all(|it| it.is_ascii_digit());
    let weight = format!("{whole}{digits:0<3}").parse().ok().filter(|_| is_weight)?;
    (weight <= 1_000).then_some(weight)
}

/// The parameters of something that is no list.
#[derive(Clone, Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters<T>, Problem> {
        parsed(parts.uri.query().unwrap_or_default()).map(Parameters)
    }
}

fn parsed<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let uri: Uri =
        format!("/?{query}").parse().map_err(|_| Problem::parameter("the query is no part of an address"))?;
    match Query::try_from_uri(&uri) {
        Ok(Query(parsed)) => Ok(parsed),
        // It names the parameter; a value that it may say is the caller's own.
        Err(error) => Err(Problem::parameter(
            axum::response::IntoResponse::into_response(error).status().to_string()
                + ": a parameter is unknown, comes twice or has a wrong value; the description of the operation has them all",
        )),
    }
}

/// The name in a path.
#[derive(Clone, Debug)]
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) if name.len() <= NAME_BYTES_MAX && !name.contains('\0') => Ok(Named(name)),
            _ => Err(Problem::parameter("the name in the path is none")),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct By(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<By, Problem> {
        // Whoever let the request in has put it there.
        let caller = parts.extensions.get().cloned().map(By);
        caller.ok_or_else(|| Problem::new(Kind::Unauthenticated, "a token is needed"))
    }
}

impl Caller {
    /// Whether it has one of the roles.
    pub(super) fn has(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }

    /// Refuses it without any of the roles.
    pub(super) fn must_have(&self, roles: &[Role]) -> Result<(), Problem> {
        if self.has(roles) {
            return Ok(());
        }
        let words: Vec<String> = roles.iter().map(ToString::to_string).collect();
        Err(Problem::new(Kind::Forbidden, format!("this needs the role {}", words.join(" or "))))
    }
}

/// A day as ISO 8601 writes it, or a problem with the parameter.
pub(super) fn day(name: &str, day: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(day) = day else { return Ok(None) };
    // One that no calendar has is none, though as a text it would still come before or after others.
    let number = |range: std::ops::Range<usize>| {
        let digits = day.get(range).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u32>().ok())
    };
    let is_day = || -> Option<bool> {
        let (year, month, date) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let is_written = day.len() == 10 && [4, 7].iter().all(|at| day.as_bytes()[*at] == b'-');
        let civil = i32::try_from(year).ok().filter(|_| (1..=12).contains(&month) && (1..=31).contains(&date))?;
        Some(is_written && Day::from_civil(civil, month, date).civil() == (civil, month, date))
    };
    if is_day() == Some(true) {
        Ok(Some(day.to_owned()))
    } else {
        Err(Problem::parameter(format!("`{name}` must be a day: YYYY-MM-DD")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        window: Option<String>,
    }

    fn asked(uri: &str) -> Result<Asked<Filter>, Problem> {
        let request = axum::http::Request::builder().uri(uri).body(()).expect("a request");
        let (mut parts, ()) = request.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(Asked::from_request_parts(&mut parts, &()))
    }

    #[test]
    fn a_question_is_the_same_for_each_of_its_pages() {
        let first = asked("/metrics?window=day&limit=5").expect("valid");
        assert_eq!((first.limit, first.filter.window.as_deref()), (5, Some("day")));
        let cursor = paging::cursor(&first.question, b"there");
        let second = asked(&format!("{}cursor={cursor}", first.reference)).expect("valid");
        assert_eq!((second.place.as_deref(), second.limit), (Some(&b"there"[..]), 5));
        assert!(asked(&format!("/metrics?window=week&cursor={cursor}")).is_err(), "of another question");
    }

    #[test]
    fn a_table_is_given_where_it_is_preferred_over_json() {
        let format = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::ACCEPT, line.parse().expect("a value"));
            }
            accepted(&headers)
        };
        for tables in [
            &["text/csv"][..],
            &["TEXT/CSV; header=present"],
            &["application/json;q=0.5, text/csv"],
            &["text/html", "text/csv;q=0.9"],
            &["text/csv, */*"],
            &["text/csv;q=0.3, */*;q=0.1"],
            &["text/*"],
            &["application/json;Q=0.899 , text/csv ; Q = 0.9"],
        ] {
            assert_eq!(format(tables), Format::Csv, "{tables:?}");
        }
        for documents in [
            &[][..],
            &["*/*"],
            &["text/csv;q=0"],
            &["text/csv;q=0, */*"],
            &["text/csv;q=0.1, application/json"],
            &["text/csv, application/json"],
            &["text/csv;q=0.5, */*"],
            &["text/csvx"],
            &["text/csv;q=2"],
            &["text/csv;q=x"],
            &["application/json", "text/csv;q=0.5"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
        ] {
            assert_eq!(format(documents), Format::Json, "{documents:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in
            ["/m?limit=0", "/m?limit=x", "/m?limit=5&limit=6", "/m?colour=red", "/m?format=xml", "/m?cursor=%00"]
        {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "2026-1-31",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "yesterday",
            "2026-01-3é",
            "+026-01-01",
            "",
        ] {
            assert!(day("from", Some(wrong)).is_err(), "{wrong}");
        }
        for right in ["2026-01-31", "2024-02-29", "0001-01-01", "9999-12-31"] {
            assert!(day("from", Some(right)).is_ok(), "{right}");
        }
    }
}
