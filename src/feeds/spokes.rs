//! `insight.spokes`: a department's account in, its public shape out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    names::Names,
    notation::{Instant, Notation},
    table::Feed,
};
use crate::model::{EventTime, Outcome, SpokeAccount};

/// The feed `insight.spokes`. Key: the spoke's name.
#[derive(Debug)]
pub enum Spokes {}

/// Avro has no unsigned numbers; nothing is ever counted 2⁶³ times.
fn long(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn instant<N>(at: Option<EventTime>) -> Option<Instant<N>> {
    at.map(Instant::new)
}

impl FeedRecord for Spokes {
    const FEED: Feed = Feed::Spokes;
    type Record<'a> = SpokeAccount;
    type Shape<'a, N: Notation> = SpokeShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a SpokeAccount, _: &Names) -> SpokeShape<'a, N> {
        let of = |outcome: &Outcome| record.outcomes.get(outcome).copied().unwrap_or_default();
        SpokeShape {
            spoke: &record.spoke,
            records: long(record.records),
            outcomes: Outcome::ALL.iter().map(|outcome| (outcome.as_str(), of(outcome))).collect(),
            rejections: record.rejections.iter().map(|(reason, &count)| (reason.as_str(), long(count))).collect(),
            unmapped_kinds: record.unmapped_kinds.iter().map(|(kind, &count)| (kind.as_str(), long(count))).collect(),
            unmapped_kinds_unnamed: long(record.unmapped_kinds_unnamed),
            schemas: record
                .schemas
                .iter()
                .map(|it| SchemaShape {
                    schema: &it.schema,
                    records: long(it.records),
                    last_arrived_at: instant(it.last_arrived_at),
                })
                .collect(),
            schemas_unnamed: long(record.schemas_unnamed),
            first_arrived_at: instant(record.first_arrived_at),
            last_arrived_at: instant(record.last_arrived_at),
            newest_occurred_at: instant(record.newest_occurred_at),
            partitions: record
                .partitions
                .iter()
                .map(|it| PartitionShape {
                    topic: &it.topic,
                    partition: it.partition,
                    next_offset: it.next_offset,
                    records: long(it.records),
                    last_arrived_at: instant(it.last_arrived_at),
                    newest_occurred_at: instant(it.newest_occurred_at),
                })
                .collect(),
            revision: long(record.revision),
        }
    }
}

/// The public shape of a department's account; its fields are documented in `schemas/spokes.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct SpokeShape<'a, N> {
    spoke: &'a str,
    records: i64,
    outcomes: BTreeMap<&'static str, i64>,
    rejections: BTreeMap<&'static str, i64>,
    unmapped_kinds: BTreeMap<&'a str, i64>,
    unmapped_kinds_unnamed: i64,
    schemas: Vec<SchemaShape<'a, N>>,
    schemas_unnamed: i64,
    first_arrived_at: Option<Instant<N>>,
    last_arrived_at: Option<Instant<N>>,
    newest_occurred_at: Option<Instant<N>>,
    partitions: Vec<PartitionShape<'a, N>>,
    revision: i64,
}

#[derive(Serialize)]
#[serde(rename = "SpokeSchema", bound(serialize = "N: Notation"))]
struct SchemaShape<'a, N> {
    schema: &'a str,
    records: i64,
    last_arrived_at: Option<Instant<N>>,
}

#[derive(Serialize)]
#[serde(rename = "SpokePartition", bound(serialize = "N: Notation"))]
struct PartitionShape<'a, N> {
    topic: &'a str,
    partition: i32,
    next_offset: i64,
    records: i64,
    last_arrived_at: Option<Instant<N>>,
    newest_occurred_at: Option<Instant<N>>,
}
