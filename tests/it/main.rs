//! The one integration test binary.

mod company;
mod oracle;
