//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`company`]: the seeded company: made-up events of four departments for demo, tests and benchmarks.

pub mod company;
pub mod model;
