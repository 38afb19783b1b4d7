//! An address of the configuration in; what a service there answers out: no redirect is followed, no proxy of the environment used,
//! and nobody asked at an address where no service of a company is ([`guard`]).

mod guard;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ureq::{
    Agent,
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem},
    unversioned::transport::DefaultConnector,
};

use guard::Guard;

/// Who may be asked, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// PEM file with the authorities that sign a service's certificate; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files with the client's certificate and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// How keys begin that are in the form of their algorithm: RSA's (PKCS#1) and that of elliptic curves (SEC1).
const OLDER_KEYS: [&[u8]; 2] = [b"-----BEGIN RSA PRIVATE KEY-----", b"-----BEGIN EC PRIVATE KEY-----"];

/// What asks services. The error says which file cannot be used, and why.
pub(super) fn agent(trust: &Trust, timeout: Duration) -> Result<Agent, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let unreadable = |path: &Path| format!("{} holds nothing in PEM that can be used", path.display());
    let mut tls = TlsConfig::builder().provider(TlsProvider::NativeTls);
    tls = match &trust.ca_file {
        None => tls.root_certs(RootCerts::PlatformVerifier),
        Some(path) => {
            let certificates = certificates(&read(path)?);
            if certificates.is_empty() {
                return Err(unreadable(path));
            }
            tls.root_certs(RootCerts::new_with_certs(&certificates))
        }
    };
    if let Some((certificate, path)) = &trust.certificate {
        let chain = certificates(&read(certificate)?);
        let pem = read(path)?;
        // TLS here takes no other form than PKCS#8, and would refuse it only when somebody is asked.
        if OLDER_KEYS.iter().any(|older| pem.windows(older.len()).any(|bytes| bytes == *older)) {
            let path = path.display();
            return Err(format!(
                "{path} is a key in an older form than PKCS#8; make one of it with `openssl pkcs8 -topk8 -nocrypt -in {path} -out NEW`"
            ));
        }
        let key = PrivateKey::from_pem(&pem).map_err(|_| unreadable(path))?;
        if chain.is_empty() {
            return Err(unreadable(certificate));
        }
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_response_header_size(64 << 10)
        .user_agent(concat!("insight-hub/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build();
    Ok(Agent::with_parts(config, DefaultConnector::default(), Guard::default()))
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let certificates = parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    certificates.collect()
}

/// A library's error as an operator says it. `bytes_max`: of an answer.
pub(super) fn plainly(error: &ureq::Error, bytes_max: u64) -> String {
    match error {
        ureq::Error::HostNotFound => "its host is not known".into(),
        ureq::Error::Timeout(_) => "it takes too long".into(),
        ureq::Error::ConnectionFailed => "no connection".into(),
        ureq::Error::BodyExceedsLimit(_) => format!("its answer is larger than {bytes_max} bytes"),
        ureq::Error::NativeTls(error) => untrusted(&error.to_string()),
        error => error.to_string(),
    }
}

/// What OpenSSL says of a certificate that it refuses, in what an operator can do about it.
fn untrusted(said: &str) -> String {
    const REASONS: [(&[&str], &str); 4] = [
        (
            &["certificate has expired"],
            "its certificate has expired; have whoever runs it renew it, or see to the clock of this machine",
        ),
        (
            &["not yet valid"],
            "its certificate is not good yet; see to the clock of this machine, or of whoever made it",
        ),
        (
            &["ostname mismatch", "IP address mismatch"],
            "its certificate is of another name; write the address with a name that the certificate has",
        ),
        (
            &["issuer certificate", "self-signed", "self signed", "verify the first certificate"],
            "its certificate is signed by nobody who is trusted here; name the PEM file of the authority that signs it as ca_file",
        ),
    ];
    let reason = REASONS.iter().find(|(words, _)| words.iter().any(|word| said.contains(word)));
    reason.map_or_else(|| format!("TLS with it fails: {said}"), |(_, reason)| (*reason).to_owned())
}

/// A document at an address, asked for again and again.
#[derive(Clone)]
pub struct Document {
    agent: Agent,
    url: String,
    bytes_max: u64,
}

impl Document {
    /// At `url`, which the settings have checked; at most so many bytes, within so long. The error says which file cannot be used.
    pub fn at(url: &str, trust: &Trust, timeout: Duration, bytes_max: u64) -> Result<Document, String> {
        Ok(Document { agent: agent(trust, timeout)?, url: url.to_owned(), bytes_max })
    }

    /// Its text now. The error says why there is none, and nothing of what came.
    pub fn text(&self) -> Result<String, String> {
        let plainly = |error: &ureq::Error| plainly(error, self.bytes_max);
        let answer = self.agent.get(&self.url).header("accept", "application/json").call();
        let mut response = answer.map_err(|error| plainly(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(format!("it answers with a redirect ({}), which is not followed", status.as_u16()));
        }
        if !status.is_success() {
            return Err(format!("it answers with status {}", status.as_u16()));
        }
        response.body_mut().with_config().limit(self.bytes_max).read_to_string().map_err(|error| plainly(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;

    /// What a document is where somebody answers once with this.
    fn fetched(answer: &'static str) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/keys", listener.local_addr().expect("it is bound"));
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        });
        let document = Document::at(&url, &Trust::default(), Duration::from_secs(20), 16).expect("an address");
        let text = document.text();
        serving.join().expect("it answered");
        text
    }

    #[test]
    fn a_document_is_what_is_there_and_no_more_than_it_may_be() {
        let head = |head: &str, rest: &str| -> &'static str {
            format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{rest}", rest.len()).leak()
        };
        assert_eq!(fetched(head("200 OK", "{\"keys\":[]}")).as_deref(), Ok("{\"keys\":[]}"));
        for (answer, problem) in [
            (head("200 OK", "{\"keys\":[1,2,3,4,5,6]}"), "larger than 16 bytes"),
            (head("302 Found\r\nlocation: http://127.0.0.1:1/", ""), "redirect (302), which is not followed"),
            (head("404 Not Found", "{}"), "status 404"),
            (head("500 Internal Server Error", "{}"), "status 500"),
        ] {
            let error = fetched(answer).expect_err(problem);
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_metadata_service_is_not_asked() {
        let trust = Trust::default();
        let document = Document::at("http://169.254.169.254/", &trust, Duration::from_secs(5), 16).expect("an address");
        let error = document.text().expect_err("it must not be asked");
        assert!(error.contains(guard::FORBIDDEN), "{error}");
    }
}
