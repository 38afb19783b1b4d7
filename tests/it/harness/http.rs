//! Requests of a program in, answers of an HTTP server on this machine out, without a library between that could smooth them.

use std::{collections::BTreeMap, io::Write as _, net::TcpStream, time::Duration};

use serde_json::Value;

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["items"].as_array().expect("a list").clone()
    }

    /// The word of the problem.
    pub fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        let word = problem["type"].as_str().and_then(|kind| kind.strip_prefix("urn:insight-hub:problem:"));
        word.expect("a type").to_owned()
    }
}

/// A request with headers of its own; `None`: nobody listens.
pub fn ask(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
    received(&mut begin(port, method, path, headers)?, path)
}

/// The same with a body, whose length it says.
pub fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let length = body.len().to_string();
    let headers: Vec<(&str, &str)> = headers.iter().copied().chain([("content-length", length.as_str())]).collect();
    let mut stream = begin(port, method, path, &headers)?;
    // Whoever is refused at the first bytes may have gone before the last.
    let _ = stream.write_all(body);
    received(&mut stream, path)
}

/// The head of a request, sent.
pub fn begin(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let host = format!("127.0.0.1:{}", port);
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: {host}\r\n"));
    }
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{request}\r\n").as_bytes()).ok()?;
    Some(stream)
}

/// What comes until the server closes.
pub fn received(stream: &mut impl std::io::Read, path: &str) -> Option<Answer> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes)
        && (bytes.is_empty()
            || !matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof))
    {
        return None;
    }
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    assert!(!is_chunked, "an answer of known length: {path}");
    Some(Answer { status, headers, body: body.to_owned() })
}
