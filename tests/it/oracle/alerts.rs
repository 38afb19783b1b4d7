//! One person's timeline in, the open alerts of `insight.alerts` out: each cause by its definition, over the whole timeline.

use std::collections::BTreeMap;

use jiff::{ToSpan as _, civil::date};
use serde_json::{Value, json};

use super::{
    Options,
    cells::{Day, World},
    person::Case,
    sources::{Touch, instant},
    trade::{NEVER, Trade},
};

const CONCERNS_MAX: usize = 16;
const PURCHASES_MAX: usize = 16;
const FOLLOW_UP_HOURS: i64 = 48;
const LAPSE_DAYS_MIN: f64 = 14.0;

/// What somebody is to look at.
pub struct Person<'a> {
    pub name: &'a str,
    pub timeline: &'a [Touch],
    pub trade: &'a Trade,
    pub cases: &'a [Case],
}

pub fn shown(day: Day) -> String {
    (date(1970, 1, 1) + i64::from(day).days()).to_string()
}

/// Which touchpoint gave cause.
fn by(touch: &Touch) -> Vec<u8> {
    let (kind, value) = touch.strongest();
    [kind, value, &touch.spoke, &touch.id].join("\0").into_bytes()
}

/// The first 128 bits of keyed BLAKE3, in hexadecimal: of the cause, and of what gave it.
fn id(key: &[u8; 32], cause: &str, by: &[u8]) -> String {
    let mark = xxhash_rust::xxh3::xxh3_64(by).to_le_bytes();
    let text = [b"alert\0", cause.as_bytes(), &[0], &mark].concat();
    blake3::keyed_hash(key, &text).to_hex()[..32].to_owned()
}

struct Found<'a> {
    cause: &'static str,
    since: Day,
    /// What gave cause.
    by: Vec<u8>,
    owner: &'a str,
    thing: Option<(&'static str, &'a str)>,
    happened_at: Option<i64>,
    figures: Value,
}

/// The person's alerts by key, as of the last closed day.
pub fn open(of: &Person<'_>, world: &World, options: &Options) -> BTreeMap<String, Value> {
    let causes = [promises, unanswered, concerns, contacts, lapse];
    let found = causes.iter().flat_map(|cause| cause(of, world, options));
    found
        .filter(|found| found.since <= world.last_closed_day)
        .map(|found| {
            let id = id(&options.person_key, found.cause, &found.by);
            let seen = options.acknowledged.get(&id);
            let value = json!({
                "id": id,
                "cause": found.cause,
                "state": if seen.is_some() { "acknowledged" } else { "open" },
                "owner": found.owner,
                "person": of.name,
                "metric": null,
                "thing": found.thing.map(|(kind, value)| json!({"type": kind, "value": value})),
                "since": shown(found.since),
                "happened_at": found.happened_at.map(instant),
                "figures": found.figures,
                "test": null,
                "acknowledged_by": seen.map(|(by, _)| by),
                "acknowledged_at": seen.map(|(_, at)| instant(*at)),
            });
            (format!("{id}|{}", of.name), value)
        })
        .collect()
}

fn promises<'a>(of: &Person<'a>, world: &World, _: &Options) -> Vec<Found<'a>> {
    let open = of.trade.promises.iter().filter(|promise| promise.ended == NEVER);
    open.map(|promise| {
        let made = &of.timeline[promise.made];
        let order = promise.order.as_str();
        Found {
            cause: "promise_overdue",
            since: world.day(made.occurred_at).max(world.day(promise.due)),
            by: [b"promise\0", order.as_bytes(), &[0], &promise.due.to_le_bytes()].concat(),
            owner: &made.spoke,
            thing: Some(("order", order)),
            happened_at: Some(promise.due),
            figures: json!({}),
        }
    })
    .collect()
}

fn unanswered<'a>(of: &Person<'a>, world: &World, options: &Options) -> Vec<Found<'a>> {
    let waits = |case: &&Case| case.first_reply.min(case.first_resolution) == NEVER && case.forgotten == NEVER;
    let open = of.cases.iter().filter(waits);
    open.map(|case| {
        let opened = &of.timeline[case.opened];
        Found {
            cause: "case_unanswered",
            since: world.day(opened.occurred_at + options.unanswered_target_ms),
            by: match opened.thing("case") == Some(&case.name) {
                true => by(opened),
                // One of several that were opened at once.
                false => [&*by(opened), b"\0", case.name.as_bytes()].concat(),
            },
            owner: &opened.spoke,
            thing: Some(("case", &case.name)),
            happened_at: Some(opened.occurred_at),
            figures: json!({"target_hours": options.unanswered_target_ms as f64 / 3_600_000.0}),
        }
    })
    .collect()
}

fn concerns<'a>(of: &Person<'a>, world: &World, _: &Options) -> Vec<Found<'a>> {
    let nps =
        |touch: &Touch| touch.score.as_ref().filter(|(scale, value, _)| scale == "nps" && *value <= 6).map(|it| it.1);
    let after = of.timeline.iter().rposition(super::experience::is_follow_up).map_or(0, |last| last);
    let waiting: Vec<&Touch> =
        of.timeline[after..].iter().filter(|touch| nps(touch).is_some() || touch.kind == "complaint_made").collect();
    let newest = waiting.len().saturating_sub(CONCERNS_MAX);
    waiting[newest..]
        .iter()
        .map(|touch| {
            let mut figures = json!({"target_hours": FOLLOW_UP_HOURS});
            if let Some(score) = nps(touch) {
                figures["score"] = score.into();
            }
            Found {
                cause: "follow_up_missing",
                since: world.day(touch.occurred_at + FOLLOW_UP_HOURS * 3_600_000),
                by: by(touch),
                owner: &touch.spoke,
                thing: None,
                happened_at: Some(touch.occurred_at),
                figures,
            }
        })
        .collect()
}

fn contacts<'a>(of: &Person<'a>, world: &World, options: &Options) -> Vec<Found<'a>> {
    let messages: Vec<(Day, &Touch)> = of
        .timeline
        .iter()
        .filter(|touch| touch.kind == "message_sent")
        .map(|touch| (world.day(touch.occurred_at), touch))
        .collect();
    let count = |close: Day| messages.iter().filter(|(day, _)| close - 30 < *day && *day <= close).count() as i64;
    let is_over = |close: Day| count(close) > options.contact_cap;
    let close = world.last_closed_day;
    if !is_over(close) {
        return Vec::new();
    }
    let mut since = close;
    while is_over(since - 1) {
        since -= 1;
    }
    // The message with which the cap was exceeded on that day.
    let before = messages.iter().filter(|(day, _)| since - 30 < *day && *day < since).count() as i64;
    let of_day: Vec<&&Touch> = messages.iter().filter(|(day, _)| *day == since).map(|(_, touch)| touch).collect();
    let message = of_day[(options.contact_cap - before) as usize];
    let figures = json!({"messages_30_days": count(close), "cap": options.contact_cap});
    let (by, owner) = (by(message), &message.spoke);
    vec![Found { cause: "contact_cap_exceeded", since, by, owner, thing: None, happened_at: None, figures }]
}

/// How somebody buys, by the newest purchases.
pub struct Rhythm {
    pub days: usize,
    pub mean: f64,
    pub limit: f64,
    /// The day at whose close they have lapsed.
    pub lapses_on: Day,
    last: usize,
}

pub fn rhythm(timeline: &[Touch], trade: &Trade, world: &World) -> Option<Rhythm> {
    // What happens to purchases, in order: remembered, forgotten for newer ones, cancelled.
    let mut remembered: Vec<usize> = Vec::new();
    for (position, touch) in timeline.iter().enumerate() {
        if touch.kind == "subscription_renewed" {
            remembered.push(position);
        }
        for purchase in &trade.purchases {
            if purchase.placed == position {
                remembered.push(position);
            }
            if purchase.cancelled == position {
                remembered.retain(|placed| *placed != purchase.placed);
            }
        }
        if remembered.len() > PURCHASES_MAX {
            remembered.remove(0);
        }
    }
    let mut days: Vec<Day> = remembered.iter().map(|&at| world.day(timeline[at].occurred_at)).collect();
    days.dedup();
    if days.len() < 3 {
        return None;
    }
    let gaps: Vec<f64> = days.windows(2).map(|two| f64::from(two[1] - two[0])).collect();
    let n = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / n;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // What is whole up to rounding is whole.
    let limit = (mean + 2.0 * variance.sqrt() - 1e-9).ceil().max(LAPSE_DAYS_MIN);
    let lapses_on = days[days.len() - 1] + limit as Day + 1;
    Some(Rhythm { days: days.len(), mean, limit, lapses_on, last: *remembered.last().unwrap() })
}

fn lapse<'a>(of: &Person<'a>, world: &World, _: &Options) -> Vec<Found<'a>> {
    let found = |rhythm: Rhythm| Found {
        cause: "customer_lapsed",
        since: rhythm.lapses_on,
        by: by(&of.timeline[rhythm.last]),
        owner: &of.timeline[rhythm.last].spoke,
        thing: None,
        happened_at: None,
        figures: json!({"purchase_days": rhythm.days, "mean_gap_days": rhythm.mean, "limit_days": rhythm.limit}),
    };
    rhythm(of.timeline, of.trade, world).map(found).into_iter().collect()
}
