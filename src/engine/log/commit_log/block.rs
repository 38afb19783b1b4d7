//! The records of one partition in one commit in; a block with its own checksum out, and back.
//!
//! ```text
//! 0       4           8      16           20      24           32       36     40         48
//! | topic | partition | base | last delta | count | newest ms  | length | raw  | checksum | records …
//! ```
//! `length` is that of the records as they lie there, `raw` that of the records; where `raw` is larger they are packed (LZ4,
//! one block). What compaction removes leaves `base` and `last delta` as they were: offsets are never given twice.

use super::{
    codec::{Reader, checksum},
    frame::PAYLOAD_BYTES_MAX,
    record::{self, Record, TopicPartition},
};

/// Bytes before the records.
pub(crate) const BLOCK_HEADER_BYTES: usize = 48;

/// Fewer bytes of records are not worth packing.
const PACKED_BYTES_MIN: usize = 128;

const CHECKED_BYTES: usize = BLOCK_HEADER_BYTES - 8;

/// What a block says about its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) partition: TopicPartition,
    pub(crate) base: u64,
    pub(crate) last_delta: u32,
    pub(crate) count: u32,
    pub(crate) newest_ms: i64,
    /// Bytes of the records as they are stored.
    pub(crate) length: u32,
    /// Bytes of the records; more than `length` if they are packed.
    pub(crate) raw: u32,
}

impl BlockHeader {
    /// Writes the header before the records that `block` holds after it.
    pub(crate) fn seal(&self, block: &mut [u8]) {
        let (header, records) = block.split_at_mut(BLOCK_HEADER_BYTES);
        header[..8].copy_from_slice(&self.partition.bytes());
        header[8..16].copy_from_slice(&self.base.to_le_bytes());
        header[16..20].copy_from_slice(&self.last_delta.to_le_bytes());
        header[20..24].copy_from_slice(&self.count.to_le_bytes());
        header[24..32].copy_from_slice(&self.newest_ms.to_le_bytes());
        header[32..36].copy_from_slice(&self.length.to_le_bytes());
        header[36..40].copy_from_slice(&self.raw.to_le_bytes());
        let checksum = checksum(&header[..CHECKED_BYTES], records);
        header[40..].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads a header and passes over its records, unverified.
    pub(crate) fn take<'a>(reader: &mut Reader<'a>) -> Option<(Self, &'a [u8])> {
        let partition = TopicPartition::take(reader)?;
        let (base, last_delta, count) = (reader.u64()?, reader.u32()?, reader.u32()?);
        let (newest_ms, length, raw, _checksum) = (reader.i64()?, reader.u32()?, reader.u32()?, reader.u64()?);
        let records = reader.bytes(length as usize)?;
        Some((Self { partition, base, last_delta, count, newest_ms, length, raw }, records))
    }

    /// The offset of the last record that the block was written with.
    pub(crate) fn last(&self) -> u64 {
        self.base + u64::from(self.last_delta)
    }
}

/// Verifies header and records of a block that was read from disk; what is wrong otherwise.
pub(crate) fn verify(block: &[u8]) -> Result<(BlockHeader, &[u8]), &'static str> {
    let (header, records) = BlockHeader::take(&mut Reader::new(block)).ok_or("a block is cut short")?;
    let (head, body) = block.split_at(BLOCK_HEADER_BYTES);
    if checksum(&head[..CHECKED_BYTES], body).to_le_bytes() != head[CHECKED_BYTES..] {
        return Err("a block's checksum does not match its bytes");
    }
    Ok((header, records))
}

/// Packs records into `room`, which only grows; `None` where that does not make them smaller.
pub(crate) fn pack<'a>(records: &[u8], room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if records.len() < PACKED_BYTES_MIN {
        return None;
    }
    let needed = lz4_flex::block::get_maximum_output_size(records.len());
    if room.len() < needed {
        room.resize(needed, 0);
    }
    let packed = lz4_flex::block::compress_into(records, room).ok()?;
    (packed < records.len()).then(|| &room[..packed])
}

/// The records of a block that was verified, unpacked into `room` if they are packed; `None` if they do not unpack.
pub(crate) fn unpack<'a>(header: &BlockHeader, stored: &'a [u8], room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let raw = header.raw as usize;
    if raw <= stored.len() {
        return Some(stored);
    }
    if raw > PAYLOAD_BYTES_MAX {
        return None;
    }
    room.resize(raw, 0);
    let unpacked = lz4_flex::block::decompress_into(stored, room).ok()?;
    (unpacked == raw).then_some(room)
}

/// Hands over each record of a block with its bytes until `each` returns false; `None` if they do not read as records.
pub(crate) fn each_record<'a>(
    header: &BlockHeader,
    records: &'a [u8],
    mut each: impl FnMut(&Record<'a>, &'a [u8]) -> bool,
) -> Option<bool> {
    let mut reader = Reader::new(records);
    for _ in 0..header.count {
        let start = records.len() - reader.remaining();
        let record = record::take(&mut reader, header.base)?;
        let end = records.len() - reader.remaining();
        if !each(&record, &records[start..end]) {
            return Some(false);
        }
    }
    reader.is_empty().then_some(true)
}
