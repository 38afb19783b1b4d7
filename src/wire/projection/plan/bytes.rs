//! Avro's primitives, taken off the beginning of a slice. None of them looks or allocates beyond it.

/// The bytes do not follow the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Malformed;

/// The bytes of a number of 64 bits, seven bits in each.
const VARINT_BYTES_MAX: usize = 10;

/// A number as it is written: smallest bits first, the sign not yet taken out.
#[inline(always)]
pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    match rest.split_first() {
        Some((&byte, after)) if byte < 0x80 => {
            *rest = after;
            Ok(u64::from(byte))
        }
        _ => longer_varint(rest),
    }
}

#[inline(never)]
fn longer_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for (place, &byte) in rest.iter().take(VARINT_BYTES_MAX).enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * place);
        // The tenth has one bit left.
        if place == VARINT_BYTES_MAX - 1 && byte > 1 {
            return Err(Malformed);
        }
        if byte < 0x80 {
            *rest = &rest[place + 1..];
            return Ok(number);
        }
    }
    Err(Malformed)
}

/// A number with its sign.
#[inline(always)]
pub(super) fn long(rest: &mut &[u8]) -> Result<i64, Malformed> {
    let number = varint(rest)?;
    Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

/// A number of 32 bits.
#[inline(always)]
pub(super) fn int(rest: &mut &[u8]) -> Result<i64, Malformed> {
    let number = long(rest)?;
    if i32::try_from(number).is_ok() { Ok(number) } else { Err(Malformed) }
}

/// A length, a branch of a union or a symbol: never negative.
#[inline(always)]
pub(super) fn index(rest: &mut &[u8]) -> Result<usize, Malformed> {
    usize::try_from(long(rest)?).map_err(|_| Malformed)
}

#[inline(always)]
pub(super) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, after) = rest.split_at_checked(count).ok_or(Malformed)?;
    *rest = after;
    Ok(taken)
}

#[inline(always)]
pub(super) fn array<const COUNT: usize>(rest: &mut &[u8]) -> Result<[u8; COUNT], Malformed> {
    let (&taken, after) = rest.split_first_chunk().ok_or(Malformed)?;
    *rest = after;
    Ok(taken)
}

/// Bytes with their length before them.
#[inline(always)]
pub(super) fn sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let count = index(rest)?;
    take(rest, count)
}

/// Texts of one record. Most are short, and what is between them is ASCII too: many are checked in one go, ahead of their turn,
/// and none of the bytes more than a few times.
#[derive(Debug, Default)]
pub(super) struct Texts<'a> {
    ahead: &'a str,
    /// Bytes that were left where that begins.
    left: usize,
}

/// Bytes that are checked ahead, and the text that is too long to be worth it.
const AHEAD_BYTES: usize = 256;
const SHORT_BYTES_MAX: usize = 64;

impl<'a> Texts<'a> {
    /// A text with its length before it. The bytes must be the rest of the same record.
    #[inline(always)]
    pub(super) fn next(&mut self, rest: &mut &'a [u8]) -> Result<&'a str, Malformed> {
        let count = index(rest)?;
        // Between two characters, text that was checked is text.
        let known = self.left.checked_sub(rest.len()).and_then(|from| self.ahead.get(from..from.checked_add(count)?));
        match known {
            Some(text) => {
                take(rest, count)?;
                Ok(text)
            }
            None => self.look_ahead(rest, count),
        }
    }

    #[inline(never)]
    fn look_ahead(&mut self, rest: &mut &'a [u8], count: usize) -> Result<&'a str, Malformed> {
        let all = *rest;
        let bytes = take(rest, count)?;
        if count <= SHORT_BYTES_MAX {
            let ahead = all.get(..AHEAD_BYTES).unwrap_or(all);
            let ahead = std::str::from_utf8(ahead).or_else(|error| std::str::from_utf8(&ahead[..error.valid_up_to()]));
            (self.ahead, self.left) = (ahead.unwrap_or_default(), all.len());
            if let Some(text) = self.ahead.get(..count) {
                return Ok(text);
            }
        }
        std::str::from_utf8(bytes).map_err(|_| Malformed)
    }
}

pub(super) fn boolean(rest: &mut &[u8]) -> Result<bool, Malformed> {
    match array(rest)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Malformed),
    }
}

/// The items of a list or a map, block by block. A block has their number; or it is negative, and the block's size follows.
#[derive(Debug)]
pub(super) struct Blocks {
    left: usize,
    /// Items that may still be claimed.
    claims: usize,
    by_size: bool,
}

impl Blocks {
    /// `items_max`: more of them are a lie. `by_size`: skips the blocks whose size is written.
    pub(super) fn new(items_max: usize, by_size: bool) -> Blocks {
        Blocks { left: 0, claims: items_max, by_size }
    }

    /// Whether another item follows.
    #[inline]
    pub(super) fn has_next(&mut self, rest: &mut &[u8]) -> Result<bool, Malformed> {
        if self.left == 0 {
            self.left = self.open(rest)?;
            if self.left == 0 {
                return Ok(false);
            }
        }
        self.left -= 1;
        Ok(true)
    }

    fn open(&mut self, rest: &mut &[u8]) -> Result<usize, Malformed> {
        loop {
            let count = long(rest)?;
            if count < 0 {
                if self.by_size {
                    sized(rest)?;
                    continue;
                }
                varint(rest)?;
            }
            let count = usize::try_from(count.unsigned_abs()).map_err(|_| Malformed)?;
            self.claims = self.claims.checked_sub(count).ok_or(Malformed)?;
            return Ok(count);
        }
    }
}
