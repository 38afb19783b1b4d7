//! A directory in; its index and the place to append at, or what is wrong with it, out.
//!
//! Closed segments were synced before the next one was begun: a bad frame there is damage. The last one may end in a torn tail,
//! which is cut off. What was not known to be synced is written once more before the sync: after a sync that failed, the
//! kernel may show bytes that it will never write.

use std::{collections::BTreeSet, io, sync::Arc};

use super::{
    block::BlockHeader,
    commit,
    error::{CommitLogError, Result, damaged, refused},
    files::{Files, Held},
    frame::{self, HEADER_BYTES, Kind},
    handles::Handles,
    index::{self, BlockEntry, Index, take_footer},
    record::TopicPartition,
    segment::{self, Frames, Next, Segment},
    topic::Topic,
    writer::{self, Tail, UNFINISHED, Writer},
};

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes after the last good frame that were cut off.
    pub bytes_dropped: u64,
    /// Frames among them that were whole but came after one that was not. The frame that was not is not counted.
    pub frames_dropped: u64,
    /// Closed segments whose footer was bad; they were read, and got a new one.
    pub footers_bad: Vec<String>,
}

/// Keeps everybody else from a directory.
pub(crate) fn lock(files: &dyn Files) -> Result<Box<dyn Held>> {
    files.lock("LOCK").map_err(|reason| match reason.kind() {
        io::ErrorKind::WouldBlock => CommitLogError::Locked { directory: files.name() },
        _ => refused("lock", &files.name(), reason),
    })
}

const FORMAT: &str = "FORMAT";
const FORMAT_TEXT: &str = "insight-hub log, format version ";
const FORMAT_VERSION: &str = "1";
const UNFINISHED_BACKUP: &str = "insight-hub log, backup that did not finish";

/// What ends the name of a rewritten segment that has not replaced its original.
pub(crate) const CLEANED: &str = ".cleaned";

pub(crate) fn recover(handles: &Arc<Handles>) -> Result<(Index, Writer, Recovery)> {
    let files = &handles.files;
    let error = |reason| refused("open", &files.name(), reason);
    let has_segments = files.list().map_err(error)?.iter().any(|name| segment::first_of(name).is_some());
    check_format(files.as_ref(), has_segments)?;
    let names = files.list().map_err(error)?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::first_of(name)).collect();
    firsts.sort_unstable();
    for name in names.iter().filter(|name| name.ends_with(UNFINISHED) || name.ends_with(CLEANED)) {
        files.remove(name).map_err(|reason| refused("remove", name, reason))?;
    }
    let Some(last) = firsts.pop() else { return begin(handles) };

    let mut recovery = Recovery::default();
    let name = segment::file_name(last);
    let file = files.open(&name).map_err(|reason| refused("open", &name, reason))?;
    let last = Arc::new(Segment::held(handles, last, file));
    let mut index = read_snapshot(&last)?;
    let firsts = settle_removals(files.as_ref(), &names, &firsts, &index)?;
    let mut reached = 0;
    let mut superseded = Vec::new();
    for (position, &first) in firsts.iter().enumerate() {
        if first <= reached {
            superseded.push(first);
            continue;
        }
        let next = firsts.get(position + 1).copied().unwrap_or(last.first);
        let closed = Arc::new(Segment::closed(handles, first));
        let footer = closed.footer()?;
        let footer = footer.and_then(|(header, payload)| Some((header.sequence, take_footer(&payload, first)?)));
        let blocks = match footer {
            Some((sequence, blocks)) if sequence < last.first => {
                reached = sequence;
                blocks
            }
            Some(_) => return Err(damaged(&closed.name, 0, "its footer reaches over the last segment")),
            None => {
                recovery.footers_bad.push(closed.name.clone());
                scan_closed(&closed, next)?
            }
        };
        index
            .put_closed(&blocks)
            .ok_or_else(|| damaged(&closed.name, 0, "its blocks do not fit between those of the segments around it"))?;
        index.segments.insert(first, closed);
    }
    remove_superseded(files.as_ref(), &superseded)?;
    let (tail, sequence) = scan_last(&last, &mut index, &mut recovery)?;
    index.segments.insert(last.first, last);
    files.sync_directory().map_err(|reason| refused("sync", &files.name(), reason))?;
    Ok((index, Writer::new(Arc::clone(handles), tail, sequence), recovery))
}

/// Finishes removals that were under way; returns the closed segments that are there. All that the last snapshot names must be.
fn settle_removals(files: &dyn Files, names: &[String], firsts: &[u64], index: &Index) -> Result<Vec<u64>> {
    let markers: BTreeSet<u64> = names.iter().filter_map(|name| segment::marked(name)).collect();
    let missing = index.listed.iter().find(|first| !firsts.contains(first) && !markers.contains(first));
    if let Some(first) = missing {
        return Err(damaged(&segment::file_name(*first), 0, "the file is missing, and was not removed by the log"));
    }
    let (kept, gone): (Vec<u64>, Vec<u64>) =
        firsts.iter().partition(|first| index.listed.contains(first) && !markers.contains(first));
    if !gone.is_empty() {
        // The marker, or the last segment, which does without, may have got its name only just.
        files.sync_directory().map_err(|reason| refused("sync", &files.name(), reason))?;
    }
    for first in gone {
        let name = segment::file_name(first);
        files.remove(&name).map_err(|reason| refused("remove", &name, reason))?;
    }
    Ok(kept)
}

/// Finishes merging that was under way: what the segment before reaches over goes, as if it had been removed by cleaning.
fn remove_superseded(files: &dyn Files, firsts: &[u64]) -> Result<()> {
    if firsts.is_empty() {
        return Ok(());
    }
    let sync = || files.sync_directory().map_err(|reason| refused("sync", &files.name(), reason));
    // The segment before may have got its name only just.
    sync()?;
    for first in firsts {
        let name = segment::marker_name(*first);
        files.create(&name).map_err(|reason| refused("write", &name, reason))?;
    }
    sync()?;
    for first in firsts {
        let name = segment::file_name(*first);
        files.remove(&name).map_err(|reason| refused("remove", &name, reason))?;
    }
    Ok(())
}

/// Makes the first segment of an empty log.
fn begin(handles: &Arc<Handles>) -> Result<(Index, Writer, Recovery)> {
    let mut index = Index::default();
    let mut snapshot = Vec::new();
    index.put_snapshot(&mut snapshot);
    let files = &handles.files;
    let tail = writer::start_segment(handles, &snapshot, 1)?;
    files.sync_directory().map_err(|reason| refused("sync", &files.name(), reason))?;
    index.segments.insert(1, Arc::clone(&tail.segment));
    Ok((index, Writer::new(Arc::clone(handles), tail, 1), Recovery::default()))
}

/// Refuses what this program cannot read; marks an empty directory.
fn check_format(files: &dyn Files, has_segments: bool) -> Result<()> {
    let refuse = |reason: String| CommitLogError::Format { directory: files.name(), reason };
    let file = match files.open(FORMAT) {
        Ok(file) => file,
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => {
            if has_segments {
                return Err(refuse(format!("it holds segments, but the file {FORMAT} is missing; restore a backup")));
            }
            return write_format(files);
        }
        Err(reason) => return Err(refused("read", FORMAT, reason)),
    };
    let error = |reason| refused("read", FORMAT, reason);
    let mut text = vec![0; file.length().map_err(error)?.min(100) as usize];
    file.read_at(&mut text, 0).map_err(error)?;
    let text = String::from_utf8_lossy(&text);
    match text.trim_end().strip_prefix(FORMAT_TEXT) {
        _ if text.trim_end() == UNFINISHED_BACKUP => {
            Err(refuse("it is a backup that did not finish; remove it and make another one".to_owned()))
        }
        Some(FORMAT_VERSION) => Ok(()),
        Some(version) => Err(refuse(format!(
            "its format is version {version}, this program reads version {FORMAT_VERSION}; use the program that wrote it"
        ))),
        None => Err(refuse(format!("its file {FORMAT} is not that of a log; choose another directory"))),
    }
}

/// Says that a directory is a log, last of all.
pub(crate) fn write_format(files: &dyn Files) -> Result<()> {
    write_text(files, &format!("{FORMAT_TEXT}{FORMAT_VERSION}\n"))
}

/// Says that a directory is none yet, first of all.
pub(crate) fn write_unfinished_backup(files: &dyn Files) -> Result<()> {
    write_text(files, &format!("{UNFINISHED_BACKUP}\n"))
}

fn write_text(files: &dyn Files, text: &str) -> Result<()> {
    let temporary = format!("{FORMAT}{UNFINISHED}");
    let write = || {
        let file = files.create(&temporary)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync()?;
        files.rename(&temporary, FORMAT)?;
        files.sync_directory()
    };
    write().map_err(|reason| refused("write", FORMAT, reason))
}

/// The state at the beginning of a segment.
fn read_snapshot(segment: &Segment) -> Result<Index> {
    let snapshot = match Frames::new(segment)?.next()? {
        Next::Frame { header, payload, .. } if header.kind == Kind::Snapshot && header.sequence == segment.first => {
            Index::from_snapshot(payload)
        }
        Next::Frame { .. } | Next::End | Next::Bad(_) => None,
    };
    snapshot.ok_or_else(|| damaged(&segment.name, 0, "its first frame is not the snapshot it was begun with"))
}

/// Reads a closed segment whose footer is bad, and writes it a new one. Everything before the footer must be good.
fn scan_closed(segment: &Segment, next: u64) -> Result<Vec<(TopicPartition, BlockEntry)>> {
    let mut blocks = Vec::new();
    let mut sequence = segment.first - 1;
    let mut frames = Frames::new(segment)?;
    loop {
        match frames.next()? {
            Next::Frame { position, header, payload } => {
                if header.sequence <= sequence || header.sequence >= next {
                    return Err(damaged(&segment.name, position, "a frame is not in its place"));
                }
                sequence = header.sequence;
                if header.kind == Kind::Commit {
                    let position = position + HEADER_BYTES as u64;
                    let block = |header: BlockHeader, at: usize, _: &[u8]| {
                        let entry = BlockEntry::new(&header, segment.first, position + at as u64);
                        blocks.push((header.partition, entry));
                    };
                    commit::read_payload(payload, block, |_, _| {})
                        .ok_or_else(|| damaged(&segment.name, position, "a commit does not read as one"))?;
                }
            }
            // Only the footer may be missing: it is the one frame between the last good one and the next segment, or says
            // that it is the footer.
            Next::Bad(header) if sequence + 2 == next || header.is_some_and(|header| header.kind == Kind::Footer) => {
                break;
            }
            Next::End if sequence + 2 == next => break,
            Next::End => {
                return Err(damaged(&segment.name, frames.position, "it ends before what it was closed with"));
            }
            Next::Bad(_) => {
                return Err(damaged(&segment.name, frames.position, "a frame's checksum does not match its bytes"));
            }
        }
    }
    blocks.sort_by_key(|(partition, block)| (*partition, block.base));
    // The footer says nothing that was not just read: it can be written again.
    let (position, mut footer) = (frames.position, Vec::new());
    frame::begin(&mut footer);
    index::put_footer(&blocks, position, &mut footer);
    frame::seal(&mut footer, Kind::Footer, sequence + 1, sequence);
    replace_end(segment, position, &footer).map_err(|reason| segment.refused("repair", reason))?;
    Ok(blocks)
}

/// Writes a segment with another end into a new file, which takes its name: a backup may share the old one.
fn replace_end(segment: &Segment, position: u64, end: &[u8]) -> io::Result<()> {
    const COPY_BYTES: usize = 1 << 20;
    let files = &segment.handles().files;
    let temporary = format!("{}{CLEANED}", segment.name);
    let file = files.create(&temporary)?;
    let mut bytes = vec![0; COPY_BYTES.min(position as usize)];
    let mut copied = 0;
    while copied < position {
        bytes.truncate((position - copied) as usize);
        segment.read_at(&mut bytes, copied)?;
        file.write_at(&bytes, copied)?;
        copied += bytes.len() as u64;
    }
    file.write_at(end, position)?;
    file.sync()?;
    files.rename(&temporary, &segment.name)?;
    segment.reopen();
    Ok(())
}

/// Reads the last segment into the index, cuts a torn tail off, and makes what is left durable.
fn scan_last(segment: &Arc<Segment>, index: &mut Index, recovery: &mut Recovery) -> Result<(Tail, u64)> {
    let mut frames = Frames::new(segment)?;
    let file = segment.file().map_err(|reason| segment.refused("open", reason))?;
    let mut tail = Tail { segment: Arc::clone(segment), file, start: 0, position: 0, is_closed: false };
    let mut sequence = segment.first - 1;
    // Where each frame begins, to find the first that was not known to be synced.
    let mut positions = Vec::new();
    // A segment gets its name after its snapshot was synced.
    let mut durable = segment.first;
    let is_whole = loop {
        match frames.next()? {
            Next::Frame { position, header, payload } => {
                let misplaced = || damaged(&segment.name, position, "a frame does not follow from those before it");
                if header.sequence != sequence + 1 || tail.is_closed {
                    return Err(misplaced());
                }
                match header.kind {
                    Kind::Snapshot if position == 0 => tail.start = header.frame_bytes(),
                    Kind::Snapshot => return Err(misplaced()),
                    Kind::Commit => index.put_commit(payload, segment.first, position).ok_or_else(misplaced)?,
                    Kind::Topic => {
                        let topic = Topic::take(&mut super::codec::Reader::new(payload)).ok_or_else(misplaced)?;
                        index.put_topic(topic);
                    }
                    Kind::Footer => tail.is_closed = true,
                }
                sequence = header.sequence;
                durable = durable.max(header.durable);
                positions.push(position);
            }
            Next::End => break true,
            Next::Bad(_) => break false,
        }
    };
    tail.position = frames.position;
    if !is_whole {
        let length = segment.length()?;
        let rest = segment.read(tail.position, (length - tail.position) as usize)?;
        let behind = segment::frames_behind(&rest, sequence + 1);
        if behind.durable > sequence || durable > sequence {
            return Err(damaged(&segment.name, tail.position, "a frame that had been synced is bad"));
        }
        recovery.bytes_dropped = rest.len() as u64;
        recovery.frames_dropped = behind.frames;
        tail.file.truncate(tail.position).map_err(|reason| segment.refused("cut", reason))?;
    }
    let first_unknown = (durable + 1).saturating_sub(segment.first) as usize;
    if let Some(&from) = positions.get(first_unknown) {
        let bytes = segment.read(from, (tail.position - from) as usize)?;
        tail.file.write_at(&bytes, from).map_err(|reason| segment.refused("write", reason))?;
    }
    tail.file.sync().map_err(|reason| segment.refused("sync", reason))?;
    Ok((tail, sequence))
}
