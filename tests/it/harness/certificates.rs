//! A folder in; an authority of its own and certificates of this machine, made by openssl, out; and a server that shows one of them.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Runs openssl in a directory.
fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc";

/// Makes an authority: `ca.pem` and `ca.key`.
pub fn authority(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    openssl(directory, &format!("req -x509 {KEY} -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem"));
}

/// Makes a certificate of this machine, signed by the authority in the directory: `NAME.pem` and `NAME.key`.
pub fn certificate(directory: &Path, name: &str, days: i32) {
    certificate_of(directory, name, days, "IP:127.0.0.1");
}

/// The same of another name, as in `DNS:login.example`.
pub fn certificate_of(directory: &Path, name: &str, days: i32, of: &str) {
    std::fs::write(directory.join("names"), format!("subjectAltName={of}\n")).unwrap();
    openssl(directory, &format!("req {KEY} -subj /CN=hub -keyout {name}.key -out {name}.csr"));
    let sign = format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names");
    openssl(directory, &format!("{sign} -days {days} -out {name}.pem"));
}

/// A server over TLS that answers every request with one document, until the test ends. Document and certificate can be replaced.
pub struct Issuer {
    pub port: u16,
    shows: Arc<Mutex<Shows>>,
}

struct Shows {
    config: Arc<ServerConfig>,
    document: String,
}

fn config(directory: &Path, name: &str) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(directory.join(format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join(format!("{name}.key"))).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
}

impl Issuer {
    /// With the certificate of this name in a directory.
    pub fn open(directory: &Path, name: &str, document: String) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shows = Arc::new(Mutex::new(Shows { config: config(directory, name), document }));
        let shown = Arc::clone(&shows);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (config, document) = {
                    let shows = shown.lock().unwrap();
                    (Arc::clone(&shows.config), shows.document.clone())
                };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                // Whoever does not trust the certificate is gone.
                if stream.read(&mut [0; 4_096]).is_ok_and(|bytes| bytes > 0) {
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                    let length = document.len();
                    let _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{document}");
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        Issuer { port, shows }
    }

    /// From now on it shows this certificate.
    pub fn show(&self, directory: &Path, name: &str) {
        self.shows.lock().unwrap().config = config(directory, name);
    }

    /// From now on it answers with this.
    pub fn answer(&self, document: String) {
        self.shows.lock().unwrap().document = document;
    }
}
