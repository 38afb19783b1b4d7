//! Records in, outcomes out: the boundary of the room, as stories.

mod avro;
mod canonical;
mod conditions;
mod elements;
mod hostile;
mod mapped;
mod notes;
mod numbers;
mod outside;
mod own;
mod reasons;

use std::{fmt::Write, sync::Arc};

use super::*;
use crate::model::Identifier;

/// 2026-02-10T12:00:00Z: when every record of these tests was written.
const NOW_MS: i64 = 1_770_724_800_000;

fn spoke(toml: &str) -> Result<Spoke, String> {
    let file = SpokeFile::parse("test.toml", toml).map_err(|error| error.to_string())?;
    let schemas = Arc::new(Schemas::default());
    Spoke::compile(&file, Options::default(), &schemas).map_err(|error| error.to_string())
}

fn record(payload: Option<&[u8]>) -> SourceRecord<'_> {
    SourceRecord {
        topic: "test.events",
        partition: 3,
        offset: 42,
        timestamp_ms: NOW_MS,
        key: None,
        payload,
        headers: &NoHeaders,
    }
}

/// The outcomes of one payload, one line each.
fn outcomes(spoke: &Spoke, payload: &[u8]) -> String {
    let mut lines = String::new();
    spoke
        .map(&record(Some(payload)), &mut |outcome| {
            lines.push_str(&shown(&outcome));
            lines.push('\n');
        })
        .expect("its schema is at hand");
    lines
}

fn rejection(spoke: &Spoke, payload: Option<&[u8]>) -> Option<Rejection> {
    let mut found = None;
    spoke
        .map(&record(payload), &mut |outcome| {
            if let Mapped::Rejected(rejection) = outcome {
                found = Some(rejection);
            }
        })
        .expect("its schema is at hand");
    found
}

fn shown(outcome: &Mapped<'_>) -> String {
    let touchpoint = match outcome {
        Mapped::Touchpoint(touchpoint) => touchpoint,
        Mapped::Skipped(Skip::NoElements) => return "skipped".into(),
        Mapped::Skipped(Skip::Condition) => return "skipped by the condition".into(),
        Mapped::Rejected(Rejection { reason, field, message, .. }) => return format!("{reason} [{field}] {message}"),
    };
    let by = |identifier: &Identifier<'_>| format!("{}:{}", identifier.kind, identifier.value);
    let mut line =
        format!("{} {} {} at {} by", touchpoint.spoke, touchpoint.id, touchpoint.kind, touchpoint.occurred_at);
    for identifier in &touchpoint.identifiers {
        write!(line, " {}", by(identifier)).expect("a string takes every character");
    }
    let money = |money: crate::model::Money| format!("{} {}", money.minor, money.currency.as_str());
    let fields = [
        ("label", touchpoint.label.map(str::to_owned)),
        ("channel", touchpoint.channel.map(|channel| channel.to_string())),
        ("subject", touchpoint.subject.map(str::to_owned)),
        ("product", touchpoint.product.map(str::to_owned)),
        ("region", touchpoint.region.map(str::to_owned)),
        ("segment", touchpoint.segment.map(str::to_owned)),
        ("campaign", touchpoint.campaign.map(str::to_owned)),
        ("content", touchpoint.content.map(str::to_owned)),
        ("account", touchpoint.account.map(str::to_owned)),
        ("amount", touchpoint.amount.map(money)),
        ("cost", touchpoint.cost.map(money)),
        (
            "score",
            touchpoint.score.map(|score| format!("{} {} {}", score.scale, score.value, score.item.unwrap_or("-"))),
        ),
        ("promised_at", touchpoint.promised_at.map(|at| at.to_string())),
        ("initiator", Some(touchpoint.initiator.to_string())),
        ("visibility", Some(touchpoint.visibility.to_string()).filter(|visibility| visibility != "public")),
        ("sentiment", touchpoint.sentiment.map(|value| value.to_string())),
        ("referrer", touchpoint.referrer.as_ref().map(by)),
        ("effort", touchpoint.effort.map(|value| value.to_string())),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            write!(line, ", {name} {value}").expect("a string takes every character");
        }
    }
    for (name, value) in &touchpoint.properties {
        write!(line, ", {name}={value}").expect("a string takes every character");
    }
    line
}

/// Maps one payload by a spoke file and compares the outcomes.
fn check(toml: &str, payload: &str, expected: expect_test::Expect) {
    match spoke(toml) {
        Ok(spoke) => expected.assert_eq(&outcomes(&spoke, payload.as_bytes())),
        Err(error) => expected.assert_eq(&error),
    }
}

/// A department that writes canonical touchpoints as JSON …
const OPERATIONS: &str = r#"
# {"id":"o-0000001","kind":"delivery_promised","occurred_at":"2026-01-31T09:00:00.000Z","identifiers":{"customer_id":["C1"],"order":["O-1"]},"region":"north","product":"P-12","promised_at":"2026-02-03T12:00:00.000Z"}
# {"id":"o-0000002","kind":"order_delivered","occurred_at":1770000000000,"identifiers":{"customer_id":"C1","order":"O-1"},"channel":"partner","cost":{"minor":499,"currency":"EUR"},"properties":{"carrier":"north-post"}}
# {"id":"o-0000003","kind":"refund_issued","occurred_at":"2026-02-05T10:00:00Z","identifiers":{"order":["O-1"],"customer_id":["C1"]},"amount":{"minor":-2500,"currency":"EUR"}}
spoke = "operations"
topic = "operations.events"
format = "touchpoint-json"
"#;
/// … and one that writes them as Avro.
const SALES: &str = "spoke = \"sales\"\ntopic = \"sales.events\"\nformat = \"touchpoint-avro\"\n";
/// The examples.
const ORDERS: &str = include_str!("../../deploy/spokes/sales.toml");
const PARCELS: &str = include_str!("../../deploy/spokes/operations.toml");
const MARKETING: &str = include_str!("../../deploy/spokes/marketing.toml");
const SUPPORT: &str = include_str!("../../deploy/spokes/support.toml");
