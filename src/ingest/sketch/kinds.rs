//! A department's words → ours, by what they have in common; `None` where that is not enough to say.

use super::words::{alike, has, words};
use crate::model::{Channel, Initiator, Kind, ScoreScale};

/// What a word is about, and what happened to it.
struct Meaning {
    kind: Kind,
    /// Things. One with a `!` before it says enough alone.
    things: &'static [&'static str],
    /// What happened to them. One with a `!` before it says enough alone.
    events: &'static [&'static str],
}

const fn meaning(kind: Kind, things: &'static [&'static str], events: &'static [&'static str]) -> Meaning {
    Meaning { kind, things, events }
}

const MESSAGES: &[&str] =
    &["message", "mail", "email", "newsletter", "push", "sms", "notification", "letter", "campaign", "reminder"];
const ORDERS: &[&str] =
    &["order", "purchase", "sale", "booking", "reservation", "checkout", "bestellung", "commande", "pedido"];
const SHIPMENTS: &[&str] = &["order", "shipment", "parcel", "package", "delivery", "lieferung", "colis"];
const CASES: &[&str] = &[
    "case",
    "ticket",
    "incident",
    "issue",
    "problem",
    "claim",
    "conversation",
    "call",
    "enquiry",
    "inquiry",
    "request",
    "fault",
    "chat",
    "anfrage",
];
/// What is answered and brought to an end like a case: a complaint that is done is no complaint made.
const CASES_AND_COMPLAINTS: &[&str] = &[
    "case",
    "ticket",
    "incident",
    "issue",
    "problem",
    "claim",
    "conversation",
    "call",
    "enquiry",
    "inquiry",
    "request",
    "fault",
    "chat",
    "anfrage",
    "complaint",
    "grievance",
    "reklamation",
    "beschwerde",
    "klacht",
    "plainte",
    "queja",
];
const SUBSCRIPTIONS: &[&str] =
    &["subscription", "membership", "contract", "plan", "permit", "policy", "abo", "abonnement", "vertrag", "lease"];

const MEANINGS: &[Meaning] = &[
    meaning(Kind::MessageSent, MESSAGES, &["sent", "send", "mailed", "notified", "delivered"]),
    meaning(Kind::MessageOpened, MESSAGES, &["opened", "open", "read", "seen"]),
    meaning(Kind::MessageClicked, MESSAGES, &["clicked", "click", "tapped"]),
    meaning(
        Kind::AdShown,
        &["ad", "ads", "advert", "banner", "!impression"],
        &["shown", "seen", "displayed", "served"],
    ),
    meaning(Kind::AdClicked, &["ad", "ads", "advert", "banner"], &["clicked", "click"]),
    meaning(
        Kind::PageViewed,
        &["page", "site", "website", "screen", "web", "product", "!pageview"],
        &["viewed", "view", "visited", "loaded"],
    ),
    meaning(
        Kind::ContentConsumed,
        &["content", "asset", "article", "video", "guide", "ebook", "whitepaper", "podcast", "document", "brochure"],
        &["consumed", "read", "watched", "played", "downloaded", "listened"],
    ),
    meaning(
        Kind::EventAttended,
        &["event", "!webinar", "fair", "workshop", "course", "tour", "class", "training"],
        &["attended", "joined", "participated", "!attendance"],
    ),
    meaning(Kind::SocialMentioned, &["social", "tweet", "post", "brand"], &["!mention", "!mentioned", "tagged"]),
    meaning(Kind::ReviewPosted, &["!review", "bewertung"], &["posted", "post", "written", "submitted", "left"]),
    meaning(Kind::ReferralMade, &["!referral", "friend"], &["!referred", "invited", "recommended", "made"]),
    meaning(
        Kind::ConsentChanged,
        &["!consent", "optin", "optout", "preference", "permission", "gdpr", "marketing"],
        &["changed", "given", "withdrawn", "granted", "revoked", "updated"],
    ),
    meaning(
        Kind::LeadCreated,
        &["!lead", "prospect", "application", "interest"],
        &["created", "new", "received", "submitted", "registered"],
    ),
    meaning(
        Kind::MeetingHeld,
        &["!meeting", "appointment", "consultation", "viewing", "termin"],
        &["held", "completed", "attended", "done", "took"],
    ),
    meaning(
        Kind::QuoteSent,
        &["!quote", "quotation", "offer", "proposal", "estimate", "angebot"],
        &["sent", "send", "issued", "created", "made"],
    ),
    meaning(Kind::CartAbandoned, &["cart", "basket", "checkout"], &["!abandoned", "left"]),
    meaning(
        Kind::OrderPlaced,
        ORDERS,
        &[
            "placed",
            "created",
            "new",
            "confirmed",
            "submitted",
            "completed",
            "made",
            "booked",
            "ordered",
            "!purchased",
            "!bought",
            "!bestellt",
        ],
    ),
    meaning(Kind::OrderCancelled, ORDERS, &["cancelled", "canceled", "cancel", "voided", "storniert"]),
    meaning(
        Kind::PaymentReceived,
        &["!payment", "invoice", "bill", "zahlung", "charge"],
        &["received", "!paid", "succeeded", "captured", "settled", "made", "!bezahlt"],
    ),
    meaning(
        Kind::SubscriptionStarted,
        SUBSCRIPTIONS,
        &["started", "start", "created", "activated", "signed", "begun", "new", "bought", "!subscribed"],
    ),
    meaning(Kind::SubscriptionRenewed, SUBSCRIPTIONS, &["!renewed", "!renewal", "extended", "prolonged"]),
    meaning(
        Kind::SubscriptionCancelled,
        SUBSCRIPTIONS,
        &["cancelled", "canceled", "cancel", "ended", "terminated", "expired", "lapsed", "!churned"],
    ),
    meaning(
        Kind::CaseOpened,
        CASES,
        &["opened", "open", "created", "new", "raised", "reported", "started", "submitted", "logged"],
    ),
    meaning(
        Kind::CaseReplied,
        CASES_AND_COMPLAINTS,
        &["replied", "reply", "commented", "comment", "answered", "responded", "beantwortet", "beantwoord"],
    ),
    meaning(
        Kind::CaseResolved,
        CASES_AND_COMPLAINTS,
        &[
            "resolved",
            "resolution",
            "solved",
            "closed",
            "fixed",
            "settled",
            "completed",
            "done",
            "erledigt",
            "abgeschlossen",
            "geschlossen",
            "gelöst",
            "geloest",
            "behoben",
            "beigelegt",
            "opgelost",
            "afgehandeld",
            "résolu",
            "resuelto",
        ],
    ),
    meaning(Kind::CaseReopened, CASES_AND_COMPLAINTS, &["!reopened", "!reopen", "wiedereröffnet"]),
    meaning(
        Kind::ComplaintMade,
        &["!complaint", "grievance", "!reklamation", "!beschwerde", "!klacht", "!plainte", "!queja"],
        &["!complained", "made", "filed", "received"],
    ),
    meaning(Kind::FollowUpMade, &["!followup", "callback", "up"], &["!followed", "!follow", "made"]),
    meaning(Kind::DeliveryPromised, SHIPMENTS, &["!promised", "scheduled", "announced", "planned"]),
    meaning(Kind::OrderShipped, SHIPMENTS, &["!shipped", "!dispatched", "!versandt", "handed", "sent", "posted"]),
    meaning(
        Kind::OrderDelivered,
        SHIPMENTS,
        &["!delivered", "!geliefert", "arrived", "received", "collected", "picked"],
    ),
    meaning(Kind::OrderReturned, &["order", "parcel", "item", "goods", "purchase"], &["!returned", "!return"]),
    meaning(Kind::RefundIssued, &["!refund", "credit"], &["!refunded", "issued", "paid"]),
    meaning(
        Kind::InvoiceIssued,
        &["!invoice", "bill", "!rechnung"],
        &["issued", "sent", "created", "finalized", "billed"],
    ),
    meaning(
        Kind::ServiceInterrupted,
        &["service", "!outage", "supply", "connection", "power", "network"],
        &["!interrupted", "down", "failed", "disrupted", "suspended"],
    ),
    meaning(
        Kind::ServiceRestored,
        &["service", "outage", "supply", "connection", "power", "network"],
        &["!restored", "recovered", "resumed", "ended"],
    ),
    meaning(
        Kind::SurveyAnswered,
        &["!survey", "!nps", "!csat", "feedback", "questionnaire", "poll", "satisfaction", "rating"],
        &["answered", "completed", "submitted", "responded", "given", "!rated"],
    ),
    meaning(
        Kind::VisitMade,
        &["!visit", "!checkin", "entry", "session", "stay", "store", "shop", "gate"],
        &["made", "entered", "entry", "arrived", "started", "!visited"],
    ),
    meaning(
        Kind::ChangeEnacted,
        &["change", "process", "rule", "price", "tariff"],
        &["enacted", "deployed", "introduced", "rolled"],
    ),
];

/// What says enough: a strong word, or a thing and what happened to it.
const ENOUGH: u32 = 3;
/// A word that says enough alone, with a thing more.
const STRONG: u32 = 3;
const USUAL: u32 = 2;

/// How much a word of a department says of the words of a meaning.
fn weight(word: &str, known: &[&str]) -> u32 {
    let weights = known.iter().filter_map(|known| {
        let bare = known.strip_prefix('!');
        alike(word, bare.unwrap_or(known)).then_some(if bare.is_some() { STRONG } else { USUAL })
    });
    weights.max().unwrap_or(0)
}

/// How well a meaning fits: by one word, or by two, of which one says the thing and the other what happened to it. What a word
/// does not say itself, its surroundings may: `opened` in a `ticket`.
fn fit(meaning: &Meaning, said: &[String], around: &[String]) -> u32 {
    let weights: Vec<(u32, u32)> =
        said.iter().map(|word| (weight(word, meaning.things), weight(word, meaning.events))).collect();
    let mut best = 0;
    for (at, (thing, event)) in weights.iter().enumerate() {
        best = best.max(*thing).max(*event);
        let others = weights.iter().enumerate().filter(|(other, (_, event))| *other != at && *thing > 0 && *event > 0);
        best = others.map(|(_, (_, event))| thing + event).fold(best, u32::max);
    }
    let has_thing = weights.iter().any(|(thing, _)| *thing > 0);
    let event = weights.iter().map(|(_, event)| *event).max().unwrap_or(0);
    match event > 0 && !has_thing && around.iter().any(|word| weight(word, meaning.things) > 0) {
        true => best.max(event + 1),
        false => best,
    }
}

/// The kind that a department's word means. `around`: the words of where it stands, and of its spoke.
pub(super) fn kind(word: &str, around: &[String]) -> Option<Kind> {
    if let Some(kind) = Kind::parse(word) {
        return Some(kind);
    }
    let said = words(word);
    if let Some(kind) = Kind::parse(&said.join("_")) {
        return Some(kind);
    }
    let mut fits: Vec<(u32, Kind)> =
        MEANINGS.iter().map(|meaning| (fit(meaning, &said, around), meaning.kind)).collect();
    fits.sort_by(|a, b| b.cmp(a));
    match fits.as_slice() {
        // Two that fit as well as each other are no answer.
        [(best, kind), (second, _), ..] if *best >= ENOUGH && best > second => Some(*kind),
        _ => None,
    }
}

/// A word of a closed list, by the first words that name it.
fn named<T: Copy>(word: &str, known: &[(T, &[&str])]) -> Option<T> {
    let said = words(word);
    // `WhatsApp` is one word, and no app.
    let whole = [said.concat()];
    let find = |said: &[String]| -> Vec<T> {
        known.iter().filter(|(_, names)| has(said, names)).map(|(named, _)| *named).collect()
    };
    let found = Some(find(&whole)).filter(|found| !found.is_empty()).unwrap_or_else(|| find(&said));
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// The method of contact that a word means.
pub(super) fn channel(word: &str) -> Option<Channel> {
    const KNOWN: &[(Channel, &[&str])] = &[
        (Channel::Web, &["web", "website", "webshop", "site", "online", "browser", "desktop", "portal", "www"]),
        (Channel::App, &["app", "mobile", "ios", "android", "push", "iphone"]),
        (Channel::Email, &["email", "mail", "mailing", "newsletter"]),
        (Channel::Phone, &["phone", "telephone", "call", "voice", "tel", "hotline", "sms", "telefon"]),
        (Channel::Chat, &["chat", "messenger", "livechat", "whatsapp", "telegram", "chatbot"]),
        (Channel::Store, &["store", "shop", "branch", "pos", "counter", "kiosk", "outlet", "till", "desk", "gate"]),
        (Channel::Social, &["social", "facebook", "instagram", "twitter", "tiktok", "linkedin", "mastodon"]),
        (Channel::Community, &["community", "forum"]),
        (Channel::Post, &["post", "letter", "postal", "courier", "fax"]),
        (Channel::Partner, &["partner", "reseller", "marketplace", "affiliate", "dealer"]),
        (Channel::Field, &["field", "onsite", "technician"]),
        (Channel::Other, &["other"]),
    ];
    Channel::parse(word).or_else(|| named(word, KNOWN))
}

/// Whose doing a word means.
pub(super) fn initiator(word: &str) -> Option<Initiator> {
    const KNOWN: &[(Initiator, &[&str])] = &[
        (Initiator::Customer, &["customer", "client", "user", "enduser", "requester", "inbound", "incoming", "member"]),
        (Initiator::Agent, &["agent", "employee", "staff", "operator", "outbound", "outgoing", "clerk"]),
        (Initiator::Bot, &["bot", "chatbot", "robot", "assistant"]),
        (Initiator::System, &["system", "automation", "automatic", "auto", "machine"]),
    ];
    Initiator::parse(word).or_else(|| named(word, KNOWN))
}

/// The scale that a word means.
pub(super) fn scale(word: &str) -> Option<ScoreScale> {
    const KNOWN: &[(ScoreScale, &[&str])] = &[
        (ScoreScale::Nps, &["nps", "recommend", "recommendation", "promoter"]),
        (ScoreScale::Csat, &["csat", "satisfaction", "stars", "rating", "smiley"]),
        (ScoreScale::Ces, &["ces", "effort", "ease"]),
        (ScoreScale::Expectation, &["expectation", "expected"]),
        (ScoreScale::Perception, &["perception", "perceived"]),
        (ScoreScale::Review, &["review"]),
    ];
    ScoreScale::parse(word).or_else(|| named(word, KNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_many_trades_find_their_kind() {
        for (word, around, expected) in [
            ("EmailOpened", "", Some(Kind::MessageOpened)),
            ("push.sent", "", Some(Kind::MessageSent)),
            ("email_delivered", "", Some(Kind::MessageSent)),
            ("AssetConsumed", "", Some(Kind::ContentConsumed)),
            ("SocialMention", "", Some(Kind::SocialMentioned)),
            ("Referral", "", Some(Kind::ReferralMade)),
            ("order.created", "", Some(Kind::OrderPlaced)),
            ("ORDER_CANCELED", "", Some(Kind::OrderCancelled)),
            ("invoice.paid", "", Some(Kind::PaymentReceived)),
            ("invoice.created", "", Some(Kind::InvoiceIssued)),
            ("ticket.followed_up", "", Some(Kind::FollowUpMade)),
            ("ticket.commented", "", Some(Kind::CaseReplied)),
            ("opened", "ticket", Some(Kind::CaseOpened)),
            ("closed", "support case", Some(Kind::CaseResolved)),
            ("beschwerde_erledigt", "", Some(Kind::CaseResolved)),
            ("Reklamation abgeschlossen", "", Some(Kind::CaseResolved)),
            ("complaint.resolved", "", Some(Kind::CaseResolved)),
            ("complaintAnswered", "", Some(Kind::CaseReplied)),
            ("complaint_reopened", "", Some(Kind::CaseReopened)),
            ("beschwerde", "", Some(Kind::ComplaintMade)),
            ("beschwerde_eingegangen", "", Some(Kind::ComplaintMade)),
            ("complaint filed", "", Some(Kind::ComplaintMade)),
            ("complaint_received", "parcel", Some(Kind::ComplaintMade)),
            ("delivered", "parcel", Some(Kind::OrderDelivered)),
            ("Bestellung storniert", "", Some(Kind::OrderCancelled)),
            ("permit_renewed", "", Some(Kind::SubscriptionRenewed)),
            ("order-placed", "", Some(Kind::OrderPlaced)),
            ("order.paid", "order", Some(Kind::PaymentReceived)),
            ("purchase", "", Some(Kind::OrderPlaced)),
            ("other", "", Some(Kind::Other)),
            ("opened", "", None),
            ("updated", "", None),
            ("barrier_serviced", "", None),
            ("", "", None),
        ] {
            assert_eq!(kind(word, &words(around)), expected, "{word:?} in {around:?}");
        }
    }

    #[test]
    fn words_of_closed_lists() {
        assert_eq!(channel("WhatsApp"), Some(Channel::Chat));
        assert_eq!(channel("whatsapp"), Some(Channel::Chat));
        assert_eq!(channel("Live-Chat"), Some(Channel::Chat));
        assert_eq!((channel("voice"), channel("fax machine")), (Some(Channel::Phone), Some(Channel::Post)));
        assert_eq!(channel("mail or phone"), None);
        assert_eq!((initiator("end_user"), initiator("someone")), (Some(Initiator::Customer), None));
        assert_eq!((scale("satisfaction"), scale("mood")), (Some(ScoreScale::Csat), None));
    }
}
