//! Raw source events in, the oracle's own touchpoints or a rejection reason out. Knows the four departments' shapes by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use serde_json::{Map, Value, json};

use super::{Options, fields::*};

/// One record of a spoke's topic, as a department wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The department.
    pub spoke: &'a str,
    /// The record's value.
    pub payload: &'a [u8],
    /// The record's own timestamp.
    pub timestamp_ms: i64,
}

/// A touchpoint as the oracle sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Touch {
    pub id: String,
    pub spoke: String,
    pub kind: String,
    pub label: Option<String>,
    pub occurred_at: i64,
    /// (rank of the type, value), ascending.
    pub identifiers: BTreeSet<(usize, String)>,
    pub channel: Option<String>,
    pub subject: Option<String>,
    pub product: Option<String>,
    pub region: Option<String>,
    pub segment: Option<String>,
    pub campaign: Option<String>,
    pub content: Option<String>,
    pub account: Option<String>,
    pub amount: Option<(i64, String)>,
    pub cost: Option<(i64, String)>,
    pub score: Option<(String, i64, Option<String>)>,
    pub promised_at: Option<i64>,
    pub initiator: String,
    pub visibility: String,
    pub sentiment: Option<i64>,
    pub referrer: Option<(usize, String)>,
    pub effort: Option<i64>,
    pub properties: BTreeMap<String, String>,
}

impl Touch {
    /// The first value of an identifier type.
    pub fn thing(&self, kind: &str) -> Option<&str> {
        let rank = IDENTIFIER_TYPES.iter().position(|name| *name == kind).unwrap();
        self.identifiers.iter().find(|(of, _)| *of == rank).map(|(_, value)| value.as_str())
    }

    /// As `insight.touchpoints` shows it, without the person.
    pub fn to_json(&self) -> Value {
        let mut identifiers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (rank, value) in &self.identifiers {
            identifiers.entry(IDENTIFIER_TYPES[*rank]).or_default().push(value);
        }
        let money = |money: &Option<(i64, String)>| match money {
            Some((minor, currency)) => json!({"minor": minor, "currency": currency}),
            None => Value::Null,
        };
        json!({
            "occurred_at": instant(self.occurred_at),
            "id": self.id,
            "spoke": self.spoke,
            "kind": self.kind,
            "label": self.label,
            "identifiers": identifiers,
            "channel": self.channel,
            "subject": self.subject,
            "product": self.product,
            "region": self.region,
            "segment": self.segment,
            "campaign": self.campaign,
            "content": self.content,
            "account": self.account,
            "amount": money(&self.amount),
            "cost": money(&self.cost),
            "score": self.score.as_ref().map(|(scale, value, item)| json!({"scale": scale, "value": value, "item": item})),
            "promised_at": self.promised_at.map(instant),
            "initiator": self.initiator,
            "visibility": self.visibility,
            "sentiment": self.sentiment,
            "referrer": self.referrer.as_ref().map(|(rank, value)| json!({"type": IDENTIFIER_TYPES[*rank], "value": value})),
            "effort": self.effort,
            "properties": self.properties,
        })
    }
}

/// RFC 3339 in UTC with milliseconds.
pub fn instant(milliseconds: i64) -> String {
    format!("{:.3}", jiff::Timestamp::from_millisecond(milliseconds).unwrap())
}

/// The touchpoint of a source event, or why it is rejected.
pub fn read(source: &Source<'_>, options: &Options) -> Result<Touch, &'static str> {
    if source.payload.len() > 1 << 20 {
        return Err("too_large");
    }
    let touch = match source.spoke {
        "marketing" => marketing(&parse(source.payload)?)?,
        "support" => support(&parse(source.payload)?)?,
        spoke if source.payload.first() == Some(&0xC3) => canonical(&avro(source.payload)?, spoke)?,
        spoke => canonical(&parse(source.payload)?, spoke)?,
    };
    let mut touch = Touch { spoke: source.spoke.to_owned(), ..touch };
    if touch.identifiers.is_empty() {
        return Err("no_usable_identifier");
    }
    if touch.occurred_at > source.timestamp_ms + options.too_far_in_future_ms {
        return Err("too_far_in_future");
    }
    if touch.initiator.is_empty() {
        touch.initiator = match touch.kind.as_str() {
            "message_opened"
            | "message_clicked"
            | "ad_clicked"
            | "page_viewed"
            | "content_consumed"
            | "event_attended"
            | "social_mentioned"
            | "review_posted"
            | "referral_made"
            | "lead_created"
            | "cart_abandoned"
            | "order_placed"
            | "order_cancelled"
            | "order_returned"
            | "payment_received"
            | "subscription_started"
            | "subscription_renewed"
            | "subscription_cancelled"
            | "case_opened"
            | "case_reopened"
            | "complaint_made"
            | "survey_answered"
            | "visit_made" => "customer",
            "case_replied" | "case_resolved" | "meeting_held" | "quote_sent" | "follow_up_made" => "agent",
            _ => "system",
        }
        .to_owned();
    }
    if touch.visibility.is_empty() {
        touch.visibility = "public".to_owned();
    }
    Ok(touch)
}

fn parse(payload: &[u8]) -> Result<Value, &'static str> {
    serde_json::from_slice(payload).map_err(|_| "undecodable")
}

/// A campaign tool's event.
fn marketing(event: &Value) -> Result<Touch, &'static str> {
    let word = required(&event["event"])?;
    let kind = match word.as_str() {
        "EmailSent" | "PushSent" => "message_sent",
        "EmailOpened" => "message_opened",
        "EmailClicked" => "message_clicked",
        "AdShown" => "ad_shown",
        "AdClicked" => "ad_clicked",
        "PageViewed" => "page_viewed",
        "AssetConsumed" => "content_consumed",
        "EventAttended" => "event_attended",
        "SocialMention" => "social_mentioned",
        "ReviewPosted" => "review_posted",
        "Referral" => "referral_made",
        "ConsentChanged" => "consent_changed",
        "SurveyAnswered" => "survey_answered",
        own => own,
    };
    let (kind, label) = vocabulary_or_other(kind, &word);
    let cost = match (&event["spend"]["value"], &event["spend"]["currency"]) {
        (Value::Null, _) => None,
        (value, currency) => Some((minor_units(value)?, currency_code(currency)?)),
    };
    Ok(Touch {
        id: required(&event["id"])?,
        kind,
        label,
        occurred_at: epoch_seconds(&event["ts"])?,
        identifiers: identifiers([
            ("customer_id", &event["profile"]["customer"]),
            ("email", &event["profile"]["mail"]),
            ("cookie", &event["profile"]["cookie"]),
        ])?,
        channel: channel(&event["medium"], &[("push", "app"), ("mail", "email")])?,
        campaign: dimension(&event["cmp"])?,
        segment: dimension(&event["segment"])?,
        region: dimension(&event["market"])?,
        product: dimension(&event["product"])?,
        content: dimension(&event["asset"])?,
        sentiment: sentiment(&event["mood"])?,
        score: score(&event["survey"]["type"], &event["survey"]["answer"], &event["survey"]["item"])?,
        referrer: identifiers([("customer_id", &event["referred_by"])])?.into_iter().next(),
        cost,
        properties: properties([("variant", &event["variant"])])?,
        ..Touch::default()
    })
}

/// A ticket event as a structured CloudEvent.
fn support(event: &Value) -> Result<Touch, &'static str> {
    let data = &event["data"];
    let word = required(&event["type"])?;
    let kind = match word.as_str() {
        "ticket.opened" => "case_opened",
        "ticket.commented" => "case_replied",
        "ticket.solved" => "case_resolved",
        "ticket.reopened" => "case_reopened",
        "ticket.complained" => "complaint_made",
        "ticket.followed_up" => "follow_up_made",
        "ticket.rated" => "survey_answered",
        own => own,
    };
    let (kind, label) = vocabulary_or_other(kind, &word);
    let requester = &data["requester"];
    let author = text(&data["author"])?.unwrap_or_default();
    let author = match author.as_str() {
        "end_user" => "customer".to_owned(),
        "automation" => "system".to_owned(),
        "" | "agent" | "bot" | "customer" | "system" => author,
        _ => return Err("wrong_type"),
    };
    let goodwill = &data["goodwill"];
    Ok(Touch {
        id: required(&event["id"])?,
        kind,
        label,
        occurred_at: required_time(&event["time"])?,
        identifiers: identifiers([
            ("customer_id", &requester["number"]),
            ("email", &requester["email"]),
            ("phone", &requester["phone"]),
            ("case", &data["ticket"]),
        ])?,
        account: dimension(&requester["company"])?,
        subject: dimension(&data["subject"])?,
        product: dimension(&data["product"])?,
        region: dimension(&data["region"])?,
        segment: dimension(&data["segment"])?,
        channel: channel(&data["via"], &[("voice", "phone"), ("messenger", "chat")])?,
        initiator: author,
        visibility: match &data["comment"]["public"] {
            Value::Bool(false) => "internal".to_owned(),
            Value::String(word) if word == "false" => "internal".to_owned(),
            _ => "public".to_owned(),
        },
        score: score(&data["rating"]["scale"], &data["rating"]["value"], &data["rating"]["item"])?,
        sentiment: sentiment(&data["mood"])?,
        effort: integer(&data["priority"])?,
        amount: money(&goodwill["minor"], &goodwill["currency"])?,
        promised_at: optional_time(&data["reply_by"])?,
        properties: properties([("queue", &data["queue"])])?,
        ..Touch::default()
    })
}

/// The canonical touchpoint, of JSON or of Avro made into JSON.
fn canonical(event: &Value, spoke: &str) -> Result<Touch, &'static str> {
    if !event.is_object() {
        return Err("wrong_type");
    }
    if text(&event["spoke"])?.is_some_and(|named| named != spoke) {
        return Err("spoke_not_allowed");
    }
    let kind = required(&event["kind"])?;
    if !KINDS.contains(&kind.as_str()) {
        return Err("unknown_kind");
    }
    let empty = Map::new();
    let named = match &event["identifiers"] {
        Value::Null => &empty,
        Value::Object(named) => named,
        _ => return Err("wrong_type"),
    };
    let score = match &event["score"] {
        Value::Null => None,
        answer => score(&answer["scale"], &answer["value"], &answer["item"])?,
    };
    let referrer = match &event["referrer"] {
        Value::Null => None,
        referrer => {
            let kind = required(&referrer["type"])?;
            identifiers([(kind.as_str(), &referrer["value"])])?.into_iter().next()
        }
    };
    let no_properties = Map::new();
    Ok(Touch {
        id: required(&event["id"])?,
        kind,
        label: dimension(&event["label"])?,
        occurred_at: required_time(&event["occurred_at"])?,
        identifiers: identifiers(named.iter().map(|(kind, values)| (kind.as_str(), values)))?,
        channel: channel(&event["channel"], &[])?,
        subject: dimension(&event["subject"])?,
        product: dimension(&event["product"])?,
        region: dimension(&event["region"])?,
        segment: dimension(&event["segment"])?,
        campaign: dimension(&event["campaign"])?,
        content: dimension(&event["content"])?,
        account: dimension(&event["account"])?,
        amount: money(&event["amount"]["minor"], &event["amount"]["currency"])?,
        cost: money(&event["cost"]["minor"], &event["cost"]["currency"])?,
        score,
        promised_at: optional_time(&event["promised_at"])?,
        initiator: text(&event["initiator"])?.unwrap_or_default(),
        visibility: text(&event["visibility"])?.unwrap_or_default(),
        sentiment: sentiment(&event["sentiment"])?,
        referrer,
        effort: integer(&event["effort"])?,
        properties: properties(
            event["properties"]
                .as_object()
                .unwrap_or(&no_properties)
                .iter()
                .map(|(name, value)| (name.as_str(), value)),
        )?,
        spoke: String::new(),
    })
}

/// Avro single-object encoding of the canonical schema, as JSON.
fn avro(payload: &[u8]) -> Result<Value, &'static str> {
    static SCHEMA: OnceLock<(apache_avro::Schema, [u8; 8])> = OnceLock::new();
    let (schema, fingerprint) = SCHEMA.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/touchpoint.avsc");
        let schema = apache_avro::Schema::parse_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let fingerprint = schema.fingerprint::<apache_avro::rabin::Rabin>().bytes.try_into().unwrap();
        (schema, fingerprint)
    });
    if payload.len() < 10 || payload[..2] != [0xC3, 0x01] {
        return Err("undecodable");
    }
    // The specification's fingerprint of the schema (computed with fastavro 1.13.1), and that of libraries whose
    // canonical form keeps logical types' braces.
    const SPECIFIED: [u8; 8] = [0x76, 0x99, 0x69, 0x92, 0x61, 0x4f, 0x0e, 0x08];
    if ![&fingerprint[..], &SPECIFIED].contains(&&payload[2..10]) {
        return Err("unknown_schema");
    }
    let mut rest = &payload[10..];
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(schema).build().map_err(|_| "undecodable")?;
    let value = reader.read_value(&mut rest).map_err(|_| "undecodable")?;
    if rest.is_empty() { Ok(avro_to_json(value)) } else { Err("undecodable") }
}

fn avro_to_json(value: apache_avro::types::Value) -> Value {
    use apache_avro::types::Value as Avro;
    match value {
        Avro::Union(_, inner) => avro_to_json(*inner),
        Avro::Boolean(value) => json!(value),
        Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value) => json!(value),
        Avro::Long(value) | Avro::TimestampMillis(value) => json!(value),
        Avro::Float(value) => json!(value),
        Avro::Double(value) => json!(value),
        Avro::String(value) | Avro::Enum(_, value) => json!(value),
        Avro::Array(values) => Value::Array(values.into_iter().map(avro_to_json).collect()),
        Avro::Map(values) => Value::Object(values.into_iter().map(|(key, value)| (key, avro_to_json(value))).collect()),
        Avro::Record(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (key, avro_to_json(value))).collect())
        }
        _ => Value::Null,
    }
}
