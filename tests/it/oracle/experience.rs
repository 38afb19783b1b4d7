//! One person's timeline in, observations out: of what was expected, of resolutions that held, of buyers and visits.

use std::collections::{BTreeMap, HashSet};

use super::{
    cells::{self, Moment, Window, World},
    person::Case,
    sources::Touch,
    trade::{NEVER, Trade},
};

const DAY: i64 = 86_400_000;

/// Everything of this file.
pub(super) fn observe(timeline: &[Touch], moments: &[Moment], trade: &Trade, cases: &[Case], world: &mut World) {
    observe_gaps(timeline, moments, world);
    observe_resolutions(timeline, moments, cases, world);
    observe_follow_ups(timeline, moments, world);
    observe_buyer(timeline, moments, trade, world);
    observe_margin(timeline, moments, trade, world);
    observe_visits(timeline, moments, trade, world);
}

/// Answers by item: neighbours on different scales are pairs, from the left. A person has fewer items than a head keeps.
fn observe_gaps(timeline: &[Touch], moments: &[Moment], world: &mut World) {
    let mut by_item: BTreeMap<Option<&str>, Vec<(usize, bool, i64)>> = BTreeMap::new();
    for (at, touch) in timeline.iter().enumerate() {
        if let Some((scale, value, item)) = &touch.score
            && (scale == "expectation" || scale == "perception")
        {
            by_item.entry(item.as_deref()).or_default().push((at, scale == "perception", *value));
        }
    }
    for (item, answers) in by_item {
        let mut left = answers.as_slice();
        while let [(_, one, first), (at, other, second), rest @ ..] = left {
            if one == other {
                left = &left[1..];
                continue;
            }
            left = rest;
            let gap = if *other { second - first } else { first - second };
            world.measure("expectation_gap", None, &moments[*at], gap, i64::from(gap < 0));
            if let Some(item) = item {
                let of_item = world.of_item(&moments[*at], item);
                world.measure("expectation_gap", None, &of_item, gap, i64::from(gap < 0));
            }
        }
    }
}

fn observe_resolutions(timeline: &[Touch], moments: &[Moment], cases: &[Case], world: &mut World) {
    for case in cases.iter().filter(|case| case.first_resolution != NEVER) {
        let (first, last) = (case.first_resolution, case.last_resolution);
        let opening = &timeline[case.opened];
        let taken = timeline[last].occurred_at - opening.occurred_at;
        world.measure("full_resolution_time", None, &moments[last], taken, 0);
        let subject = timeline[first].subject.as_ref().or(opening.subject.as_ref());
        let held = timeline.iter().enumerate().skip(first + 1).all(|(at, touch)| {
            let about_it = touch.named("case").any(|name| name == case.name)
                || (subject.is_some() && touch.subject.as_ref() == subject);
            let soon = touch.occurred_at <= timeline[first].occurred_at + 7 * DAY;
            let contact = touch.initiator == "customer" && touch.kind != "survey_answered";
            !(contact && about_it && soon && at <= case.forgotten)
        });
        world.count("first_contact_resolution", &moments[first], 1, i64::from(held), 0);
    }
}

/// By an agent, and not among themselves.
pub fn is_follow_up(touch: &Touch) -> bool {
    [&*touch.kind, &touch.initiator, &touch.visibility] == ["follow_up_made", "agent", "public"]
}

fn observe_follow_ups(timeline: &[Touch], moments: &[Moment], world: &mut World) {
    let calls = |touch: &&Touch| {
        touch.kind == "complaint_made" || touch.score.as_ref().is_some_and(|it| it.0 == "nps" && it.1 <= 6)
    };
    let mut before = 0;
    for (at, touch) in timeline.iter().enumerate().filter(|(_, touch)| is_follow_up(touch)) {
        if let Some(cause) = timeline[before..at].iter().find(calls) {
            let taken = touch.occurred_at - cause.occurred_at;
            world.measure("follow_up_time", None, &moments[at], taken, i64::from(taken <= 2 * DAY));
        }
        before = at;
    }
}

fn observe_buyer(timeline: &[Touch], moments: &[Moment], trade: &Trade, world: &mut World) {
    let mut live =
        trade.purchases.iter().filter(|purchase| purchase.cancelled == NEVER).map(|purchase| purchase.placed);
    let Some(first) = live.next() else { return };
    let again = live.next().map(|second| timeline[second].occurred_at - timeline[first].occurred_at);
    for (metric, days) in [("repurchase_30", 30), ("repurchase_60", 60), ("repurchase_90", 90)] {
        world.count(metric, &moments[first], 1, i64::from(again.is_some_and(|after| after <= days * DAY)), 0);
    }
    let referred = timeline[..=first].iter().any(|touch| touch.referrer.is_some());
    let heard = timeline[..first].iter().any(|touch| {
        ["social", "community"].contains(&touch.channel.as_deref().unwrap_or_default())
            || ["social_mentioned", "review_posted", "referral_made"].contains(&touch.kind.as_str())
    });
    world.count("referral", &moments[first], 1, i64::from(referred), 0);
    world.count("word_of_mouth", &moments[first], 1, i64::from(referred || heard), 0);
}

fn observe_margin(timeline: &[Touch], moments: &[Moment], trade: &Trade, world: &mut World) {
    let mut amounts: Vec<(usize, i64, &String)> = Vec::new();
    for purchase in trade.purchases.iter().filter(|purchase| purchase.cancelled == NEVER) {
        let amount = timeline[purchase.placed].amount.as_ref();
        amounts.extend(amount.map(|(minor, currency)| (purchase.placed, *minor, currency)));
    }
    for (at, touch) in timeline.iter().enumerate() {
        if let ("subscription_renewed", Some((minor, currency))) = (touch.kind.as_str(), &touch.amount) {
            amounts.push((at, *minor, currency));
        }
        amounts.extend(touch.cost.as_ref().map(|(minor, currency)| (at, -minor, currency)));
    }
    for refund in trade.refunds.iter().filter(|refund| refund.taken_back == NEVER) {
        let (minor, currency) = timeline[refund.at].amount.as_ref().unwrap();
        amounts.push((refund.at, -minor.abs(), currency));
    }
    for (at, minor, currency) in amounts {
        world.measure("margin", Some(currency), &moments[at], minor, 0);
    }
}

/// A person enters with the first touchpoint and with each that follows a purchase which was not cancelled in time.
fn observe_visits(timeline: &[Touch], moments: &[Moment], trade: &Trade, world: &mut World) {
    let time = |at: usize| timeline.get(at).map(|touch| touch.occurred_at);
    let goals: Vec<usize> = trade
        .purchases
        .iter()
        .filter(|purchase| time(purchase.cancelled).is_none_or(|at| at > time(purchase.placed).unwrap() + 90 * DAY))
        .map(|purchase| purchase.placed)
        .collect();
    let mut entered: HashSet<Window> = HashSet::new();
    for entry in [0].into_iter().chain(goals.iter().map(|goal| goal + 1)).filter(|entry| *entry < timeline.len()) {
        let after = goals.iter().find(|goal| **goal >= entry).map(|goal| time(*goal).unwrap() - time(entry).unwrap());
        for window in moments[entry].windows {
            if entered.insert(window) {
                let length = i64::from(cells::end(window) - window.1) * DAY;
                for place in moments[entry].places_in(window) {
                    let cell = world.at("conversion", None, place);
                    cell.n += 1;
                    cell.a += i64::from(after.is_some_and(|after| after <= length));
                }
            }
        }
    }
}
