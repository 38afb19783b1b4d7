//! A touchpoint in, the bytes that its department writes out: a campaign tool's JSON, a ticket system's CloudEvents; and JSON, member
//! by member, for the others.

use crate::model::{Channel, EventTime, IdentifierType, Kind, Touchpoint, Visibility};

/// Appends a decimal number.
pub(super) fn push_number(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a number with at least `width` digits.
pub(super) fn push_padded(out: &mut Vec<u8>, number: u64, width: u32) {
    let mut unit = 10_u64.pow(width.saturating_sub(1));
    while number / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        out.push(b'0' + (number / unit % 10) as u8);
        unit /= 10;
    }
}

/// Appends `2026-01-31T09:00:00.000Z`.
pub(super) fn push_time(out: &mut Vec<u8>, at: EventTime) {
    let day = at.0.div_euclid(86_400_000);
    let rest = at.0.rem_euclid(86_400_000) as u64;
    let (year, month, of_month) = crate::model::Day(day as i32).civil();
    push_padded(out, year.unsigned_abs().into(), 4);
    out.push(b'-');
    push_padded(out, month.into(), 2);
    out.push(b'-');
    push_padded(out, of_month.into(), 2);
    out.push(b'T');
    push_padded(out, rest / 3_600_000, 2);
    out.push(b':');
    push_padded(out, rest / 60_000 % 60, 2);
    out.push(b':');
    push_padded(out, rest / 1_000 % 60, 2);
    out.push(b'.');
    push_padded(out, rest % 1_000, 3);
    out.push(b'Z');
}

/// Appends JSON, one member after the other.
pub(super) struct Writer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out, first: true }
    }

    fn separate(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn open(&mut self, name: Option<&str>) {
        match name {
            Some(name) => self.name(name),
            None => self.separate(),
        }
        self.out.push(b'{');
        self.first = true;
    }

    pub(super) fn close(&mut self) {
        self.out.push(b'}');
        self.first = false;
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    pub(super) fn quoted(&mut self, value: &str) {
        let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        self.out.push(b'"');
        if value.bytes().all(plain) {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            for byte in value.bytes() {
                match byte {
                    b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                    // The company's words hold no control characters but could; a space keeps the JSON valid.
                    0..0x20 => self.out.push(b' '),
                    _ => self.out.push(byte),
                }
            }
        }
        self.out.push(b'"');
    }

    pub(super) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A member whose value is written by hand.
    pub(super) fn value(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        write(self.out);
    }

    pub(super) fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        push_number(self.out, value);
    }

    pub(super) fn time(&mut self, name: &str, at: EventTime) {
        self.name(name);
        self.out.push(b'"');
        push_time(self.out, at);
        self.out.push(b'"');
    }
}

/// A campaign tool's event (`deploy/spokes/marketing.toml`).
pub(super) fn marketing(touchpoint: &Touchpoint<'_>, out: &mut Vec<u8>) {
    let push = touchpoint.channel == Some(Channel::App);
    let event = match touchpoint.kind {
        Kind::MessageSent if push => "PushSent",
        Kind::MessageSent => "EmailSent",
        Kind::MessageOpened => "EmailOpened",
        Kind::MessageClicked => "EmailClicked",
        Kind::AdShown => "AdShown",
        Kind::AdClicked => "AdClicked",
        Kind::PageViewed => "PageViewed",
        Kind::ContentConsumed => "AssetConsumed",
        Kind::EventAttended => "EventAttended",
        Kind::SocialMentioned => "SocialMention",
        Kind::ReviewPosted => "ReviewPosted",
        Kind::ReferralMade => "Referral",
        Kind::ConsentChanged => "ConsentChanged",
        Kind::SurveyAnswered => "SurveyAnswered",
        other => other.as_str(),
    };
    let mut json = Writer::new(out);
    json.open(None);
    json.text("event", event);
    json.text("id", touchpoint.id);
    // The tool counts whole seconds: milliseconds are lost, as in life.
    json.number("ts", touchpoint.occurred_at.0.div_euclid(1_000));
    json.open(Some("profile"));
    json.optional("customer", touchpoint.identifier(IdentifierType::CustomerId));
    json.optional("mail", touchpoint.identifier(IdentifierType::Email));
    json.optional("cookie", touchpoint.identifier(IdentifierType::Cookie));
    json.close();
    json.optional("cmp", touchpoint.campaign);
    json.optional("medium", touchpoint.channel.map(|channel| if push { "push" } else { channel.as_str() }));
    json.optional("segment", touchpoint.segment);
    json.optional("market", touchpoint.region);
    json.optional("product", touchpoint.product);
    json.optional("asset", touchpoint.content);
    if let Some(mood) = touchpoint.sentiment {
        json.number("mood", mood.into());
    }
    if let Some(score) = &touchpoint.score {
        json.open(Some("survey"));
        json.text("type", score.scale.as_str());
        json.number("answer", score.value.into());
        json.optional("item", score.item);
        json.close();
    }
    json.optional("referred_by", touchpoint.referrer.map(|referrer| referrer.value));
    if let Some(cost) = touchpoint.cost {
        json.open(Some("spend"));
        json.name("value");
        push_number(json.out, cost.minor / 100);
        json.out.push(b'.');
        push_padded(json.out, cost.minor.unsigned_abs() % 100, 2);
        json.text("currency", cost.currency.as_str());
        json.close();
    }
    json.close();
}

/// A ticket system's event as a structured CloudEvent (`deploy/spokes/support.toml`).
pub(super) fn support(touchpoint: &Touchpoint<'_>, out: &mut Vec<u8>) {
    let word = match touchpoint.kind {
        Kind::CaseOpened => "ticket.opened",
        Kind::CaseReplied => "ticket.commented",
        Kind::CaseResolved => "ticket.solved",
        Kind::CaseReopened => "ticket.reopened",
        Kind::ComplaintMade => "ticket.complained",
        Kind::FollowUpMade => "ticket.followed_up",
        Kind::SurveyAnswered => "ticket.rated",
        other => other.as_str(),
    };
    let mut json = Writer::new(out);
    json.open(None);
    json.text("specversion", "1.0");
    json.text("id", touchpoint.id);
    json.text("source", "/tickets");
    json.text("type", word);
    json.time("time", touchpoint.occurred_at);
    json.open(Some("data"));
    json.optional("ticket", touchpoint.identifier(IdentifierType::Case));
    json.optional("subject", touchpoint.subject);
    json.optional("product", touchpoint.product);
    json.optional("region", touchpoint.region);
    json.optional("segment", touchpoint.segment);
    json.optional(
        "via",
        touchpoint.channel.map(|channel| match channel {
            Channel::Phone => "voice",
            Channel::Chat => "messenger",
            other => other.as_str(),
        }),
    );
    json.open(Some("requester"));
    json.optional("number", touchpoint.identifier(IdentifierType::CustomerId));
    json.optional("email", touchpoint.identifier(IdentifierType::Email));
    json.optional("phone", touchpoint.identifier(IdentifierType::Phone));
    json.optional("company", touchpoint.account);
    json.close();
    if touchpoint.kind == Kind::CaseReplied {
        json.text("author", touchpoint.initiator.as_str());
        json.open(Some("comment"));
        json.name("public");
        let public: &[u8] = if touchpoint.visibility == Visibility::Public { b"true" } else { b"false" };
        json.out.extend_from_slice(public);
        json.close();
    }
    if let Some(score) = &touchpoint.score {
        json.open(Some("rating"));
        let scale = match score.scale.as_str() {
            "csat" => "satisfaction",
            "ces" => "effort",
            other => other,
        };
        json.text("scale", scale);
        json.number("value", score.value.into());
        json.optional("item", score.item);
        json.close();
    }
    if let Some(mood) = touchpoint.sentiment {
        json.number("mood", mood.into());
    }
    if let Some(priority) = touchpoint.effort {
        json.number("priority", priority.into());
    }
    json.close();
    json.close();
}
