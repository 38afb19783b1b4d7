//! The rows of a file in; records of a topic out, batch after batch, with a checkpoint behind them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::ProgressBar;

use super::{
    checkpoint::{Checkpoint, CheckpointFile},
    rejects::{Reject, Rejects},
    report::Tally,
    rows::{Content, Defect, Row, RowFormat, Rows},
    source::Source,
};
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub,
        stop::StopToken,
    },
    engine::log::{LogError, outside::SpokeAppend},
    ingest::{Mapped, NoHeaders, SourceRecord, Spoke},
};

/// How much goes at once, and how often a checkpoint is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Rows after which the log is asked whether it has everything.
    pub batch_rows: usize,
    /// Bytes after which it is.
    pub batch_bytes: usize,
    /// How old the last checkpoint must be for another one.
    pub checkpoint_every: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { batch_rows: 2_000, batch_bytes: 1 << 20, checkpoint_every: Duration::from_secs(2) }
    }
}

/// How an import ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything was sent, but the rows that the topic does not take: [`Checkpoint::unfit`].
    Done,
    /// Somebody asked it to stop.
    Stopped,
}

/// Everything that an import works with.
pub(super) struct Transfer<'a> {
    /// What is read.
    pub source: &'a Source,
    /// What its rows look like.
    pub format: RowFormat,
    /// Whose events they are.
    pub spoke: &'a Spoke,
    /// The largest payload that the hub takes.
    pub message_bytes_max: usize,
    /// Where it goes on, and where it says how far it is.
    pub checkpoints: &'a CheckpointFile,
    /// Bad rows.
    pub rejects: Option<Rejects>,
    /// How much goes at once.
    pub pace: Pace,
    /// Whether to end early.
    pub stop: &'a StopToken,
    /// Shows how far it is.
    pub bar: &'a ProgressBar,
}

/// What was sent, until the log says whether it has it.
struct Sent {
    line: u64,
    /// What the hub makes of it.
    accepted: u64,
    skipped: u64,
    rejected: u64,
    /// The row, if rejects are written: a batch has no more of them than [`Pace::batch_bytes`], and one more row.
    text: Vec<u8>,
}

const TOO_LARGE: &str = "The topic takes no record as large as this row; it was not sent. Raise max.message.bytes of the topic \
                         and import again with --again, or send less.";

/// How a batch ended.
enum Batch {
    /// There is more.
    Full,
    /// The file ended.
    Last,
    /// Somebody asked for a stop.
    Stopped,
    /// The file cannot be read any further.
    Unreadable(Failure),
}

impl Transfer<'_> {
    /// Sends what is left after a checkpoint. However it ends, `checkpoint` then is as far as what the log has, and is
    /// written down.
    pub(super) fn run(mut self, checkpoint: &mut Checkpoint, appender: &mut dyn SpokeAppend) -> Result<Ended, Failure> {
        let read = Arc::new(AtomicU64::new(0));
        let from = (checkpoint.position, checkpoint.line);
        let mut rows = Rows::open(self.source, self.format, self.message_bytes_max, from, &read)?;
        // Whoever is killed before the first batch is through has begun nevertheless: the rejects are its own.
        self.mark_rejects(checkpoint)?;
        self.checkpoints.write(checkpoint)?;
        let mut written = Instant::now();
        let ended = loop {
            match self.step(&mut rows, checkpoint, appender) {
                Ok(Batch::Full) => {}
                Ok(Batch::Last) if self.source.is_unchanged() => break Ok(Ended::Done),
                Ok(Batch::Last) => break Err(self.changed()),
                Ok(Batch::Stopped) => break Ok(Ended::Stopped),
                Ok(Batch::Unreadable(failure)) | Err(failure) => break Err(failure),
            }
            self.bar.set_position(read.load(Ordering::Relaxed));
            self.bar.set_message(format!("{} rows, {} rejected", checkpoint.tally.rows, checkpoint.tally.rejected));
            if written.elapsed() >= self.pace.checkpoint_every {
                if let Err(failure) = self.checkpoints.write(checkpoint) {
                    break Err(failure);
                }
                written = Instant::now();
            }
        };
        self.bar.finish_and_clear();
        checkpoint.done = ended == Ok(Ended::Done);
        let saved = self.checkpoints.write(checkpoint);
        ended.and_then(|ended| saved.map(|()| ended))
    }

    /// One batch, until the log has it; only then the checkpoint moves.
    fn step(
        &mut self,
        rows: &mut Rows,
        checkpoint: &mut Checkpoint,
        appender: &mut dyn SpokeAppend,
    ) -> Result<Batch, Failure> {
        let (mut tally, mut unfit) = (checkpoint.tally.clone(), checkpoint.unfit);
        let mut sent = Vec::new();
        let batch = self.send_batch(rows, &mut tally, appender, &mut sent)?;
        let batch = batch.and_then(|batch| Ok((batch, appender.flush_fitting()?)));
        let (batch, refused) = batch.map_err(|error| self.log_failed(&error, checkpoint))?;
        for row in refused.iter().filter_map(|it| sent.get(it.number)) {
            unfit += 1;
            self.take_back(row, &mut tally)?;
        }
        self.mark_rejects(checkpoint)?;
        (checkpoint.position, checkpoint.line) = rows.place();
        (checkpoint.tally, checkpoint.unfit) = (tally, unfit);
        Ok(batch)
    }

    /// A row was counted as sent and was not.
    fn take_back(&mut self, row: &Sent, tally: &mut Tally) -> Result<(), Failure> {
        tally.accepted -= row.accepted;
        tally.skipped -= row.skipped;
        tally.not_sent += 1;
        if row.rejected > 0 {
            return Ok(());
        }
        let (line, reason, field, message) = (row.line, "too_large", "", TOO_LARGE);
        tally.reject(line, reason, field, message);
        match &mut self.rejects {
            Some(rejects) => rejects.write(&Reject { line, reason, field, message, text: &row.text, truncated: false }),
            None => Ok(()),
        }
    }

    fn mark_rejects(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Failure> {
        if let Some(rejects) = &mut self.rejects {
            checkpoint.rejects = Some(rejects.flush()?);
        }
        Ok(())
    }

    fn send_batch(
        &mut self,
        rows: &mut Rows,
        tally: &mut Tally,
        appender: &mut dyn SpokeAppend,
        sent: &mut Vec<Sent>,
    ) -> Result<Result<Batch, LogError>, Failure> {
        let (mut read, mut bytes) = (0, 0);
        while read < self.pace.batch_rows && bytes < self.pace.batch_bytes {
            if self.stop.requested() {
                return Ok(Ok(Batch::Stopped));
            }
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(Ok(Batch::Last)),
                // What came before is as good as it was.
                Err(error) => return Ok(Ok(Batch::Unreadable(self.source.failed(rows.place().1, &error)))),
            };
            let now_ms = hub::now_ms();
            let (line, before) = (row.line, (tally.accepted, tally.skipped, tally.rejected));
            if let Some(payload) = self.judge(&row, now_ms, tally)? {
                let kept = if self.rejects.is_some() { row.text } else { &[] };
                sent.push(Sent {
                    line,
                    accepted: tally.accepted - before.0,
                    skipped: tally.skipped - before.1,
                    rejected: tally.rejected - before.2,
                    text: kept.to_vec(),
                });
                if let Err(error) = appender.send(self.spoke.topic(), None, payload, now_ms) {
                    return Ok(Err(error));
                }
                bytes += payload.len();
            }
            read += 1;
        }
        Ok(Ok(Batch::Full))
    }

    /// Counts what the hub will make of a row. Returns what is sent of it.
    fn judge<'r>(&mut self, row: &Row<'r>, now_ms: i64, tally: &mut Tally) -> Result<Option<&'r [u8]>, Failure> {
        tally.rows += 1;
        let Row { line, text, .. } = *row;
        let mut reject = |tally: &mut Tally, reason: &str, field: &str, message: &str, truncated: bool| {
            tally.reject(line, reason, field, message);
            match &mut self.rejects {
                Some(rejects) => rejects.write(&Reject { line, reason, field, message, text, truncated }),
                None => Ok(()),
            }
        };
        match row.content {
            Content::Bad(defect) => {
                // What looks like an object in a file of CSV might be taken for an event, and none was meant.
                let is_sent = defect.is_sent() && !text.trim_ascii_start().starts_with(b"{");
                tally.not_sent += u64::from(!is_sent);
                let truncated = matches!(defect, Defect::TooLarge { .. });
                reject(tally, defect.reason(), "", &defect.message(), truncated)?;
                Ok(is_sent.then_some(text))
            }
            Content::Payload(payload) => {
                let record = SourceRecord {
                    topic: self.spoke.topic(),
                    // Nobody knows yet, and nothing depends on them: ids of positions are refused.
                    partition: 0,
                    offset: 0,
                    timestamp_ms: now_ms,
                    key: None,
                    payload: Some(payload),
                    headers: &NoHeaders,
                };
                let mut written = Ok(());
                self.spoke.map_json(&record, &mut |mapped| match mapped {
                    Mapped::Touchpoint(_) => tally.accepted += 1,
                    Mapped::Skipped(_) => tally.skipped += 1,
                    Mapped::Rejected(rejection) => {
                        let reason = rejection.reason.as_str();
                        let outcome = reject(tally, reason, &rejection.field, &rejection.message, false);
                        if written.is_ok() {
                            written = outcome;
                        }
                    }
                });
                written.map(|()| Some(payload))
            }
        }
    }

    fn log_failed(&self, error: &LogError, checkpoint: &Checkpoint) -> Failure {
        let failure = hub::log_failure(error);
        Failure::new(
            failure.exit,
            format!("{}, after line {}: {}", self.source.name(), checkpoint.line, failure.happened),
            format!("{}; the same command goes on after line {}", failure.next, checkpoint.line),
        )
    }

    fn changed(&self) -> Failure {
        Failure::new(
            Exit::Failure,
            format!("{} changed while it was read", self.source.name()),
            "import it again when nobody writes to it any more: what the hub has already counts once",
        )
    }
}
