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
    /// Where rules put persons into segments, the one that this one is in from here on.
    pub standing: Option<Option<String>>,
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
        self.named(kind).next()
    }

    /// The values of an identifier type.
    pub fn named(&self, kind: &str) -> impl Iterator<Item = &str> {
        let rank = IDENTIFIER_TYPES.iter().position(|name| *name == kind).unwrap();
        self.identifiers.iter().filter(move |(of, _)| *of == rank).map(|(_, value)| value.as_str())
    }

    /// Type and value of the strongest identifier.
    pub fn strongest(&self) -> (&str, &str) {
        let (rank, value) = self.identifiers.first().unwrap();
        (IDENTIFIER_TYPES[*rank], value)
    }

    /// As `insight.touchpoints` shows it, without the person. `id`: how an identifier is named where it is not said.
    pub fn to_json(&self, id: &dyn Fn(&(usize, String)) -> String) -> Value {
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
            "referrer": self.referrer.as_ref().map(|it| json!({"type": IDENTIFIER_TYPES[it.0], "value": id(it)})),
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
        "sales" if source.payload.first() == Some(&0xC3) => order(&avro(source.payload, ORDER_EVENT)?)?,
        "sales" => order(&parse(source.payload)?)?,
        spoke if source.payload.first() == Some(&0xC3) => canonical(&avro(source.payload, TOUCHPOINT)?, spoke)?,
        spoke => match parse(source.payload)? {
            // Some tests have operations write canonical touchpoints.
            event if spoke == "operations" && event.get("kind").is_none() && event.get("identifiers").is_none() => {
                scan(&event)?
            }
            event => canonical(&event, spoke)?,
        },
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

/// A record of the order desk, of JSON or of Avro made into JSON.
fn order(event: &Value) -> Result<Touch, &'static str> {
    let kind = match required(&event["state"])?.as_str() {
        "LEAD" => "lead_created",
        "MET" => "meeting_held",
        "QUOTED" => "quote_sent",
        "CART_LEFT" => "cart_abandoned",
        "PLACED" => "order_placed",
        "CANCELLED" => "order_cancelled",
        "PAID" => "payment_received",
        "SUBSCRIBED" => "subscription_started",
        "RENEWED" => "subscription_renewed",
        "ENDED" => "subscription_cancelled",
        _ => return Err("unknown_kind"),
    };
    let changed_at = text(&event["changed_at"])?.ok_or("missing_field")?;
    let microseconds: i64 = changed_at.parse().map_err(|_| "bad_timestamp")?;
    let buyer = &event["buyer"];
    Ok(Touch {
        id: required(&event["event_id"])?,
        kind: kind.to_owned(),
        occurred_at: supported(microseconds.div_euclid(1_000))?,
        identifiers: identifiers([
            ("customer_id", &buyer["number"]),
            ("cookie", &buyer["cookie"]),
            ("order", &event["order"]),
            ("contract", &event["contract"]),
        ])?,
        channel: channel(
            &event["branch"],
            &[("WEBSHOP", "web"), ("APP", "app"), ("BRANCH", "store"), ("VISIT", "field")],
        )?,
        product: dimension(&event["lines"][0]["article"])?,
        region: dimension(&event["market"])?,
        segment: dimension(&buyer["segment"])?,
        account: dimension(&buyer["company"])?,
        amount: decimal_money(&event["total"], &event["currency"])?,
        ..Touch::default()
    })
}

/// A scan of the warehouse.
fn scan(event: &Value) -> Result<Touch, &'static str> {
    if !event.is_object() {
        return Err("undecodable");
    }
    let kind = match required(&event["what"])?.as_str() {
        "announced" => "delivery_promised",
        "left" => "order_shipped",
        "handed over" => "order_delivered",
        "came back" => "order_returned",
        "paid back" => "refund_issued",
        "down" => "service_interrupted",
        "up again" => "service_restored",
        "changed over" => "change_enacted",
        _ => return Err("unknown_kind"),
    };
    let zone = text(&event["tz"])?.unwrap_or_else(|| "Europe/Amsterdam".into());
    let customer = &event["customer"];
    Ok(Touch {
        id: required(&event["scan"])?,
        kind: kind.to_owned(),
        occurred_at: local_time(&event["at"], &zone)?.ok_or("missing_field")?,
        promised_at: local_time(&event["due"], &zone)?,
        identifiers: identifiers([
            ("customer_id", &customer["number"]),
            ("cookie", &customer["cookie"]),
            ("order", &event["order"]),
            ("contract", &event["contract"]),
            ("case", &event["change"]),
        ])?,
        channel: channel(&event["by"], &[("mail", "post"), ("carrier", "partner")])?,
        product: dimension(&event["article"])?,
        region: dimension(&event["site"])?,
        account: dimension(&customer["company"])?,
        amount: decimal_money(&event["refund"]["value"], &event["refund"]["currency"])?,
        cost: decimal_money(&event["freight"]["value"], &event["freight"]["currency"])?,
        properties: properties([("carrier", &event["carrier"])])?,
        ..Touch::default()
    })
}

fn decimal_money(value: &Value, currency: &Value) -> Result<Option<(i64, String)>, &'static str> {
    match value {
        Value::Null => Ok(None),
        value => Ok(Some((minor_units(value)?, currency_code(currency)?))),
    }
}

/// What a clock in a time zone says: of two instants the earlier is meant, and where there is none, the one after as long.
fn local_time(value: &Value, zone: &str) -> Result<Option<i64>, &'static str> {
    let Some(written) = text(value)? else { return Ok(None) };
    let local: jiff::civil::DateTime = written.parse().map_err(|_| "bad_timestamp")?;
    let zoned = local.in_tz(zone).map_err(|_| "bad_timestamp")?;
    supported(zoned.timestamp().as_nanosecond().div_euclid(1_000_000) as i64).map(Some)
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
        standing: None,
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

/// Schemas that departments write with, by their files.
const TOUCHPOINT: &str = "schemas/touchpoint.avsc";
const ORDER_EVENT: &str = "deploy/schemas/order-event.avsc";

/// Avro single-object encoding, as JSON.
fn avro(payload: &[u8], file: &'static str) -> Result<Value, &'static str> {
    type Known = (apache_avro::Schema, [[u8; 8]; 2]);
    static SCHEMAS: OnceLock<BTreeMap<&str, Known>> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(|| {
        let known = [TOUCHPOINT, ORDER_EVENT].map(|file| {
            let text = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            let schema = apache_avro::Schema::parse_str(&text).unwrap();
            // The specification's fingerprint, and that of libraries whose canonical form keeps logical types' braces.
            let fingerprint = schema.fingerprint::<apache_avro::rabin::Rabin>().bytes.try_into().unwrap();
            let specified = specified_fingerprint(&schema.canonical_form());
            (file, (schema, [fingerprint, specified]))
        });
        // Computed with fastavro 1.13.1.
        assert_eq!(known[0].1.1[1], [0x76, 0x99, 0x69, 0x92, 0x61, 0x4f, 0x0e, 0x08]);
        known.into_iter().collect()
    });
    let (schema, fingerprints) = &schemas[file];
    if payload.len() < 10 || payload[..2] != [0xC3, 0x01] {
        return Err("undecodable");
    }
    if !fingerprints.iter().any(|known| known[..] == payload[2..10]) {
        return Err("unknown_schema");
    }
    let mut rest = &payload[10..];
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(schema).build().map_err(|_| "undecodable")?;
    let value = reader.read_value(&mut rest).map_err(|_| "undecodable")?;
    if rest.is_empty() { Ok(avro_to_json(value)) } else { Err("undecodable") }
}

/// CRC-64-AVRO of a canonical form, without the braces of logical types (Avro specification, "Schema Fingerprints").
fn specified_fingerprint(canonical: &str) -> [u8; 8] {
    // The reference keeps two attributes of decimals, which the specification strips.
    let mut canonical = canonical.replace(",\"precision\":15", "").replace(",\"scale\":2", "");
    for primitive in ["int", "long", "bytes", "string"] {
        canonical = canonical.replace(&format!("{{\"type\":\"{primitive}\"}}"), &format!("\"{primitive}\""));
    }
    const EMPTY: u64 = 0xC15D_213A_A4D7_A795;
    let fingerprint = canonical.bytes().fold(EMPTY, |fingerprint, byte| {
        let table = (0..8).fold((fingerprint ^ u64::from(byte)) & 0xFF, |bits, _| {
            (bits >> 1) ^ if bits & 1 == 1 { EMPTY } else { 0 }
        });
        (fingerprint >> 8) ^ table
    });
    fingerprint.to_le_bytes()
}

fn avro_to_json(value: apache_avro::types::Value) -> Value {
    use apache_avro::types::Value as Avro;
    match value {
        Avro::Union(_, inner) => avro_to_json(*inner),
        Avro::Boolean(value) => json!(value),
        Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value) => json!(value),
        Avro::Long(value) | Avro::TimestampMillis(value) | Avro::TimestampMicros(value) => json!(value),
        // Of two digits, as all of the company's are.
        Avro::Decimal(value) => {
            let bytes = Vec::<u8>::try_from(&value).unwrap();
            let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
            let minor = bytes.iter().fold(sign, |number: i64, byte| number << 8 | i64::from(*byte));
            json!(format!("{}{}.{:02}", if minor < 0 { "-" } else { "" }, minor.abs() / 100, minor.abs() % 100))
        }
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
