//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`telemetry`]: operational events in; log lines, Prometheus figures and the state of health out.

pub mod model;
pub mod telemetry;
