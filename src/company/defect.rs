//! A valid event in, one that must be rejected out, with the reason.

use serde_json::{Value, json};

use crate::model::{EventTime, Reason};

use super::random::Random;

/// A way to spoil a JSON event.
#[derive(Clone, Copy, Debug)]
enum Defect {
    Truncated,
    Empty,
    NoId,
    NoTime,
    NoKind,
    ObjectAsText,
    BlockedIdentifiers,
    NoIdentifiers,
    TimeInWords,
    TimeTooOld,
    TimeTooNew,
    AnswerOutOfRange,
    SentimentOutOfRange,
    TextTooLong,
    UnknownKind,
}

const EVERYWHERE: [Defect; 12] = [
    Defect::Truncated,
    Defect::Empty,
    Defect::NoId,
    Defect::NoTime,
    Defect::NoKind,
    Defect::ObjectAsText,
    Defect::BlockedIdentifiers,
    Defect::NoIdentifiers,
    Defect::TimeInWords,
    Defect::TimeTooOld,
    Defect::TimeTooNew,
    Defect::TextTooLong,
];
/// Only marketing and support ask customers something, and take any kind.
const ASKING: [Defect; 2] = [Defect::AnswerOutOfRange, Defect::SentimentOutOfRange];
/// Sales and operations have closed lists of kinds.
const STRICT: [Defect; 1] = [Defect::UnknownKind];

/// Spoils a payload of a spoke whose record arrives at `timestamp_ms`.
pub(super) fn spoil(spoke: &str, payload: &mut Vec<u8>, timestamp_ms: i64, random: &mut Random) -> Reason {
    if payload.first() != Some(&b'{') {
        return spoil_binary(payload, random);
    }
    let is_strict = spoke == "sales" || spoke == "operations";
    let own: &[Defect] = if is_strict { &STRICT } else { &ASKING };
    let index = random.below((EVERYWHERE.len() + own.len()) as u64) as usize;
    let defect = EVERYWHERE.get(index).copied().unwrap_or_else(|| own[index - EVERYWHERE.len()]);
    match defect {
        Defect::Truncated => {
            let kept = random.between(1, payload.len() as i64 - 1) as usize;
            payload.truncate(kept);
            Reason::Undecodable
        }
        Defect::Empty => {
            payload.clear();
            Reason::Undecodable
        }
        defect => {
            let mut event: Value = serde_json::from_slice(payload).expect("the company writes valid JSON");
            let reason = change(defect, spoke, &mut event, timestamp_ms);
            payload.clear();
            serde_json::to_writer(payload, &event).expect("a vector takes every byte");
            reason
        }
    }
}

/// Avro: bytes that stop early, or that name a schema nobody knows.
fn spoil_binary(payload: &mut Vec<u8>, random: &mut Random) -> Reason {
    if random.percent(50) && payload.len() > 10 {
        for byte in &mut payload[2..10] {
            *byte ^= 0x5A;
        }
        Reason::UnknownSchema
    } else {
        // Within the header or the first fields, which are never optional.
        payload.truncate(random.below(12) as usize);
        Reason::Undecodable
    }
}

fn change(defect: Defect, spoke: &str, event: &mut Value, timestamp_ms: i64) -> Reason {
    let (id, time, kind) = match spoke {
        "marketing" => ("id", "ts", "event"),
        "support" => ("id", "time", "type"),
        "sales" => ("event_id", "changed_at", "state"),
        _ => ("scan", "at", "what"),
    };
    let dimension = match spoke {
        "marketing" => &mut event["product"],
        "support" => &mut event["data"]["product"],
        "sales" => &mut event["lines"][0]["article"],
        _ => &mut event["article"],
    };
    match defect {
        Defect::ObjectAsText => {
            *dimension = json!({"number": 12});
            return Reason::WrongType;
        }
        Defect::TextTooLong => {
            *dimension = Value::from("x".repeat(300));
            return Reason::TooLarge;
        }
        _ => {}
    }
    match defect {
        Defect::NoId => remove(event, id),
        Defect::NoTime => remove(event, time),
        Defect::NoKind => remove(event, kind),
        Defect::BlockedIdentifiers => identify(event, spoke, json!("null"), json!("000")),
        Defect::NoIdentifiers => identify(event, spoke, Value::Null, Value::Null),
        Defect::TimeInWords => event[time] = Value::from("yesterday"),
        Defect::TimeTooOld => event[time] = at(spoke, EventTime(-5_364_662_400_000)),
        Defect::TimeTooNew => {
            event[time] = at(spoke, EventTime(timestamp_ms + 3 * 86_400_000));
        }
        Defect::AnswerOutOfRange => match spoke {
            "marketing" => event["survey"] = json!({"type": "nps", "answer": 11}),
            _ => event["data"]["rating"] = json!({"scale": "satisfaction", "value": 0}),
        },
        Defect::SentimentOutOfRange => match spoke {
            "marketing" => event["mood"] = json!(101),
            _ => event["data"]["mood"] = json!(-120),
        },
        Defect::UnknownKind => event[kind] = Value::from("something_else"),
        // Handled before: they are not changes of a member.
        Defect::Truncated | Defect::Empty | Defect::ObjectAsText | Defect::TextTooLong => {}
    }
    match defect {
        Defect::NoId | Defect::NoTime | Defect::NoKind => Reason::MissingField,
        Defect::BlockedIdentifiers | Defect::NoIdentifiers => Reason::NoUsableIdentifier,
        Defect::TimeInWords | Defect::TimeTooOld => Reason::BadTimestamp,
        Defect::TimeTooNew => Reason::TooFarInFuture,
        Defect::AnswerOutOfRange | Defect::SentimentOutOfRange => Reason::ScoreOutOfRange,
        Defect::UnknownKind => Reason::UnknownKind,
        Defect::ObjectAsText => Reason::WrongType,
        Defect::TextTooLong => Reason::TooLarge,
        Defect::Truncated | Defect::Empty => Reason::Undecodable,
    }
}

fn remove(event: &mut Value, name: &str) {
    if let Value::Object(members) = event {
        members.remove(name);
    }
}

/// A time as the spoke writes it.
fn at(spoke: &str, at: EventTime) -> Value {
    match spoke {
        "marketing" => Value::from(at.0.div_euclid(1_000)),
        "support" => Value::from(at.to_string()),
        "sales" => Value::from(at.0 * 1_000),
        // Local, and days off anyway.
        _ => Value::from(at.to_string().trim_end_matches('Z')),
    }
}

/// Replaces every identifier.
fn identify(event: &mut Value, spoke: &str, person: Value, thing: Value) {
    match spoke {
        "marketing" => event["profile"] = json!({"customer": person, "mail": "", "cookie": thing}),
        "support" => {
            event["data"]["requester"] = json!({"number": person, "email": person});
            event["data"]["ticket"] = thing;
        }
        "sales" => {
            event["buyer"] = json!({"number": person, "cookie": ""});
            (event["order"], event["contract"]) = (thing.clone(), thing);
        }
        _ => {
            event["customer"] = json!({"number": person, "cookie": ""});
            (event["order"], event["contract"]) = (thing.clone(), thing);
        }
    }
}
