//! A connection in; the same with TLS around it out (1.2 and 1.3, the library's defaults), by a certificate that can be replaced while the
//! hub runs: it is looked at first, and connections that are there keep the one they have.
//!
//! A handshake has an end: who does not finish one in [`HANDSHAKE_WITHIN`], waiting included, is gone. So many as
//! [`HANDSHAKES_MAX`] are made at a time: they are the dearest that anybody can ask for without a credential.

mod validity;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub use validity::Validity;

/// Within how long a connection must have made its handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Within how long of that one that has begun must be made: so long it keeps its place from others.
const PLACE_WITHIN: Duration = Duration::from_secs(2);
/// Handshakes at a time.
const HANDSHAKES_MAX: usize = 256;

/// PEM files of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// With its certificate, and what signs it.
    pub certificate: PathBuf,
    /// With its private key.
    pub key: PathBuf,
}

/// Why files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no certificate in one.
    #[error("{path} has no certificate in PEM (BEGIN CERTIFICATE)", path = .0.display())]
    NoCertificate(PathBuf),
    /// There is no key in one.
    #[error("{path} has no private key in PEM that can be used without a password (BEGIN PRIVATE KEY)", path = .0.display())]
    NoKey(PathBuf),
    /// The certificate is none that the library can read.
    #[error("{path} has a certificate that cannot be read", path = .0.display())]
    Certificate(PathBuf),
    /// They do not go together.
    #[error("the key of {key} is not the one of the certificate in {certificate}", key = .0.key.display(), certificate = .0.certificate.display())]
    Mismatch(TlsFiles),
    /// The key is of a kind that is not known.
    #[error("the key in {path} cannot be used: {reason}", path = .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// The library's reason.
        reason: String,
    },
}

/// A certificate with its key, looked at, that may replace another.
pub struct Fresh {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl Fresh {
    /// From when until when the certificate is good.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// What the files hold now.
    ///
    /// # Errors
    /// [`TlsError`]: what is wrong with which.
    pub fn read(files: &TlsFiles) -> Result<Fresh, TlsError> {
        let bytes = |path: &Path| std::fs::read(path).map_err(|source| TlsError::File { path: path.into(), source });
        let (certificate, key) = (bytes(&files.certificate)?, bytes(&files.key)?);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate(files.certificate.clone()))?;
        let first = chain.first().ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
        let validity = Validity::of(first.as_ref()).ok_or_else(|| TlsError::Certificate(files.certificate.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch(files.clone()),
            rustls::Error::InvalidCertificate(_) => TlsError::Certificate(files.certificate.clone()),
            error => TlsError::Key { path: files.key.clone(), reason: error.to_string() },
        })?;
        Ok(Fresh { key: Arc::new(key), validity })
    }
}

/// The certificate in force.
struct Current(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Current {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Current(…)")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What makes connections TLS. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
    handshakes: Arc<Semaphore>,
}

impl Tls {
    /// By these files, and what was found in them.
    ///
    /// # Errors
    /// If the library has no cipher for its own defaults.
    pub fn new(files: TlsFiles, fresh: Fresh) -> Result<Tls, String> {
        let current = Arc::new(Current(RwLock::new(fresh.key)));
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(current.clone());
        // What the server speaks.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Tls { files, current, acceptor, handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)) })
    }

    /// What its files hold now; `None`: what is in force.
    ///
    /// # Errors
    /// [`TlsError`]: what is wrong with which.
    pub fn fresh(&self) -> Result<Option<Fresh>, TlsError> {
        let fresh = Fresh::read(&self.files)?;
        let is_same = {
            let current = self.current.0.read().unwrap_or_else(PoisonError::into_inner);
            // The certificate has the public key in it, and the private one goes with it.
            current.cert == fresh.key.cert
        };
        Ok((!is_same).then_some(fresh))
    }

    /// New connections have this certificate from now on.
    pub fn replace(&self, fresh: Fresh) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = fresh.key;
    }

    /// Makes a connection TLS, when it is first used.
    pub(super) fn wrap(&self, stream: TcpStream) -> Wire {
        let (acceptor, handshakes) = (self.acceptor.clone(), Arc::clone(&self.handshakes));
        Wire::Opening(Box::pin(async move {
            let opened = timeout(HANDSHAKE_WITHIN, async {
                // Who says nothing takes no place.
                stream.peek(&mut [0]).await?;
                let _place = handshakes.acquire().await.map_err(io::Error::other)?;
                // Whoever begins one and says no more gives the place up soon.
                timeout(PLACE_WITHIN, acceptor.accept(stream)).await?
            });
            opened.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }))
    }
}

type Handshake = Pin<Box<dyn Future<Output = io::Result<TlsStream<TcpStream>>> + Send>>;

/// A connection's bytes.
///
/// ```text
/// Plain        Opening ──handshake──▶ Tls
///                 └──none, late──▶ Failed
/// ```
pub(super) enum Wire {
    Plain(TcpStream),
    Opening(Handshake),
    Tls(Box<TlsStream<TcpStream>>),
    Failed,
}

impl Wire {
    /// Goes on with the handshake, if it is not made.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Wire::Opening(handshake) = self {
            let opened = std::task::ready!(handshake.as_mut().poll(context));
            *self = Wire::Failed;
            *self =
                Wire::Tls(Box::new(opened.inspect_err(|error| tracing::debug!("no TLS handshake: {}", error.kind()))?));
        }
        Poll::Ready(Ok(()))
    }
}

/// The connection that is there.
macro_rules! of_wire {
    ($wire:expr, $stream:ident => $does:expr) => {
        match $wire {
            Wire::Plain($stream) => {
                let $stream = Pin::new($stream);
                $does
            }
            Wire::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $does
            }
            Wire::Opening(_) | Wire::Failed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_open(context))?;
        of_wire!(&mut *self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_open(context))?;
        of_wire!(&mut *self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            // Nothing was written yet.
            Wire::Opening(_) => Poll::Ready(Ok(())),
            wire => of_wire!(wire, stream => stream.poll_flush(context)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Wire::Opening(_) | Wire::Failed => Poll::Ready(Ok(())),
            wire => of_wire!(wire, stream => stream.poll_shutdown(context)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_open(context))?;
        of_wire!(&mut *self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        // Of both.
        true
    }
}
