//! Dead letters of replays in; what the latest replay of each record left rejected, out.
//!
//! A record with several touchpoints goes back as a whole, with those that are rejected anew. It goes back for those that the
//! mapping takes now, and once only: of what its latest replay left, something must be mended.

use std::collections::HashMap;

use super::{letter::Letter, read_letters};
use crate::{
    cli::{exit::Failure, judge::Outcome},
    engine::log::outside::FeedRead,
    feeds::{LETTERS_OF_A_RECORD_MAX, REPLAY_OF},
    ingest::Spoke,
};

/// What a dead letter is about, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defect {
    touchpoint: usize,
    reason: String,
    field: String,
}

impl Defect {
    pub(super) fn of(letter: &Letter) -> Defect {
        Defect { touchpoint: letter.touchpoint, reason: letter.reason.clone(), field: letter.field.clone() }
    }

    /// Which of a record's outcomes is the same touchpoint, rejected again, be it for something else. The first may be the
    /// record as a whole that could not be read, and now its first element: that is the same only if it looks the same.
    pub(super) fn again(&self, spoke: &Spoke, outcomes: &[Outcome]) -> Option<usize> {
        outcomes.iter().position(|outcome| match outcome {
            Outcome::Rejected(rejection) => {
                let looks_same = || rejection.reason.as_str() == self.reason && rejection.field == self.field;
                rejection.touchpoint == self.touchpoint
                    && (self.touchpoint > 0 || looks_same() || spoke.is_of_first_element(&self.field))
            }
            Outcome::Accepted(_) | Outcome::Skipped(_) => false,
        })
    }
}

/// (topic, partition, offset), where a record came first.
type Place = (String, i32, i64);

/// What the latest replay of each record left rejected. A replay that left nothing is not among them.
#[derive(Debug, Default)]
pub(super) struct History(HashMap<Place, Vec<Defect>>);

impl History {
    pub(super) fn read(log: &mut dyn FeedRead) -> Result<History, Failure> {
        let mut history = History::default();
        read_letters(log, &mut |letter| {
            if letter.headers.iter().any(|(name, _)| name == REPLAY_OF) {
                history.take(&letter);
            }
            Ok(())
        })?;
        Ok(history)
    }

    fn take(&mut self, letter: &Letter) {
        let left = self.0.entry(place(letter)).or_default();
        // A record's letters come in the order of its touchpoints: what goes back in it is of the next replay.
        if left.last().is_some_and(|last| last.touchpoint >= letter.touchpoint) {
            left.clear();
        }
        left.push(Defect::of(letter));
    }

    /// Whether a replay would leave what the latest one of the record left: nothing of it is mended. Nobody knows that of a record
    /// with as many letters as there are at most: what else was rejected, and may be mended, has none.
    pub(super) fn is_circle(&self, letter: &Letter, spoke: &Spoke, outcomes: &[Outcome]) -> bool {
        let Some(left) = self.0.get(&place(letter)) else { return false };
        left.len() < LETTERS_OF_A_RECORD_MAX
            && outcomes.iter().any(|outcome| matches!(outcome, Outcome::Rejected(_)))
            && left.iter().all(|defect| defect.again(spoke, outcomes).is_some())
    }
}

fn place(letter: &Letter) -> Place {
    (letter.topic.clone(), letter.origin.partition, letter.origin.offset)
}
