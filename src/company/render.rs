//! A planned step in, the department's event out: the touchpoint's particulars follow from seed, customer and journey.

use std::fmt::Write;

use crate::model::{
    Channel, Currency, EventTime, Identifier, IdentifierType, Initiator, Kind, Money, Score, ScoreScale, Touchpoint,
    Visibility,
};

use super::{
    SalesFormat,
    journey::{Action, Step, Who},
    orders, parcels,
    random::Random,
    shape, story,
};

const FIRST_NAMES: [&str; 16] = [
    "Ann", "Bob", "Carla", "David", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jan", "Kofi", "Lena", "Mira", "Nils",
    "Olga", "Paul",
];
const LAST_NAMES: [&str; 16] = [
    "Adler", "Baker", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Hansen", "Ito", "Jansen", "Kaya", "Lopez",
    "Meyer", "Novak", "Okafor", "Peters",
];
pub(super) const REGIONS: [&str; 5] = ["north", "south", "east", "west", "overseas"];
const SEGMENTS: [&str; 4] = ["families", "singles", "seniors", "business"];
const CAMPAIGNS: [&str; 6] = ["spring", "summer", "autumn", "winter", "loyalty", "welcome-back"];
const CONTENTS: [&str; 5] = ["newsletter-3", "buying-guide", "how-to-video", "case-study", "price-list"];
const SUBJECTS: [&str; 6] = ["delivery", "invoice", "product", "return", "login", "contract"];
const ITEMS: [&str; 3] = ["speed", "packaging", "advice"];
const CARRIERS: [&str; 3] = ["north-post", "swift", "cargo-bike"];
const PRODUCTS: u64 = 40;

/// Every text of one event, reused from event to event.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    id: String,
    customer: String,
    email: String,
    phone: String,
    cookie: String,
    thing: String,
    product: String,
    account: String,
    referrer: String,
    properties: Vec<(&'static str, &'static str)>,
}

fn rewrite(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.clear();
    text.write_fmt(arguments).expect("a string takes every character");
}

/// Where a journey's step belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) seed: u64,
    pub(super) customer: u32,
    pub(super) journey: u64,
    /// Whether the company has a story.
    pub(super) told: bool,
}

/// Who a customer is: it follows from the seed and the number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Persona {
    first: &'static str,
    last: &'static str,
    /// Index in [`REGIONS`].
    pub(super) region: usize,
    segment: &'static str,
    has_phone: bool,
    has_cookie: bool,
    company: u64,
}

impl Persona {
    pub(super) fn of(seed: u64, customer: u32) -> Persona {
        let mut person = Random::of_part(seed ^ 0x0C05_703E_u64, customer.into());
        let (first, last) = (person.pick(&FIRST_NAMES), person.pick(&LAST_NAMES));
        let region = person.weighted(&[30, 25, 20, 15, 10]);
        let segment = SEGMENTS[person.weighted(&[40, 25, 20, 15])];
        let (has_phone, has_cookie) = (person.percent(50), person.percent(70));
        Persona { first, last, region, segment, has_phone, has_cookie, company: person.below(500) }
    }
}

/// What the departments do, kind by kind: (kind, initiator, visibility).
fn meaning(action: Action) -> (Kind, Initiator, Visibility) {
    let kind = match action {
        Action::EmailSent | Action::PushSent => Kind::MessageSent,
        Action::EmailOpened => Kind::MessageOpened,
        Action::EmailClicked => Kind::MessageClicked,
        Action::AdShown => Kind::AdShown,
        Action::AdClicked => Kind::AdClicked,
        Action::PageViewed => Kind::PageViewed,
        Action::ContentConsumed => Kind::ContentConsumed,
        Action::EventAttended => Kind::EventAttended,
        Action::SocialMentioned => Kind::SocialMentioned,
        Action::ReviewPosted => Kind::ReviewPosted,
        Action::ReferralMade => Kind::ReferralMade,
        Action::ConsentChanged => Kind::ConsentChanged,
        Action::ExpectationAsked
        | Action::PerceptionAsked
        | Action::Recommended
        | Action::SatisfactionRated
        | Action::EffortRated => Kind::SurveyAnswered,
        Action::LeadCreated => Kind::LeadCreated,
        Action::MeetingHeld => Kind::MeetingHeld,
        Action::QuoteSent => Kind::QuoteSent,
        Action::CartAbandoned => Kind::CartAbandoned,
        Action::OrderPlaced => Kind::OrderPlaced,
        Action::OrderCancelled => Kind::OrderCancelled,
        Action::PaymentReceived => Kind::PaymentReceived,
        Action::SubscriptionStarted => Kind::SubscriptionStarted,
        Action::SubscriptionRenewed => Kind::SubscriptionRenewed,
        Action::SubscriptionCancelled => Kind::SubscriptionCancelled,
        Action::CaseOpened => Kind::CaseOpened,
        Action::BotReplied | Action::NoteWritten | Action::AgentReplied => Kind::CaseReplied,
        Action::CaseResolved => Kind::CaseResolved,
        Action::CaseReopened => Kind::CaseReopened,
        Action::ComplaintMade => Kind::ComplaintMade,
        Action::FollowUpMade => Kind::FollowUpMade,
        Action::DeliveryPromised => Kind::DeliveryPromised,
        Action::OrderShipped => Kind::OrderShipped,
        Action::OrderDelivered => Kind::OrderDelivered,
        Action::OrderReturned => Kind::OrderReturned,
        Action::RefundIssued => Kind::RefundIssued,
        Action::ServiceInterrupted => Kind::ServiceInterrupted,
        Action::ServiceRestored => Kind::ServiceRestored,
        Action::ChangeEnacted => Kind::ChangeEnacted,
    };
    let initiator = if action == Action::BotReplied { Initiator::Bot } else { kind.default_initiator() };
    let visibility = if action == Action::NoteWritten { Visibility::Internal } else { Visibility::Public };
    (kind, initiator, visibility)
}

/// The thing that an action is about.
fn thing(action: Action) -> Option<(IdentifierType, char)> {
    match action {
        Action::OrderPlaced
        | Action::OrderCancelled
        | Action::PaymentReceived
        | Action::DeliveryPromised
        | Action::OrderShipped
        | Action::OrderDelivered
        | Action::OrderReturned
        | Action::RefundIssued => Some((IdentifierType::Order, 'O')),
        Action::SubscriptionStarted
        | Action::SubscriptionRenewed
        | Action::SubscriptionCancelled
        | Action::ServiceInterrupted
        | Action::ServiceRestored => Some((IdentifierType::Contract, 'K')),
        Action::ChangeEnacted => Some((IdentifierType::Case, 'C')),
        action if action.spoke() == "support" => Some((IdentifierType::Case, 'T')),
        _ => None,
    }
}

/// An answer that fits the mood, from the low or the high part of a scale.
fn answer(scale: ScoreScale, mood: i8, random: &mut Random) -> u8 {
    let (low, high) = scale.range();
    let (low, high) = match (scale, mood) {
        (ScoreScale::Nps, -1) => (0, 7),
        (ScoreScale::Nps, 1) => (7, 10),
        (_, -1) => (low, low + (high - low) / 2),
        (_, 1) => (high - 2, high),
        _ => (low, high),
    };
    random.between(low, high) as u8
}

impl Renderer {
    /// Writes the event into `payload` and its record key into `key`; returns when it says that it happened.
    pub(super) fn render(
        &mut self,
        place: Place,
        step: &Step,
        sales: SalesFormat,
        key: &mut Vec<u8>,
        payload: &mut Vec<u8>,
    ) -> i64 {
        let action = step.action;
        let spoke = action.spoke();
        let Persona { first, last, region, segment, has_phone, has_cookie, company } =
            Persona::of(place.seed, place.customer);
        let (region_index, region) = (region, REGIONS[region]);
        let who = step.told.who;
        let mut journey = Random::of_part(place.seed ^ 0x010C_A510_u64, place.journey);
        let mut own = Random::of_part(place.seed ^ place.journey.rotate_left(20), step.index.into());

        // The customer.
        rewrite(&mut self.customer, format_args!("C{:07}", place.customer + 1));
        rewrite(&mut self.email, format_args!("{first}.{last}.{}@Example.org", place.customer + 1));
        // Only support keeps what people typed.
        if spoke != "support" {
            self.email.make_ascii_lowercase();
        }
        rewrite(&mut self.phone, format_args!("+4930{:08}", 10_000_000 + place.customer));
        let device = journey.below(3);
        if place.told {
            // A cookie says nothing about the number, and visits before the sign-in are made with the first device.
            let device = if who == Who::Customer { device / 2 } else { 0 };
            let cookie = Random::of_part(place.seed ^ 0x00C0_0C1E, u64::from(place.customer) << 1 | device).bits();
            rewrite(&mut self.cookie, format_args!("ck-{cookie:016x}"));
        } else {
            rewrite(&mut self.cookie, format_args!("ck-{:x}-{device}", place.customer));
        }
        rewrite(&mut self.account, format_args!("company-{company}"));
        let account = (segment == "business" && action != Action::ChangeEnacted).then_some(self.account.as_str());

        // The occasion.
        rewrite(&mut self.product, format_args!("P-{:02}", journey.below(PRODUCTS)));
        let mut campaign = journey.pick(&CAMPAIGNS);
        let mut subject = journey.pick(&SUBJECTS);
        let mut price = 500 + journey.below(90) as i64 * 250 + journey.below(4).pow(3) as i64 * 9_975;
        let currency = if region == "overseas" { Currency(*b"USD") } else { Currency(*b"EUR") };
        let store = journey.percent(20);
        if place.told {
            let word = usize::from(step.told.word.unwrap_or(0));
            (campaign, subject) = (story::CAMPAIGNS[word], story::SUBJECTS[word]);
            price = story::price_minor(&mut journey);
        }

        let letter = spoke.as_bytes()[0] as char;
        rewrite(&mut self.id, format_args!("{letter}-{:07}-{:02}", place.journey, step.index));
        let (kind, initiator, visibility) = meaning(action);
        // What is done for all of a region is done for no customer in it.
        let known = who != Who::Visitor && action != Action::ChangeEnacted;
        let mut identifiers = Vec::with_capacity(4);
        if known {
            identifiers.push(Identifier { kind: IdentifierType::CustomerId, value: &self.customer });
        }
        if known && (spoke == "marketing" || spoke == "support") {
            identifiers.push(Identifier { kind: IdentifierType::Email, value: &self.email });
        }
        if spoke == "support" && has_phone {
            identifiers.push(Identifier { kind: IdentifierType::Phone, value: &self.phone });
        }
        if who != Who::Customer || (spoke == "marketing" && has_cookie) {
            identifiers.push(Identifier { kind: IdentifierType::Cookie, value: &self.cookie });
        }
        key.clear();
        if let Some((kind, prefix)) = thing(action) {
            rewrite(&mut self.thing, format_args!("{prefix}-{:07}", place.journey));
            identifiers.push(Identifier { kind, value: &self.thing });
            key.extend_from_slice(self.thing.as_bytes());
        } else {
            key.extend_from_slice(if known { self.customer.as_bytes() } else { self.cookie.as_bytes() });
        }
        let channel = channel(action, store, &mut own);
        let amount = match action {
            Action::OrderPlaced | Action::PaymentReceived | Action::QuoteSent => Some(price),
            Action::SubscriptionStarted | Action::SubscriptionRenewed => Some(990 + price % 2_000),
            Action::RefundIssued => Some(-price),
            _ => None,
        };
        let cost = match action {
            Action::AdShown | Action::AdClicked => Some(own.between(1, 120)),
            Action::EventAttended => Some(own.between(1_500, 9_000)),
            Action::OrderShipped => Some(own.between(350, 990)),
            Action::OrderReturned => Some(499),
            _ => None,
        };
        let scale = match action {
            Action::ExpectationAsked => Some(ScoreScale::Expectation),
            Action::PerceptionAsked => Some(ScoreScale::Perception),
            Action::Recommended => Some(ScoreScale::Nps),
            Action::SatisfactionRated => Some(ScoreScale::Csat),
            Action::EffortRated => Some(ScoreScale::Ces),
            Action::ReviewPosted => Some(ScoreScale::Review),
            _ => None,
        };
        let score = scale.map(|scale| {
            let value = step.told.answer.unwrap_or_else(|| answer(scale, step.mood, &mut own));
            // Of one journey both are about the same item.
            let is_about_item = matches!(scale, ScoreScale::Expectation | ScoreScale::Perception);
            Score { scale, value, item: is_about_item.then(|| journey.pick(&ITEMS)) }
        });
        let felt = matches!(
            action,
            Action::Recommended | Action::SocialMentioned | Action::ComplaintMade | Action::CaseOpened
        ) && own.percent(60);
        let sentiment = if place.told {
            step.told.feeling
        } else {
            felt.then(|| (i64::from(step.mood) * 45 + own.between(-45, 45)).clamp(-100, 100) as i8)
        };
        let referrer = (action == Action::ReferralMade).then(|| {
            rewrite(&mut self.referrer, format_args!("C{:07}", own.below(u64::from(place.customer) + 1) + 1));
            Identifier { kind: IdentifierType::CustomerId, value: self.referrer.as_str() }
        });
        self.properties.clear();
        if matches!(action, Action::OrderShipped | Action::OrderDelivered) {
            let carrier = journey.pick(&CARRIERS);
            self.properties.push(("carrier", if place.told { story::CARRIERS[region_index] } else { carrier }));
        }
        let occurred_at =
            if spoke == "marketing" { step.occurred_at.div_euclid(1_000) * 1_000 } else { step.occurred_at };
        let marketing = spoke == "marketing";
        let about_product = !matches!(action, Action::ConsentChanged | Action::SocialMentioned | Action::ChangeEnacted);
        let touchpoint = Touchpoint {
            occurred_at: EventTime(occurred_at),
            id: &self.id,
            // The hub sets it from configuration.
            spoke: "",
            kind,
            label: None,
            identifiers,
            channel,
            subject: (spoke == "support").then_some(subject),
            product: about_product.then_some(self.product.as_str()),
            region: Some(region),
            segment: (spoke != "operations" && known).then_some(segment),
            campaign: if place.told {
                (marketing && step.told.word.is_some()).then_some(campaign)
            } else {
                (marketing && (action <= Action::EmailClicked || own.percent(30))).then_some(campaign)
            },
            content: (action == Action::ContentConsumed).then(|| own.pick(&CONTENTS)),
            account: if marketing { None } else { account },
            amount: amount.map(|minor| Money { minor, currency }),
            cost: cost.map(|minor| Money { minor, currency: Currency(*b"EUR") }),
            score,
            promised_at: step.promised_at.map(EventTime),
            initiator,
            visibility,
            sentiment,
            referrer,
            effort: (action == Action::CaseOpened).then(|| own.between(1, 4) as i32),
            properties: self.properties.clone(),
        };
        payload.clear();
        match (spoke, sales) {
            ("marketing", _) => shape::marketing(&touchpoint, payload),
            ("support", _) => shape::support(&touchpoint, payload),
            ("sales", SalesFormat::Avro) => orders::avro(&touchpoint, payload),
            ("sales", SalesFormat::Json) => orders::json(&touchpoint, payload),
            _ => parcels::json(&touchpoint, payload),
        }
        occurred_at
    }
}

fn channel(action: Action, store: bool, own: &mut Random) -> Option<Channel> {
    Some(match action {
        Action::EmailSent | Action::EmailOpened | Action::EmailClicked | Action::ConsentChanged => Channel::Email,
        Action::PushSent => Channel::App,
        Action::SocialMentioned | Action::ReferralMade => Channel::Social,
        Action::ReviewPosted => Channel::Community,
        Action::EventAttended | Action::MeetingHeld => Channel::Field,
        Action::OrderPlaced | Action::PaymentReceived if store => Channel::Store,
        Action::DeliveryPromised
        | Action::RefundIssued
        | Action::ServiceInterrupted
        | Action::ServiceRestored
        | Action::ChangeEnacted => return None,
        Action::OrderShipped | Action::OrderDelivered | Action::OrderReturned => {
            own.pick(&[Channel::Post, Channel::Partner])
        }
        action if action.spoke() == "support" => own.pick(&[Channel::Phone, Channel::Chat, Channel::Email]),
        _ => own.pick(&[Channel::Web, Channel::Web, Channel::App]),
    })
}
