//! One person's timeline in; subscriptions, messages and what content led to out, for cells.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cells::{Day, Moment, Place, World},
    sources::Touch,
    trade::contracts,
};

const DAY_MS: i64 = 86_400_000;

/// Contracts run from a start to the first cancellation after it, while they are remembered.
pub fn observe_subscriptions(timeline: &[Touch], moments: &[Moment], world: &mut World) {
    for (start, cancelled, forgotten) in contracts(timeline) {
        let (start, end) = (&moments[start], moments.get(cancelled));
        let over = moments.get(cancelled.min(forgotten));
        world.stands("churn", start, start.day, over.map(|over| over.day));
        for window in end.into_iter().flat_map(|end| end.windows).filter(|window| window.1 > start.day) {
            for slice in &start.slices {
                world.at("churn", None, (*slice, window)).a += 1;
            }
        }
    }
}

/// At each close, how many messages of the 30 days up to it.
pub fn observe_messages(timeline: &[Touch], moments: &[Moment], world: &mut World) {
    let mut sent: BTreeMap<_, Vec<Day>> = BTreeMap::new();
    for (_, moment) in timeline.iter().zip(moments).filter(|(touch, _)| touch.kind == "message_sent") {
        for slice in &moment.slices {
            sent.entry(*slice).or_default().push(moment.day);
        }
    }
    for (slice, days) in sent {
        let closes: BTreeSet<Day> = days.iter().flat_map(|day| *day..day + 30).collect();
        for close in closes.into_iter().filter(|close| *close <= world.last_closed_day) {
            let count = days.iter().filter(|day| (close - 29..=close).contains(*day)).count();
            world.messages.entry(slice).or_default().entry(close).or_default().push(count as i64);
        }
    }
}

/// Of each month and slice, where content was consumed first, or else where the person was active first; and whether a purchase
/// or a later phase followed within 30 days, of whatever slice. `phases`: before each position, and after the last.
pub fn observe_content(
    timeline: &[Touch],
    moments: &[Moment],
    phases: &[&str],
    bought: &BTreeSet<usize>,
    world: &mut World,
) {
    let rank = |position: usize| ["before", "during", "after"].iter().position(|phase| *phase == phases[position]);
    let goes_on = |from: usize| {
        let until = timeline[from].occurred_at + 30 * DAY_MS;
        (from + 1..timeline.len())
            .take_while(|at| timeline[*at].occurred_at <= until)
            .any(|at| bought.contains(&at) || rank(at + 1) > rank(from + 1))
    };
    // Those who consumed first: an entry that is there already stays.
    let mut counted: BTreeMap<Place, (bool, usize)> = BTreeMap::new();
    for consumes in [true, false] {
        let begins = |touch: &Touch| match consumes {
            true => touch.kind == "content_consumed",
            false => touch.initiator == "customer",
        };
        for at in (0..timeline.len()).filter(|at| begins(&timeline[*at])) {
            for place in moments[at].places_in(moments[at].windows[2]) {
                counted.entry(place).or_insert((consumes, at));
            }
        }
    }
    let mut known: BTreeMap<usize, bool> = BTreeMap::new();
    for (place, (consumed, from)) in counted {
        let went_on = *known.entry(from).or_insert_with(|| goes_on(from));
        let cell = world.at("content_credibility", None, place);
        if consumed {
            cell.n += 1;
            cell.a += i64::from(went_on);
        } else {
            cell.b += 1;
            cell.values.extend(went_on.then_some(1));
        }
    }
}
