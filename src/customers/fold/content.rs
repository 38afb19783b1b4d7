//! Whether content is credible: who consumed it in a month and went on within 30 days, and who was active without it.
//!
//! ```text
//!              consumes                             a later purchase or phase, within 30 days
//! (none) ─────────────────────────▶ consumer ──────────────────────────▶ consumer who went on
//!    │ is active                        ▲ consumes: counted anew from there
//!    └───────▶ other ───────────────────┤
//!                └──▶ other who went on ┘
//! ```

use serde::{Deserialize, Serialize};

use super::{facts::Facts, head::Head};
use crate::model::{Day, EventTime, Initiator, Kind, Phase, WindowKind};

/// How long after the touchpoint that counts a person may go on, in milliseconds: 30 days.
const GOES_ON_WITHIN_MS: i64 = 30 * 86_400_000;

/// How a person is counted in a month. A head keeps those of the current month and of earlier ones whose 30 days are not
/// over: three at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// The first day of the month.
    month: Day,
    /// Whether the person consumed content.
    consumed: bool,
    /// The touchpoint from which on the person is counted.
    since: EventTime,
    /// The phase that it left the person in.
    phase: Phase,
    /// Whether the person went on.
    went_on: bool,
}

/// A change of what is counted of a person in a month: `1` or `-1` each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The first day of the month.
    pub month: Day,
    /// Persons who consumed content.
    pub consumers: i64,
    /// Those of them who went on.
    pub consumers_who_went_on: i64,
    /// Persons who were active and did not.
    pub others: i64,
    /// Those of them who went on.
    pub others_who_went_on: i64,
}

impl Reader {
    /// What it means that the person is counted like this, `times` over.
    fn counted(&self, times: i64) -> Counted {
        let went_on = if self.went_on { times } else { 0 };
        let nothing = Counted { month: self.month, ..Counted::default() };
        if self.consumed {
            Counted { consumers: times, consumers_who_went_on: went_on, ..nothing }
        } else {
            Counted { others: times, others_who_went_on: went_on, ..nothing }
        }
    }

    fn expects(&self, at: EventTime) -> bool {
        at.0 <= self.since.0.saturating_add(GOES_ON_WITHIN_MS)
    }
}

/// After everything else of the touchpoint was observed: purchases and phase are those that it leaves.
pub(super) fn observe_content(head: &mut Head, facts: &mut Facts<'_, '_>) {
    let touchpoint = facts.touchpoint;
    let (at, month) = (touchpoint.occurred_at, facts.place.windows[WindowKind::Month as usize].start);
    let phase = head.phase();
    if head.readers.iter().any(|reader| reader.month != month && !reader.expects(at)) {
        head.readers.retain(|reader| reader.month == month || reader.expects(at));
    }
    for reader in head.readers.iter_mut().filter(|reader| !reader.went_on && reader.expects(at)) {
        if facts.purchase || phase > reader.phase {
            facts.content.push(reader.counted(-1));
            reader.went_on = true;
            facts.content.push(reader.counted(1));
        }
    }
    let consumed = touchpoint.kind == Kind::ContentConsumed;
    if !consumed && touchpoint.initiator != Initiator::Customer {
        return;
    }
    let known = head.readers.iter().position(|reader| reader.month == month);
    let reader = Reader { month, consumed, since: at, phase, went_on: false };
    match known {
        None => head.readers.push(reader),
        Some(index) if consumed && !head.readers[index].consumed => {
            facts.content.push(head.readers[index].counted(-1));
            head.readers[index] = reader;
        }
        Some(_) => return,
    }
    facts.content.push(reader.counted(1));
}
