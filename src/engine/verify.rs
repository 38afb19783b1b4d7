//! Stores and their changelogs in; whether each store is the fold of its changelog out.
//!
//! A store is first brought up to its changelog's end, as every start does. Then the changelog is read from its beginning, and
//! the store must hold the latest value of every key of it. What a store derives from that (indexes, timers) has keys that
//! no changelog has; it is counted and not compared.

use std::{collections::HashMap, ops::ControlFlow, time::Duration};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    log::{ChangelogReader, Log, Restored, Source, TopicPartition},
    stage::{StageError, Topology},
    store::{Identity, Store},
    task::Task,
    worker::Disks,
};

/// How long a restore reads at a time.
const BUDGET: Duration = Duration::from_millis(200);
/// Entries that wait to be written to disk, in bytes.
const UNFLUSHED_BYTES_MAX: usize = 32 << 20;
/// Before every key but the disk's own header, and after every key: they begin with a byte that says what they are.
const FIRST: &[u8] = &[0, 0];
const AFTER_ALL: &[u8] = &[0xff];

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoresVerified {
    /// Stores.
    pub stores: u64,
    /// Entries in them that changelogs have.
    pub entries: u64,
    /// Entries derived from those.
    pub derived: u64,
    /// Entries that are not the latest of their changelog, or are missing.
    pub different: u64,
}

/// Compares the stores in `disks` with their changelogs; about 50 bytes of memory for each key of the largest. No worker runs
/// meanwhile.
///
/// # Errors
/// As a restore.
pub fn verify_stores<L: Log>(
    log: &mut L,
    topology: &Topology,
    disks: &mut dyn Disks,
) -> Result<StoresVerified, StageError> {
    let mut verified = StoresVerified::default();
    for (index, spec) in topology.stages.iter().enumerate() {
        let Some(changelog) = spec.changelog else { continue };
        let partitions = spec.inputs.iter().flat_map(|&topic| {
            (0..topology.topics.get(topic).partitions).map(move |partition| TopicPartition { topic, partition })
        });
        for input in partitions {
            let changelog = TopicPartition { topic: changelog, partition: input.partition };
            let name = format!("{}-{}", spec.name, input.partition);
            let identity = Identity { placement: topology.placement, changelog: log.halves().0.identity(changelog)? };
            let store = Store::new(disks.open(&name, identity).map_err(stop)?);
            let mut task = Task::new(input, index, spec.name, Some(changelog), store, (spec.make)(input), None);
            catch_up(log, &mut task, changelog)?;
            let latest = fold(&mut *log.halves().0.changelog(changelog, None)?)?;
            compare(&task.store, latest, &mut verified)?;
            verified.stores += 1;
        }
    }
    Ok(verified)
}

fn stop(error: impl std::fmt::Display) -> StageError {
    StageError::Stop(error.to_string())
}

/// Reads the changelog's tail and writes everything to disk.
fn catch_up<L: Log>(log: &mut L, task: &mut Task, changelog: TopicPartition) -> Result<(), StageError> {
    let from = task.store.position().map(u64::cast_signed);
    task.begin_restore(log.halves().0.changelog(changelog, from)?);
    loop {
        let (progress, _) = task.restore_some(BUDGET)?;
        let (position, is_complete) = match progress {
            Restored::More { position, .. } => (position, false),
            Restored::Complete { position } => (position, true),
        };
        if is_complete || task.store.unflushed_bytes() > UNFLUSHED_BYTES_MAX {
            task.store.flush(position.unsigned_abs()).map_err(stop)?;
        }
        if is_complete {
            return Ok(());
        }
    }
}

/// Hashes of the keys of a changelog and of their latest values; `None`: the key is gone.
type Latest = HashMap<u128, Option<u128>>;

fn fold(reader: &mut dyn ChangelogReader) -> Result<Latest, StageError> {
    let mut latest = Latest::new();
    let mut take = |key: &[u8], value: Option<&[u8]>| {
        latest.insert(xxh3_128(key), value.map(xxh3_128));
        Ok(())
    };
    while matches!(reader.read(BUDGET, &mut take)?, Restored::More { .. }) {}
    Ok(latest)
}

fn compare(store: &Store, mut latest: Latest, verified: &mut StoresVerified) -> Result<(), StageError> {
    store
        .scan(FIRST, AFTER_ALL, |key, value| {
            match latest.remove(&xxh3_128(key)) {
                Some(known) => {
                    verified.entries += 1;
                    verified.different += u64::from(known != Some(xxh3_128(value)));
                }
                None => verified.derived += 1,
            }
            ControlFlow::Continue(())
        })
        .map_err(stop)?;
    verified.different += latest.values().filter(|value| value.is_some()).count() as u64;
    Ok(())
}
