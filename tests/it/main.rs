//! The one integration test binary.

mod company;
mod oracle;

/// The product's allocator: the oracle builds many small values, and the system's allocator doubles its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
