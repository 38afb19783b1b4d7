//! Journeys: the steps of a person towards each goal, up to the goal or to their expiry.
//!
//! ```text
//!            begins                  goal reached
//!  (none) ───────────▶ open ──────────────────────────▶ ended, converted
//!                       │  no touchpoint for too long
//!                       ├─────────────────────────────▶ ended, lost
//!                       │  nothing left to reach
//!                       └─────────────────────────────▶ (none), counted nowhere
//! ```
//! Every open journey goes on with every touchpoint, so each is a tail of the same steps, and a head keeps those once. A step
//! is spoke · kind · channel; equal ones in a row are one; internal touchpoints are none. The touchpoint that reaches a goal
//! is not a step of the journey that it ends.
//!
//! | goal | begins with | reached by |
//! | --- | --- | --- |
//! | `first_purchase` | any touchpoint of somebody who is no customer | a purchase |
//! | `repurchase` | any touchpoint of a customer after a purchase | a purchase |
//! | `resolution` | a case opened | a case resolved |
//! | `renewal` | a subscription started or renewed | a subscription renewed; a cancelled one loses it |
//! | `referral` | any touchpoint of a customer | a referral made |
//! | of a kind | any touchpoint of another kind | a touchpoint of the kind |
//!
//! Whoever reaches a goal without a step before it was led there by nothing that the hub knows: an empty path. A purchase that
//! is cancelled turns its journey, where it was counted, into a lost one. Whoever is left without a purchase is on the way to the
//! first one again: the journey to the next one counts nowhere, so that no purchase reaches both.
//!
//! The journey of a purchase begins after the purchase before it, whatever becomes of that one, and keeps its steps and its time.
//! Only its goal follows from what stands: the earliest purchase that stands is the first, each other one a further one. So where
//! the first is cancelled while a later one stands, the journey to that one is taken back as one to a further purchase and counts
//! as one to the first, where it was counted; what led to the cancelled one is lost, as it is if it is cancelled before the next
//! is made. A purchase between two others that is cancelled changes nothing of the one after it.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    facts::{Facts, Gained},
    head::{Head, Purchase, Step},
    place::{DimensionValue, Emit},
};
use crate::model::{
    Accumulator, Calendar, Day, Dimension, EventTime, GOALS_MAX, Goal, Kind, KnownGoal, PathOutcome, Reached,
    Touchpoint, Visibility, Window, WindowKind, family, push_contact,
};

/// The most steps of a journey that can be configured.
pub const STEPS_MAX: u8 = 32;

/// What journeys lead to, and how long they are.
#[derive(Clone, Debug)]
pub struct JourneyOptions {
    /// The goals; a journey names its goal by the position here.
    pub goals: Arc<[Goal]>,
    /// A journey ends without its goal after so long without a touchpoint, in milliseconds.
    pub expire_after_ms: i64,
    /// The newest steps of a journey that count, at most [`STEPS_MAX`].
    pub steps_max: u8,
}

impl Default for JourneyOptions {
    fn default() -> JourneyOptions {
        JourneyOptions { goals: Goal::known().into(), expire_after_ms: 30 * 86_400_000, steps_max: 16 }
    }
}

/// The goal by which the steps to a further purchase are known where the first one is a goal and a further one is none: it counts
/// nowhere, unless that purchase becomes the first.
static UNLISTED: Goal = Goal { name: String::new(), reached: Reached::Known(KnownGoal::Repurchase) };
const UNLISTED_NUMBER: u8 = u8::MAX;
const _: () = assert!(GOALS_MAX <= UNLISTED_NUMBER as usize, "no listed goal has its number");

impl JourneyOptions {
    fn number(&self, goal: KnownGoal) -> Option<u8> {
        (0..).zip(self.goals.iter()).find(|(_, it)| it.reached == Reached::Known(goal)).map(|(number, _)| number)
    }

    /// What journeys go towards, by number, ascending.
    fn walked(&self) -> impl Iterator<Item = (u8, &Goal)> {
        let is_unlisted =
            self.number(KnownGoal::FirstPurchase).is_some() && self.number(KnownGoal::Repurchase).is_none();
        (0..).zip(self.goals.iter()).chain(is_unlisted.then_some((UNLISTED_NUMBER, &UNLISTED)))
    }

    fn name(&self, goal: u8) -> Box<str> {
        self.goals.get(usize::from(goal)).map_or("", |goal| goal.name.as_str()).into()
    }

    /// The day at whose close a journey without a touchpoint since `at` has expired.
    fn expires_on(&self, at: EventTime, calendar: &Calendar) -> Day {
        calendar.day(EventTime(at.0.saturating_add(self.expire_after_ms)))
    }
}

/// A journey that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    /// The goal, by its position.
    goal: u8,
    /// When its first step happened.
    started_at: EventTime,
    /// How many of the newest steps are its own.
    steps: u8,
}

/// The journeys of a person that go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journeys {
    /// The steps of the longest, oldest first.
    steps: VecDeque<Step>,
    /// When the newest touchpoint happened that is a step.
    last_at: EventTime,
    /// Ascending by goal.
    open: SmallVec<[Open; 4]>,
}

/// A journey as a purchase keeps it: the purchase may be cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptJourney {
    goal: u8,
    steps: Box<[Step]>,
    started_at: EventTime,
    ended_at: EventTime,
    segment: Option<Box<str>>,
}

impl KeptJourney {
    /// As it was counted, or is.
    fn ended(&self, spokes: &[(Box<str>, u64)], calendar: &Calendar, options: &JourneyOptions) -> Ended {
        Ended {
            goal: options.name(self.goal),
            outcome: PathOutcome::Converted,
            day: calendar.day(self.ended_at),
            duration_ms: self.ended_at.0 - self.started_at.0,
            path: render(self.steps.iter(), spokes),
            segment: self.segment.clone(),
        }
    }

    fn counts(&self) -> bool {
        self.goal != UNLISTED_NUMBER
    }
}

/// A journey that ended, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The goal's name.
    pub goal: Box<str>,
    /// Whether it was reached.
    pub outcome: PathOutcome,
    /// The day in whose windows it counts: of the goal, or of the expiry.
    pub day: Day,
    /// From the first step to the goal, in milliseconds; 0 of a lost one.
    pub duration_ms: i64,
    /// Its steps, `spoke:kind:channel` joined by `>`; empty if there were none.
    pub path: Box<str>,
    /// The person's segment when it ended.
    pub segment: Option<Box<str>>,
}

/// Journeys that ended with one touchpoint: seldom any.
pub type EndedJourneys = SmallVec<[Ended; 1]>;

fn render<'s>(steps: impl Iterator<Item = &'s Step>, spokes: &[(Box<str>, u64)]) -> Box<str> {
    let mut path = String::new();
    for step in steps {
        if !path.is_empty() {
            path.push('>');
        }
        let spoke = spokes.get(step.spoke as usize).map_or("", |(spoke, _)| spoke);
        push_contact(&mut path, spoke, step.kind, step.channel);
    }
    path.into_boxed_str()
}

impl Journeys {
    fn tail(&self, open: &Open) -> impl Iterator<Item = &Step> {
        self.steps.iter().skip(self.steps.len() - usize::from(open.steps).min(self.steps.len()))
    }

    fn lost(&self, open: &Open, day: Day, head: &Head, options: &JourneyOptions) -> Ended {
        Ended {
            goal: options.name(open.goal),
            outcome: PathOutcome::Lost,
            day,
            duration_ms: 0,
            path: render(self.tail(open), &head.spokes),
            segment: head.segment.clone(),
        }
    }

    /// Every open journey, as lost by its expiry.
    fn all_lost(&self, head: &Head, calendar: &Calendar, options: &JourneyOptions) -> impl Iterator<Item = Ended> {
        let day = options.expires_on(self.last_at, calendar);
        let counted = self.open.iter().filter(|open| open.goal != UNLISTED_NUMBER);
        counted.map(move |open| self.lost(open, day, head, options))
    }

    /// Forgets steps that no open journey has.
    fn trim(&mut self) {
        let longest = self.open.iter().map(|open| usize::from(open.steps)).max().unwrap_or(0);
        while self.steps.len() > longest {
            self.steps.pop_front();
        }
    }

    /// Ends the open journey to a goal that nobody can reach any more: it counts nowhere.
    fn abandon(&mut self, goal: KnownGoal, options: &JourneyOptions) {
        let is_it = |number| options.walked().any(|it| it.0 == number && it.1.reached == Reached::Known(goal));
        self.open.retain(|open| !is_it(open.goal));
        self.trim();
    }

    /// Takes the next step of every open journey.
    fn take_step(&mut self, step: Step, at: EventTime, steps_max: usize) {
        if self.steps.back() != Some(&step) {
            if self.steps.len() >= steps_max {
                self.steps.pop_front();
            }
            self.steps.push_back(step);
            let kept = u8::try_from(self.steps.len()).unwrap_or(STEPS_MAX);
            for open in &mut self.open {
                open.steps = (open.steps + 1).min(kept);
            }
        }
        self.last_at = at;
    }

    fn begin(&mut self, goal: u8, at: EventTime) {
        if let Err(place) = self.open.binary_search_by_key(&goal, |open| open.goal) {
            self.open.insert(place, Open { goal, started_at: at, steps: 1 });
        }
    }
}

/// The journeys of a head that have expired by the close of a day.
pub fn expired(head: &Head, closed_day: Day, calendar: &Calendar, options: &JourneyOptions) -> Vec<Ended> {
    match expiry(head, calendar, options) {
        Some(day) if day <= closed_day => head.journeys.all_lost(head, calendar, options).collect(),
        _ => Vec::new(),
    }
}

/// The day at whose close the journeys of a head expire, if nothing else happens.
pub fn expiry(head: &Head, calendar: &Calendar, options: &JourneyOptions) -> Option<Day> {
    (!head.journeys.open.is_empty()).then(|| options.expires_on(head.journeys.last_at, calendar))
}

/// Contributes `times` a journey that ended: to the company, and to the person's segment.
pub fn contribute<E: Emit>(ended: &Ended, times: i64, emit: &mut E) {
    let add = match ended.outcome {
        PathOutcome::Converted => Accumulator::observe_distribution(ended.duration_ms),
        PathOutcome::Lost => Accumulator::count(1),
    };
    let window = Window::of(WindowKind::Month, ended.day);
    let element = [ended.outcome.as_str(), &ended.path];
    let company = family::cell_value(&[&ended.goal], &element);
    emit.cell(family::JOURNEYS, None, window, &DimensionValue::new(Dimension::Company, &company), &add, times);
    if let Some(segment) = &ended.segment {
        let of_segment = family::cell_value(&[&ended.goal, segment], &element);
        emit.cell(family::JOURNEYS, None, window, &DimensionValue::new(Dimension::Segment, &of_segment), &add, times);
    }
}

/// Ends the journeys that had expired when a touchpoint happened: the first part of deriving its facts, before it changes
/// anything of the head.
pub(super) fn expire(
    head: &mut Head,
    touchpoint: &Touchpoint<'_>,
    calendar: &Calendar,
    options: &JourneyOptions,
) -> EndedJourneys {
    let journeys = &head.journeys;
    let is_in_time = touchpoint.occurred_at.0 - journeys.last_at.0 <= options.expire_after_ms;
    if journeys.open.is_empty() || touchpoint.visibility == Visibility::Internal || is_in_time {
        return EndedJourneys::new();
    }
    let ended = journeys.all_lost(head, calendar, options).collect();
    head.journeys.open.clear();
    head.journeys.steps.clear();
    ended
}

/// What a touchpoint does with the journeys of one goal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Reaches it; whether a journey that never began counts as well.
    Reach { also_at_once: bool },
    /// Loses it.
    Lose,
    /// Goes on with it; whether it begins one.
    Go { begins: bool },
}

fn effect(
    goal: &Goal,
    touchpoint: &Touchpoint<'_>,
    purchase: bool,
    (was_customer, is_customer): (bool, bool),
) -> Effect {
    let kind = touchpoint.kind;
    match goal.reached {
        Reached::Known(KnownGoal::FirstPurchase) if purchase => Effect::Reach { also_at_once: !was_customer },
        Reached::Known(KnownGoal::FirstPurchase) => Effect::Go { begins: !is_customer },
        Reached::Known(KnownGoal::Repurchase) if purchase => Effect::Reach { also_at_once: was_customer },
        Reached::Known(KnownGoal::Repurchase) => Effect::Go { begins: is_customer },
        Reached::Known(KnownGoal::Resolution) => match kind {
            Kind::CaseResolved => Effect::Reach { also_at_once: false },
            _ => Effect::Go { begins: kind == Kind::CaseOpened },
        },
        Reached::Known(KnownGoal::Renewal) => match kind {
            Kind::SubscriptionRenewed => Effect::Reach { also_at_once: false },
            Kind::SubscriptionCancelled => Effect::Lose,
            _ => Effect::Go { begins: kind == Kind::SubscriptionStarted },
        },
        Reached::Known(KnownGoal::Referral) => match kind {
            Kind::ReferralMade => Effect::Reach { also_at_once: true },
            _ => Effect::Go { begins: is_customer },
        },
        Reached::By(wanted) if kind == wanted => Effect::Reach { also_at_once: true },
        Reached::By(_) => Effect::Go { begins: true },
    }
}

/// Takes a touchpoint as a step of the person's journeys; the last part of deriving its facts.
pub(super) fn observe(
    head: &mut Head,
    facts: &mut Facts<'_, '_>,
    spoke: u32,
    calendar: &Calendar,
    options: &JourneyOptions,
) {
    let touchpoint = facts.touchpoint;
    let revoked = facts.cancelled().flat_map(|placing| &placing.journeys).filter(|kept| kept.counts());
    facts.journeys_revoked = revoked.map(|kept| kept.ended(&head.spokes, calendar, options)).collect();
    // Of several that are cancelled at once, each was what it was before the first of them.
    if facts.things().any(|thing| matches!(thing.customer_gained, Some(Gained::Earlier(..)))) {
        turn_to_first(head, facts, calendar, options);
    }
    let at = touchpoint.occurred_at;
    let is_internal = touchpoint.visibility == Visibility::Internal;
    let now = head.purchases > 0;
    let before = head.purchases - i64::from(facts.purchase) + facts.cancelled().count() as i64 > 0;
    let pointless = match (before, now) {
        (true, false) => Some(KnownGoal::Repurchase),
        // It was bought, and by no step.
        (false, true) if is_internal => Some(KnownGoal::FirstPurchase),
        _ => None,
    };
    // What had expired by then is lost whatever comes after it.
    if let Some(goal) = pointless
        && at.0 - head.journeys.last_at.0 <= options.expire_after_ms
    {
        head.journeys.abandon(goal, options);
    }
    if is_internal || options.goals.is_empty() {
        return;
    }
    let mut journeys = std::mem::take(&mut head.journeys);
    let mut began: SmallVec<[u8; 4]> = SmallVec::new();
    for (number, goal) in options.walked() {
        let open = journeys.open.iter().position(|open| open.goal == number);
        match effect(goal, touchpoint, facts.purchase, (before, now)) {
            Effect::Reach { also_at_once } => {
                let open = open.map(|index| journeys.open.remove(index));
                if open.is_none() && !also_at_once {
                    continue;
                }
                let started_at = open.map_or(at, |open| open.started_at);
                let steps: Box<[Step]> = open.iter().flat_map(|open| journeys.tail(open)).copied().collect();
                let ended = Ended {
                    goal: goal.name.as_str().into(),
                    outcome: PathOutcome::Converted,
                    day: facts.place.day,
                    duration_ms: at.0 - started_at.0,
                    path: render(steps.iter(), &head.spokes),
                    segment: head.segment.clone(),
                };
                if facts.purchase && matches!(goal.reached, Reached::Known(_)) {
                    let segment = ended.segment.clone();
                    let kept = KeptJourney { goal: number, steps, started_at, ended_at: at, segment };
                    if let Some(journeys) = kept_with(head, head.touchpoints) {
                        journeys.push(kept);
                    }
                }
                if number != UNLISTED_NUMBER {
                    facts.journeys.push(ended);
                }
                if goal.reached == Reached::Known(KnownGoal::Renewal) {
                    began.push(number);
                }
            }
            Effect::Lose => {
                if let Some(index) = open {
                    let open = journeys.open.remove(index);
                    facts.journeys.push(journeys.lost(&open, facts.place.day, head, options));
                }
            }
            Effect::Go { begins: true } if open.is_none() => began.push(number),
            Effect::Go { .. } => {}
        }
    }
    let step = Step { spoke, kind: touchpoint.kind, channel: touchpoint.channel };
    journeys.take_step(step, at, usize::from(options.steps_max));
    for goal in began {
        journeys.begin(goal, at);
    }
    journeys.trim();
    head.journeys = journeys;
}

/// What led to the purchase that is the first one now led to a further one before.
fn turn_to_first(head: &mut Head, facts: &mut Facts<'_, '_>, calendar: &Calendar, options: &JourneyOptions) {
    let first_purchase = options.number(KnownGoal::FirstPurchase);
    let Some(mut kept) = head.first_purchase.and_then(|ordinal| kept_with(head, ordinal)).map(std::mem::take) else {
        return;
    };
    for journey in kept.iter().filter(|kept| kept.counts()) {
        facts.journeys_taken_back.push(journey.ended(&head.spokes, calendar, options));
    }
    match first_purchase {
        Some(goal) => kept.iter_mut().for_each(|journey| journey.goal = goal),
        None => kept.clear(),
    }
    facts.journeys.extend(kept.iter().map(|journey| journey.ended(&head.spokes, calendar, options)));
    if let Some(place) = head.first_purchase.and_then(|ordinal| kept_with(head, ordinal)) {
        *place = kept;
    }
}

/// What is kept with the purchase of a number in the timeline, as long as it can be cancelled or become the first.
fn kept_with(head: &mut Head, ordinal: u64) -> Option<&mut Vec<KeptJourney>> {
    let orders = head.orders.iter_mut().rev().filter_map(|order| match &mut order.purchase {
        Purchase::Live(placing) if placing.ordinal == ordinal => Some(&mut placing.journeys),
        _ => None,
    });
    let anchors = head.anchors.iter_mut().filter(|it| it.ordinal == ordinal).map(|it| &mut it.journeys);
    orders.chain(anchors).next()
}
