//! Requests to a schema registry (the API of Confluent's, which Apicurio, Karapace and Redpanda have too).

use std::{path::PathBuf, sync::Arc, time::Duration};

use apache_avro::schema_compatibility::SchemaCompatibility;
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use serde_json::{Value, json};
use ureq::{Agent, http::StatusCode};

use super::{
    super::fetch::{self, Trust, agent},
    Fetch,
    references::inline,
};

/// A schema with what it refers to is at most so large, and an answer not much larger.
const ANSWER_BYTES_MAX: u64 = 2 << 20;
/// The schemas that one refers to, directly or not.
const REFERENCES_MAX: usize = 32;
/// Characters of a subject's name that a message shows; the registry is not ours.
const SUBJECT_CHARACTERS_SHOWN: usize = 200;
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Reads a password when it is needed, so that a new one is taken without a restart. The error says what is wrong.
pub type PasswordSource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Where the registry is, and as whom it is asked.
#[derive(Clone)]
pub struct RegistryOptions {
    /// `http://…` or `https://…`, up to what comes before `/schemas` and `/subjects`; the settings have checked it.
    pub url: String,
    /// The name to log in with, and its password.
    pub login: Option<(String, PasswordSource)>,
    /// PEM file with the authorities that sign its certificate; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files with the client's certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Why the registry has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached, is in trouble or does not let the hub in: to be tried again.
    #[error("the schema registry does not answer: {0}")]
    Unavailable(String),
    /// It has no such thing.
    #[error("the schema registry has no such schema")]
    NotFound,
    /// It has the schema, but not one that this refers to.
    #[error("the schema registry lacks a schema that is referred to: {0}")]
    ReferenceNotFound(String),
    /// It does not take what it was given.
    #[error("the schema registry refuses it: {0}")]
    Refused(String),
    /// It answers with what the hub cannot use.
    #[error("{0}")]
    Unusable(String),
}

/// Asks a registry.
#[derive(Clone)]
pub struct RegistryClient {
    agent: Agent,
    options: RegistryOptions,
}

impl RegistryClient {
    /// A client for one registry. The error says which file cannot be used, and why.
    pub fn new(options: RegistryOptions) -> Result<RegistryClient, String> {
        let trust = Trust { ca_file: options.ca_file.clone(), certificate: options.certificate.clone() };
        let agent = agent(&trust, options.timeout)?;
        Ok(RegistryClient { agent, options })
    }

    /// Whether it answers, and lets this client read schemas.
    pub fn probe(&self) -> Result<(), RegistryError> {
        match self.get("/schemas/ids/1") {
            Ok(_) | Err(RegistryError::NotFound | RegistryError::Unusable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The text of a schema by its id, with everything that it refers to.
    pub fn schema(&self, id: u32) -> Result<String, RegistryError> {
        let answer = self.get(&format!("/schemas/ids/{id}"))?;
        let mut left = REFERENCES_MAX;
        self.whole(&answer, &mut left)
    }

    /// Whether a schema may follow those of a subject, by the compatibility that the registry keeps for it. A subject
    /// that is not there yet takes any.
    pub fn is_compatible(&self, subject: &str, schema: &str) -> Result<bool, RegistryError> {
        let path = format!("/compatibility/subjects/{}/versions/latest", escaped(subject));
        let says = match self.post(&path, schema) {
            Ok(answer) => {
                answer.get("is_compatible").and_then(Value::as_bool).ok_or_else(|| nonsense("is_compatible"))?
            }
            Err(RegistryError::NotFound) => return Ok(true),
            Err(error) => return Err(error),
        };
        if !says {
            return Ok(false);
        }
        // A registry that was told to check nothing says yes to everything.
        let latest = match self.get(&format!("/subjects/{}/versions/latest", escaped(subject))) {
            Ok(answer) => self.whole(&answer, &mut REFERENCES_MAX.clone())?,
            Err(RegistryError::NotFound) => return Ok(true),
            Err(error) => return Err(error),
        };
        Ok(reads(schema, &latest))
    }

    /// Registers a schema under a subject, unless it is there. Returns its id.
    pub fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let answer = self.post(&format!("/subjects/{}/versions", escaped(subject)), schema)?;
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| nonsense("id"))
    }

    fn whole(&self, answer: &Value, left: &mut usize) -> Result<String, RegistryError> {
        match answer.get("schemaType").and_then(Value::as_str) {
            None | Some("AVRO") => {}
            Some(_) => return Err(RegistryError::Unusable("it is no Avro schema".into())),
        }
        let text = answer.get("schema").and_then(Value::as_str).ok_or_else(|| nonsense("schema"))?;
        let mut referred = Vec::new();
        for reference in answer.get("references").and_then(Value::as_array).into_iter().flatten() {
            let subject = reference.get("subject").and_then(Value::as_str);
            let version = reference.get("version").and_then(Value::as_u64);
            let (Some(subject), Some(version)) = (subject, version) else {
                return Err(nonsense("references"));
            };
            *left = left.checked_sub(1).ok_or_else(|| {
                RegistryError::Unusable(format!("it refers to more than {REFERENCES_MAX} other schemas"))
            })?;
            let answer = self.get(&format!("/subjects/{}/versions/{version}", escaped(subject)));
            let answer = answer.map_err(|error| match error {
                RegistryError::NotFound => RegistryError::ReferenceNotFound(format!(
                    "version {version} of the subject {:?}",
                    subject.chars().take(SUBJECT_CHARACTERS_SHOWN).collect::<String>()
                )),
                error => error,
            })?;
            referred.push(self.whole(&answer, left)?);
        }
        match referred.is_empty() {
            true => Ok(text.to_owned()),
            false => inline(text, &referred).map_err(RegistryError::Unusable),
        }
    }

    fn get(&self, path: &str) -> Result<Value, RegistryError> {
        let mut request = self.agent.get(self.address(path)).header("accept", CONTENT_TYPE);
        if let Some(login) = self.login()? {
            request = request.header("authorization", login);
        }
        answer(request.call())
    }

    fn post(&self, path: &str, schema: &str) -> Result<Value, RegistryError> {
        let mut request =
            self.agent.post(self.address(path)).header("accept", CONTENT_TYPE).header("content-type", CONTENT_TYPE);
        if let Some(login) = self.login()? {
            request = request.header("authorization", login);
        }
        answer(request.send(json!({"schema": schema}).to_string()))
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.options.url.trim_end_matches('/'))
    }

    fn login(&self) -> Result<Option<String>, RegistryError> {
        let Some((name, password)) = &self.options.login else {
            return Ok(None);
        };
        let password = password().map_err(RegistryError::Unavailable)?;
        Ok(Some(format!("Basic {}", BASE64.encode(format!("{name}:{password}")))))
    }
}

impl Fetch for RegistryClient {
    fn schema(&mut self, id: u32) -> Result<String, RegistryError> {
        RegistryClient::schema(self, id)
    }
}

/// Whether a reader with one schema can read what was written with another.
fn reads(reader: &str, writer: &str) -> bool {
    let parse = |text: &str| apache_avro::Schema::parse_str(text);
    match (parse(writer), parse(reader)) {
        (Ok(writer), Ok(reader)) => SchemaCompatibility::can_read(&writer, &reader).is_ok(),
        _ => false,
    }
}

fn nonsense(field: &str) -> RegistryError {
    RegistryError::Unavailable(format!("its answer has no usable {field:?}; is this a schema registry?"))
}

/// Sorts answers: what is final, and what is to be tried again.
fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, RegistryError> {
    let mut response = response.map_err(|error| RegistryError::Unavailable(plainly(&error)))?;
    let status = response.status();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let as_json = || -> Result<Value, RegistryError> {
        let text = body.as_ref().map_err(|error| RegistryError::Unavailable(plainly(error)))?;
        serde_json::from_str(text)
            .map_err(|_| RegistryError::Unavailable("its answer is not JSON; is this a schema registry?".into()))
    };
    match status {
        // It would be as large the next time, and whoever waits for it would wait for ever.
        status if status.is_success() && matches!(body, Err(ureq::Error::BodyExceedsLimit(_))) => {
            Err(RegistryError::Unusable(format!("it is larger than {} MiB", ANSWER_BYTES_MAX >> 20)))
        }
        status if status.is_success() => as_json(),
        StatusCode::UNAUTHORIZED => Err(RegistryError::Unavailable(
            "it does not accept the name and password (401); correct registry.username or registry.password_file".into(),
        )),
        StatusCode::FORBIDDEN => Err(RegistryError::Unavailable(
            "it does not allow this (403); give the hub's user the right to read schemas, and to write those of its feeds"
                .into(),
        )),
        StatusCode::NOT_FOUND => match as_json()?.get("error_code").and_then(Value::as_u64) {
            // Subject, version or schema not found; a proxy or another service answers otherwise.
            Some(40_401..=40_403) => Err(RegistryError::NotFound),
            _ => Err(RegistryError::Unavailable("it has no such page (404); correct registry.url".into())),
        },
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            let body = as_json()?;
            let message = body.get("message").and_then(Value::as_str).unwrap_or("it gives no reason");
            Err(RegistryError::Refused(message.chars().take(500).filter(|letter| !letter.is_control()).collect()))
        }
        status if status.is_redirection() => Err(RegistryError::Unavailable(format!(
            "it answers with a redirect ({}), which is not followed; set registry.url to where it leads",
            status.as_u16()
        ))),
        status => Err(RegistryError::Unavailable(format!("it answers with status {}", status.as_u16()))),
    }
}

fn plainly(error: &ureq::Error) -> String {
    fetch::plainly(error, ANSWER_BYTES_MAX)
}

/// A request's part that is a name: everything that could end it is escaped (RFC 3986).
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped("sales.orders-value"), "sales.orders-value");
        assert_eq!(escaped("../x?y z"), "..%2Fx%3Fy%20z");
    }

    #[test]
    fn a_metadata_service_is_not_asked() {
        let options = RegistryOptions {
            url: "http://169.254.169.254".into(),
            login: None,
            ca_file: None,
            certificate: None,
            timeout: Duration::from_secs(5),
        };
        let error = RegistryClient::new(options).expect("an address").schema(1).expect_err("it must not be asked");
        assert!(error.to_string().contains("no service has"), "{error}");
    }

    /// A registry that gives these answers, one for each connection; and what it was asked.
    fn registry(
        answers: &'static [(&'static str, &'static str)],
        login: Option<(String, PasswordSource)>,
    ) -> (RegistryClient, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/api", listener.local_addr().expect("it is bound"));
        let serving = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for (head, body) in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    request.push(byte[0]);
                }
                asked.push(String::from_utf8_lossy(&request).into_owned());
                let length = body.len();
                write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").ok();
            }
            asked
        });
        let timeout = Duration::from_secs(20);
        let options = RegistryOptions { url, login, ca_file: None, certificate: None, timeout };
        (RegistryClient::new(options).expect("an address"), serving)
    }

    #[test]
    fn answers_are_final_or_to_be_tried_again() {
        let unavailable = |part: &'static str| (true, part);
        let cases: &'static [(&str, &str)] = &[
            ("200 OK", r#"{"schema":"\"string\""}"#),
            ("404 Not Found", r#"{"error_code":40403,"message":"no"}"#),
            ("404 Not Found", r#"{"error":"no such page"}"#),
            ("404 Not Found", "<html>"),
            ("401 Unauthorized", ""),
            ("403 Forbidden", ""),
            ("500 Internal Server Error", ""),
            ("302 Found\r\nlocation: http://127.0.0.1:1/", ""),
            ("200 OK", "<html>"),
            ("200 OK", r#"{"schema":"syntax = \"proto3\"","schemaType":"PROTOBUF"}"#),
        ];
        let expected = [
            (false, ""),
            (false, "no such schema"),
            unavailable("404"),
            unavailable("not JSON"),
            unavailable("registry.password_file"),
            unavailable("does not allow"),
            unavailable("status 500"),
            unavailable("redirect (302), which is not followed"),
            unavailable("not JSON"),
            (false, "no Avro schema"),
        ];
        let (client, serving) = registry(cases, None);
        for (index, (again, part)) in expected.into_iter().enumerate() {
            let (is_unavailable, text) = match client.schema(7) {
                Ok(schema) => {
                    assert_eq!(schema, "\"string\"");
                    (false, String::new())
                }
                Err(error) => (matches!(error, RegistryError::Unavailable(_)), error.to_string()),
            };
            assert!(is_unavailable == again && text.contains(part), "case {index}: {text}");
        }
        let asked = serving.join().expect("it answered all");
        assert!(asked.iter().all(|request| request.starts_with("GET /api/schemas/ids/7 ")), "{asked:?}");
    }

    #[test]
    fn an_answer_that_is_too_large_is_final_if_it_is_one() {
        let large: &'static str = " ".repeat((2 << 20) + 1).leak();
        let reference = r#"{"schema":"\"string\"","references":[{"name":"Money","subject":"money","version":3}]}"#;
        let cases: &'static [(&str, &str)] = Vec::leak(vec![
            ("200 OK", large),
            ("200 OK", reference),
            ("200 OK", large),
            ("404 Not Found", large),
            ("200 OK", large),
        ]);
        let (client, serving) = registry(cases, None);
        for _ in 0..2 {
            let error = client.schema(7).expect_err("too large");
            assert_eq!(error, RegistryError::Unusable("it is larger than 2 MiB".into()));
        }
        let error = client.schema(7).expect_err("too large");
        assert!(matches!(&error, RegistryError::Unavailable(problem) if problem.contains("larger than")), "{error}");
        assert_eq!(client.probe(), Ok(()), "it answers");
        assert_eq!(serving.join().expect("it answered all").len(), 5);
    }

    #[test]
    fn a_schema_comes_with_what_it_refers_to_and_the_login_with_each_request() {
        let (client, serving) = registry(
            &[
                (
                    "200 OK",
                    r#"{"schema":"{\"type\":\"array\",\"items\":\"common.Money\"}",
                        "references":[{"name":"common.Money","subject":"money/value","version":3}]}"#,
                ),
                ("200 OK", r#"{"schema":"{\"type\":\"fixed\",\"name\":\"common.Money\",\"size\":8}"}"#),
            ],
            Some(("hub".into(), Arc::new(|| Ok("secret".into())))),
        );
        let schema = client.schema(7).expect("a schema");
        assert!(schema.contains(r#""size":8"#), "{schema}");
        let asked = serving.join().expect("it answered all");
        assert!(asked[1].starts_with("GET /api/subjects/money%2Fvalue/versions/3 "), "{asked:?}");
        // hub:secret
        assert!(asked.iter().all(|request| request.contains("authorization: Basic aHViOnNlY3JldA==")), "{asked:?}");
    }

    #[test]
    fn a_schema_that_is_referred_to_and_not_there_is_named() {
        let (client, serving) = registry(
            &[
                (
                    "200 OK",
                    r#"{"schema":"\"string\"","references":[{"name":"common.Money","subject":"money/value","version":3}]}"#,
                ),
                ("404 Not Found", r#"{"error_code":40402,"message":"no such version"}"#),
            ],
            None,
        );
        let error = client.schema(7).expect_err("a part of it is missing");
        assert_eq!(error, RegistryError::ReferenceNotFound("version 3 of the subject \"money/value\"".into()));
        assert_eq!(serving.join().expect("it answered all").len(), 2);
    }

    #[test]
    fn a_password_that_cannot_be_read_is_told_and_tried_again() {
        let password: PasswordSource = Arc::new(|| Err("`registry.password_file`: cannot be read".into()));
        let (client, _) = registry(&[], Some(("hub".into(), password)));
        let error = client.schema(7).expect_err("it cannot log in");
        assert!(matches!(&error, RegistryError::Unavailable(problem) if problem.contains("password_file")), "{error}");
    }
}
