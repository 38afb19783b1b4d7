//! Cells and values: contributions in, published metric values out.

pub mod catalogue;
