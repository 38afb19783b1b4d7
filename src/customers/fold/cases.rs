//! Cases of one person: opened, answered, resolved, reopened.

use super::{
    FoldOptions,
    facts::{Ended, Facts},
    head::{CASES_MAX, Case, Head, Level},
    place::KeptDimensions,
};
use crate::model::{EventTime, IdentifierType, Initiator, Kind, Visibility};

/// A touchpoint about a case. Only a case that was opened is known.
pub(super) fn observe_case(head: &mut Head, facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    let touchpoint = facts.touchpoint;
    let id = touchpoint.identifier(IdentifierType::Case);
    let known = id.and_then(|id| head.cases.iter().rposition(|case| *case.id == *id));
    if touchpoint.kind == Kind::CaseOpened {
        if known.is_none() {
            facts.case_opened = true;
            if let Some(id) = id {
                open(head, id, facts, options);
            }
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
                facts.first_response_ms = Some(since_opened_ms);
                head.first_response_ms.add(since_opened_ms);
            }
        }
        Kind::CaseResolved => {
            case.open = false;
            if !case.resolved {
                case.resolved = true;
                answer(case, facts);
                facts.resolution_ms = Some(since_opened_ms);
                head.resolution_ms.add(since_opened_ms);
            }
        }
        Kind::CaseReopened => case.open = true,
        _ => {}
    }
}

fn open(head: &mut Head, id: &str, facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    let opened_at = facts.touchpoint.occurred_at;
    let target = EventTime(opened_at.0.saturating_add(options.unanswered_target_ms));
    let start = options.calendar.day(target);
    facts.case_waits = Some(start);
    if head.cases.len() == CASES_MAX {
        head.cases.pop_front();
        facts.capped = true;
    }
    head.cases.push_back(Case {
        id: id.into(),
        opened_at,
        unanswered: Some(Level { start, dimensions: KeptDimensions::of(facts.place) }),
        replied: false,
        resolved: false,
        open: true,
    });
}

/// The first reply or resolution ends the waiting.
fn answer(case: &mut Case, facts: &mut Facts<'_, '_>) {
    facts.case_answered = case.unanswered.take().map(|level| Ended::of(level, facts.place.day));
}
