//! One customer's occasion in, its steps out: who does what and when, across the four departments.

use super::random::Random;

pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// What happens in a step. The department follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    EmailSent,
    PushSent,
    EmailOpened,
    EmailClicked,
    AdShown,
    AdClicked,
    PageViewed,
    ContentConsumed,
    EventAttended,
    SocialMentioned,
    ReviewPosted,
    ReferralMade,
    ConsentChanged,
    ExpectationAsked,
    PerceptionAsked,
    Recommended,
    LeadCreated,
    MeetingHeld,
    QuoteSent,
    CartAbandoned,
    OrderPlaced,
    OrderCancelled,
    PaymentReceived,
    SubscriptionStarted,
    SubscriptionRenewed,
    SubscriptionCancelled,
    CaseOpened,
    BotReplied,
    NoteWritten,
    AgentReplied,
    CaseResolved,
    CaseReopened,
    ComplaintMade,
    FollowUpMade,
    SatisfactionRated,
    EffortRated,
    DeliveryPromised,
    OrderShipped,
    OrderDelivered,
    OrderReturned,
    RefundIssued,
    ServiceInterrupted,
    ServiceRestored,
    ChangeEnacted,
}

impl Action {
    /// The department that tells of it.
    pub(super) fn spoke(self) -> &'static str {
        match self {
            action if action <= Action::Recommended => "marketing",
            action if action <= Action::SubscriptionCancelled => "sales",
            action if action <= Action::EffortRated => "support",
            _ => "operations",
        }
    }
}

/// One planned touchpoint. Everything else about it follows from the seed, the journey and the customer, so that millions
/// of steps can wait for their time in little memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) occurred_at: i64,
    pub(super) action: Action,
    /// Place within the journey.
    pub(super) index: u8,
    /// A promise, where the action makes one.
    pub(super) promised_at: Option<i64>,
    /// How it went: −1 badly, 0 neither, 1 well.
    pub(super) mood: i8,
    /// What a story lays down about it.
    pub(super) told: Told,
}

/// What a story lays down about a step, because people remember there; what it leaves open follows from seed and mood.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) who: Who,
    /// The answer on the action's scale.
    pub(super) answer: Option<u8>,
    /// The sentiment, −100…100.
    pub(super) feeling: Option<i8>,
    /// Which of the story's campaigns or subjects it belongs to.
    pub(super) word: Option<u8>,
}

/// By which identifiers a department knows the person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Who {
    /// By the customer's number and what else the department has.
    #[default]
    Customer,
    /// By nothing but a cookie.
    Visitor,
    /// By the cookie of the visits and the customer's number: who signs in tells that they are one.
    SignedIn,
}

/// Collects a journey's steps.
struct Plan<'a> {
    random: &'a mut Random,
    now: i64,
    mood: i8,
    steps: &'a mut Vec<Step>,
}

impl Plan<'_> {
    /// Lets between `least` and `most` milliseconds pass.
    fn wait(&mut self, least: i64, most: i64) {
        self.now += self.random.between(least, most);
    }

    fn step(&mut self, action: Action) {
        self.promise(action, None);
    }

    fn promise(&mut self, action: Action, promised_at: Option<i64>) {
        let index = u8::try_from(self.steps.len()).unwrap_or(u8::MAX);
        let (occurred_at, mood) = (self.now, self.mood);
        self.steps.push(Step { occurred_at, action, index, promised_at, mood, told: Told::default() });
    }

    fn sometimes(&mut self, percent: u32) -> bool {
        self.random.percent(percent)
    }
}

/// The steps of one journey that begins at `start`, in the order of planning, which is nearly that of time.
pub(super) fn plan(random: &mut Random, start: i64, steps: &mut Vec<Step>) {
    steps.clear();
    let mut plan = Plan { random, now: start, mood: 0, steps };
    match plan.random.weighted(&[38, 16, 22, 14, 3, 7]) {
        0 => campaign(&mut plan),
        1 => browsing(&mut plan),
        2 => purchase(&mut plan),
        3 => support(&mut plan),
        4 => subscription(&mut plan),
        _ => word_of_mouth(&mut plan),
    }
}

fn campaign(plan: &mut Plan<'_>) {
    let sent = if plan.sometimes(70) { Action::EmailSent } else { Action::PushSent };
    plan.step(sent);
    if plan.sometimes(45) {
        plan.wait(MINUTE, 2 * DAY);
        plan.step(Action::EmailOpened);
        if plan.sometimes(40) {
            plan.wait(5 * SECOND, 5 * MINUTE);
            plan.step(Action::EmailClicked);
            plan.wait(SECOND, 20 * SECOND);
            plan.step(Action::PageViewed);
            if plan.sometimes(30) {
                plan.wait(10 * SECOND, 10 * MINUTE);
                plan.step(Action::ContentConsumed);
            }
        } else if plan.sometimes(5) {
            plan.wait(MINUTE, HOUR);
            plan.step(Action::ConsentChanged);
        }
    }
}

fn browsing(plan: &mut Plan<'_>) {
    if plan.sometimes(60) {
        plan.step(Action::AdShown);
        plan.wait(SECOND, MINUTE);
        plan.step(Action::AdClicked);
    }
    for _ in 0..plan.random.between(1, 4) {
        plan.wait(5 * SECOND, 8 * MINUTE);
        plan.step(Action::PageViewed);
    }
    if plan.sometimes(25) {
        plan.wait(MINUTE, 30 * MINUTE);
        plan.step(Action::CartAbandoned);
    } else if plan.sometimes(25) {
        plan.wait(MINUTE, 3 * HOUR);
        plan.step(Action::LeadCreated);
        plan.wait(HOUR, 4 * DAY);
        if plan.sometimes(50) {
            plan.step(Action::MeetingHeld);
            plan.wait(HOUR, 2 * DAY);
        }
        plan.step(Action::QuoteSent);
    }
}

fn purchase(plan: &mut Plan<'_>) {
    if plan.sometimes(50) {
        plan.step(Action::PageViewed);
        plan.wait(MINUTE, HOUR);
    }
    plan.step(Action::OrderPlaced);
    let placed = plan.now;
    if plan.sometimes(85) {
        plan.wait(0, 2 * MINUTE);
        plan.step(Action::PaymentReceived);
    }
    plan.wait(MINUTE, 6 * HOUR);
    let mut due = placed + plan.random.between(2, 7) * DAY;
    plan.promise(Action::DeliveryPromised, Some(due));
    if plan.sometimes(7) {
        plan.wait(HOUR, 2 * DAY);
        plan.step(Action::OrderCancelled);
        return;
    }
    plan.wait(6 * HOUR, 2 * DAY);
    if plan.sometimes(12) {
        due += plan.random.between(1, 3) * DAY;
        plan.promise(Action::DeliveryPromised, Some(due));
        plan.wait(HOUR, DAY);
    }
    plan.step(Action::OrderShipped);
    if plan.sometimes(4) {
        // Never arrives.
        plan.mood = -1;
        plan.now = due + plan.random.between(1, 4) * DAY;
        case(plan);
        return;
    }
    let late = plan.sometimes(18);
    plan.now = if late { due + plan.random.between(HOUR, 6 * DAY) } else { due - plan.random.between(0, DAY) };
    plan.mood = if late { -1 } else { 1 };
    if late && plan.sometimes(35) {
        let arrives = plan.now;
        plan.now = due + plan.random.between(HOUR, DAY);
        case(plan);
        plan.now = arrives;
    }
    plan.step(Action::OrderDelivered);
    if plan.sometimes(30) {
        plan.wait(DAY, 5 * DAY);
        plan.step(Action::Recommended);
    }
    if plan.sometimes(10) {
        plan.wait(HOUR, 5 * DAY);
        plan.step(Action::ReviewPosted);
    }
    if plan.sometimes(9) {
        plan.wait(DAY, 9 * DAY);
        plan.step(Action::OrderReturned);
        plan.wait(HOUR, 3 * DAY);
        plan.step(Action::RefundIssued);
    }
    if plan.sometimes(25) {
        // When the order is placed, and again some days after all this.
        let after = plan.now;
        plan.now = placed + plan.random.between(MINUTE, 10 * MINUTE);
        plan.step(Action::ExpectationAsked);
        plan.now = after + plan.random.between(HOUR, 3 * DAY);
        plan.step(Action::PerceptionAsked);
    }
}

fn support(plan: &mut Plan<'_>) {
    plan.mood = if plan.sometimes(50) { -1 } else { 0 };
    case(plan);
}

fn case(plan: &mut Plan<'_>) {
    plan.step(Action::CaseOpened);
    if plan.sometimes(30) {
        plan.wait(SECOND, MINUTE);
        plan.step(Action::BotReplied);
    }
    if plan.sometimes(20) {
        plan.wait(MINUTE, 2 * HOUR);
        plan.step(Action::NoteWritten);
    }
    if plan.sometimes(8) {
        plan.wait(HOUR, 2 * DAY);
        plan.mood = -1;
        plan.step(Action::ComplaintMade);
        if plan.sometimes(60) {
            plan.wait(HOUR, 3 * DAY);
            plan.step(Action::FollowUpMade);
        }
        return;
    }
    let patience = if plan.sometimes(80) { 8 * HOUR } else { 3 * DAY };
    plan.wait(5 * MINUTE, patience);
    plan.step(Action::AgentReplied);
    plan.wait(10 * MINUTE, 2 * DAY);
    plan.step(Action::CaseResolved);
    if plan.sometimes(10) {
        plan.wait(HOUR, 4 * DAY);
        plan.mood = -1;
        plan.step(Action::CaseReopened);
        plan.wait(HOUR, DAY);
        plan.step(Action::AgentReplied);
        plan.wait(HOUR, DAY);
        plan.step(Action::CaseResolved);
    }
    if plan.sometimes(35) {
        plan.wait(MINUTE, 2 * DAY);
        let rated = if plan.sometimes(60) { Action::SatisfactionRated } else { Action::EffortRated };
        plan.step(rated);
    }
}

fn subscription(plan: &mut Plan<'_>) {
    plan.step(Action::SubscriptionStarted);
    for _ in 0..plan.random.between(0, 6) {
        if plan.sometimes(6) {
            plan.wait(DAY, 10 * DAY);
            plan.step(Action::ServiceInterrupted);
            plan.wait(HOUR, DAY);
            plan.step(Action::ServiceRestored);
        }
        plan.now += 30 * DAY;
        if plan.sometimes(12) {
            plan.step(Action::SubscriptionCancelled);
            return;
        }
        plan.step(Action::SubscriptionRenewed);
    }
}

fn word_of_mouth(plan: &mut Plan<'_>) {
    plan.mood = if plan.sometimes(65) { 1 } else { -1 };
    match plan.random.below(4) {
        0 => plan.step(Action::SocialMentioned),
        1 => plan.step(Action::ReferralMade),
        2 => {
            plan.step(Action::EventAttended);
            plan.wait(HOUR, DAY);
            plan.step(Action::ContentConsumed);
        }
        _ => plan.step(Action::Recommended),
    }
}
