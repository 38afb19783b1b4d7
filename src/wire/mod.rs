//! Bytes ⇄ values: the formats that records have outside the hub.

pub mod json_text;
pub mod single_object;
