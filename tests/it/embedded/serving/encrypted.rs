//! The API over TLS: what a client sees, a certificate that is replaced while the hub runs, and files that are of no use.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};

use super::*;
use crate::harness::{
    certificates::{authority, certificate},
    http::received,
    sweeper::Scratch,
};

/// A client that knows the authority.
struct Client {
    config: Arc<ClientConfig>,
    port: u16,
}

/// How a handshake begins, and does not go on: a record of 512 bytes with a greeting of 508 (RFC 8446, sections 5.1 and 4), of which
/// one is there.
const BEGINS: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3];

type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    fn new(directory: &Path, port: u16, version: &'static SupportedProtocolVersion) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h3".to_vec(), b"http/1.1".to_vec()];
        // A session that is taken up again shows no certificate.
        config.resumption = Resumption::disabled();
        Client { config: Arc::new(config), port }
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.config), name).unwrap(), stream)
    }

    fn request(&self, path: &str, headers: &[(&str, &str)], is_last: bool) -> String {
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n", self.port);
        headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        if is_last {
            request.push_str("connection: close\r\n");
        }
        request + "\r\n"
    }

    /// One request, and what came until the end; `None`: there is nobody.
    fn ask(&self, path: &str, headers: &[(&str, &str)]) -> (Option<Answer>, Connection) {
        let mut connection = self.connect();
        if connection.write_all(self.request(path, headers, true).as_bytes()).is_err() {
            return (None, connection);
        }
        let answer = received(&mut connection, path);
        (answer, connection)
    }

    /// The certificate that is shown now.
    fn shown(&self) -> Vec<u8> {
        let (answer, connection) = self.ask("/api/v1", &[]);
        assert_eq!(answer.unwrap().status, 200);
        connection.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

#[test]
fn over_tls_a_client_sees_the_certificate_of_now_and_nobody_else_sees_anything() {
    let home = Scratch::new("certificates");
    let path = home.path();
    authority(path);
    certificate(path, "one", 2);
    certificate(path, "two", 2);
    let der = |name: &str| CertificateDer::from_pem_file(path.join(format!("{name}.pem"))).unwrap().to_vec();
    let put = |certificate: &str, key: &str| {
        for (from, to) in [(format!("{certificate}.pem"), "api.pem"), (format!("{key}.key"), "api.key")] {
            std::fs::copy(path.join(from), path.join(to)).unwrap();
        }
    };
    put("one", "one");
    let files = ["certificate_file", "key_file"].map(|key| {
        format!("serve.{key}={}", path.join(if key == "key_file" { "api.key" } else { "api.pem" }).display())
    });
    let mut desk = Desk::open("encrypted", &[&files[0], &files[1], "serve.requests_per_second=100000"]);
    desk.house.append(DAY_MS, &orders(1..2));
    let (token, _) = desk.token("read:metrics", &[]);
    let by = [("authorization", token.as_str())];
    let client = Client::new(path, desk.port, &TLS13);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", desk.port)).is_err() {
        assert!(began.elapsed() < WITHIN, "nobody listens");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (answer, connection) = loop {
        let (answer, connection) = client.ask("/api/v1/metrics", &by);
        match answer {
            Some(answer) if answer.status == 200 => break (answer, connection),
            other => assert!(began.elapsed() < WITHIN, "{:?}", other.map(|it| it.body)),
        }
    };
    assert_eq!(answer.headers["strict-transport-security"], "max-age=31536000");
    assert_eq!(connection.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(connection.conn.peer_certificates().unwrap()[0].as_ref(), der("one"));
    assert_eq!(Client::new(path, desk.port, &TLS12).ask("/api/v1/metrics", &by).0.unwrap().status, 200);
    assert_eq!(client.ask("/api/v1/metrics", &[]).0.unwrap().status, 401, "TLS is no credential");
    let login = client.ask("/login", &[]).0.unwrap();
    assert!(login.headers["set-cookie"].starts_with("__Host-insight_form="), "{:?}", login.headers);
    assert!(login.headers["set-cookie"].contains("; Secure"));
    assert!(desk.try_ask("GET", "/api/v1/metrics", &by).is_none(), "in clear nothing is answered");

    // Those who never make their handshake hold up nobody: who says nothing takes no place, and more of those who begin one and say no
    // more than there are places give theirs up soon.
    for (begins, within) in [(&b""[..], Duration::from_millis(1_500)), (BEGINS, Duration::from_secs(8))] {
        let (mut idle, mut longest) = (Vec::new(), Duration::ZERO);
        // Few at a time: where more come than the system queues, they wait before they are there.
        for _ in 0..5 {
            idle.extend((0..60).map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", desk.port)).unwrap();
                stream.write_all(begins).unwrap();
                stream
            }));
            let began = Instant::now();
            assert_eq!(client.ask("/api/v1/metrics", &by).0.unwrap().status, 200);
            longest = longest.max(began.elapsed());
        }
        let (many, bytes) = (idle.len(), begins.len());
        assert!(longest < within, "{many} that send {bytes} bytes hold it up for {longest:?}");
    }

    // Another certificate: connections that are there go on, new ones have it.
    let mut kept = client.connect();
    kept.write_all(client.request("/api/v1/metrics/orders", &by, false).as_bytes()).unwrap();
    let mut first = [0; 12];
    kept.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    put("two", "two");
    let (status, output, errors) = desk.house.run(&["reload"]);
    assert_eq!((status.code(), output.as_str()), (Some(0), "applied: the certificate of the API\n"), "{errors}");
    assert_eq!(client.shown(), der("two"));
    kept.write_all(client.request("/api/v1/metrics", &by, true).as_bytes()).unwrap();
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).unwrap();
    assert_eq!(String::from_utf8_lossy(&rest).matches("HTTP/1.1 200").count(), 1, "the connection goes on");
    assert_eq!(kept.conn.peer_certificates().unwrap()[0].as_ref(), der("one"));
    assert!(desk.house.run(&["reload"]).1.starts_with("unchanged"));

    // What is of no use is not taken.
    put("one", "two");
    let (status, _, errors) = desk.house.run(&["reload"]);
    assert_eq!(status.code(), Some(2), "{errors}");
    assert!(errors.contains("api.key is not the one of the certificate in"), "{errors}");
    assert_eq!(client.shown(), der("two"));
    certificate(path, "over", -1);
    put("over", "over");
    let figure = || {
        let text = desk.house.metrics();
        let line = text.lines().find(|line| line.starts_with("insight_hub_api_certificate_expiry_timestamp_seconds "));
        line.unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(figure() > now_s + 86_400.0);
    assert!(desk.house.run(&["reload"]).0.success(), "it is the operator's own");
    assert!(desk.house.log().contains("the certificate of the API has expired"), "{}", desk.house.log());
    assert!(figure() < now_s);
}

#[test]
fn a_hub_does_not_start_with_a_certificate_or_a_file_of_tokens_that_is_of_no_use() {
    let home = Scratch::new("useless-files");
    let path = home.path();
    authority(path);
    certificate(path, "one", 2);
    std::fs::write(path.join("empty"), "").unwrap();
    std::fs::write(path.join("no-tokens.json"), "{\"tokens\": []}").unwrap();
    let set = |key: &str, file: &str| format!("serve.{key}={}", path.join(file).display());
    let pair = |certificate: &str, key: &str| vec![set("certificate_file", certificate), set("key_file", key)];
    for (settings, problem) in [
        (pair("none.pem", "one.key"), "none.pem cannot be read"),
        (pair("empty", "one.key"), "empty has no certificate in PEM"),
        (pair("one.key", "one.key"), "one.key has no certificate in PEM"),
        (pair("one.pem", "none.key"), "none.key cannot be read"),
        (pair("one.pem", "one.pem"), "one.pem has no private key in PEM"),
        (pair("one.pem", "ca.key"), "ca.key is not the one of the certificate in"),
        (vec![set("certificate_file", "one.pem")], "serve.key_file"),
        (vec![set("tokens_file", "none.json")], "none.json\" is not there, or has no token in it"),
        (vec![set("tokens_file", "no-tokens.json")], "no-tokens.json\" is not there, or has no token in it"),
    ] {
        let port = free_port();
        let listen = format!("serve.listen=127.0.0.1:{port}");
        let settings: Vec<&str> = settings.iter().map(String::as_str).chain([listen.as_str()]).collect();
        let (command, _) = crate::embedded::process::command("useless", None, &settings);
        let (status, _, errors) = command.args(["run"]).run(WITHIN);
        assert_eq!(status.code(), Some(2), "{settings:?}: {errors}");
        assert!(errors.contains(problem), "{problem}: {errors}");
    }
}

#[test]
fn tokens_that_are_gone_do_not_open_the_api() {
    let desk = Desk::open("gone-tokens", &[]);
    desk.becomes("/api/v1", &[], &|answer| answer.status == 200);
    desk.token("read:metrics", &[]);
    assert_eq!(desk.ask("/api/v1/metrics", &[]).status, 401);
    let data = desk.house.path().join("data");
    std::fs::remove_file(data.join("tokens.json")).unwrap();
    assert_eq!(desk.ask("/api/v1/metrics", &[]).status, 401, "while it runs");
    // The same data directory, as after a restart: the API is looked at before the log is.
    let copy = Scratch::new("gone-tokens-copy");
    std::fs::copy(data.join("tokens.lock"), copy.path().join("tokens.lock")).unwrap();
    let listen = format!("serve.listen=127.0.0.1:{}", free_port());
    let (command, _) = crate::embedded::process::command("gone", Some(copy.path()), &[&listen]);
    let (status, _, errors) = command.args(["run"]).run(WITHIN);
    assert_eq!(status.code(), Some(2), "{errors}");
    assert!(errors.contains("tokens.json is gone") && errors.contains("tokens.lock"), "{errors}");
}
