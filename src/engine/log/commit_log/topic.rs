//! A topic's properties in; their bytes out, and back.

use super::codec::{Reader, put_string};

/// Which records of a topic are given up, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// None.
    Keep,
    /// Those of a commit whose newest record is older than this.
    Delete {
        /// How long records stay at least.
        retention_ms: i64,
    },
    /// Those whose key has a later value; tombstones go too once they are this old and nothing older of their key is left.
    Compact {
        /// How long tombstones stay at least.
        delete_retention_ms: i64,
    },
    /// Those below the offset that the caller of [`super::CommitLog::clean`] tells.
    Processed,
}

/// A topic of the log. Its id is its index in the order of creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// What is given up.
    pub policy: Policy,
}

impl Topic {
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        put_string(into, self.name.as_bytes());
        into.extend_from_slice(&self.partitions.to_le_bytes());
        let (tag, parameter) = match self.policy {
            Policy::Keep => (0, 0),
            Policy::Delete { retention_ms } => (1, retention_ms),
            Policy::Compact { delete_retention_ms } => (2, delete_retention_ms),
            Policy::Processed => (3, 0),
        };
        into.push(tag);
        into.extend_from_slice(&parameter.to_le_bytes());
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let name = reader.text()?.to_owned();
        let partitions = reader.u32()?;
        let policy = match (reader.u8()?, reader.i64()?) {
            (0, _) => Policy::Keep,
            (1, retention_ms) => Policy::Delete { retention_ms },
            (2, delete_retention_ms) => Policy::Compact { delete_retention_ms },
            (3, _) => Policy::Processed,
            _ => return None,
        };
        Some(Self { name, partitions, policy })
    }
}
