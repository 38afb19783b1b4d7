//! The story's conditions and the customers' memories in, journeys out, in order of their beginning.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::super::{
    CompanyOptions,
    journey::{Action, DAY, HOUR, MINUTE, SECOND, Step, Told, Who},
    random::Random,
    render::Persona,
};
use super::{
    SOUTH, Story,
    days::{FIXED, LATE, LENGTH, Occasion, Pace, occasion, weights, within},
    desk::Desk,
    people::People,
};

/// Visitors who never buy have numbers of their own, from here.
const STRANGERS_FROM: u32 = 1 << 31;

/// The words of campaigns and subjects by their index.
mod word {
    pub(super) const NEWSLETTER: u8 = 0;
    pub(super) const WELCOME: u8 = 1;
    pub(super) const LAUNCH: u8 = 2;
    pub(super) const PRESSING: u8 = 3;
    pub(super) const ADS: u8 = 5;
    pub(super) const DELIVERY: u8 = 1;
    pub(super) const ABOUT_MESSAGES: u8 = 5;
    /// What people ask without a cause.
    pub(super) const ANYTHING: [u8; 4] = [0, 0, 3, 4];
}

/// What follows later from a journey, as a journey of its own: it depends on what is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Follows {
    Case {
        about: u8,
        upset: bool,
    },
    Survey,
    /// Operations gives the south to another carrier.
    Fix,
}

/// Ordered by time, then by number, so that the order is total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Later {
    at: i64,
    number: u64,
    customer: u32,
    follows: Follows,
}

/// Plans the journeys of a company with a story.
#[derive(Debug)]
pub(in super::super) struct Planner {
    seed: u64,
    start_ms: i64,
    touchpoints: u64,
    pace: Pace,
    paced_at: i64,
    /// Steps that fall behind the last day.
    beyond: u64,
    /// Of all journeys: how many steps, and how many hours after the beginning they are together.
    steps: u64,
    hours_in: u64,
    people: People,
    strangers: u32,
    desk: Desk,
    later: BinaryHeap<Reverse<Later>>,
    numbered: u64,
    /// Per region the share of late parcels that people talk of, in millionths, and how fast a new one changes it.
    talk: [i64; 5],
    talk_weight: i64,
}

/// A journey while it is told.
struct Tale<'a> {
    random: &'a mut Random,
    steps: &'a mut Vec<Step>,
    customer: u32,
    now: i64,
}

impl Tale<'_> {
    fn wait(&mut self, least: i64, most: i64) {
        self.now += self.random.between(least, most);
    }

    fn sometimes(&mut self, percent: u32) -> bool {
        self.random.percent(percent)
    }

    fn step(&mut self, action: Action) {
        self.tell(action, Told::default());
    }

    fn tell(&mut self, action: Action, told: Told) {
        let index = u8::try_from(self.steps.len()).unwrap_or(u8::MAX);
        self.steps.push(Step { occurred_at: self.now, action, index, promised_at: None, mood: 0, told });
    }

    /// A step of a campaign, or about a subject.
    fn about(&mut self, action: Action, word: u8) {
        self.tell(action, Told { word: Some(word), ..Told::default() });
    }

    fn visit(&mut self, action: Action, word: Option<u8>) {
        self.tell(action, Told { who: Who::Visitor, word, ..Told::default() });
    }

    fn promise(&mut self, due: i64) {
        self.step(Action::DeliveryPromised);
        if let Some(step) = self.steps.last_mut() {
            step.promised_at = Some(due);
        }
    }

    /// How it felt, if the department asks: around a value.
    fn felt(&mut self, around: i64) -> Option<i8> {
        let feeling = (around + self.random.between(-35, 35)).clamp(-100, 100) as i8;
        self.random.percent(60).then_some(feeling)
    }

    /// An answer by its weights, the lowest first.
    fn answer(&mut self, lowest: u8, weights: &[u64]) -> Option<u8> {
        Some(lowest + self.random.weighted(weights) as u8)
    }
}

impl Planner {
    /// The planner of a company, at the story's beginning.
    pub(in super::super) fn new(story: Story, options: &CompanyOptions) -> Planner {
        let Story::NineMonths = story;
        let start_ms = i64::from(options.start.0) * DAY;
        let touchpoints = options.touchpoints.max(1);
        // Somebody there, since a step is somebody's: what is told names the region alone.
        let southerner = (0..).find(|&number| Persona::of(options.seed, number).region == SOUTH).unwrap_or_default();
        let at = start_ms + i64::from(FIXED.0) * DAY + 9 * HOUR;
        let fix = Later { at, number: 0, customer: southerner, follows: Follows::Fix };
        Planner {
            seed: options.seed,
            start_ms,
            touchpoints,
            pace: Pace::new(start_ms),
            paced_at: start_ms,
            beyond: 0,
            steps: 0,
            hours_in: 0,
            people: People::new(options.customers),
            strangers: 0,
            desk: Desk::new(touchpoints, start_ms),
            later: BinaryHeap::from([Reverse(fix)]),
            numbered: 0,
            talk: [80_000; 5],
            // About two weeks of a region's parcels, and never fewer than eight.
            talk_weight: (touchpoints / 2_000).max(8) as i64,
        }
    }

    /// The day of the story.
    fn day(&self, at: i64) -> i32 {
        (at - self.start_ms).div_euclid(DAY) as i32
    }

    /// When the next journey begins, with so many touchpoints planned, after one of which so many steps fall behind the end.
    pub(in super::super) fn next_start(&mut self, planned: u64, beyond: u64) -> i64 {
        self.beyond += beyond;
        // What will fall behind the end is a mean journey's part of a day, times what a day brings. The pace counts it, so
        // that the last days are like the others. A little more is better than a rush in the last minute.
        let of_last_day = u128::from(self.touchpoints) * u128::from(self.pace.last_day_millionths()) * 104 / 100;
        let behind = of_last_day * u128::from(self.hours_in) / u128::from(self.steps.max(1)) / 24 / 1_000_000;
        let whole = self.touchpoints + behind as u64;
        self.paced_at = self.paced_at.max(self.pace.moment(planned + self.beyond, whole));
        self.later.peek().map_or(self.paced_at, |Reverse(later)| later.at.min(self.paced_at))
    }

    /// The steps of the next journey, in the order of planning, the first at its beginning; whose it is.
    pub(in super::super) fn plan(&mut self, random: &mut Random, steps: &mut Vec<Step>) -> u32 {
        steps.clear();
        let customer = self.begin(random, steps);
        if let Some(first) = steps.first().map(|step| step.occurred_at) {
            self.steps += steps.len() as u64;
            self.hours_in += steps.iter().map(|step| ((step.occurred_at - first) / HOUR) as u64).sum::<u64>();
        }
        customer
    }

    fn begin(&mut self, random: &mut Random, steps: &mut Vec<Step>) -> u32 {
        if let Some(Reverse(later)) = self.later.peek().copied().filter(|Reverse(later)| later.at <= self.paced_at) {
            self.later.pop();
            let mut tale = Tale { random, steps, customer: later.customer, now: later.at };
            match later.follows {
                Follows::Case { about, upset } => self.case(&mut tale, about, upset),
                Follows::Survey => self.survey(&mut tale),
                Follows::Fix => tale.step(Action::ChangeEnacted),
            }
            return tale.customer;
        }
        let day = self.day(self.paced_at);
        let occasion = occasion(random.weighted(&weights(day)));
        let customer = self.people.draw(day, random);
        let mut tale = Tale { random, steps, customer, now: self.paced_at };
        match occasion {
            Occasion::Newsletter => self.newsletter(&mut tale),
            Occasion::Visit => self.stranger(&mut tale, word::ADS, 60),
            Occasion::Newcomer => self.newcomer(&mut tale, word::WELCOME, 100),
            Occasion::Browse => browse(&mut tale),
            Occasion::Purchase => self.buy_again(&mut tale),
            Occasion::Question => {
                let (about, upset) = (tale.random.pick(&word::ANYTHING), tale.sometimes(12));
                self.case(&mut tale, about, upset);
            }
            Occasion::Subscription => subscription(&mut tale),
            Occasion::Mention => self.mention(&mut tale),
            Occasion::Survey => self.survey(&mut tale),
            Occasion::LaunchMail => self.launch_mail(&mut tale),
            Occasion::LaunchAd => self.newcomer(&mut tale, word::LAUNCH, 50),
            Occasion::PressingMail => self.pressing_mail(&mut tale),
            Occasion::PressingAd => self.stranger(&mut tale, word::PRESSING, 100),
        }
        tale.customer
    }

    /// How many journeys are to follow.
    #[cfg(test)]
    pub(super) fn later_count(&self) -> usize {
        self.later.len()
    }

    /// How many customers there are so far.
    #[cfg(test)]
    pub(super) fn customers(&self) -> usize {
        self.people.next_number() as usize
    }

    fn later(&mut self, at: i64, customer: u32, follows: Follows) {
        if at < self.start_ms + i64::from(LENGTH) * DAY {
            self.numbered += 1;
            self.later.push(Reverse(Later { at, number: self.numbered, customer, follows }));
        }
    }

    /// Whether a customer who thinks of the company answers as those do who are not content: who remembers something, and
    /// a few of the others.
    fn is_upset(&self, tale: &mut Tale<'_>) -> bool {
        let day = self.day(tale.now);
        let minded = self.people.hurt(tale.customer, day) * 8 / 5 + self.people.annoyed(tale.customer, day);
        tale.sometimes((7 + minded).min(92))
    }

    /// The same of a customer who thinks of a case: its answer counts more than the parcel.
    fn is_upset_by_case(&self, tale: &mut Tale<'_>, slow: bool) -> bool {
        let hurt = self.people.hurt(tale.customer, self.day(tale.now));
        tale.sometimes((8 + hurt * 3 / 5 + if slow { 22 } else { 0 }).min(92))
    }

    fn newsletter(&mut self, tale: &mut Tale<'_>) {
        if !self.people.subscribes(tale.customer) {
            return browse(tale);
        }
        let sent = if tale.sometimes(75) { Action::EmailSent } else { Action::PushSent };
        tale.about(sent, word::NEWSLETTER);
        if tale.sometimes(42) {
            tale.wait(MINUTE, 2 * DAY);
            tale.about(Action::EmailOpened, word::NEWSLETTER);
            if tale.sometimes(35) {
                tale.wait(5 * SECOND, 5 * MINUTE);
                tale.about(Action::EmailClicked, word::NEWSLETTER);
                tale.wait(SECOND, 20 * SECOND);
                tale.step(Action::PageViewed);
                if tale.sometimes(35) {
                    tale.wait(10 * SECOND, 10 * MINUTE);
                    tale.step(Action::ContentConsumed);
                }
            } else if tale.sometimes(1) {
                tale.wait(MINUTE, HOUR);
                self.unsubscribe(tale, word::NEWSLETTER);
            }
        }
    }

    fn unsubscribe(&mut self, tale: &mut Tale<'_>, campaign: u8) {
        let feeling = tale.felt(-50);
        tale.tell(Action::ConsentChanged, Told { feeling, word: Some(campaign), ..Told::default() });
        self.people.unsubscribe(tale.customer);
    }

    /// A visitor known by a cookie only, perhaps one who was here before.
    fn stranger(&mut self, tale: &mut Tale<'_>, campaign: u8, by_ad_percent: u32) {
        let known = u64::from(self.strangers.min(200));
        let back = known > 0 && tale.sometimes(25);
        let number = if back {
            self.strangers - 1 - tale.random.below(known) as u32
        } else {
            self.strangers += 1;
            self.strangers - 1
        };
        tale.customer = STRANGERS_FROM + number;
        visits(tale, campaign, by_ad_percent);
    }

    /// Visits with a cookie; then, unless friends warn of late parcels, a sign-in by cookie and number, and an order.
    fn newcomer(&mut self, tale: &mut Tale<'_>, campaign: u8, buys_percent: u32) {
        let number = self.people.next_number();
        let region = Persona::of(self.seed, number).region;
        let trust = 100 - (self.talk_percent(region) * 5 / 4).min(95);
        if !tale.sometimes(trust * buys_percent / 100) {
            return self.stranger(tale, campaign, 80);
        }
        tale.customer = number;
        visits(tale, campaign, 80);
        let patience = if campaign == word::LAUNCH { 2 * DAY } else { 6 * DAY };
        tale.wait(10 * MINUTE, patience);
        // Known from the day of the sign-in: nobody writes to them before.
        let joined = self.people.join(self.day(tale.now) + 1);
        debug_assert_eq!(joined, number, "the region was that of this number");
        tale.tell(Action::PageViewed, Told { who: Who::SignedIn, ..Told::default() });
        tale.wait(MINUTE, 20 * MINUTE);
        self.order(tale);
    }

    /// How many more parcels than usual people in a region know to be late, in percent of all.
    fn talk_percent(&self, region: usize) -> u32 {
        (self.talk[region] / 10_000 - 10).max(0) as u32
    }

    fn buy_again(&mut self, tale: &mut Tale<'_>) {
        let day = self.day(tale.now);
        let region = Persona::of(self.seed, tale.customer).region;
        let hesitates = self.people.hurt(tale.customer, day) * 7 / 4
            + self.people.annoyed(tale.customer, day) / 2
            + self.talk_percent(region) / 2;
        if tale.sometimes(hesitates.min(95)) {
            return browse(tale);
        }
        if tale.sometimes(55) {
            tale.step(Action::PageViewed);
            tale.wait(MINUTE, 40 * MINUTE);
        }
        self.order(tale);
    }

    /// An order from its placing to what the customer makes of it.
    fn order(&mut self, tale: &mut Tale<'_>) {
        let (customer, placed) = (tale.customer, tale.now);
        let region = Persona::of(self.seed, customer).region;
        let trouble = region == SOUTH && within(self.day(placed), LATE);
        tale.step(Action::OrderPlaced);
        if tale.sometimes(90) {
            tale.wait(0, 2 * MINUTE);
            tale.step(Action::PaymentReceived);
        }
        tale.now = placed + tale.random.between(3 * MINUTE, 5 * HOUR);
        let due = placed + tale.random.between(3, 6) * DAY;
        tale.promise(due);
        if tale.sometimes(4) {
            tale.wait(HOUR, 20 * HOUR);
            return tale.step(Action::OrderCancelled);
        }
        tale.now = placed + tale.random.between(8 * HOUR, 40 * HOUR);
        tale.step(Action::OrderShipped);
        if tale.sometimes(if trouble { 2 } else { 1 }) {
            // Lost: the customer asks, and gets the money back.
            self.people.hurt_by(customer, self.day(due) + 2, 60);
            let asks = due + tale.random.between(2 * DAY, 5 * DAY);
            self.later(asks, customer, Follows::Case { about: word::DELIVERY, upset: true });
            tale.now = due + tale.random.between(7 * DAY, 12 * DAY);
            tale.step(Action::OrderCancelled);
            tale.wait(HOUR, 2 * DAY);
            return tale.step(Action::RefundIssued);
        }
        let late = tale.sometimes(if trouble { 75 } else { 7 });
        self.talk[region] += (i64::from(late) * 1_000_000 - self.talk[region]) / self.talk_weight;
        tale.now = if !late {
            due - tale.random.between(0, 20 * HOUR)
        } else if trouble {
            due + tale.random.between(DAY, 8 * DAY)
        } else {
            due + tale.random.between(2 * HOUR, 3 * DAY)
        };
        let arrives = tale.now;
        tale.step(Action::OrderDelivered);
        if late {
            let days_late = (arrives - due) / DAY;
            self.people.hurt_by(customer, self.day(due) + 1, 45 + 6 * days_late as i32);
            if tale.sometimes(if days_late > 0 { 68 } else { 25 }) {
                let asks = due + tale.random.between(DAY, 4 * DAY);
                self.later(asks, customer, Follows::Case { about: word::DELIVERY, upset: true });
            }
        } else {
            self.people.comfort(customer, self.day(arrives));
        }
        if tale.sometimes(50) {
            let asked = arrives + tale.random.between(9 * DAY, 24 * DAY);
            self.later(asked, customer, Follows::Survey);
        }
        if tale.sometimes(8) {
            tale.now = arrives + tale.random.between(HOUR, 5 * DAY);
            let stars: [u64; 5] = if late { [25, 25, 25, 15, 10] } else { [2, 3, 10, 35, 50] };
            let answer = tale.answer(1, &stars);
            tale.tell(Action::ReviewPosted, Told { answer, ..Told::default() });
        }
        if tale.sometimes(if late { 24 } else { 5 }) {
            tale.now = arrives + tale.random.between(2 * DAY, 10 * DAY);
            tale.step(Action::OrderReturned);
            tale.wait(HOUR, 3 * DAY);
            tale.step(Action::RefundIssued);
        }
    }

    /// A case at the desk as it is on that day. Who waits too long asks again, and remembers.
    fn case(&mut self, tale: &mut Tale<'_>, about: u8, upset: bool) {
        let (opened, day) = (tale.now, self.day(tale.now));
        let feeling = tale.felt(if upset { -40 } else { -5 });
        tale.tell(Action::CaseOpened, Told { feeling, word: Some(about), ..Told::default() });
        if tale.sometimes(30) {
            tale.wait(SECOND, MINUTE);
            tale.about(Action::BotReplied, about);
        }
        if tale.sometimes(15) {
            tale.wait(MINUTE, 9 * MINUTE);
            tale.about(Action::NoteWritten, about);
        }
        let waits = self.desk.take(opened, day, tale.random);
        let slow = waits > 8 * HOUR;
        if slow {
            self.people.hurt_by(tale.customer, day + 1, 25);
            if tale.sometimes(18) {
                let asks = opened + tale.random.between(20 * HOUR, 3 * DAY);
                self.later(asks, tale.customer, Follows::Case { about, upset: true });
            }
        }
        if upset && tale.sometimes(if slow { 25 } else { 8 }) {
            tale.now = opened + tale.random.between(HOUR, 2 * DAY);
            let feeling = tale.felt(-60);
            tale.tell(Action::ComplaintMade, Told { feeling, word: Some(about), ..Told::default() });
            if tale.sometimes(70) {
                tale.wait(HOUR, 3 * DAY);
                tale.about(Action::FollowUpMade, about);
            }
        }
        tale.now = opened + waits;
        tale.about(Action::AgentReplied, about);
        tale.wait(20 * MINUTE, DAY);
        // Whoever is behind with first answers is behind with second ones.
        tale.now += waits / 2;
        tale.about(Action::CaseResolved, about);
        if tale.sometimes(if slow { 14 } else { 5 }) {
            tale.wait(HOUR, 4 * DAY);
            tale.about(Action::CaseReopened, about);
            tale.wait(HOUR, DAY);
            tale.about(Action::AgentReplied, about);
            tale.wait(HOUR, DAY);
            tale.about(Action::CaseResolved, about);
        }
        if tale.sometimes(70) {
            tale.wait(MINUTE, 36 * HOUR);
            let upset = self.is_upset_by_case(tale, slow);
            let (action, answer) = if tale.sometimes(75) {
                let weights: [u64; 5] = if upset { [16, 22, 28, 22, 12] } else { [2, 3, 9, 34, 52] };
                (Action::SatisfactionRated, tale.answer(1, &weights))
            } else {
                let weights: [u64; 7] = if upset { [12, 16, 20, 20, 16, 10, 6] } else { [1, 2, 4, 10, 23, 34, 26] };
                (Action::EffortRated, tale.answer(1, &weights))
            };
            tale.tell(action, Told { answer, word: Some(about), ..Told::default() });
        }
    }

    /// Would you recommend us?
    fn survey(&mut self, tale: &mut Tale<'_>) {
        let upset = self.is_upset(tale);
        let weights: [u64; 11] =
            if upset { [5, 4, 5, 8, 10, 12, 14, 18, 14, 7, 3] } else { [0, 0, 0, 1, 2, 3, 6, 13, 20, 30, 25] };
        let (answer, feeling) = (tale.answer(0, &weights), tale.felt(if upset { -45 } else { 40 }));
        tale.tell(Action::Recommended, Told { answer, feeling, ..Told::default() });
    }

    fn mention(&mut self, tale: &mut Tale<'_>) {
        let upset = self.is_upset(tale);
        let feeling = tale.felt(if upset { -55 } else { 45 });
        let told = Told { feeling, ..Told::default() };
        match tale.random.below(3) {
            0 if !upset => tale.step(Action::ReferralMade),
            1 if !upset => {
                tale.step(Action::EventAttended);
                tale.wait(HOUR, DAY);
                tale.step(Action::ContentConsumed);
            }
            _ => tale.tell(Action::SocialMentioned, told),
        }
    }

    /// The campaign that works: wanted by most, and one in four who look buys.
    fn launch_mail(&mut self, tale: &mut Tale<'_>) {
        if !self.people.subscribes(tale.customer) {
            return browse(tale);
        }
        tale.about(Action::EmailSent, word::LAUNCH);
        if tale.sometimes(58) {
            tale.wait(10 * MINUTE, DAY);
            tale.about(Action::EmailOpened, word::LAUNCH);
            if tale.sometimes(50) {
                tale.wait(5 * SECOND, 5 * MINUTE);
                tale.about(Action::EmailClicked, word::LAUNCH);
                tale.wait(SECOND, 20 * SECOND);
                tale.about(Action::PageViewed, word::LAUNCH);
                if tale.sometimes(45) {
                    tale.wait(MINUTE, 30 * HOUR);
                    self.order(tale);
                }
            }
        }
    }

    /// The campaign that annoys: several messages in a few days, hardly opened; some unsubscribe, say so aloud or complain.
    fn pressing_mail(&mut self, tale: &mut Tale<'_>) {
        if !self.people.subscribes(tale.customer) {
            // There is always an advertisement.
            return tale.about(Action::AdShown, word::PRESSING);
        }
        let first_day = self.day(tale.now);
        for _ in 0..tale.random.between(2, 4) {
            let sent = if tale.sometimes(60) { Action::EmailSent } else { Action::PushSent };
            tale.about(sent, word::PRESSING);
            tale.wait(8 * HOUR, 30 * HOUR);
        }
        if tale.sometimes(14) {
            tale.about(Action::EmailOpened, word::PRESSING);
        }
        if tale.sometimes(70) {
            self.people.annoy(tale.customer, first_day + 1, 60);
            tale.wait(MINUTE, 5 * HOUR);
            match tale.random.below(100) {
                0..14 => self.unsubscribe(tale, word::PRESSING),
                14..24 => {
                    let feeling = tale.felt(-60);
                    tale.tell(Action::SocialMentioned, Told { feeling, word: Some(word::PRESSING), ..Told::default() });
                }
                24..26 => {
                    let asks = tale.now + tale.random.between(HOUR, DAY);
                    self.later(asks, tale.customer, Follows::Case { about: word::ABOUT_MESSAGES, upset: true });
                }
                _ => {}
            }
        }
    }
}

/// A visitor's sessions: pages, often after an advertisement.
fn visits(tale: &mut Tale<'_>, campaign: u8, by_ad_percent: u32) {
    if tale.sometimes(by_ad_percent) {
        tale.visit(Action::AdShown, Some(campaign));
        if campaign == word::PRESSING && !tale.sometimes(30) {
            tale.wait(HOUR, DAY);
            return tale.visit(Action::AdShown, Some(campaign));
        }
        tale.wait(SECOND, MINUTE);
        tale.visit(Action::AdClicked, Some(campaign));
        tale.wait(SECOND, 10 * SECOND);
    }
    tale.visit(Action::PageViewed, None);
    for _ in 0..tale.random.between(0, 2) {
        tale.wait(5 * SECOND, 8 * MINUTE);
        tale.visit(Action::PageViewed, None);
    }
}

/// A customer looks around, and leaves a cart now and then.
fn browse(tale: &mut Tale<'_>) {
    tale.step(Action::PageViewed);
    for _ in 0..tale.random.between(0, 2) {
        tale.wait(5 * SECOND, 8 * MINUTE);
        tale.step(Action::PageViewed);
    }
    if tale.sometimes(25) {
        tale.wait(MINUTE, 30 * MINUTE);
        tale.step(Action::CartAbandoned);
    } else if tale.sometimes(8) {
        tale.wait(MINUTE, 3 * HOUR);
        tale.step(Action::LeadCreated);
        tale.wait(HOUR, 3 * DAY);
        tale.step(Action::QuoteSent);
    }
}

fn subscription(tale: &mut Tale<'_>) {
    tale.step(Action::SubscriptionStarted);
    for _ in 0..tale.random.between(1, 6) {
        tale.now += 30 * DAY;
        if tale.sometimes(10) {
            return tale.step(Action::SubscriptionCancelled);
        }
        tale.step(Action::SubscriptionRenewed);
    }
}
