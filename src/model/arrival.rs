//! What arrived from a department: ingest's report of one transaction, and the account that reports add up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    time::EventTime,
    touchpoint::{Outcome, Reason},
};

/// What ingest took from one partition of a spoke's topic in one transaction. The order of fields is the internal format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals<'a> {
    /// The department.
    pub spoke: &'a str,
    /// Its topic.
    pub topic: &'a str,
    /// The partition of it.
    pub partition: i32,
    /// The offset after the last record taken.
    pub next_offset: i64,
    /// Source records taken.
    pub records: u64,
    /// The smallest and the largest timestamp of these records; `None` if none of them has one.
    pub arrived: Option<(EventTime, EventTime)>,
    /// When the newest touchpoint accepted from this partition happened, as far as this instance knows.
    pub newest_occurred_at: Option<EventTime>,
    /// Rejections by reason.
    pub rejections: Vec<(Reason, u64)>,
    /// The department's own kinds that have no mapping, and how often each came.
    pub unmapped_kinds: Vec<(&'a str, u64)>,
    /// Kinds without a mapping whose word is not for publication, or one too many.
    pub unmapped_kinds_unnamed: u64,
    /// The writer schemas that records named: how many records, and the timestamp of the newest.
    pub schemas: Vec<(String, u64, Option<EventTime>)>,
    /// Records with schemas beyond those.
    pub schemas_unnamed: u64,
}

/// What is known of one partition of a spoke's topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpokePartition {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The offset after the last record taken.
    pub next_offset: i64,
    /// Source records taken.
    pub records: u64,
    /// The timestamp of the newest record.
    pub last_arrived_at: Option<EventTime>,
    /// When the newest touchpoint accepted from it happened.
    pub newest_occurred_at: Option<EventTime>,
}

/// A writer schema that records of a spoke named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpokeSchema {
    /// Its name: `id:17` of a registry, `fp:0123456789abcdef` for a fingerprint.
    pub schema: String,
    /// Records that named it.
    pub records: u64,
    /// The timestamp of the newest of them.
    pub last_arrived_at: Option<EventTime>,
}

/// One record of `insight.spokes`: everything that ever arrived from one department.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpokeAccount {
    /// The department.
    pub spoke: String,
    /// Source records taken.
    pub records: u64,
    /// What became of them and of the touchpoints in them.
    pub outcomes: BTreeMap<Outcome, i64>,
    /// Rejections by reason.
    pub rejections: BTreeMap<Reason, u64>,
    /// The department's own kinds that have no mapping.
    pub unmapped_kinds: BTreeMap<String, u64>,
    /// Kinds without a mapping that are not among them.
    pub unmapped_kinds_unnamed: u64,
    /// The writer schemas, by name.
    pub schemas: Vec<SpokeSchema>,
    /// Records with schemas that are not among them.
    pub schemas_unnamed: u64,
    /// The smallest timestamp of a record.
    pub first_arrived_at: Option<EventTime>,
    /// The largest timestamp of a record.
    pub last_arrived_at: Option<EventTime>,
    /// When the newest accepted touchpoint happened.
    pub newest_occurred_at: Option<EventTime>,
    /// By topic and partition.
    pub partitions: Vec<SpokePartition>,
    /// Counts the publications of this spoke, from 1.
    pub revision: u64,
}
