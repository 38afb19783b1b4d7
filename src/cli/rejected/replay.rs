//! Dead letters and the mappings as they are now in; records that became good back to their topics, and a report, out.
//!
//! A record goes to the end of its own topic, as the department sent it, with the headers of [`Origin`]. It is sent only if
//! the mapping takes it now, so that a replay makes no dead letters again; of several touchpoints it may take some, and then
//! it goes back for these, once. What was replayed or accepted before has the same
//! id and content, and counts once: an id that was made from the position is made from the first one again.

use std::{collections::BTreeMap, io::Write};

use serde_json::{Value, json};

use super::{
    filter::FilterArguments,
    history::{Defect, History},
    letter::Letter,
    list::Counts,
    open, read_letters,
};
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub,
        judge::{Outcome, Patience, ReadHeaders, judge},
        output::{Format, Listing, write_json, write_table},
        place::{self, ForReplay},
    },
    engine::log::outside::{FeedRead, RecordRead, SpokeAppend, SpokeRecord},
    feeds::{Feed, Origin},
    ingest::{Skip, SpokeSet},
    settings::Settings,
};

/// After how many records the log is asked whether it has them.
const FLUSH_EVERY: usize = 1_000;

/// What becomes of a dead letter now.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    /// The mapping takes the record: these are its outcomes.
    Mended(Vec<Outcome>),
    /// The mapping takes nothing from it now: as if it had never been rejected.
    Skipped(Skip),
    /// An earlier replay took it, and would be made again for others of its record that would be rejected again.
    TakenBefore,
    /// It would be rejected again.
    Rejected(Outcome),
    /// No spoke of the configuration reads its topic.
    NoSpoke,
    /// The letter has the beginning of the record, and its topic has the record no more.
    Gone,
    /// The letter has the beginning of the record, and its topic cannot be read.
    Unread,
}

impl Fate {
    fn of(letter: &Letter, spokes: &SpokeSet, history: &History, patience: &mut Patience) -> Fate {
        let Some(spoke) = spokes.of_topic(&letter.topic) else { return Fate::NoSpoke };
        let mut outcomes = judge(spoke, &letter.source(&ReadHeaders(&letter.headers)), patience);
        // Others of the record may well be good, and were taken when it came.
        let is_good = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Accepted(_)));
        let again = Defect::of(letter).again(spoke, &outcomes);
        let rejected = || outcomes.iter().position(|outcome| matches!(outcome, Outcome::Rejected(_)));
        match again.or_else(|| if is_good { None } else { rejected() }) {
            Some(index) => Fate::Rejected(outcomes.swap_remove(index)),
            None if is_good && history.is_circle(letter, spoke, &outcomes) => Fate::TakenBefore,
            None if is_good => Fate::Mended(outcomes),
            None => Fate::Skipped(match outcomes.first() {
                Some(Outcome::Skipped(skip)) => *skip,
                Some(Outcome::Accepted(_) | Outcome::Rejected(_)) | None => Skip::NoElements,
            }),
        }
    }

    fn word(&self) -> String {
        match self {
            Fate::Mended(_) => "accepted".to_owned(),
            Fate::TakenBefore => "taken by an earlier replay".to_owned(),
            Fate::Skipped(_) => "skipped".to_owned(),
            Fate::Rejected(Outcome::Rejected(rejection)) => format!("still rejected: {}", rejection.reason),
            Fate::Rejected(_) => "still rejected".to_owned(),
            Fate::NoSpoke => "no spoke reads its topic".to_owned(),
            Fate::Unread => "not looked at: too long for a dead letter, and its topic cannot be read now".to_owned(),
            Fate::Gone => "gone: too long for a dead letter, and no more in its topic".to_owned(),
        }
    }

    /// In a few words, without anything that says who it is about.
    fn details(&self) -> String {
        match self {
            Fate::Mended(outcomes) => {
                let accepted = outcomes.iter().cloned().filter_map(|outcome| match outcome {
                    Outcome::Accepted(mut accepted) => {
                        accepted.mask();
                        Some(format!("{} {}", accepted.text("kind"), accepted.id))
                    }
                    Outcome::Skipped(_) | Outcome::Rejected(_) => None,
                });
                accepted.collect::<Vec<_>>().join(", ")
            }
            Fate::Rejected(Outcome::Rejected(rejection)) => format!("{} {}", rejection.field, rejection.message),
            Fate::Skipped(skip) => skip.in_words().to_owned(),
            Fate::Rejected(_) | Fate::TakenBefore | Fate::NoSpoke | Fate::Gone | Fate::Unread => String::new(),
        }
    }

    fn as_json(&self, letter: &Letter) -> Value {
        let becomes: Vec<Value> = match self {
            Fate::Mended(outcomes) => outcomes.iter().map(masked).collect(),
            Fate::Rejected(outcome) => vec![outcome.as_json()],
            Fate::Skipped(skip) => vec![Outcome::Skipped(*skip).as_json()],
            Fate::TakenBefore | Fate::NoSpoke | Fate::Gone | Fate::Unread => Vec::new(),
        };
        json!({
            "position": letter.position(),
            "spoke": letter.spoke,
            "was": letter.reason,
            "replayed": matches!(self, Fate::Mended(_)),
            "result": self.word(),
            "becomes": becomes,
        })
    }
}

fn masked(outcome: &Outcome) -> Value {
    let mut outcome = outcome.clone();
    outcome.mask();
    outcome.as_json()
}

pub(super) fn execute(
    settings: &Settings,
    filter: &FilterArguments,
    dry_run: bool,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let spokes = hub::spokes(settings)?;
    let history = History::read(&mut *open(settings)?)?;
    let topic = place::topic_of(settings, Feed::Rejected);
    let ForReplay { mut letters, mut records, mut appender } = place::for_replay(settings, &topic, "replay", !dry_run)?;
    let appender = appender.as_mut().map(|appender| &mut **appender as &mut dyn SpokeAppend);
    let mut ways = Ways { records: &mut *records, appender };
    replay(&spokes, &history, &mut *letters, &mut ways, filter, format, output)
}

/// From departments' topics and to them.
pub(super) struct Ways<'a> {
    /// What is whole there.
    pub records: &'a mut dyn RecordRead,
    /// Where good records go; `None`: nowhere, and each letter is shown with what it becomes.
    pub appender: Option<&'a mut dyn SpokeAppend>,
}

pub(super) fn replay(
    spokes: &SpokeSet,
    history: &History,
    log: &mut dyn FeedRead,
    ways: &mut Ways<'_>,
    filter: &FilterArguments,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let dry_run = ways.appender.is_none();
    let header = &["position", "spoke", "was", "is now", ""];
    let mut listing = Listing::new(format, "letters", header, output);
    let mut counts = Counts::default();
    let mut records: u64 = 0;
    let mut patience = Patience::default();
    // Those that wait for the log to say whether it has them, and those that it does not take.
    let (mut waiting, mut unfit) = (Vec::new(), Vec::new());
    // Why the topics cannot be read from which letters would be made whole.
    let mut unread: BTreeMap<String, Failure> = BTreeMap::new();
    // Letters about one record lie together: it is sent once.
    let mut last: Option<(String, Origin)> = None;
    let foreign = read_letters(log, &mut |mut letter| {
        if !filter.takes(&letter) {
            return Ok(());
        }
        let fate = if spokes.of_topic(&letter.topic).is_none() {
            Fate::NoSpoke
        } else if letter.is_cut() && unread.contains_key(&letter.topic) {
            Fate::Unread
        } else {
            match letter.make_whole(&mut *ways.records) {
                Ok(true) => Fate::of(&letter, spokes, history, &mut patience),
                Ok(false) => Fate::Gone,
                // It keeps no other from being sent, and is not waited for again.
                Err(failure) => {
                    unread.insert(letter.topic.clone(), failure);
                    Fate::Unread
                }
            }
        };
        counts.add(&letter.spoke, &fate.word());
        if dry_run {
            let cells =
                || vec![letter.position(), letter.spoke.clone(), letter.reason.clone(), fate.word(), fate.details()];
            listing.push(cells, || fate.as_json(&letter))?;
        }
        if !matches!(fate, Fate::Mended(_)) {
            return Ok(());
        }
        if last.as_ref().is_some_and(|(topic, origin)| *topic == letter.topic && *origin == letter.origin) {
            return Ok(());
        }
        last = Some((letter.topic.clone(), letter.origin));
        records += 1;
        if let Some(appender) = &mut ways.appender {
            send(&letter, &mut **appender)?;
            waiting.push(letter.position());
            if waiting.len() == FLUSH_EVERY {
                flush(&mut **appender, &mut waiting, &mut unfit)?;
            }
        }
        Ok(())
    })?;
    if let Some(appender) = &mut ways.appender {
        flush(&mut **appender, &mut waiting, &mut unfit)?;
    }
    records -= unfit.len() as u64;
    report(listing, &Report { counts, records, unfit: &unfit, foreign, dry_run }, format)?;
    if let Some(failure) = unread.into_values().next() {
        return Err(failure);
    }
    let Some((first, _)) = unfit.first() else { return Ok(()) };
    Err(Failure::new(
        Exit::Failure,
        format!(
            "{} of the records are larger than their topics take, and were not sent; the first is {first}",
            unfit.len()
        ),
        "raise max.message.bytes of the topic (`kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config \
         max.message.bytes=BYTES`), then replay again: what was sent now counts once",
    ))
}

/// Waits until the log has what was sent, and notes what does not fit.
fn flush(
    appender: &mut dyn SpokeAppend,
    waiting: &mut Vec<String>,
    unfit: &mut Vec<(String, String)>,
) -> Result<(), Failure> {
    let found = appender.flush_fitting().map_err(|error| hub::log_failure(&error))?;
    unfit.extend(found.into_iter().filter_map(|it| Some((waiting.get(it.number)?.clone(), it.why))));
    waiting.clear();
    Ok(())
}

fn send(letter: &Letter, appender: &mut dyn SpokeAppend) -> Result<(), Failure> {
    let origin = letter.origin.headers(&letter.topic);
    let own = letter.headers.iter().filter(|(name, _)| !Origin::is_header(name));
    let headers: Vec<(&str, &[u8])> = own
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .chain(origin.iter().map(|(name, value)| (*name, value.as_bytes())))
        .collect();
    let record = SpokeRecord {
        topic: &letter.topic,
        key: letter.key.as_deref(),
        payload: letter.value.as_deref(),
        // Retention goes by it: with the first one, an old record might be gone before it is read.
        timestamp_ms: hub::now_ms(),
        headers: &headers,
    };
    appender.send_record(&record).map_err(|error| hub::log_failure(&error))
}

struct Report<'a> {
    counts: Counts,
    /// Those that were sent, or would be.
    records: u64,
    /// (place, why) of those that their topics do not take.
    unfit: &'a [(String, String)],
    foreign: u64,
    dry_run: bool,
}

fn report(listing: Listing<'_>, report: &Report<'_>, format: Format) -> Result<(), Failure> {
    let Report { counts, records, unfit, foreign, dry_run } = report;
    let summary = json!({
        "dry_run": dry_run,
        "letters": counts.total(),
        "records_sent": if *dry_run { 0 } else { *records },
        "too_large": unfit.iter().map(|(position, _)| position.as_str()).collect::<Vec<&str>>(),
        "summary": counts.as_json("result"),
        "foreign": foreign,
    });
    let output = match format {
        Format::Json => {
            let Value::Object(members) = summary else { return Ok(()) };
            let rest: Vec<(&str, Value)> = members
                .iter()
                .map(|(name, value)| (if name == "letters" { "count" } else { name.as_str() }, value.clone()))
                .collect();
            listing.end(&rest)?
        }
        Format::Jsonl => {
            let output = listing.end(&[])?;
            if !dry_run {
                write_json(output, &summary)?;
            }
            output
        }
        Format::Table => {
            let output = listing.end(&[])?;
            if counts.total() == 0 {
                writeln!(output, "no dead letters")?;
            } else {
                if *dry_run {
                    writeln!(output)?;
                }
                write_table(output, &["spoke", "by the mapping now", "dead letters"], &counts.rows())?;
            }
            if !unfit.is_empty() {
                let rows: Vec<Vec<String>> =
                    unfit.iter().map(|(place, why)| vec![place.clone(), why.clone()]).collect();
                writeln!(output)?;
                write_table(output, &["not sent", "because"], &rows)?;
            }
            match (dry_run, records) {
                (_, 0) => writeln!(output, "\nnothing to replay")?,
                (true, records) => writeln!(output, "\n{records} records would be sent; nothing was")?,
                (false, records) => writeln!(
                    output,
                    "\n{records} records went back to their topics; a hub that does not have the mended mapping yet \
                     rejects them again: reload it then, and replay again, each counts once. Their dead letters stay until \
                     topics.rejected_retention_hours"
                )?,
            }
            output
        }
    };
    Ok(output.flush()?)
}
