//! The connection and the allow-list of pass-through properties in; properties of the Kafka client out.

use super::{Kafka, SecurityProtocol, SettingsError, layers::nearest};

/// What a client does: properties of the other role would be warned about by the client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRole {
    /// Reads topics.
    Consumer,
    /// Writes topics.
    Producer,
    /// Creates and describes topics.
    Admin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Consumer,
    Producer,
}

/// Properties that may be passed through. Each tunes speed, memory or the network; none runs code, names a secret, or
/// touches what exactly-once stands on.
const ALLOWED: &[(&str, Scope)] = &[
    ("broker.address.family", Scope::All),
    ("broker.address.ttl", Scope::All),
    ("client.dns.lookup", Scope::All),
    ("client.rack", Scope::All),
    ("connections.max.idle.ms", Scope::All),
    ("debug", Scope::All),
    ("log.connection.close", Scope::All),
    ("message.max.bytes", Scope::All),
    ("metadata.max.age.ms", Scope::All),
    ("receive.message.max.bytes", Scope::All),
    ("reconnect.backoff.max.ms", Scope::All),
    ("reconnect.backoff.ms", Scope::All),
    ("retry.backoff.max.ms", Scope::All),
    ("retry.backoff.ms", Scope::All),
    ("socket.connection.setup.timeout.ms", Scope::All),
    ("socket.keepalive.enable", Scope::All),
    ("socket.max.fails", Scope::All),
    ("socket.nagle.disable", Scope::All),
    ("socket.receive.buffer.bytes", Scope::All),
    ("socket.send.buffer.bytes", Scope::All),
    ("socket.timeout.ms", Scope::All),
    ("ssl.cipher.suites", Scope::All),
    ("ssl.curves.list", Scope::All),
    ("ssl.sigalgs.list", Scope::All),
    ("topic.metadata.refresh.interval.ms", Scope::All),
    ("check.crcs", Scope::Consumer),
    ("fetch.error.backoff.ms", Scope::Consumer),
    ("fetch.max.bytes", Scope::Consumer),
    ("fetch.message.max.bytes", Scope::Consumer),
    ("fetch.min.bytes", Scope::Consumer),
    ("fetch.queue.backoff.ms", Scope::Consumer),
    ("fetch.wait.max.ms", Scope::Consumer),
    ("heartbeat.interval.ms", Scope::Consumer),
    ("max.poll.interval.ms", Scope::Consumer),
    ("queued.max.messages.kbytes", Scope::Consumer),
    ("queued.min.messages", Scope::Consumer),
    ("batch.num.messages", Scope::Producer),
    ("batch.size", Scope::Producer),
    ("compression.level", Scope::Producer),
    ("linger.ms", Scope::Producer),
    ("queue.buffering.max.kbytes", Scope::Producer),
    ("queue.buffering.max.messages", Scope::Producer),
    ("request.timeout.ms", Scope::Producer),
    ("sticky.partitioning.linger.ms", Scope::Producer),
];

/// Properties (or their beginnings) that are refused with a reason of their own.
const REFUSED: &[(&str, &str)] = &[
    ("plugin.library.paths", "it would load code into the hub"),
    ("sasl.kerberos.", "it would run a command of the system"),
    ("sasl.oauthbearer.", "this login is not supported"),
    ("ssl.engine", "it would load code into the hub"),
    ("ssl.provider", "it would load code into the hub"),
    ("ssl.endpoint.identification.algorithm", "without it any certificate of any host would be accepted"),
    ("enable.ssl.certificate.verification", "it would accept any broker; set kafka.ca_file instead"),
    ("bootstrap.servers", "set kafka.brokers instead"),
    ("metadata.broker.list", "set kafka.brokers instead"),
    ("security.protocol", "set kafka.security_protocol instead"),
    ("sasl.mechanism", "set kafka.sasl_mechanism instead"),
    ("sasl.username", "set kafka.username instead"),
    ("sasl.password", "set kafka.password_file instead"),
    ("ssl.ca.", "set kafka.ca_file instead"),
    ("ssl.certificate.", "set kafka.certificate_file instead"),
    ("ssl.key.", "set kafka.key_file instead"),
    ("session.timeout.ms", "set kafka.session_timeout_ms instead"),
    ("transaction.timeout.ms", "set kafka.transaction_timeout_ms instead"),
    ("message.timeout.ms", "set kafka.message_timeout_ms instead"),
    ("delivery.timeout.ms", "set kafka.message_timeout_ms instead"),
    ("compression.", "set topics.compression instead"),
    ("group.instance.id", "set hub.instance_id instead"),
    ("group.", "the hub sets it from hub.application_id"),
    ("transactional.id", "the hub sets it from hub.application_id"),
    ("acks", "exactly-once stands on it, so the hub sets it"),
    ("request.required.acks", "exactly-once stands on it, so the hub sets it"),
    ("enable.idempotence", "exactly-once stands on it, so the hub sets it"),
    ("enable.auto.", "exactly-once stands on it, so the hub sets it"),
    ("isolation.level", "exactly-once stands on it, so the hub sets it"),
    ("auto.offset.reset", "exactly-once stands on it, so the hub sets it"),
    ("max.in.flight", "exactly-once stands on it, so the hub sets it"),
    ("partition.assignment.strategy", "the hub sets it"),
];

/// The allowed property that an environment key stands for: `FETCH_MIN_BYTES` means `fetch.min.bytes`.
pub(super) fn from_environment(key: &str) -> Option<&'static str> {
    let name = key.to_lowercase();
    ALLOWED.iter().map(|(allowed, _)| *allowed).find(|allowed| allowed.replace('.', "_") == name)
}

/// Refuses a property that is not on the allow-list.
pub(super) fn check(name: &str) -> Result<(), SettingsError> {
    if ALLOWED.iter().any(|(allowed, _)| *allowed == name) {
        return Ok(());
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(start, _)| name.starts_with(start)) {
        return Err(SettingsError::ClientProperty {
            name: name.to_owned(),
            message: format!("not passed through: {reason}"),
            suggestion: None,
        });
    }
    let allowed: Vec<&str> = ALLOWED.iter().map(|(allowed, _)| *allowed).collect();
    Err(SettingsError::ClientProperty {
        name: name.to_owned(),
        message: format!("not among the properties that are passed through, which are {}", allowed.join(", ")),
        suggestion: nearest(name, allowed.iter().copied()),
    })
}

impl Kafka {
    /// The properties of a client's connection, login and tuning, in the order in which they are to be set. What
    /// depends on its work (group, transactional id, timeouts) is the engine's to add. Reads the password's file.
    pub fn client_properties(
        &self,
        role: ClientRole,
        warn: &mut dyn FnMut(String),
    ) -> Result<Vec<(String, String)>, SettingsError> {
        let Some(brokers) = &self.brokers else {
            return Err(SettingsError::Missing {
                key: "kafka.brokers",
                message: "name the brokers as host:port, separated by commas".into(),
            });
        };
        let mut properties = vec![
            ("bootstrap.servers".to_owned(), brokers.clone()),
            ("security.protocol".to_owned(), self.security_protocol.as_str().to_owned()),
        ];
        if self.security_protocol.logs_in() {
            // Validation has seen to it that the three are there together.
            if let Some(mechanism) = self.sasl_mechanism {
                properties.push(("sasl.mechanism".to_owned(), mechanism.as_str().to_uppercase()));
            }
            if let Some(username) = &self.username {
                properties.push(("sasl.username".to_owned(), username.clone()));
            }
            if let Some(password) = self.password(warn)? {
                properties.push(("sasl.password".to_owned(), password.expose().to_owned()));
            }
        }
        for (property, file) in [
            ("ssl.ca.location", &self.ca_file),
            ("ssl.certificate.location", &self.certificate_file),
            ("ssl.key.location", &self.key_file),
        ] {
            if let Some(file) = file {
                properties.push((property.to_owned(), file.display().to_string()));
            }
        }
        for (name, value) in &self.client {
            let scope = ALLOWED.iter().find(|(allowed, _)| allowed == name).map(|(_, scope)| *scope);
            let fits = match scope {
                Some(Scope::All) => true,
                Some(Scope::Consumer) => role == ClientRole::Consumer,
                Some(Scope::Producer) => role == ClientRole::Producer,
                None => false,
            };
            if fits {
                properties.push((name.clone(), value.clone()));
            }
        }
        Ok(properties)
    }
}

impl SecurityProtocol {
    /// Whether connections are encrypted.
    pub const fn encrypts(self) -> bool {
        matches!(self, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl)
    }

    /// Whether connections log in with a name and a password.
    pub const fn logs_in(self) -> bool {
        matches!(self, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl)
    }
}
