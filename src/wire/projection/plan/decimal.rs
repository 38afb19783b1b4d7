//! Decimals: bytes → the number in digits.

use super::{
    Decimal,
    bytes::{self, Malformed},
};

/// The bytes of a number that is taken.
const BYTES_MAX: usize = 16;
/// What a number with its decimals may have (rust_decimal's, which every other decoder here reads decimals into).
const UNSCALED_MAX: u128 = (1 << 96) - 1;
const SCALE_MAX: u32 = 28;

/// A decimal as text, as many decimals as its schema says.
pub(super) fn read(rest: &mut &[u8], decimal: Decimal) -> Result<String, Malformed> {
    let (unscaled, scale) = match decimal {
        Decimal::Bytes { scale } => (unscaled(bytes::sized(rest)?)?, u32::from(scale)),
        Decimal::Fixed { scale, size } => (unscaled(bytes::take(rest, usize::from(size))?)?, u32::from(scale)),
        Decimal::Big => {
            let mut inner = bytes::sized(rest)?;
            let number = unscaled(bytes::sized(&mut inner)?)?;
            let scale = u32::try_from(bytes::long(&mut inner)?).map_err(|_| Malformed)?;
            if !inner.is_empty() {
                return Err(Malformed);
            }
            (number, scale)
        }
    };
    if unscaled.unsigned_abs() > UNSCALED_MAX || scale > SCALE_MAX {
        return Err(Malformed);
    }
    Ok(text(unscaled, scale as usize))
}

/// A big-endian number in two's complement.
fn unscaled(bytes: &[u8]) -> Result<i128, Malformed> {
    if bytes.len() > BYTES_MAX {
        return Err(Malformed);
    }
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) { -1 } else { 0 };
    Ok(bytes.iter().fold(sign, |number, byte| (number << 8) | i128::from(*byte)))
}

/// A number of so many decimals.
pub(in super::super) fn text(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let (sign, dot) = (if unscaled < 0 { "-" } else { "" }, if scale == 0 { "" } else { "." });
    format!("{sign}{whole}{dot}{fraction}")
}
