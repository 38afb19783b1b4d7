//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`metrics`]: contributions into cells, cells into published metric values; the catalogue of definitions.

pub mod model;

pub mod metrics;
