//! A schema registry behind TLS, a login and clients' certificates: what lets the hub in, and what it says otherwise.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};

use crate::harness::{
    certificates::{authority, certificate},
    process::Hub,
    sweeper::Scratch,
};

const WITHIN: Duration = Duration::from_secs(60);
const SCHEMA: &str = r#"{"type":"record","name":"Visit","fields":[{"name":"id","type":"string"},{"name":"who","type":"string"},{"name":"at","type":"long"}]}"#;

/// How it is served, and to whom.
fn config(directory: &Path, name: &str, wants_certificates: bool) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if wants_certificates {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_file(directory.join(format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(directory.join(format!("{name}.key"))).unwrap();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// Answers one request as a registry with a single schema does, if it knows who asks.
fn answer(config: Arc<ServerConfig>, stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut request = Vec::new();
    let mut bytes = [0; 4_096];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        // Whoever does not trust the certificate, or shows none that is trusted, is gone.
        match stream.read(&mut bytes) {
            Ok(read) if read > 0 => request.extend_from_slice(&bytes[..read]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let login = format!("authorization: Basic {}", BASE64.encode("hub:right-secret"));
    let (status, body) = if !request.lines().any(|line| line.eq_ignore_ascii_case(&login)) {
        ("401 Unauthorized", json!({"error_code": 401}))
    } else if request.starts_with("GET /schemas/ids/7 ") {
        ("200 OK", json!({"schema": SCHEMA}))
    } else {
        ("404 Not Found", json!({"error_code": 40_403}))
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}", body.len());
    let _ = write!(stream, "{head}\r\n\r\n{body}");
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// Serves until the test ends; returns its address.
fn serve(config: Arc<ServerConfig>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let config = Arc::clone(&config);
            thread::spawn(move || answer(config, stream.unwrap()));
        }
    });
    url
}

/// What a look at everything says.
fn look(settings: &[String]) -> Value {
    let mut hub = Hub::command("look").file("spokes/visits.toml", MAPPING);
    hub = hub.file("right", "right-secret").file("wrong", "wrong-secret").args(["check", "--connect", "-o", "json"]);
    for setting in settings.iter().map(String::as_str).chain(["hub.data_directory=data", "spokes.directory=spokes"]) {
        hub = hub.args(["--set", setting]);
    }
    let (_, document, said) = hub.run(WITHIN);
    assert!(!document.contains("-secret") && !said.contains("-secret"), "a password was told: {document}{said}");
    serde_json::from_str(&document).unwrap_or_else(|error| panic!("{error}: {document}{said}"))
}

const MAPPING: &str = "spoke = \"visits\"\ntopic = \"visits.events\"\nformat = \"json\"\nid = \"id\"\n\
     kind = { constant = \"visit_made\" }\noccurred_at = { path = \"at\", format = \"epoch_ms\" }\n\
     identifiers = { customer_id = \"who\" }\n";

#[track_caller]
fn check(settings: &[&[String]], state: &str, words: &str) {
    let document = look(&settings.concat());
    let found = document["connections"].as_array().unwrap().iter().find(|it| it["of"] == "registry");
    let found = found.unwrap_or_else(|| panic!("the registry was not looked at: {document}"));
    assert!(found["state"] == state && found["seen"].as_str().unwrap().contains(words), "{found}");
}

#[test]
fn the_registry_lets_in_who_trusts_it_and_is_known_there_and_says_why_not() {
    let home = Scratch::new("registry-tls");
    let (path, elsewhere) = (home.path(), home.path().join("elsewhere"));
    for directory in [path, &elsewhere] {
        authority(directory);
        certificate(directory, "registry", 2);
        certificate(directory, "hub", 2);
    }
    certificate(path, "expired", -1);
    let set = |key: &str, value: String| format!("registry.{key}={value}");
    let file = |key: &str, directory: &Path, name: &str| set(key, directory.join(name).display().to_string());
    let login = |password: &str| [set("username", "hub".to_owned()), set("password_file", password.to_owned())];
    let (right, wrong) = (login("right"), login("wrong"));
    let url = [set("url", serve(config(path, "registry", false)))];
    let ca = [file("ca_file", path, "ca.pem")];

    check(&[&url, &ca, &right], "right", "answers");
    let untrusted = "signed by nobody who is trusted here";
    check(&[&url, &[file("ca_file", &elsewhere, "ca.pem")], &right], "missing", untrusted);
    check(&[&url, &right], "missing", untrusted);
    check(
        &[&[set("url", serve(config(path, "expired", false)))], &ca, &right],
        "missing",
        "its certificate has expired",
    );
    check(&[&url, &ca, &wrong], "missing", "401");
    check(&[&url, &ca], "missing", "401");
    let plain = [url[0].replace("https:", "http:")];
    check(&[&plain, &right], "missing", "the schema registry does not answer");

    // Who shows a certificate.
    let mutual = [set("url", serve(config(path, "registry", true)))];
    let shown = |directory: &Path, key: &str| {
        [file("certificate_file", directory, "hub.pem"), file("key_file", directory, key)]
    };
    check(&[&mutual, &ca, &right, &shown(path, "hub.key")], "right", "answers");
    check(&[&mutual, &ca, &right, &shown(&elsewhere, "hub.key")], "missing", "the schema registry does not answer");
    check(&[&mutual, &ca, &right], "missing", "the schema registry does not answer");
    // The same key in forms that are older than PKCS#8: said before anybody is asked, with what to do.
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").current_dir(path).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl("ec -in hub.key -out sec1.key");
    openssl("genrsa -traditional -out pkcs1.key 2048");
    for key in ["sec1.key", "pkcs1.key"] {
        let document = look(&[&mutual[..], &ca, &right, &shown(path, key)].concat());
        let advice = format!("openssl pkcs8 -topk8 -nocrypt -in {}", path.join(key).display());
        assert!(document["errors"][0].as_str().unwrap().contains(&advice), "{document}");
    }
    openssl("pkcs8 -topk8 -nocrypt -in sec1.key -out new.key");
    check(&[&mutual, &ca, &right, &shown(path, "new.key")], "right", "answers");
}

/// Not only a look: records are read by what it has.
#[test]
fn a_schema_comes_over_tls_with_a_login_and_a_certificate() {
    let home = Scratch::new("registry-mutual");
    let path = home.path();
    authority(path);
    certificate(path, "registry", 2);
    certificate(path, "hub", 2);
    let mapping = MAPPING.replace("\"json\"", "\"avro\"");
    let mut hub = Hub::command("mutual").file("spokes/visits.toml", &mapping).file("right", "right-secret");
    let settings = [
        format!("registry.url={}", serve(config(path, "registry", true))),
        format!("registry.ca_file={}", path.join("ca.pem").display()),
        format!("registry.certificate_file={}", path.join("hub.pem").display()),
        format!("registry.key_file={}", path.join("hub.key").display()),
        "registry.username=hub".to_owned(),
        "registry.password_file=right".to_owned(),
        "spokes.directory=spokes".to_owned(),
    ];
    for setting in &settings {
        hub = hub.args(["--set", setting]);
    }
    // In the registry's wire format: the id of the schema, then "a", "C1" and a time.
    let record: &[u8] = &[0, 0, 0, 0, 7, 2, b'a', 4, b'C', b'1', 0xf4, 0xcd, 0xbe, 0xb4, 0x82, 0x67];
    std::fs::write(hub.directory().join("sample.avro"), record).unwrap();
    let (_, shown, said) =
        hub.args(["check", "--spoke", "visits", "--sample", "sample.avro", "-o", "jsonl"]).run(WITHIN);
    assert!(shown.contains("\"C1\"") && shown.contains("visit_made"), "{shown}{said}");
}
