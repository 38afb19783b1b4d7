//! Settings with a closed set of words.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Declares a setting with a closed set of words. A wrong word is answered with the whole set.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The word in configuration files.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                match word.as_str() {
                    $($word => Ok($name::$variant),)+
                    _ => Err(D::Error::custom(format!("{word:?} is not one of {}", [$($word),+].join(", ")))),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

choice! {
    /// How connections to brokers are protected.
    SecurityProtocol {
        /// Neither encrypted nor logged in.
        Plaintext => "plaintext",
        /// TLS.
        Ssl => "ssl",
        /// Logged in, not encrypted.
        SaslPlaintext => "sasl_plaintext",
        /// Logged in over TLS.
        SaslSsl => "sasl_ssl",
    }
}

choice! {
    /// How to log in to brokers.
    SaslMechanism {
        /// The password itself: only over TLS.
        Plain => "plain",
        /// Salted challenge, SHA-256.
        ScramSha256 => "scram-sha-256",
        /// Salted challenge, SHA-512.
        ScramSha512 => "scram-sha-512",
    }
}

choice! {
    /// How values of public feeds are encoded.
    FeedFormat {
        /// One JSON object per record.
        Json => "json",
        /// Avro, single-object encoding.
        Avro => "avro",
        /// Avro, with schemas in the registry (`[registry]`).
        AvroRegistry => "avro-registry",
    }
}

choice! {
    /// How the hub compresses what it writes.
    Compression {
        /// Not at all.
        None => "none",
        /// The default: little CPU.
        Lz4 => "lz4",
        /// Smaller, more CPU.
        Zstd => "zstd",
        /// For consumers that know nothing else.
        Gzip => "gzip",
        /// Likewise.
        Snappy => "snappy",
    }
}

choice! {
    /// When commits of the embedded log are made to survive a power cut.
    Fsync {
        /// Each before it counts.
        Commit => "commit",
        /// Every `embedded.fsync_interval_ms`.
        Interval => "interval",
        /// When the operating system does, and before a store is written.
        Never => "never",
    }
}

choice! {
    /// How a log line looks.
    LogFormat {
        /// For people.
        Text => "text",
        /// One JSON object per line.
        Json => "json",
    }
}

choice! {
    /// How the feeds write identifiers.
    PublishedIdentifiers {
        /// As they are compared.
        Clear => "clear",
        /// As keyed hashes.
        Hashed => "hashed",
    }
}
