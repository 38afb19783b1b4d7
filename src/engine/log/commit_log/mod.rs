//! Commits of records and consumer offsets in; the same in order, all of a commit or nothing of it, out, whatever happens to
//! the machine in between.
//!
//! In the order in which a commit travels:
//! - `record`, `block`, `commit`: what is appended together, and its bytes. `codec` has the numbers.
//! - `frame`: header and checksum around it, format version 1. `topic`: what topics say about themselves.
//! - `log`: the log that everybody shares; `writer` appends frames to the last segment and begins the next one.
//! - `batch`: how a reader takes records, block by block.
//! - `segment`, `handles`, `index`: a file of frames; which of them are open; where each block lies.
//! - `recover`: what opening a directory does. `clean`, `compact`, `rewrite`: what is removed and merged, and how.
//! - `backup`, `verify`: what an operator asks of a log that goes on, by a `view` of one moment.
//! - [`files`]: the only place that touches a disk, real or simulated.
//!
//! ```
//! use std::{ops::ControlFlow, sync::Arc};
//! use insight_hub::engine::log::commit_log::{Commit, CommitLog, NewRecord, Options, Policy, TopicPartition, files::real::RealFiles};
//!
//! let directory = std::env::temp_dir().join(format!("commit-log-example-{}", std::process::id()));
//! let log = CommitLog::open(Arc::new(RealFiles::new(&directory)?), Options::default())?;
//! let topic = log.create_topic("touchpoints", 4, Policy::Keep)?;
//! let partition = TopicPartition { topic, partition: 0 };
//!
//! let mut commit = Commit::new();
//! commit.record(partition, &NewRecord { timestamp_ms: 0, key: Some(b"ann"), value: Some(b"bought"), headers: &[] });
//! commit.offset(partition, 1);
//! log.append(&commit)?;
//! log.sync()?;
//!
//! let next = log.read(partition, 0, 1 << 20, &mut |record| {
//!     assert_eq!(record.value, Some(&b"bought"[..]));
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!((next, log.committed(partition)), (1, Some(1)));
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Invariants: all topics share one sequence of frames; a segment but the last was synced before the next was begun, and each
//! begins with a snapshot of everything but records, so that older ones can go without a trace. Closed segments never change:
//! what is rewritten goes into a new file, frames keep their sequence numbers there, and the footer's tells how far a file
//! reaches; one that lies within the reach of another is superseded. An offset is given once. After a sync that failed nothing
//! is appended until the log was opened again. There is no clock here, no thread and no retry: those are the caller's.

mod backup;
mod batch;
mod block;
mod clean;
mod codec;
mod commit;
mod compact;
mod error;
pub mod files;
mod frame;
mod handles;
mod index;
mod log;
mod record;
mod recover;
mod rewrite;
mod segment;
mod topic;
mod verify;
mod view;
mod writer;

pub use backup::BackupSummary;
pub use batch::Batch;
pub use clean::Cleaned;
pub use commit::Commit;
pub use error::{CommitLogError, Result};
pub use log::{Appended, CommitLog, Options};
pub use record::{NewRecord, Record, TopicPartition};
pub use recover::Recovery;
pub use topic::{Policy, Topic};
pub use verify::Verified;
