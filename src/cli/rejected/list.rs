//! Dead letters in; a list of them and counts by spoke and reason out.

use std::{collections::BTreeMap, io::Write};

use serde_json::{Value, json};

use super::{filter::FilterArguments, read_letters};
use crate::{
    cli::{
        exit::Failure,
        output::{Format, Listing, write_json, write_table},
    },
    engine::log::outside::FeedRead,
};

/// Pairs of spoke and reason that are counted apart: there are as many as spokes times the closed set of reasons.
const PAIRS_MAX: usize = 10_000;

/// Counts by spoke and one more word.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<(String, String), u64>);

impl Counts {
    pub(super) fn add(&mut self, spoke: &str, word: &str) {
        let mut pair = (spoke.to_owned(), word.to_owned());
        if self.0.len() >= PAIRS_MAX && !self.0.contains_key(&pair) {
            pair = ("others".to_owned(), "others".to_owned());
        }
        *self.0.entry(pair).or_default() += 1;
    }

    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        self.0.iter().map(|((spoke, word), count)| vec![spoke.clone(), word.clone(), count.to_string()]).collect()
    }

    pub(super) fn as_json(&self, word_is: &str) -> Vec<Value> {
        let row =
            |((spoke, word), count): (&(String, String), &u64)| json!({"spoke": spoke, word_is: word, "count": count});
        self.0.iter().map(row).collect()
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

pub(super) fn list(
    log: &mut dyn FeedRead,
    filter: &FilterArguments,
    summary: bool,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let header = &["rejected at", "position", "spoke", "reason", "field", "message"];
    let mut listing = Listing::new(format, "letters", header, output);
    let mut counts = Counts::default();
    let foreign = read_letters(log, &mut |letter| {
        if !filter.takes(&letter) {
            return Ok(());
        }
        counts.add(&letter.spoke, &letter.reason);
        if summary {
            return Ok(());
        }
        let cells = || {
            let at = letter.rejected_at.to_string();
            let (spoke, reason) = (letter.spoke.clone(), letter.reason.clone());
            vec![at, letter.position(), spoke, reason, letter.field.clone(), letter.message.clone()]
        };
        Ok(listing.push(cells, || letter.as_json())?)
    })?;
    let rows = counts.as_json("reason");
    if summary && format == Format::Jsonl {
        let output = listing.end(&[])?;
        rows.iter().try_for_each(|row| write_json(output, row))?;
        return Ok(output.flush()?);
    }
    let output = listing.end(&[("summary", rows.into()), ("foreign", foreign.into())])?;
    if format == Format::Table {
        if counts.total() == 0 {
            writeln!(output, "no dead letters")?;
        } else {
            if !summary {
                writeln!(output)?;
            }
            write_table(output, &["spoke", "reason", "dead letters"], &counts.rows())?;
        }
        if foreign > 0 {
            writeln!(output, "\n{foreign} records of the feed are none that a hub wrote: see who else writes to it")?;
        }
    }
    Ok(output.flush()?)
}
