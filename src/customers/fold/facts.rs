//! Facts: what one touchpoint means at its point of the timeline. Deriving them updates the head.

use smallvec::SmallVec;

use super::{
    FoldOptions,
    buying::{self, BuyingChange},
    contacts::Pressure,
    content::Content,
    head::{
        Answers, Head, IDENTIFIERS_PER_TYPE_MAX, JOURNEY_STEPS_MAX, Level, Placing, Refund, Resolution, SCORES_MAX,
        Step, Sum,
    },
    journeys::{self, EndedJourneys},
    month, past,
    place::{KeptDimensions, KeptPlace, Place},
    seen::Does,
};
use crate::model::{Channel, Day, EventTime, IdentifierType, Initiator, Kind, Money, ScoreScale, Touchpoint};

/// Where a customer became new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gained {
    /// At this touchpoint.
    Here,
    /// At an earlier one, because the purchase before it was cancelled.
    Earlier(Day, KeptDimensions),
}

/// A delivery that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What was promised, if anything.
    pub promised_at: Option<EventTime>,
    /// Whether it came by then, within the tolerance. False without a promise.
    pub on_time: bool,
}

/// A level that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The first day on which it no longer counts: never before its start.
    pub day: Day,
    /// The dimension values that it counted for.
    pub dimensions: KeptDimensions,
}

impl Ended {
    pub(super) fn of(level: Level, day: Day) -> Ended {
        Ended { day: level.start.max(day), dimensions: level.dimensions }
    }
}

/// A person as a first-time buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buyer {
    /// Where the first purchase is counted.
    pub place: KeptPlace,
    /// How much later the next purchase was made, in milliseconds.
    pub again_after_ms: Option<i64>,
    /// Whether somebody was named by then who referred the customer.
    pub was_referred: bool,
    /// Whether word of mouth had met the customer before.
    pub had_heard: bool,
}

/// What a touchpoint changes of a person as a first-time buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuyerChange {
    /// Before it.
    pub was: Option<Buyer>,
    /// After it.
    pub is: Option<Buyer>,
}

/// A change of what is counted of a visit, in the windows of its entry: bit 0 is the day, 1 the week, 2 the month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visited {
    /// Where.
    pub place: KeptPlace,
    /// `1`: counted; `-1`: taken back.
    pub times: i64,
    /// In which windows the person enters.
    pub enters: u8,
    /// In which windows the person also buys within the window's length.
    pub reaches: u8,
}

/// A subscription that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The day on which it started.
    pub started: Day,
    /// When it ended, and the dimension values of its start.
    pub ended: Ended,
}

/// What one touchpoint does to one of the things that it names: to an order, a case or a contract. Of one that names none it is what it
/// does to the thing without a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// The purchase that it cancels.
    pub cancelled: Option<Placing>,
    /// What was paid back before for the order that it cancels.
    pub refunds_revoked: Vec<Refund>,
    /// Whether the customer was new at the cancelled purchase.
    pub customer_lost: bool,
    /// Where the customer is new now.
    pub customer_gained: Option<Gained>,
    /// A delivery, the first of its order.
    pub delivery: Option<Delivery>,
    /// Whether it is the first return of its order.
    pub returned: bool,
    /// From when the promise that it makes will be overdue.
    pub promise_made: Option<Day>,
    /// The promise that it keeps, ends or replaces, or that is forgotten with its order.
    pub promise_ended: Option<Ended>,
    /// Whether it opens a case.
    pub case_opened: bool,
    /// From when the case that it opens will be unanswered.
    pub case_waits: Option<Day>,
    /// The case that it answers, or that is forgotten unanswered.
    pub case_answered: Option<Ended>,
    /// From opening to this first public reply by an agent, in milliseconds.
    pub first_response_ms: Option<i64>,
    /// From opening to this first resolution, in milliseconds.
    pub resolution_ms: Option<i64>,
    /// From opening to this resolution, the first or a further one, in milliseconds.
    pub full_resolution_ms: Option<i64>,
    /// The resolution that it takes the place of.
    pub resolution_replaced: Option<Resolution>,
    /// Whether it starts a subscription with a contract number.
    pub subscription_started: bool,
    /// The subscription that it cancels.
    pub subscription_ended: Option<Subscription>,
    /// The subscription that is forgotten while it runs.
    pub subscription_forgotten: Option<Ended>,
}

/// What one touchpoint means at its point of the timeline.
#[derive(Debug)]
pub struct Facts<'a, 'p> {
    /// The touchpoint.
    pub touchpoint: &'a Touchpoint<'a>,
    /// Its day and dimension values.
    pub place: &'p Place<'a>,
    /// For each value of the place, in which windows it was seen for the first time, by the bits of `seen`.
    pub first_seen: SmallVec<[u16; 10]>,
    /// Whether it is a purchase: one, whatever it names.
    pub purchase: bool,
    /// What it pays back, as a negative amount; nothing for an order that is cancelled.
    pub refund: Option<Money>,
    /// What it does to the first thing that it names.
    pub thing: Thing,
    /// What it does to each further one: seldom any.
    pub further: Vec<Thing>,
    /// If it is a message, what it changes for each value of the place; nothing where it is not remembered.
    pub message: Vec<Option<Pressure>>,
    /// What it changes of who is counted as a consumer of content, or as active without it, besides what is seen first.
    pub content: Content,
    /// What it cost, if that is a cost of winning customers.
    pub acquisition_cost: Option<Money>,
    /// What it cost in the configured currency, in minor units.
    pub cost: Option<i64>,
    /// The person's month that was over before it.
    pub month_ended: Option<Box<month::Ended>>,
    /// Months that were over and told of what it cancels.
    pub corrected: Option<Box<past::Corrected>>,
    /// Journeys that ended with it, or had expired before it, and what led to the purchase that its cancellation makes the first.
    pub journeys: EndedJourneys,
    /// The journeys that the cancelled purchase had ended: they are lost after all.
    pub journeys_revoked: EndedJourneys,
    /// What led to the purchase that is the first one now, as it was counted: it led to no further one.
    pub journeys_taken_back: EndedJourneys,
    /// Where cases were resolved that it shows not to be.
    pub contacted_again: Vec<KeptPlace>,
    /// Perception less expectation of the pair that its answer completes, in points.
    pub gap: Option<i64>,
    /// From the detractor's answer or complaint to this follow-up, in milliseconds.
    pub follow_up_ms: Option<i64>,
    /// What it changes of the person as a first-time buyer.
    pub buyer: Option<Box<BuyerChange>>,
    /// What it changes of how the person bought.
    pub bought: Option<Box<BuyingChange>>,
    /// What it changes of the person's visits.
    pub visited: Vec<Visited>,
    /// Whether the head is full and something was forgotten or not remembered.
    pub capped: bool,
}

impl<'a, 'p> Facts<'a, 'p> {
    /// What it does to each thing that it names, and to the one without a name.
    pub fn things(&self) -> impl Iterator<Item = &Thing> {
        std::iter::once(&self.thing).chain(&self.further)
    }

    /// The purchases that it cancels.
    pub fn cancelled(&self) -> impl Iterator<Item = &Placing> {
        self.things().filter_map(|thing| thing.cancelled.as_ref())
    }

    /// Takes what `observe` says of the thing for a further one.
    pub(super) fn observe_further(&mut self, observe: impl FnOnce(&mut Self)) {
        let first = std::mem::take(&mut self.thing);
        observe(self);
        let further = std::mem::replace(&mut self.thing, first);
        self.further.push(further);
    }

    /// Whether both contribute the same, given that they are about the same touchpoint in the same phase.
    pub(super) fn contributes_as(&self, other: &Facts<'_, '_>) -> bool {
        // Every field but the touchpoint, the place and the cap, taken apart so that a new one cannot be forgotten.
        let Facts {
            touchpoint: _,
            place: _,
            first_seen,
            purchase,
            refund,
            thing,
            further,
            message,
            content,
            acquisition_cost,
            cost,
            month_ended,
            corrected,
            journeys,
            journeys_revoked,
            journeys_taken_back,
            contacted_again,
            gap,
            follow_up_ms,
            buyer,
            bought,
            visited,
            capped: _,
        } = self;
        *first_seen == other.first_seen
            && *purchase == other.purchase
            && *refund == other.refund
            && *thing == other.thing
            && *further == other.further
            && *message == other.message
            && *content == other.content
            && *acquisition_cost == other.acquisition_cost
            && *cost == other.cost
            && *month_ended == other.month_ended
            && *corrected == other.corrected
            && *journeys == other.journeys
            && *journeys_revoked == other.journeys_revoked
            && *journeys_taken_back == other.journeys_taken_back
            && *contacted_again == other.contacted_again
            && *gap == other.gap
            && *follow_up_ms == other.follow_up_ms
            && *buyer == other.buyer
            && *bought == other.bought
            && *visited == other.visited
    }

    /// Derives the facts and updates the head.
    pub(super) fn observe(
        head: &mut Head,
        touchpoint: &'a Touchpoint<'a>,
        place: &'p Place<'a>,
        options: &FoldOptions,
    ) -> Facts<'a, 'p> {
        let met_in = head.phase();
        let month_ended = month::turn(head, place.day);
        let expired = journeys::expire(head, touchpoint, &options.calendar, &options.journeys);
        if head.touchpoints == 0 {
            head.first_seen = touchpoint.occurred_at;
        }
        head.touchpoints += 1;
        head.last_seen = touchpoint.occurred_at;
        head.newest_rank = touchpoint.kind.rank();
        replace_text(&mut head.newest_id, touchpoint.id);
        replace_text(&mut head.newest_spoke, touchpoint.spoke);

        let does = Does {
            is_active: touchpoint.initiator == Initiator::Customer,
            advocates: advocates(touchpoint),
            consumes: touchpoint.kind == Kind::ContentConsumed,
        };
        let first_seen = head.seen.mark(place, does);
        let mut facts = Facts {
            touchpoint,
            place,
            first_seen,
            purchase: false,
            refund: None,
            thing: Thing::default(),
            further: Vec::new(),
            message: Vec::new(),
            content: Content::default(),
            acquisition_cost: touchpoint.cost.filter(|_| options.acquisition_spokes.contains(touchpoint.spoke)),
            cost: touchpoint.cost.filter(|cost| cost.currency == options.currency).map(|cost| cost.minor),
            month_ended,
            corrected: None,
            journeys: expired,
            journeys_revoked: EndedJourneys::new(),
            journeys_taken_back: EndedJourneys::new(),
            contacted_again: Vec::new(),
            gap: None,
            follow_up_ms: None,
            buyer: None,
            bought: None,
            visited: Vec::new(),
            capped: false,
        };
        super::visits::enter(head, &mut facts);
        let spoke = count_touchpoint(head, touchpoint);
        remember_identifiers(head, &mut facts);
        super::segments::remember(head, touchpoint, place.segment(), options);
        remember_newest(&mut head.region, touchpoint.region);
        remember_newest(&mut head.account, touchpoint.account);
        remember_answers(head, &mut facts);
        super::expectations::observe_answer(head, &mut facts);
        observe_follow_up(head, &mut facts);
        observe_word_of_mouth(head, touchpoint);
        if touchpoint.initiator == Initiator::Customer {
            super::cases::observe_contact(head, &mut facts);
        }
        super::contacts::observe_contact(head, &mut facts, options.contact_cap);
        match touchpoint.kind.about() {
            Some(IdentifierType::Order) => super::orders::observe_orders(head, &mut facts, options),
            Some(IdentifierType::Contract) => super::orders::observe_subscriptions(head, &mut facts),
            Some(IdentifierType::Case) => super::cases::observe_cases(head, &mut facts, options),
            _ => {}
        }
        super::content::observe_content(head, &mut facts, met_in);
        continue_journey(head, &facts, spoke);
        buying::observe(&mut head.buying, &mut facts, options);
        month::observe(head, &facts, spoke, options);
        past::correct(head, &mut facts, options);
        journeys::observe(head, &mut facts, spoke, &options.calendar, &options.journeys);
        facts.capped |= facts.month_ended.as_ref().is_some_and(|ended| ended.capped);
        facts.capped |= head.attention.observe(&facts, (spoke, head.touchpoints), &head.contacts, options);
        facts
    }
}

/// Whether the person speaks for the company: a referral, a review of four or five, an answer of nine or ten.
fn advocates(touchpoint: &Touchpoint<'_>) -> bool {
    let speaks_well = touchpoint.score.is_some_and(|score| match score.scale {
        ScoreScale::Review => score.value >= 4,
        ScoreScale::Nps => score.value >= 9,
        _ => false,
    });
    touchpoint.kind == Kind::ReferralMade || speaks_well
}

/// Without a new allocation if the old one is large enough.
fn replace_text(text: &mut String, with: &str) {
    text.clear();
    text.push_str(with);
}

fn count<T: PartialEq + Copy>(counts: &mut Vec<(T, u64)>, of: T) {
    match counts.iter_mut().find(|(counted, _)| *counted == of) {
        Some((_, count)) => *count += 1,
        None => counts.push((of, 1)),
    }
}

/// Returns the spoke's index in the head.
fn count_touchpoint(head: &mut Head, touchpoint: &Touchpoint<'_>) -> u32 {
    let spoke = match head.spokes.iter().position(|(spoke, _)| **spoke == *touchpoint.spoke) {
        Some(index) => {
            head.spokes[index].1 += 1;
            index
        }
        None => {
            head.spokes.push((touchpoint.spoke.into(), 1));
            head.spokes.len() - 1
        }
    };
    count(&mut head.kinds, touchpoint.kind);
    if let Some(channel) = touchpoint.channel {
        count(&mut head.channels, channel);
    }
    u32::try_from(spoke).expect("spokes come from configuration: far fewer than 2³²")
}

fn remember_identifiers(head: &mut Head, facts: &mut Facts<'_, '_>) {
    for identifier in &facts.touchpoint.identifiers {
        let mut of_type = 0;
        let known = head.identifiers.iter().any(|(kind, value)| {
            *kind == identifier.kind && {
                of_type += 1;
                **value == *identifier.value
            }
        });
        if known {
            continue;
        }
        if of_type < IDENTIFIERS_PER_TYPE_MAX {
            head.identifiers.push((identifier.kind, identifier.value.into()));
        } else {
            facts.capped = true;
        }
    }
}

pub(super) fn remember_newest(newest: &mut Option<Box<str>>, value: Option<&str>) {
    if let Some(value) = value
        && newest.as_deref() != Some(value)
    {
        *newest = Some(value.into());
    }
}

fn remember_answers(head: &mut Head, facts: &mut Facts<'_, '_>) {
    if let Some(score) = facts.touchpoint.score {
        let value = i64::from(score.value);
        let known = head
            .scores
            .iter()
            .position(|answers| answers.scale == score.scale && answers.item.as_deref() == score.item);
        match known {
            Some(index) => {
                head.scores[index].sum.add(value);
                head.scores[index].last = value;
            }
            None if head.scores.len() < SCORES_MAX => head.scores.push(Answers {
                scale: score.scale,
                item: score.item.map(Into::into),
                sum: Sum { n: 1, sum: value },
                last: value,
            }),
            None => facts.capped = true,
        }
    }
    if let Some(sentiment) = facts.touchpoint.sentiment {
        let value = i64::from(sentiment);
        let (sum, last) = head.sentiment.get_or_insert_default();
        sum.add(value);
        *last = value;
    }
}

/// A follow-up closes what the first detractor's answer or complaint since the one before opened.
fn observe_follow_up(head: &mut Head, facts: &mut Facts<'_, '_>) {
    let touchpoint = facts.touchpoint;
    if super::attention::is_follow_up(touchpoint) {
        let since = head.unfollowed_since.take();
        facts.follow_up_ms = since.map(|since| touchpoint.occurred_at.0 - since.0);
    }
    let is_detractor = touchpoint.score.is_some_and(|score| score.scale == ScoreScale::Nps && score.value <= 6);
    if is_detractor || touchpoint.kind == Kind::ComplaintMade {
        head.unfollowed_since.get_or_insert(touchpoint.occurred_at);
    }
}

fn observe_word_of_mouth(head: &mut Head, touchpoint: &Touchpoint<'_>) {
    if touchpoint.referrer.is_some() {
        head.referred_since.get_or_insert(head.touchpoints);
    }
    let is_heard = matches!(touchpoint.channel, Some(Channel::Social | Channel::Community))
        || matches!(touchpoint.kind, Kind::SocialMentioned | Kind::ReviewPosted | Kind::ReferralMade);
    if is_heard {
        head.heard_since.get_or_insert(head.touchpoints);
    }
}

fn continue_journey(head: &mut Head, facts: &Facts<'_, '_>, spoke: u32) {
    if facts.purchase {
        head.journey.clear();
        return;
    }
    let step = Step { spoke, kind: facts.touchpoint.kind, channel: facts.touchpoint.channel };
    if head.journey.back() != Some(&step) {
        if head.journey.len() == JOURNEY_STEPS_MAX {
            head.journey.pop_front();
        }
        head.journey.push_back(step);
    }
}
