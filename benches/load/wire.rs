//! Requests in; answers out, over a connection that is kept.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

/// A connection that is kept.
pub struct Client {
    stream: TcpStream,
    port: u16,
    token: String,
    read: Vec<u8>,
    /// Bytes of it that are the last answer: others may have come behind it.
    answered: usize,
}

impl Client {
    pub fn connect(port: u16, token: &str) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, port, token: token.to_owned(), read: Vec::new(), answered: 0 }
    }

    /// The head of a request.
    pub fn head(&self, method: &str, path: &str, more: &str) -> String {
        let Client { port, token, .. } = self;
        format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n{more}\r\n")
    }

    /// The status of the answer to a question.
    pub fn get(&mut self, path: &str) -> u16 {
        let head = self.head("GET", path, "");
        self.stream.write_all(head.as_bytes()).unwrap();
        self.received()
    }

    /// The status of the answer to a body.
    pub fn send(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> u16 {
        let head = self.head(method, path, &format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len()));
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream.write_all(body).unwrap();
        self.received()
    }

    /// Bytes as they are; whether they were taken.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// What was answered last.
    pub fn answer(&self) -> String {
        String::from_utf8_lossy(&self.read[..self.answered]).into_owned()
    }

    /// The status of the next answer, once that is whole; 0: the connection is closed.
    pub fn received(&mut self) -> u16 {
        self.read.drain(..std::mem::take(&mut self.answered));
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.read[..end]).unwrap().to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).map_or("0", |rest| rest.lines().next().unwrap());
                let whole = end + 4 + length.trim().parse::<usize>().unwrap();
                if self.read.len() >= whole {
                    self.answered = whole;
                    return head.split(' ').nth(1).unwrap().parse().unwrap();
                }
            }
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => self.read.extend_from_slice(&buffer[..count]),
                Ok(_) | Err(_) => return 0,
            }
        }
    }
}

/// Whether the copy of the feeds has everything, as the endpoint for operators says.
pub fn is_current(port: u16) -> bool {
    let asked = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    };
    asked().is_some_and(|text| text.contains("\"status\":\"current\""))
}
