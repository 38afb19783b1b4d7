//! The `insight-hub` program: parses the command line and calls `cli`.

fn main() {}
