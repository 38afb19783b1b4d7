//! The state of one task (stage × partition): entries in, entries out, and what a commit must write to the changelog.
//!
//! ```text
//!   put, delete ──────► staged ──commit──► unflushed ──flush(position)──► disk
//!   put_local ────────►   │                    ▲                           │
//!                      rollback             restore ◄── changelog from the position of the disk
//!                         │                                                │
//!                      dropped                        wipe: everything is dropped
//! ```
//!
//! - [`table`]: [`Store`], the two layers in memory above a disk, read as one.
//! - [`disk`]: what the store asks of a disk, whose state it is ([`Identity`]), and what can go wrong.
//! - [`fjall`]: the disk of the product: sorted tables in a folder, one folder for all tasks of a process.
//! - [`memory`]: the disk of the simulation: it outlives the store that wrote it.
//!
//! Invariants:
//!
//! - The changelog is the truth. Losing a disk loses time, never an entry.
//! - The position and the entries that it stands for reach the disk in one step, durably, or not at all.
//! - Nothing uncommitted reaches the disk: a flush with staged entries is refused.
//! - No value is kept as a slice of somebody else's buffer, so the byte figures are what the memory holds.
//! - A store never reads a clock, never starts a thread and never decides when to flush.

pub mod disk;
pub mod fjall;
pub mod memory;
pub mod table;

pub use disk::{Disk, DiskError, Identity, RebuildReason, Visit};
pub use fjall::{FjallDisk, StoreFolder};
pub use memory::{MemoryDisk, Platter};
pub use table::{Store, StoreError};

#[cfg(test)]
mod tests;
