//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`wire`]: bytes ⇄ values.
//! - [`feeds`]: public records and their schemas.

pub mod model;
pub mod wire;

pub mod feeds;
