//! The closed vocabularies of a touchpoint: its kind, channel, initiator and visibility.

use super::identifier::IdentifierType;

/// Declares a closed vocabulary: an enum whose variants have one canonical word each. The order of variants is part of
/// the internal format (they are stored by index): new words go at the end.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs, reason = "each variant is its word")]
        pub enum $name { $($variant),+ }

        impl $name {
            /// Every word of the vocabulary, in the order of the internal format.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The canonical word.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The variant of a canonical word; `None` if the word is not in the vocabulary.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// What happened. A department's own word that is not in this list becomes `other` with the word in `label`.
    Kind {
        MessageSent => "message_sent",
        MessageOpened => "message_opened",
        MessageClicked => "message_clicked",
        AdShown => "ad_shown",
        AdClicked => "ad_clicked",
        PageViewed => "page_viewed",
        ContentConsumed => "content_consumed",
        EventAttended => "event_attended",
        SocialMentioned => "social_mentioned",
        ReviewPosted => "review_posted",
        ReferralMade => "referral_made",
        ConsentChanged => "consent_changed",
        LeadCreated => "lead_created",
        MeetingHeld => "meeting_held",
        QuoteSent => "quote_sent",
        CartAbandoned => "cart_abandoned",
        OrderPlaced => "order_placed",
        OrderCancelled => "order_cancelled",
        PaymentReceived => "payment_received",
        SubscriptionStarted => "subscription_started",
        SubscriptionRenewed => "subscription_renewed",
        SubscriptionCancelled => "subscription_cancelled",
        CaseOpened => "case_opened",
        CaseReplied => "case_replied",
        CaseResolved => "case_resolved",
        CaseReopened => "case_reopened",
        ComplaintMade => "complaint_made",
        FollowUpMade => "follow_up_made",
        DeliveryPromised => "delivery_promised",
        OrderShipped => "order_shipped",
        OrderDelivered => "order_delivered",
        OrderReturned => "order_returned",
        RefundIssued => "refund_issued",
        InvoiceIssued => "invoice_issued",
        ServiceInterrupted => "service_interrupted",
        ServiceRestored => "service_restored",
        SurveyAnswered => "survey_answered",
        VisitMade => "visit_made",
        ChangeEnacted => "change_enacted",
        Other => "other",
    }
}

impl Kind {
    /// What kind of thing it happens to, if any: an order, a contract, a case. It happens to each that the touchpoint names.
    pub const fn about(self) -> Option<IdentifierType> {
        match self {
            Kind::OrderPlaced
            | Kind::DeliveryPromised
            | Kind::OrderShipped
            | Kind::OrderDelivered
            | Kind::OrderCancelled
            | Kind::OrderReturned
            | Kind::RefundIssued => Some(IdentifierType::Order),
            Kind::SubscriptionStarted | Kind::SubscriptionRenewed | Kind::SubscriptionCancelled => {
                Some(IdentifierType::Contract)
            }
            Kind::CaseOpened | Kind::CaseReplied | Kind::CaseResolved | Kind::CaseReopened => {
                Some(IdentifierType::Case)
            }
            _ => None,
        }
    }

    /// Which of what happens at one instant comes first, from 1: departments often say no more than the day or the second. What leads
    /// somewhere comes before what begins, that before what goes on with it, before what ends it, before what takes it back or judges it,
    /// before what answers a judgement. Part of the stored format.
    pub const fn rank(self) -> u8 {
        match self {
            Kind::OrderPlaced | Kind::SubscriptionStarted | Kind::CaseOpened => 2,
            Kind::DeliveryPromised
            | Kind::OrderShipped
            | Kind::PaymentReceived
            | Kind::InvoiceIssued
            | Kind::SubscriptionRenewed
            | Kind::CaseReplied
            | Kind::CaseReopened => 3,
            Kind::OrderDelivered | Kind::CaseResolved => 4,
            Kind::OrderCancelled
            | Kind::OrderReturned
            | Kind::RefundIssued
            | Kind::SubscriptionCancelled
            | Kind::ComplaintMade
            | Kind::SurveyAnswered
            | Kind::ReviewPosted => 5,
            Kind::FollowUpMade => 6,
            Kind::MessageSent
            | Kind::MessageOpened
            | Kind::MessageClicked
            | Kind::AdShown
            | Kind::AdClicked
            | Kind::PageViewed
            | Kind::ContentConsumed
            | Kind::EventAttended
            | Kind::SocialMentioned
            | Kind::ReferralMade
            | Kind::ConsentChanged
            | Kind::LeadCreated
            | Kind::MeetingHeld
            | Kind::QuoteSent
            | Kind::CartAbandoned
            | Kind::ServiceInterrupted
            | Kind::ServiceRestored
            | Kind::VisitMade
            | Kind::ChangeEnacted
            | Kind::Other => 1,
        }
    }
}

vocabulary! {
    /// The method of contact.
    Channel {
        Web => "web",
        App => "app",
        Email => "email",
        Phone => "phone",
        Chat => "chat",
        Store => "store",
        Social => "social",
        Community => "community",
        Post => "post",
        Partner => "partner",
        Field => "field",
        Other => "other",
    }
}

vocabulary! {
    /// Whose doing a touchpoint was.
    Initiator {
        Customer => "customer",
        Agent => "agent",
        Bot => "bot",
        System => "system",
    }
}

vocabulary! {
    /// Whether the customer could see it: an internal note is no reply.
    Visibility {
        Public => "public",
        Internal => "internal",
    }
}

impl Kind {
    /// Whose doing a touchpoint of this kind is when the department does not say.
    pub const fn default_initiator(self) -> Initiator {
        match self {
            Kind::MessageOpened
            | Kind::MessageClicked
            | Kind::AdClicked
            | Kind::PageViewed
            | Kind::ContentConsumed
            | Kind::EventAttended
            | Kind::SocialMentioned
            | Kind::ReviewPosted
            | Kind::ReferralMade
            | Kind::LeadCreated
            | Kind::CartAbandoned
            | Kind::OrderPlaced
            | Kind::OrderCancelled
            | Kind::OrderReturned
            | Kind::PaymentReceived
            | Kind::SubscriptionStarted
            | Kind::SubscriptionRenewed
            | Kind::SubscriptionCancelled
            | Kind::CaseOpened
            | Kind::CaseReopened
            | Kind::ComplaintMade
            | Kind::SurveyAnswered
            | Kind::VisitMade => Initiator::Customer,
            Kind::CaseReplied | Kind::CaseResolved | Kind::MeetingHeld | Kind::QuoteSent | Kind::FollowUpMade => {
                Initiator::Agent
            }
            _ => Initiator::System,
        }
    }
}
