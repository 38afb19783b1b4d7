//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`customers`]: touchpoints of persons in, insight records and contributions to metrics out.
//! - [`metrics`]: contributions in, values of metrics out.

pub mod customers;
pub mod metrics;
pub mod model;
