//! A log that goes on in; which bytes of which files it is at one moment out.

use std::{collections::BTreeSet, sync::Arc};

use super::{index::Index, segment::Segment, writer::Writer};

/// The log at one moment. Its files stay readable whatever is appended, rewritten and removed meanwhile.
pub(crate) struct View {
    /// The closed segments, oldest first.
    pub(crate) closed: Vec<Arc<Segment>>,
    /// The last segment.
    pub(crate) tail: Arc<Segment>,
    /// Where its last frame ends.
    pub(crate) tail_bytes: u64,
    /// The number of that frame.
    pub(crate) sequence: u64,
    /// Segments that the snapshot of the last one names and that were removed since.
    pub(crate) removed: BTreeSet<u64>,
}

impl View {
    /// What the log is now; nobody appends while the writer is held.
    pub(crate) fn of(writer: &Writer, index: &Index) -> Self {
        let tail = Arc::clone(&writer.tail.segment);
        let closed: Vec<_> = index.segments.range(..tail.first).map(|(_, segment)| Arc::clone(segment)).collect();
        let is_removed = |first: &u64| !index.segments.contains_key(first);
        let removed = index.listed.iter().copied().filter(is_removed).collect();
        Self { closed, tail, tail_bytes: writer.tail.position, sequence: writer.sequence, removed }
    }
}
