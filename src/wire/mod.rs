//! Bytes ⇄ values: the formats that records have outside the hub.

pub mod single_object;
