//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:

pub mod engine;
