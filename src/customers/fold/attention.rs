//! What a person's alerts look at beyond the record: who waits for a follow-up, since when too much is sent, on which days
//! something was bought. A touchpoint in, the changed part of the head out. Bounded.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{FoldOptions, contacts::Contacts, facts::Facts, head::CONTACT_DAYS};
use crate::model::{AlertMark, Day, EventTime, Initiator, Kind, ScoreScale, Touchpoint, Visibility};

/// The newest answers and complaints without a follow-up that a head remembers.
pub const CONCERNS_MAX: usize = 16;
/// The newest purchases and renewals whose days a head remembers: a rhythm is that of the last year or so, not of a life.
pub const RHYTHM_PURCHASES_MAX: usize = 16;
/// How long a detractor or a complaint may wait for a follow-up, in milliseconds: 48 hours, as METRICS of `follow_up_time` has it.
pub const FOLLOW_UP_TARGET_MS: i64 = 48 * 3_600_000;
/// Answers of 0–10 up to this one are detractors'.
const DETRACTOR_MAX: u8 = 6;

/// A detractor's answer, or a complaint, that nobody has followed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concern {
    /// When.
    pub at: EventTime,
    /// Which touchpoint it is.
    pub mark: AlertMark,
    /// To which department, by its index in the head.
    pub spoke: u32,
    /// The answer, 0–10; `None`: a complaint.
    pub score: Option<u8>,
    /// The day on which the time for a follow-up ends.
    pub start: Day,
}

/// More was sent than the cap allows, without a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// From the close of this day on.
    pub since: Day,
    /// The message that was too much.
    pub mark: AlertMark,
    /// Whose message it was that was too much, by the department's index in the head.
    pub spoke: u32,
}

/// A purchase that is not cancelled, or a renewal: who pays every month has not lapsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bought {
    /// Its number in the timeline: tells it apart when it is cancelled.
    pub ordinal: u64,
    /// Which touchpoint it is.
    pub mark: AlertMark,
    /// Its day.
    pub day: Day,
    /// Of which department, by its index in the head.
    pub spoke: u32,
}

/// What a person's alerts look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// Oldest first.
    pub concerns: VecDeque<Concern>,
    /// Since when too much is sent, if the last message was too much.
    pub over: Option<Over>,
    /// Oldest first.
    pub bought: VecDeque<Bought>,
}

/// Whether somebody came back to the customer: an agent, where the customer could see it. What a ticket system writes by itself a second
/// after a complaint is none.
pub fn is_follow_up(touchpoint: &Touchpoint<'_>) -> bool {
    touchpoint.kind == Kind::FollowUpMade
        && touchpoint.initiator == Initiator::Agent
        && touchpoint.visibility == Visibility::Public
}

/// Messages to a person in the 30 days up to the close of a day.
pub fn contacts_until(contacts: &[Contacts], close: Day) -> i64 {
    let days = close.plus(1 - CONTACT_DAYS)..=close;
    contacts.iter().filter(|sent| days.contains(&sent.day)).map(|sent| i64::from(sent.n)).sum()
}

impl Attention {
    /// Takes the next touchpoint. `contacts` has its message already; `ordinal` is its number in the timeline. Returns
    /// whether something was forgotten for it.
    pub(super) fn observe(
        &mut self,
        facts: &Facts<'_, '_>,
        (spoke, ordinal): (u32, u64),
        contacts: &[Contacts],
        options: &FoldOptions,
    ) -> bool {
        let (touchpoint, day) = (facts.touchpoint, facts.place.day);
        if is_follow_up(touchpoint) {
            self.concerns.clear();
        }
        let detractor = touchpoint.score.filter(|score| score.scale == ScoreScale::Nps && score.value <= DETRACTOR_MAX);
        let mut forgotten = false;
        if detractor.is_some() || touchpoint.kind == Kind::ComplaintMade {
            forgotten = self.concerns.len() == CONCERNS_MAX;
            if forgotten {
                self.concerns.pop_front();
            }
            self.concerns.push_back(Concern {
                at: touchpoint.occurred_at,
                mark: AlertMark::of(touchpoint),
                spoke,
                score: detractor.map(|score| score.value),
                start: options.calendar.day(EventTime(touchpoint.occurred_at.0.saturating_add(FOLLOW_UP_TARGET_MS))),
            });
        }
        if touchpoint.kind == Kind::MessageSent {
            // Between two messages the count only falls: what was too much until yesterday was so without a pause.
            let is_over = |close| contacts_until(contacts, close) > options.contact_cap;
            self.over.take_if(|over| over.since < day && !is_over(day.previous()));
            if self.over.is_none() && is_over(day) {
                self.over = Some(Over { since: day, mark: AlertMark::of(touchpoint), spoke });
            }
        }
        if facts.purchase || touchpoint.kind == Kind::SubscriptionRenewed {
            if self.bought.len() == RHYTHM_PURCHASES_MAX {
                self.bought.pop_front();
            }
            self.bought.push_back(Bought { ordinal, mark: AlertMark::of(touchpoint), day, spoke });
        }
        for placing in facts.cancelled() {
            self.bought.retain(|bought| bought.ordinal != placing.ordinal);
        }
        forgotten
    }
}
