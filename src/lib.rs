//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`telemetry`]: operational events in; log lines, Prometheus figures and the state of health out.
//! - [`settings`]: defaults, file, environment and flags in; one valid configuration out.
//! - [`serve`]: telemetry in; operators' endpoints out.
//! - [`cli`]: the command line in; calls of the rooms, results and an exit code out.

pub mod cli;
pub mod model;
pub mod serve;
pub mod settings;
pub mod telemetry;
