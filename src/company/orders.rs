//! A touchpoint of sales in, the record of its order desk out: Avro in a schema of its own, or the same as JSON
//! (`deploy/spokes/sales.toml`).

use std::{io::Write as _, sync::LazyLock};

use serde::Serialize;

use crate::{
    model::{Channel, IdentifierType, Kind, Touchpoint},
    wire::single_object::SingleObject,
};

/// The schema that the order desk writes with. The hub finds it in the folder of schemas.
pub const ORDER_SCHEMA: &str = include_str!("../../deploy/schemas/order-event.avsc");

#[derive(Serialize)]
struct OrderEvent<'a> {
    event_id: &'a str,
    state: &'a str,
    /// Microseconds since 1970.
    changed_at: i64,
    buyer: Buyer<'a>,
    order: Option<&'a str>,
    contract: Option<&'a str>,
    branch: Option<&'a str>,
    market: Option<&'a str>,
    currency: Option<&'a str>,
    /// A decimal, as text: Avro makes bytes of it.
    total: Option<&'a str>,
    lines: [Line<'a>; 1],
}

#[derive(Serialize)]
struct Buyer<'a> {
    number: Option<&'a str>,
    cookie: Option<&'a str>,
    company: Option<&'a str>,
    segment: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    article: Option<&'a str>,
    quantity: i32,
    price: Option<&'a str>,
}

/// What the order desk calls what happened.
fn state(kind: Kind) -> &'static str {
    match kind {
        Kind::LeadCreated => "LEAD",
        Kind::MeetingHeld => "MET",
        Kind::QuoteSent => "QUOTED",
        Kind::CartAbandoned => "CART_LEFT",
        Kind::OrderPlaced => "PLACED",
        Kind::OrderCancelled => "CANCELLED",
        Kind::PaymentReceived => "PAID",
        Kind::SubscriptionStarted => "SUBSCRIBED",
        Kind::SubscriptionRenewed => "RENEWED",
        Kind::SubscriptionCancelled => "ENDED",
        other => other.as_str(),
    }
}

fn branch(channel: Channel) -> &'static str {
    match channel {
        Channel::Web => "WEBSHOP",
        Channel::App => "APP",
        Channel::Store => "BRANCH",
        Channel::Field => "VISIT",
        other => other.as_str(),
    }
}

/// Writes minor units as a decimal of two digits, as all of the company's currencies have.
pub(super) fn decimal(minor: i64, text: &mut [u8; 24]) -> &str {
    let mut rest = &mut text[..];
    let room = rest.len();
    let sign = if minor < 0 { "-" } else { "" };
    let (whole, hundredths) = (minor.unsigned_abs() / 100, minor.unsigned_abs() % 100);
    write!(rest, "{sign}{whole}.{hundredths:02}").expect("64 bits have 20 digits");
    let length = room - rest.len();
    std::str::from_utf8(&text[..length]).expect("digits are ASCII")
}

fn with_record<T>(touchpoint: &Touchpoint<'_>, write: impl FnOnce(&OrderEvent<'_>) -> T) -> T {
    let mut text = [0; 24];
    let total = touchpoint.amount.map(|amount| decimal(amount.minor, &mut text));
    let currency = touchpoint.amount.as_ref().map(|amount| amount.currency);
    write(&OrderEvent {
        event_id: touchpoint.id,
        state: state(touchpoint.kind),
        changed_at: touchpoint.occurred_at.0 * 1_000,
        buyer: Buyer {
            number: touchpoint.identifier(IdentifierType::CustomerId),
            cookie: touchpoint.identifier(IdentifierType::Cookie),
            company: touchpoint.account,
            segment: touchpoint.segment,
        },
        order: touchpoint.identifier(IdentifierType::Order),
        contract: touchpoint.identifier(IdentifierType::Contract),
        branch: touchpoint.channel.map(branch),
        market: touchpoint.region,
        currency: currency.as_ref().map(|currency| currency.as_str()),
        total,
        lines: [Line { article: touchpoint.product, quantity: 1, price: total }],
    })
}

/// Appends the record as a message of Avro in single-object encoding.
pub(super) fn avro(touchpoint: &Touchpoint<'_>, out: &mut Vec<u8>) {
    static CODEC: LazyLock<SingleObject> =
        LazyLock::new(|| SingleObject::parse(ORDER_SCHEMA).expect("this file's test reads the schema"));
    with_record(touchpoint, |record| CODEC.encode(record, out)).expect("this file's test writes every state");
}

/// Appends the record as JSON, as `insight-hub check --sample` and tests of the mapping take it.
pub(super) fn json(touchpoint: &Touchpoint<'_>, out: &mut Vec<u8>) {
    with_record(touchpoint, |record| serde_json::to_writer(out, record)).expect("a vector takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_decimals_of_two_digits() {
        for (minor, expected) in [(1_234, "12.34"), (-7, "-0.07"), (0, "0.00"), (i64::MIN, "-92233720368547758.08")] {
            assert_eq!(decimal(minor, &mut [0; 24]), expected);
        }
    }
}
