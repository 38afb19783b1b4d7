//! What facts contribute: one function per metric of the catalogue, in the catalogue's order.

use std::marker::PhantomData;

use super::{
    balance, buying, departments,
    facts::{Buyer, Facts, Gained},
    head::{CONTACT_DAYS, Refund},
    journeys::{self, Ended},
    place::{DimensionValue, Emit},
    seen::{ACTIVE, ADVOCATE, CONSUMED, OTHER, REACHED, RETAINED, WENT_ON},
};
use crate::{
    metrics::catalogue::index,
    model::{Accumulator, Day, Dimension, Kind, Money, PathOutcome, ScoreScale, Window, WindowKind, family},
};

/// Contributes to one metric.
pub type Measure<E> = fn(&Facts<'_, '_>, &mut E);

/// The table of measures.
#[derive(Clone, Copy, Debug)]
pub struct Measures<E>(PhantomData<E>);

impl<E: Emit> Measures<E> {
    /// Every metric that the fold contributes to, by its index in the catalogue.
    pub const ALL: [(u8, Measure<E>); 35] = [
        (index::NPS, nps),
        (index::CSAT, csat),
        (index::CES, ces),
        (index::SENTIMENT, sentiment),
        (index::PROMISE_GAP, promise_gap),
        (index::ON_TIME, on_time),
        (index::OVERDUE, overdue),
        (index::FIRST_RESPONSE_TIME, first_response_time),
        (index::UNANSWERED, unanswered),
        (index::RESOLUTION_TIME, resolution_time),
        (index::NEW_CUSTOMERS, new_customers),
        (index::REVENUE, revenue),
        (index::ORDERS, orders),
        (index::AVERAGE_ORDER_VALUE, average_order_value),
        (index::RETURN_RATE, return_rate),
        (index::CONTACT_RATE, contact_rate),
        (index::REACH, reach),
        (index::RETENTION, retention),
        (index::ADVOCACY, advocacy),
        (index::ACQUISITION_COST, acquisition_cost),
        (index::CUSTOMER_VALUE, customer_value),
        (index::EXPECTATION_GAP, expectation_gap),
        (index::FULL_RESOLUTION_TIME, full_resolution_time),
        (index::FIRST_CONTACT_RESOLUTION, first_contact_resolution),
        (index::FOLLOW_UP_TIME, follow_up_time),
        (index::REPURCHASE_30, repurchase_30),
        (index::REPURCHASE_60, repurchase_60),
        (index::REPURCHASE_90, repurchase_90),
        (index::REFERRAL, referral),
        (index::WORD_OF_MOUTH, word_of_mouth),
        (index::MARGIN, margin),
        (index::CONVERSION, conversion),
        (index::CONTACT_PRESSURE, contact_pressure),
        (index::CHURN, churn),
        (index::CONTENT_CREDIBILITY, content_credibility),
    ];
}

/// Contributes to every metric that the facts have something for.
pub fn contribute<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for (_, measure) in Measures::<E>::ALL {
        measure(facts, emit);
    }
    balance::contribute(facts, emit);
    departments::contribute_promises(facts, emit);
    journeys(facts, emit);
    changes(facts, emit);
    if let Some(change) = &facts.bought {
        buying::contribute(change, facts.place.day, emit);
    }
    if let Some(ended) = &facts.month_ended {
        ended.month.contribute(1, emit);
        ended.followed.iter().for_each(|followed| followed.contribute(1, emit));
    }
    if let Some(corrected) = &facts.corrected {
        corrected.contribute(emit);
    }
}

/// What was done, for everything that the touchpoint names: not for its spoke and the phase of whoever it came with.
fn changes<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let Facts { touchpoint, place, .. } = facts;
    if touchpoint.kind != Kind::ChangeEnacted {
        return;
    }
    let window = Window::of(WindowKind::Day, place.day);
    let add = match touchpoint.effort {
        Some(effort) => Accumulator { a: 1, sum: i64::from(effort), ..Accumulator::count(1) },
        None => Accumulator::count(1),
    };
    // The segment that it names: whoever tells of it is no customer whom a rule could put into one.
    let of_its_own =
        |it: &&DimensionValue<'_>| !matches!(it.dimension, Dimension::Spoke | Dimension::Phase | Dimension::Segment);
    let segment = touchpoint.segment.map(|segment| DimensionValue::new(Dimension::Segment, segment));
    for value in place.values.iter().filter(of_its_own).chain(&segment) {
        let told = family::cell_value(&[value.value], &[touchpoint.spoke]);
        emit.cell(family::CHANGES, None, window, &DimensionValue::new(value.dimension, &told), &add, 1);
    }
}

/// The journeys that ended, for the analyses. One that a cancelled purchase had ended is lost where it was counted.
fn journeys<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for ended in &facts.journeys {
        journeys::contribute(ended, 1, emit);
    }
    for ended in &facts.journeys_taken_back {
        journeys::contribute(ended, -1, emit);
    }
    for revoked in &facts.journeys_revoked {
        journeys::contribute(revoked, -1, emit);
        let lost = Ended { outcome: PathOutcome::Lost, duration_ms: 0, ..revoked.clone() };
        journeys::contribute(&lost, 1, emit);
    }
}

fn answer(facts: &Facts<'_, '_>, scale: ScoreScale) -> Option<i64> {
    let score = facts.touchpoint.score?;
    (score.scale == scale).then_some(i64::from(score.value))
}

fn nps<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    if let Some(value) = answer(facts, ScoreScale::Nps) {
        let add = Accumulator { a: i64::from(value >= 9), b: i64::from(value <= 6), ..Accumulator::count(1) };
        emit.everywhere(index::NPS, None, facts.place, &add, 1);
    }
}

fn csat<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    if let Some(value) = answer(facts, ScoreScale::Csat) {
        let add = Accumulator { a: i64::from(value >= 4), ..Accumulator::observe(value) };
        emit.everywhere(index::CSAT, None, facts.place, &add, 1);
    }
}

fn ces<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    if let Some(value) = answer(facts, ScoreScale::Ces) {
        let add = Accumulator { a: i64::from(value >= 5), ..Accumulator::observe(value) };
        emit.everywhere(index::CES, None, facts.place, &add, 1);
    }
}

fn sentiment<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    if let Some(value) = facts.touchpoint.sentiment.map(i64::from) {
        let add = Accumulator { a: i64::from(value < -20), ..Accumulator::observe(value) };
        emit.everywhere(index::SENTIMENT, None, facts.place, &add, 1);
    }
}

fn promise_gap<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for promised_at in facts.things().filter_map(|thing| thing.delivery?.promised_at) {
        let gap_ms = facts.touchpoint.occurred_at.0.saturating_sub(promised_at.0);
        let add = Accumulator { a: i64::from(gap_ms > 0), ..Accumulator::observe_distribution(gap_ms) };
        emit.everywhere(index::PROMISE_GAP, None, facts.place, &add, 1);
    }
}

fn on_time<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let deliveries = facts.things().filter_map(|thing| thing.delivery);
    for delivery in deliveries.filter(|delivery| delivery.promised_at.is_some()) {
        let add = Accumulator { a: i64::from(delivery.on_time), ..Accumulator::count(1) };
        emit.everywhere(index::ON_TIME, None, facts.place, &add, 1);
    }
}

fn overdue<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for thing in facts.things() {
        if let Some(ended) = &thing.promise_ended {
            emit.level(index::OVERDUE, &ended.dimensions.on(ended.day), -1);
        }
        if let Some(start) = thing.promise_made {
            emit.level(index::OVERDUE, &facts.place.clone().on_day(start), 1);
        }
    }
}

fn first_response_time<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for milliseconds in facts.things().filter_map(|thing| thing.first_response_ms) {
        let add = Accumulator::observe_distribution(milliseconds);
        emit.everywhere(index::FIRST_RESPONSE_TIME, None, facts.place, &add, 1);
    }
}

fn unanswered<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for thing in facts.things() {
        if let Some(ended) = &thing.case_answered {
            emit.level(index::UNANSWERED, &ended.dimensions.on(ended.day), -1);
        }
        if let Some(start) = thing.case_waits {
            emit.level(index::UNANSWERED, &facts.place.clone().on_day(start), 1);
        }
    }
}

fn resolution_time<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for milliseconds in facts.things().filter_map(|thing| thing.resolution_ms) {
        let add = Accumulator::observe_distribution(milliseconds);
        emit.everywhere(index::RESOLUTION_TIME, None, facts.place, &add, 1);
    }
}

fn new_customers<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    count_new_customer(index::NEW_CUSTOMERS, facts, emit);
}

/// Counts the customer where they are new, and no longer where they were.
fn count_new_customer<E: Emit>(metric: u8, facts: &Facts<'_, '_>, emit: &mut E) {
    for thing in facts.things() {
        if thing.customer_lost
            && let Some(placing) = &thing.cancelled
        {
            emit.count_everywhere(metric, &placing.dimensions.on(placing.day), -1);
        }
        match &thing.customer_gained {
            Some(Gained::Here) => emit.count_everywhere(metric, facts.place, 1),
            Some(Gained::Earlier(day, dimensions)) => {
                emit.count_everywhere(metric, &dimensions.on(*day), 1);
            }
            None => {}
        }
    }
}

fn revenue<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let earns = facts.purchase || facts.touchpoint.kind == Kind::SubscriptionRenewed;
    money(index::REVENUE, earns, facts, emit);
}

fn orders<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    if facts.purchase {
        emit.count_everywhere(index::ORDERS, facts.place, 1);
    }
    for placing in facts.cancelled() {
        emit.count_everywhere(index::ORDERS, &placing.dimensions.on(placing.day), -1);
    }
}

fn average_order_value<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    money(index::AVERAGE_ORDER_VALUE, facts.purchase, facts, emit);
}

/// The amount of this touchpoint if it `earns`, and the cancelled ones taken back where they were placed.
fn money<E: Emit>(metric: u8, earns: bool, facts: &Facts<'_, '_>, emit: &mut E) {
    if earns && let Some(amount) = facts.touchpoint.amount {
        let add = Accumulator::observe(amount.minor);
        emit.everywhere(metric, Some(amount.currency), facts.place, &add, 1);
    }
    for placing in facts.cancelled() {
        let Some(amount) = placing.amount else { continue };
        let add = Accumulator::observe(amount.minor);
        let place = placing.dimensions.on(placing.day);
        emit.everywhere(metric, Some(amount.currency), &place, &add, -1);
    }
}

fn return_rate<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for thing in facts.things() {
        if thing.delivery.is_some() {
            emit.count_everywhere(index::RETURN_RATE, facts.place, 1);
        }
        if thing.returned {
            let add = Accumulator { a: 1, ..Accumulator::default() };
            emit.everywhere(index::RETURN_RATE, None, facts.place, &add, 1);
        }
    }
}

fn contact_rate<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for _ in facts.things().filter(|thing| thing.case_opened) {
        let add = Accumulator { a: 1, ..Accumulator::default() };
        emit.everywhere(index::CONTACT_RATE, None, facts.place, &add, 1);
    }
    first_times(index::CONTACT_RATE, ACTIVE, facts, emit);
}

fn reach<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    first_times(index::REACH, REACHED, facts, emit);
}

/// Who is active in a window is to be retained in the next.
fn retention<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let stayed = Accumulator { a: 1, ..Accumulator::default() };
    each_first_time(ACTIVE, facts, |value, window| emit.count(index::RETENTION, window.after(), value, 1));
    each_first_time(RETAINED, facts, |value, window| emit.cell(index::RETENTION, None, window, value, &stayed, 1));
}

fn advocacy<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let spoke_well = Accumulator { a: 1, ..Accumulator::default() };
    first_times(index::ADVOCACY, ACTIVE, facts, emit);
    each_first_time(ADVOCATE, facts, |value, window| emit.cell(index::ADVOCACY, None, window, value, &spoke_well, 1));
}

fn acquisition_cost<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    count_new_customer(index::ACQUISITION_COST, facts, emit);
    if let Some(cost) = facts.acquisition_cost {
        emit.everywhere(index::ACQUISITION_COST, None, facts.place, &Accumulator::money(cost), 1);
    }
}

fn customer_value<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    first_times(index::CUSTOMER_VALUE, ACTIVE, facts, emit);
    let earns = facts.purchase || facts.touchpoint.kind == Kind::SubscriptionRenewed;
    for amount in facts.touchpoint.amount.filter(|_| earns).into_iter().chain(facts.refund) {
        emit.everywhere(index::CUSTOMER_VALUE, None, facts.place, &Accumulator::money(amount), 1);
    }
    for placing in facts.cancelled() {
        let Some(amount) = placing.amount else { continue };
        let place = placing.dimensions.on(placing.day);
        emit.everywhere(index::CUSTOMER_VALUE, None, &place, &Accumulator::money(amount), -1);
    }
    for Refund { place, amount } in facts.things().flat_map(|thing| &thing.refunds_revoked) {
        emit.everywhere(index::CUSTOMER_VALUE, None, &place.place(), &Accumulator::money(*amount), -1);
    }
}

/// Of the levels `n` persons reached, `a` above the cap and `sum` messages: what one message more changes.
fn contact_pressure<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let (day, end) = (facts.place.day, facts.place.day.plus(CONTACT_DAYS));
    for (value, pressure) in facts.place.values.iter().zip(&facts.message) {
        let Some(pressure) = pressure else { continue };
        let mut between = |from: Day, until: Day, add: Accumulator| {
            for (day, times) in [(from, 1), (until, -1)] {
                emit.cell(index::CONTACT_PRESSURE, None, Window::of(WindowKind::Day, day), value, &add, times);
            }
        };
        between(day, end, Accumulator { sum: 1, ..Accumulator::default() });
        if let Some(from) = pressure.alone_from {
            between(from, end, Accumulator::count(1));
        }
        if let Some((from, until)) = pressure.above {
            between(from, until, Accumulator { a: 1, ..Accumulator::default() });
        }
    }
}

/// Of the level `n` subscriptions running; of windows `a` of these cancelled, and of persons as of [`retention`] `b` active
/// before, `sum` of them still.
fn churn<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let was_active = Accumulator { b: 1, ..Accumulator::default() };
    let stayed = Accumulator { sum: 1, ..Accumulator::default() };
    each_first_time(ACTIVE, facts, |value, window| {
        emit.cell(index::CHURN, None, window.after(), value, &was_active, 1);
    });
    each_first_time(RETAINED, facts, |value, window| emit.cell(index::CHURN, None, window, value, &stayed, 1));
    for thing in facts.things() {
        if thing.subscription_started {
            emit.level(index::CHURN, facts.place, 1);
        }
        if let Some(forgotten) = &thing.subscription_forgotten {
            emit.level(index::CHURN, &forgotten.dimensions.on(forgotten.day), -1);
        }
    }
    for subscription in facts.things().filter_map(|thing| thing.subscription_ended.as_ref()) {
        let place = subscription.ended.dimensions.on(subscription.ended.day);
        emit.level(index::CHURN, &place, -1);
        let cancelled = Accumulator { a: 1, ..Accumulator::default() };
        for value in &place.values {
            for &window in place.windows.iter().filter(|window| subscription.started < window.start) {
                emit.cell(index::CHURN, None, window, value, &cancelled, 1);
            }
        }
    }
}

/// `n` consumers, `a` of them who went on, `b` others, `sum` of them who went on.
fn content_credibility<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let content = &facts.content;
    let consumed = facts.touchpoint.kind == Kind::ContentConsumed;
    let month = facts.place.windows[WindowKind::Month as usize];
    for (at, (value, &first)) in facts.place.values.iter().zip(&facts.first_seen).enumerate() {
        let is = |bit: u16| i64::from(first & bit != 0);
        let begins = i64::from(content.is_followed(at));
        let add = if consumed {
            Accumulator { n: begins * is(CONSUMED), b: -is(OTHER), sum: -is(WENT_ON), ..Accumulator::default() }
        } else {
            Accumulator { b: begins * is(OTHER), ..Accumulator::default() }
        };
        if add != Accumulator::default() {
            emit.cell(index::CONTENT_CREDIBILITY, None, month, value, &add, 1);
        }
    }
    for went_on in &content.went_on {
        let add = match went_on.consumed {
            true => Accumulator { a: 1, ..Accumulator::default() },
            false => Accumulator { sum: 1, ..Accumulator::default() },
        };
        let month = Window { kind: WindowKind::Month, start: went_on.month };
        for value in went_on.values.values() {
            emit.cell(index::CONTENT_CREDIBILITY, None, month, &value, &add, 1);
        }
    }
}

/// Counts the person where one of the bits was set for the first time.
fn first_times<E: Emit>(metric: u8, bits: u16, facts: &Facts<'_, '_>, emit: &mut E) {
    each_first_time(bits, facts, |value, window| emit.count(metric, window, value, 1));
}

/// Calls for each value and window where one of the bits was set for the first time. Each bit of a group stands for one
/// window.
fn each_first_time(bits: u16, facts: &Facts<'_, '_>, mut each: impl FnMut(&DimensionValue<'_>, Window)) {
    for (value, &first) in facts.place.values.iter().zip(&facts.first_seen) {
        let windows = (first & bits) >> bits.trailing_zeros();
        if windows == 0 {
            continue;
        }
        for (index, &window) in facts.place.windows.iter().enumerate() {
            if windows >> index & 1 == 1 {
                each(value, window);
            }
        }
    }
}

fn expectation_gap<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    if let Some(gap) = facts.gap {
        let add = Accumulator { a: i64::from(gap < 0), ..Accumulator::observe(gap) };
        emit.everywhere(index::EXPECTATION_GAP, None, facts.place, &add, 1);
        if let Some(item) = facts.touchpoint.score.and_then(|score| score.item) {
            emit.everywhere(index::EXPECTATION_GAP, None, &facts.place.of_value(Dimension::Item, item), &add, 1);
        }
    }
}

fn full_resolution_time<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for milliseconds in facts.things().filter_map(|thing| thing.full_resolution_ms) {
        let add = Accumulator::observe_distribution(milliseconds);
        emit.everywhere(index::FULL_RESOLUTION_TIME, None, facts.place, &add, 1);
    }
    for replaced in facts.things().filter_map(|thing| thing.resolution_replaced.as_ref()) {
        let add = Accumulator::observe_distribution(replaced.took_ms);
        emit.everywhere(index::FULL_RESOLUTION_TIME, None, &replaced.place.place(), &add, -1);
    }
}

fn first_contact_resolution<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for _ in facts.things().filter(|thing| thing.resolution_ms.is_some()) {
        let add = Accumulator { a: 1, ..Accumulator::count(1) };
        emit.everywhere(index::FIRST_CONTACT_RESOLUTION, None, facts.place, &add, 1);
    }
    for resolved in &facts.contacted_again {
        let add = Accumulator { a: 1, ..Accumulator::default() };
        emit.everywhere(index::FIRST_CONTACT_RESOLUTION, None, &resolved.place(), &add, -1);
    }
}

fn follow_up_time<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    if let Some(milliseconds) = facts.follow_up_ms {
        let in_time = milliseconds <= 48 * 3_600_000;
        let add = Accumulator { a: i64::from(in_time), ..Accumulator::observe_distribution(milliseconds) };
        emit.everywhere(index::FOLLOW_UP_TIME, None, facts.place, &add, 1);
    }
}

fn repurchase_30<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    buyers(index::REPURCHASE_30, |buyer| buys_again_within(buyer, 30), facts, emit);
}

fn repurchase_60<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    buyers(index::REPURCHASE_60, |buyer| buys_again_within(buyer, 60), facts, emit);
}

fn repurchase_90<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    buyers(index::REPURCHASE_90, |buyer| buys_again_within(buyer, 90), facts, emit);
}

fn buys_again_within(buyer: &Buyer, days: i64) -> bool {
    buyer.again_after_ms.is_some_and(|milliseconds| milliseconds <= days * 86_400_000)
}

fn referral<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    buyers(index::REFERRAL, |buyer| buyer.was_referred, facts, emit);
}

fn word_of_mouth<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    buyers(index::WORD_OF_MOUTH, |buyer| buyer.had_heard, facts, emit);
}

/// First-time buyers, and those of them for whom something holds, where their first purchase is counted.
fn buyers<E: Emit>(metric: u8, holds: impl Fn(&Buyer) -> bool, facts: &Facts<'_, '_>, emit: &mut E) {
    let Some(change) = &facts.buyer else { return };
    let counted = |buyer: &Buyer| Accumulator { a: i64::from(holds(buyer)), ..Accumulator::count(1) };
    if let (Some(was), Some(is)) = (&change.was, &change.is)
        && was.place == is.place
    {
        // In one place only the difference is told, if there is one.
        let a = counted(is).a - counted(was).a;
        if a != 0 {
            let add = Accumulator { a, ..Accumulator::default() };
            emit.everywhere(metric, None, &is.place.place(), &add, 1);
        }
        return;
    }
    for (buyer, times) in [(&change.was, -1), (&change.is, 1)] {
        if let Some(buyer) = buyer {
            emit.everywhere(metric, None, &buyer.place.place(), &counted(buyer), times);
        }
    }
}

fn margin<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let touchpoint = facts.touchpoint;
    let earns = facts.purchase || touchpoint.kind == Kind::SubscriptionRenewed;
    money(index::MARGIN, earns, facts, emit);
    if let Some(amount) = facts.refund {
        spend(amount, facts, emit);
    }
    for Refund { place, amount } in facts.things().flat_map(|thing| &thing.refunds_revoked) {
        let add = Accumulator::observe(amount.minor);
        emit.everywhere(index::MARGIN, Some(amount.currency), &place.place(), &add, -1);
    }
    if let Some(cost) = touchpoint.cost {
        spend(Money { minor: cost.minor.wrapping_neg(), ..cost }, facts, emit);
    }
}

fn spend<E: Emit>(amount: Money, facts: &Facts<'_, '_>, emit: &mut E) {
    emit.everywhere(index::MARGIN, Some(amount.currency), facts.place, &Accumulator::observe(amount.minor), 1);
}

fn conversion<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    for visited in &facts.visited {
        let place = visited.place.place();
        if (visited.enters, visited.reaches) == (0b111, 0) {
            emit.count_everywhere(index::CONVERSION, &place, visited.times);
            continue;
        }
        for (index, &window) in place.windows.iter().enumerate() {
            let bit = |bits: u8| i64::from(bits >> index & 1);
            let add = Accumulator { a: bit(visited.reaches), ..Accumulator::count(bit(visited.enters)) };
            if !add.is_zero() {
                for value in &place.values {
                    emit.cell(index::CONVERSION, None, window, value, &add, visited.times);
                }
            }
        }
    }
}
