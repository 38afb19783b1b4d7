//! The one integration test binary.

mod oracle;
