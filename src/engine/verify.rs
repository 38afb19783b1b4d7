//! Stores and their changelogs in; whether each store is the fold of its changelog out.
//!
//! A store is first brought up to its changelog's end, as every start does. Then a second one is filled from the changelog's
//! beginning, and both must hold the same entries, derived ones included.

use std::{ops::ControlFlow, time::Duration};

use super::{
    log::{Log, Restored, Source, TopicPartition},
    stage::{StageError, Topology},
    store::{DiskError, Identity, Store},
    task::Task,
    worker::Disks,
};

/// How long a restore reads at a time.
const BUDGET: Duration = Duration::from_millis(200);
/// Entries that wait to be written to disk, in bytes.
const UNFLUSHED_BYTES_MAX: usize = 32 << 20;
/// Beyond every key: keys of stores begin with a byte that says what they are.
const AFTER_ALL: &[u8] = &[0xff];

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoresVerified {
    /// Stores.
    pub stores: u64,
    /// Entries in them.
    pub entries: u64,
    /// Stores that hold something else than the fold of their changelog.
    pub different: u64,
}

/// Compares the stores in `disks` with their changelogs; `scratch` is where others may be filled. No worker runs meanwhile.
pub fn verify_stores<L: Log>(
    log: &mut L,
    topology: &Topology,
    disks: &mut dyn Disks,
    scratch: &mut dyn Disks,
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
            let placement = topology.placement;
            let open = |disks: &mut dyn Disks, log: &mut L| {
                let identity = Identity { placement, changelog: log.halves().0.identity(changelog)? };
                let store = Store::new(disks.open(&name, identity).map_err(stop)?);
                Ok::<Task, StageError>(Task::new(
                    input,
                    index,
                    spec.name,
                    Some(changelog),
                    store,
                    (spec.make)(input),
                    None,
                ))
            };
            let mut kept = open(disks, log)?;
            catch_up(log, &mut kept, changelog)?;
            let mut filled = open(scratch, log)?;
            filled.store.wipe().map_err(store_stop)?;
            catch_up(log, &mut filled, changelog)?;
            verified.stores += 1;
            let (entries, is_same) = compare(&kept.store, &filled.store)?;
            verified.entries += entries;
            verified.different += u64::from(!is_same);
        }
    }
    Ok(verified)
}

fn stop(error: DiskError) -> StageError {
    StageError::Stop(error.to_string())
}

fn store_stop(error: impl std::fmt::Display) -> StageError {
    StageError::Stop(error.to_string())
}

/// Reads the changelog to its end and writes everything to disk.
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
            task.store.flush(position.unsigned_abs()).map_err(store_stop)?;
        }
        if is_complete {
            return Ok(());
        }
    }
}

/// How many entries the first has, and whether the other has the same.
fn compare(kept: &Store, filled: &Store) -> Result<(u64, bool), StageError> {
    let (mut entries, mut others, mut is_same) = (0, 0, true);
    let mut failure = None;
    // Not [0]: the disk's own header.
    kept.scan(&[0, 0], AFTER_ALL, |key, value| {
        entries += 1;
        match filled.get(key) {
            Ok(other) => is_same &= other.as_deref() == Some(value),
            Err(error) => failure = Some(error),
        }
        if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .map_err(store_stop)?;
    if let Some(error) = failure {
        return Err(store_stop(error));
    }
    filled
        .scan(&[0, 0], AFTER_ALL, |_, _| {
            others += 1;
            ControlFlow::Continue(())
        })
        .map_err(store_stop)?;
    Ok((entries, is_same && entries == others))
}
