//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`engine`]: runs stages over a log, exactly once; knows no customers.

pub mod engine;
pub mod model;
