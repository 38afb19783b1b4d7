//! A person's month: what they experienced and what came of it, as the measures that drivers are found from.
//!
//! A month is told when it is over: at the first touchpoint of a later one, or else at the close of its last day. What is cancelled
//! later is taken back of it (`past`).

use serde::{Deserialize, Serialize};

use super::{
    FoldOptions,
    departments::{self, Department, DepartmentMonth},
    facts::Facts,
    felt::{self, ContactMonth, Felt},
    head::{Head, Sum},
    place::{DimensionValue, Emit},
    subjects::{self, Efforts, Followed},
};
use crate::model::{Day, Dimension, Kind, Measure, Money, PairElement, ScoreScale, Window, WindowKind, family};

/// Means are kept in thousandths.
pub(super) const THOUSANDTHS: i64 = 1_000;

/// The month of the newest touchpoint so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Month {
    start: Day,
    csat: Sum,
    nps: Sum,
    sentiment: Sum,
    response_ms: Sum,
    /// Deliveries with a promise, and how many of them were on time.
    on_time: Sum,
    gap_ms: Sum,
    messages: i64,
    revenue: i64,
    refunds: i64,
    costs: i64,
    cancelled: bool,
    referred: bool,
    /// Purchases that are not cancelled.
    purchases: i64,
    /// Where which subjects came up.
    pub(super) subjects: Vec<Box<str>>,
    /// What it takes there, as touchpoints say.
    pub(super) efforts: Efforts,
    /// The departments that touched the person.
    pub(super) departments: Vec<Department>,
    /// The kinds of contact at which something was observed.
    pub(super) felt: Vec<Felt>,
}

impl Month {
    /// The month that begins on a day.
    pub(super) fn new(start: Day) -> Month {
        Month { start, ..Month::default() }
    }

    pub(super) fn start(&self) -> Day {
        self.start
    }

    pub(super) fn revenue(&self) -> i64 {
        self.revenue
    }

    /// The mean satisfaction, in thousandths.
    pub(super) fn csat(&self) -> Option<i64> {
        mean(self.csat, THOUSANDTHS)
    }

    pub(super) fn bought(&self) -> bool {
        self.purchases > 0
    }

    /// Whether somebody who has bought since a day was a customer at its end.
    pub(super) fn is_of_customer(&self, since: Option<Day>) -> bool {
        since.is_some_and(|since| since < window(self.start).end())
    }

    /// Purchases but for the first of all.
    fn repurchases(&self, since: Option<Day>) -> i64 {
        self.purchases - i64::from(since.is_some_and(|since| window(since).start == self.start))
    }

    /// Takes back a purchase of the month.
    pub(super) fn take_back(&mut self, minor: i64) {
        self.revenue = self.revenue.saturating_sub(minor);
        self.purchases -= 1;
    }

    /// Takes back what was paid back in the month: a negative amount.
    pub(super) fn take_refund_back(&mut self, minor: i64) {
        self.refunds = self.refunds.saturating_add(minor);
    }

    /// Forgets what it tells at its end alone.
    pub(super) fn forget_told(&mut self) {
        self.departments.clear();
        self.felt.clear();
    }
}

/// A person's month that is over: a value or none for each [`Measure`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonMonth {
    /// Its first day.
    pub start: Day,
    /// By measure.
    pub values: [Option<i64>; Measure::ALL.len()],
    /// The person's segment at its end.
    pub segment: Option<Box<str>>,
    /// As each department has it.
    pub departments: Vec<DepartmentMonth>,
    /// What was felt at each kind of contact.
    pub contacts: Vec<ContactMonth>,
}

fn window(day: Day) -> Window {
    Window::of(WindowKind::Month, day)
}

pub(super) fn mean(sum: Sum, times: i64) -> Option<i64> {
    (sum.n > 0).then(|| sum.sum.saturating_mul(times).div_euclid(sum.n))
}

impl PersonMonth {
    /// A month with the person's segment at its end, the spokes of its head, and since when the person has bought.
    pub(super) fn of(
        month: &Month,
        segment: Option<Box<str>>,
        spokes: &[(Box<str>, u64)],
        since: Option<Day>,
    ) -> PersonMonth {
        let is_customer = month.is_of_customer(since);
        let of_customer = |is: bool| is_customer.then_some(i64::from(is));
        let value = |measure: Measure| match measure {
            Measure::Csat => month.csat(),
            Measure::Nps => mean(month.nps, THOUSANDTHS),
            Measure::Sentiment => mean(month.sentiment, THOUSANDTHS),
            Measure::FirstResponseTime => mean(month.response_ms, 1),
            Measure::OnTime => mean(month.on_time, THOUSANDTHS),
            Measure::PromiseGap => mean(month.gap_ms, 1),
            Measure::Contacts => Some(month.messages),
            Measure::BoughtAgain => of_customer(month.repurchases(since) > 0),
            Measure::Revenue => is_customer.then_some(month.revenue),
            Measure::Margin => {
                is_customer.then_some(month.revenue.saturating_sub(month.refunds).saturating_sub(month.costs))
            }
            Measure::Churned => (is_customer || month.cancelled).then_some(i64::from(month.cancelled)),
            Measure::Referred => of_customer(month.referred),
        };
        let mut values = [None; Measure::ALL.len()];
        for (slot, &measure) in values.iter_mut().zip(Measure::ALL) {
            *slot = value(measure);
        }
        let (departments, contacts) = (departments::over(month, spokes), felt::over(month, spokes));
        PersonMonth { start: month.start, values, segment, departments, contacts }
    }

    fn of_head(head: &Head) -> PersonMonth {
        PersonMonth::of(&head.month, head.segment.clone(), &head.spokes, head.buying.since())
    }

    /// Contributes it `times`: to the company, to the person's segment, to the departments, and to the kinds of
    /// contact.
    pub fn contribute<E: Emit>(&self, times: i64, emit: &mut E) {
        self.contribute_to(Dimension::Company, &[family::PERSONS], times, emit);
        if let Some(segment) = &self.segment {
            self.contribute_to(Dimension::Segment, &[family::PERSONS, segment], times, emit);
        }
        let bought_again = self.values[Measure::BoughtAgain as usize];
        for department in &self.departments {
            department.contribute(window(self.start), bought_again, times, emit);
        }
        if let Some(bought_again) = bought_again {
            self.contacts.iter().for_each(|it| it.contribute(window(self.start), bought_again, times, emit));
        }
    }

    fn contribute_to<E: Emit>(&self, dimension: Dimension, family: &[&str], times: i64, emit: &mut E) {
        let window = window(self.start);
        let known =
            |from: usize| (0_u8..).zip(&self.values).skip(from).filter_map(|(number, value)| Some((number, (*value)?)));
        // One text for all of its elements.
        let mut value = family::cell_value(family, &[]);
        let head = value.len();
        for (i, x) in known(0) {
            for (j, y) in known(usize::from(i)) {
                for element in PairElement::ALL {
                    value.truncate(head);
                    element.push_name(i, j, &mut value);
                    let place = DimensionValue::new(dimension, &value);
                    emit.cell(family::DRIVERS, None, window, &place, &element.of(x, y), times);
                }
            }
        }
    }
}

/// The month of a head, if it is over at the close of a day.
pub fn over(head: &Head, closed_day: Day) -> Option<PersonMonth> {
    (head.touchpoints > 0 && last_day(head) <= closed_day).then(|| PersonMonth::of_head(head))
}

/// The day at whose close the month of a head is over.
pub fn last_day(head: &Head) -> Day {
    window(head.month.start).end().previous()
}

/// What a touchpoint of a later month ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The month.
    pub month: PersonMonth,
    /// What is known now of it and of the month before.
    pub followed: Vec<Followed>,
    /// Whether an earlier one was forgotten that something can still change.
    pub capped: bool,
}

/// Ends the month of a head if a touchpoint is of a later one: before it changes anything else of the head.
pub(super) fn turn(head: &mut Head, day: Day) -> Option<Box<Ended>> {
    let start = window(day).start;
    if head.touchpoints > 0 && head.month.start == start {
        return None;
    }
    if head.touchpoints == 0 {
        head.month = Month::new(start);
        return None;
    }
    let month = PersonMonth::of_head(head);
    let (followed, capped) = subjects::turn(head, start);
    Some(Box::new(Ended { month, followed, capped }))
}

/// Takes a touchpoint into the month, once its facts are known.
pub(super) fn observe(head: &mut Head, facts: &Facts<'_, '_>, spoke: u32, options: &FoldOptions) {
    let touchpoint = facts.touchpoint;
    let minor = |amount: Option<Money>| {
        amount.filter(|amount| amount.currency == options.currency).map_or(0, |amount| amount.minor)
    };
    let month = &mut head.month;
    if let Some(score) = touchpoint.score {
        match score.scale {
            ScoreScale::Csat => month.csat.add(i64::from(score.value)),
            ScoreScale::Nps => month.nps.add(i64::from(score.value)),
            ScoreScale::Ces | ScoreScale::Expectation | ScoreScale::Perception | ScoreScale::Review => {}
        }
    }
    if let Some(sentiment) = touchpoint.sentiment {
        month.sentiment.add(i64::from(sentiment));
    }
    for thing in facts.things() {
        if let Some(milliseconds) = thing.first_response_ms {
            month.response_ms.add(milliseconds);
        }
        if let Some(delivery) = thing.delivery
            && let Some(promised_at) = delivery.promised_at
        {
            month.on_time.add(i64::from(delivery.on_time));
            month.gap_ms.add(touchpoint.occurred_at.0.saturating_sub(promised_at.0));
        }
    }
    if facts.purchase || touchpoint.kind == Kind::SubscriptionRenewed {
        month.revenue = month.revenue.saturating_add(minor(touchpoint.amount));
        month.purchases += i64::from(facts.purchase);
    }
    for placing in facts.cancelled() {
        if placing.day >= month.start {
            month.take_back(minor(placing.amount));
        }
    }
    month.refunds = month.refunds.saturating_sub(minor(facts.refund));
    for revoked in facts.things().flat_map(|thing| &thing.refunds_revoked) {
        if revoked.place.day >= month.start {
            month.take_refund_back(minor(Some(revoked.amount)));
        }
    }
    match touchpoint.kind {
        Kind::MessageSent => month.messages += 1,
        Kind::SubscriptionCancelled => month.cancelled = true,
        Kind::ReferralMade => month.referred = true,
        _ => {}
    }
    month.costs = month.costs.saturating_add(minor(touchpoint.cost));
    subjects::note(month, touchpoint);
    departments::observe(&mut month.departments, facts, spoke);
    felt::observe(&mut month.felt, facts, spoke);
}
