//! Cases of one person: opened, answered, resolved, reopened; and whether a resolution was the last word.

use super::{
    FoldOptions,
    facts::{Ended, Facts},
    head::{CASES_MAX, Case, Head, Level, Resolution, Watch},
    place::{KeptDimensions, KeptPlace},
};
use crate::model::{AlertMark, EventTime, IdentifierType, Initiator, Kind, Touchpoint, Visibility};

/// A contact within so many milliseconds after a resolution, 7 · 24 hours, counts against it.
const WATCH_MS: i64 = 7 * 86_400_000;

/// A contact of the customer: cases on it that were resolved a short time ago were not resolved with the first contact.
/// To be called before the touchpoint is taken as one about a case, since no resolution is a further contact itself.
pub(super) fn observe_contact(head: &mut Head, facts: &mut Facts<'_, '_>) {
    let touchpoint = facts.touchpoint;
    let now = touchpoint.occurred_at;
    // Answers to surveys are asked for.
    if now > head.watched_until || touchpoint.kind == Kind::SurveyAnswered {
        return;
    }
    let is_named = |case: &Case| touchpoint.all(IdentifierType::Case).any(|id| *case.id == *id);
    let subject = touchpoint.subject;
    if subject.is_none() && touchpoint.identifier(IdentifierType::Case).is_none() {
        return;
    }
    for case in &mut head.cases {
        let Some(watch) = &case.watch else { continue };
        let is_over = now > watch.until;
        let is_about_it = is_named(case) || (subject.is_some() && subject == watch.subject.as_deref());
        if (is_over || is_about_it)
            && let Some(watch) = case.watch.take()
            && !is_over
        {
            facts.contacted_again.push(watch.place);
        }
    }
}

/// A touchpoint about cases: about each that it names.
pub(super) fn observe_cases(head: &mut Head, facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    let touchpoint = facts.touchpoint;
    let mut ids = touchpoint.all(IdentifierType::Case);
    let Some(first) = ids.next() else {
        facts.thing.case_opened = touchpoint.kind == Kind::CaseOpened;
        return;
    };
    observe_case(head, (first, AlertMark::of), facts, options);
    for id in ids {
        let mark = |touchpoint: &Touchpoint<'_>| AlertMark::of_further(touchpoint, id);
        facts.observe_further(|facts| observe_case(head, (id, mark), facts, options));
    }
}

/// Only a case that was opened is known. What tells the one that is opened from others: the touchpoint, and of a further case its name.
fn observe_case(
    head: &mut Head,
    (id, mark): (&str, impl FnOnce(&Touchpoint<'_>) -> AlertMark),
    facts: &mut Facts<'_, '_>,
    options: &FoldOptions,
) {
    let touchpoint = facts.touchpoint;
    let known = head.cases.iter().rposition(|case| *case.id == *id);
    if touchpoint.kind == Kind::CaseOpened {
        if known.is_none() {
            facts.thing.case_opened = true;
            open(head, (id, mark(touchpoint)), facts, options);
        }
        return;
    }
    let Some(case) = known.map(|index| &mut head.cases[index]) else {
        return;
    };
    let since_opened_ms = touchpoint.occurred_at.0 - case.opened_at.0;
    match touchpoint.kind {
        Kind::CaseReplied => {
            let is_reply = touchpoint.initiator == Initiator::Agent && touchpoint.visibility == Visibility::Public;
            if is_reply && !case.replied {
                case.replied = true;
                answer(case, facts);
                facts.thing.first_response_ms = Some(since_opened_ms);
                head.first_response_ms.add(since_opened_ms);
            }
        }
        Kind::CaseResolved => {
            case.open = false;
            let place = KeptPlace::of(facts.place);
            if case.resolution.is_none() {
                answer(case, facts);
                facts.thing.resolution_ms = Some(since_opened_ms);
                head.resolution_ms.add(since_opened_ms);
                let until = EventTime(touchpoint.occurred_at.0 + WATCH_MS);
                let subject = touchpoint.subject.map(Into::into).or(case.subject.take());
                case.subject = None;
                case.watch = Some(Watch { until, subject, place: place.clone() });
                head.watched_until = until;
            }
            facts.thing.full_resolution_ms = Some(since_opened_ms);
            facts.thing.resolution_replaced = case.resolution.replace(Resolution { took_ms: since_opened_ms, place });
        }
        Kind::CaseReopened => case.open = true,
        _ => {}
    }
}

fn open(head: &mut Head, (id, mark): (&str, AlertMark), facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    let opened_at = facts.touchpoint.occurred_at;
    let target = EventTime(opened_at.0.saturating_add(options.unanswered_target_ms));
    let start = options.calendar.day(target);
    facts.thing.case_waits = Some(start);
    if head.cases.len() == CASES_MAX {
        facts.capped = true;
        if let Some(mut forgotten) = head.cases.pop_front() {
            // No answer would be known as one: it waits no longer.
            answer(&mut forgotten, facts);
        }
    }
    head.cases.push_back(Case {
        id: id.into(),
        opened_at,
        mark,
        unanswered: Some(Level { start, dimensions: KeptDimensions::of(facts.place) }),
        replied: false,
        subject: facts.touchpoint.subject.map(Into::into),
        resolution: None,
        watch: None,
        open: true,
    });
}

/// The first reply or resolution ends the waiting, or that the case is forgotten.
fn answer(case: &mut Case, facts: &mut Facts<'_, '_>) {
    facts.thing.case_answered = case.unanswered.take().map(|level| Ended::of(level, facts.place.day));
}
