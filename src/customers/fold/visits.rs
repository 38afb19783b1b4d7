//! Visits of one person: from entering to the purchase that it led to, and what a cancellation changes of them.
//!
//! ```text
//!  entry         purchase   entry       purchase   entry
//!    ├──── visit ────┤        ├─── visit ───┤        ├── visit …
//!
//!  the first purchase is cancelled: nobody entered after it
//!    ├──────────────── visit ───────────────┤        ├── visit …
//! ```
//!
//! Of the visits of a person that begin in one window, the first counts in it: whether another one does follows from the day
//! on which the visit before it began.

use std::ops::Range;

use super::{
    facts::{Facts, Visited},
    head::{Head, Reached, VISITS_MAX, Visit},
    place::{KeptPlace, windows_of},
};
use crate::model::EventTime;

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// A purchase that stood so long is reached, whatever becomes of it: what has to be kept of regular customers is bounded.
const CANCELLED_WITHIN_MS: i64 = 90 * MILLISECONDS_PER_DAY;

/// A touchpoint enters if no visit is under way.
pub(super) fn enter(head: &mut Head, facts: &mut Facts<'_, '_>) {
    if head.visits.back().is_some_and(|visit| visit.purchase.is_none()) {
        return;
    }
    let entered_at = facts.touchpoint.occurred_at;
    forget(head, entered_at);
    if head.visits.len() == VISITS_MAX {
        head.visit_before = head.visits.pop_front().map(|visit| visit.entry.day);
        facts.capped = true;
    }
    head.visits.push_back(Visit { entered_at, entry: KeptPlace::of(facts.place), purchase: None });
    let index = head.visits.len() - 1;
    say(head, facts, index..index + 1, 1);
}

/// The visit that is under way leads to a purchase at this touchpoint.
pub(super) fn reach(head: &mut Head, facts: &mut Facts<'_, '_>, can_be_cancelled: bool) {
    let (ordinal, at) = (head.touchpoints, facts.touchpoint.occurred_at);
    let Some(index) = head.visits.len().checked_sub(1) else { return };
    head.visits[index].purchase = Some(Reached { ordinal, at, can_be_cancelled });
    let (_, reaches) = counted(head, index);
    if reaches != 0 {
        let place = head.visits[index].entry.clone();
        facts.visited.push(Visited { place, times: 1, enters: 0, reaches });
    }
    forget(head, at);
}

/// A purchase is cancelled: who entered after it had not left, and the visit goes on to the next purchase.
pub(super) fn withdraw(head: &mut Head, facts: &mut Facts<'_, '_>, ordinal: u64) {
    let now = facts.touchpoint.occurred_at;
    forget(head, now);
    let is_it = |visit: &Visit| visit.purchase.is_some_and(|purchase| purchase.ordinal == ordinal);
    let Some(index) = head.visits.iter().rposition(is_it) else { return };
    // With the one after next, which may now be the first of a window, or no longer.
    say(head, facts, index..index + 3, -1);
    head.visits[index].purchase = head.visits.remove(index + 1).and_then(|next| next.purchase);
    say(head, facts, index..index + 2, 1);
    forget(head, now);
}

/// Forgets what nothing later changes.
fn forget(head: &mut Head, now: EventTime) {
    let stands = |purchase: Reached| !purchase.can_be_cancelled || now.0 - purchase.at.0 > CANCELLED_WITHIN_MS;
    while let Some(visit) = head.visits.front()
        && visit.purchase.is_some_and(stands)
    {
        head.visit_before = head.visits.pop_front().map(|visit| visit.entry.day);
    }
}

/// In which windows a visit counts, and in which of them it reached a purchase.
fn counted(head: &Head, index: usize) -> (u8, u8) {
    let visit = &head.visits[index];
    let before = index.checked_sub(1).map_or(head.visit_before, |before| Some(head.visits[before].entry.day));
    let after_ms = visit.purchase.map(|purchase| purchase.at.0 - visit.entered_at.0);
    let (mut enters, mut reaches) = (0, 0);
    for (bit, window) in windows_of(visit.entry.day).into_iter().enumerate() {
        if before.is_some_and(|before| before >= window.start) {
            continue;
        }
        enters |= 1 << bit;
        let length_ms = i64::from(window.end().0 - window.start.0) * MILLISECONDS_PER_DAY;
        if after_ms.is_some_and(|after_ms| after_ms <= length_ms) {
            reaches |= 1 << bit;
        }
    }
    (enters, reaches)
}

fn say(head: &Head, facts: &mut Facts<'_, '_>, visits: Range<usize>, times: i64) {
    for index in visits.start..visits.end.min(head.visits.len()) {
        let (enters, reaches) = counted(head, index);
        if enters != 0 {
            facts.visited.push(Visited { place: head.visits[index].entry.clone(), times, enters, reaches });
        }
    }
}
