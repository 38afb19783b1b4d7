//! Rows in; a table for people or JSON lines for programs out, on standard output.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};

/// How results are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// One JSON object per line.
    Json,
}

/// Writes a table: a header and rows of equal length. Nothing at all without rows.
pub(super) fn write_table(output: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec()).add_rows(rows.to_vec());
    writeln!(output, "{}", table.trim_fmt())
}

/// Writes one JSON line.
pub(super) fn write_json(output: &mut dyn Write, value: &serde_json::Value) -> io::Result<()> {
    writeln!(output, "{value}")
}
