//! A payload in; a frame with header and checksum out, and back. Format version 1.
//!
//! ```text
//! 0       4      5          8         12         20        28         36
//! | magic | kind | reserved | length  | sequence | durable | checksum | payload …
//! ```
//! `length` counts the payload. `durable` is the newest sequence number that had been synced when the frame was written: a bad
//! frame at or below it is damage, one above it may be a torn tail. The checksum is XXH3-64 of the payload, seeded with
//! the XXH3-64 of the 28 bytes before it.

use super::codec::{self, Reader};

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 36;

/// Finds frames behind a torn one.
pub(crate) const MAGIC: [u8; 4] = *b"\xf1LOG";

/// A frame that claims more is none. Commits are refused above it, so that a scan need never hold more.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 28;

const CHECKED_BYTES: usize = HEADER_BYTES - 8;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// First frame of a segment: topics, end offsets and consumer offsets before it.
    Snapshot = 1,
    /// Records and consumer offsets.
    Commit = 2,
    /// A topic, new or with another policy.
    Topic = 3,
    /// Last frame of a closed segment: its blocks.
    Footer = 4,
}

/// A header that may belong to a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) length: usize,
    pub(crate) sequence: u64,
    pub(crate) durable: u64,
    checksum: u64,
    checked: [u8; CHECKED_BYTES],
}

impl Header {
    /// Reads a header; `None` if these bytes are none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let checked = *bytes.first_chunk()?;
        let mut reader = Reader::new(bytes);
        if reader.bytes(4)? != MAGIC {
            return None;
        }
        let kind = match reader.u8()? {
            1 => Kind::Snapshot,
            2 => Kind::Commit,
            3 => Kind::Topic,
            4 => Kind::Footer,
            _ => return None,
        };
        if reader.bytes(3)? != [0; 3] {
            return None;
        }
        let length = reader.u32()? as usize;
        let (sequence, durable, checksum) = (reader.u64()?, reader.u64()?, reader.u64()?);
        (length <= PAYLOAD_BYTES_MAX).then_some(Self { kind, length, sequence, durable, checksum, checked })
    }

    /// Whether this is the payload that the header was written with.
    pub(crate) fn holds(&self, payload: &[u8]) -> bool {
        payload.len() == self.length && codec::checksum(&self.checked, payload) == self.checksum
    }

    /// Header and payload together.
    pub(crate) fn frame_bytes(&self) -> u64 {
        (HEADER_BYTES + self.length) as u64
    }
}

/// Empties `frame` and leaves room for a header in it.
pub(crate) fn begin(frame: &mut Vec<u8>) {
    frame.clear();
    frame.resize(HEADER_BYTES, 0);
}

/// Writes the header of a frame that [`begin`] began and that holds its payload now.
pub(crate) fn seal(frame: &mut [u8], kind: Kind, sequence: u64, durable: u64) {
    let (header, payload) = frame.split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&MAGIC);
    header[4] = kind as u8;
    header[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[12..20].copy_from_slice(&sequence.to_le_bytes());
    header[20..28].copy_from_slice(&durable.to_le_bytes());
    let checksum = codec::checksum(&header[..CHECKED_BYTES], payload);
    header[28..].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_of_version_1_reads_the_same_for_ever() {
        let mut frame = Vec::new();
        begin(&mut frame);
        frame.extend_from_slice(b"payload");
        seal(&mut frame, Kind::Commit, 0x0102, 0x0101);
        let golden = [
            &b"\xf1LOG\x02\0\0\0\x07\0\0\0"[..],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[1, 1, 0, 0, 0, 0, 0, 0],
            &[0x1e, 0x66, 0x02, 0x8b, 0x4b, 0xc8, 0xa1, 0xca],
            b"payload",
        ]
        .concat();
        assert_eq!(frame, golden);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut frame = Vec::new();
        begin(&mut frame);
        frame.extend_from_slice(b"payload");
        seal(&mut frame, Kind::Topic, 7, 6);
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let good = Header::parse(&flipped).is_some_and(|header| header.holds(&flipped[HEADER_BYTES..]));
            assert!(!good, "bit {bit}");
        }
    }
}
