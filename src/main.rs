//! The `insight-hub` program: parses the command line and calls `cli`.

use std::process::ExitCode;

/// Workers allocate on one thread and free on another, in small pieces: mimalloc does this faster than the system's
/// allocator and gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    insight_hub::cli::main()
}
