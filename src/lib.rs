//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`wire`]: bytes ⇄ values: JSON and Avro, and the schemas that Avro messages are written with.
//! - [`ingest`]: a department's records → touchpoints, or rejections that say which field and why.

pub mod model;
pub mod wire;

pub mod ingest;
