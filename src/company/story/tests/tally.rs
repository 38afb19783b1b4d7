//! A story's events in, the metrics that an analyst would see out: counted from the departments' own bytes, with no code of
//! the product.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::super::SourceEvent;

const DAY: i64 = 86_400_000;

/// Days of the story, both included.
pub type Span = (i32, i32);

#[derive(Debug, Default)]
struct Order {
    placed: Option<(i64, String, i64)>,
    region: String,
    cancelled: Option<i64>,
    promises: BTreeMap<i64, i64>,
    delivered: Option<i64>,
    returned: Option<i64>,
}

#[derive(Debug, Default)]
struct Case {
    opened: Option<i64>,
    region: String,
    replied: Option<i64>,
    resolved: Option<i64>,
}

/// Everything that the metrics need of the events.
#[derive(Debug, Default)]
pub struct Tally {
    start: i64,
    orders: BTreeMap<String, Order>,
    cases: BTreeMap<String, Case>,
    renewals: Vec<(i64, String, i64)>,
    answers: Vec<(i64, String, String, i64)>,
    feelings: Vec<(i64, String, i64)>,
    /// (week, region) → (persons with a touchpoint, persons who did something).
    persons: BTreeMap<(i64, String), (BTreeSet<String>, BTreeSet<String>)>,
    pub kinds: BTreeMap<String, u64>,
    /// Cookie → the customers that signed in with it, and whether it was seen without one.
    pub cookies: BTreeMap<String, (BTreeSet<String>, bool)>,
    pub touchpoints: u64,
}

/// Words that mean the customer did it.
const BY_CUSTOMERS: [&str; 24] = [
    "EmailOpened",
    "EmailClicked",
    "AdClicked",
    "PageViewed",
    "AssetConsumed",
    "EventAttended",
    "SocialMention",
    "ReviewPosted",
    "Referral",
    "SurveyAnswered",
    "lead_created",
    "cart_abandoned",
    "order_placed",
    "order_cancelled",
    "order_returned",
    "payment_received",
    "subscription_started",
    "subscription_renewed",
    "subscription_cancelled",
    "ticket.opened",
    "ticket.reopened",
    "ticket.complained",
    "ticket.rated",
    "visit_made",
];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `2026-01-31T09:00:00.000Z` in milliseconds.
fn time(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

impl Tally {
    pub fn of(start_day: i32, events: impl Iterator<Item = SourceEvent>) -> Tally {
        let mut tally = Tally { start: i64::from(start_day) * DAY, ..Tally::default() };
        for event in events.filter(|event| event.valid && !event.duplicate) {
            let payload: Value = serde_json::from_slice(&event.payload).unwrap();
            tally.touchpoints += 1;
            match event.spoke {
                "marketing" => tally.marketing(&payload),
                "support" => tally.support(&payload),
                "sales" => tally.order(&payload),
                _ => tally.scan(&payload),
            }
        }
        tally
    }

    fn seen(&mut self, at: i64, word: &str, person: &str, region: &str) {
        *self.kinds.entry(word.to_owned()).or_default() += 1;
        let week = (at - self.start).div_euclid(7 * DAY);
        for region in ["", region] {
            let (reached, active) = self.persons.entry((week, region.to_owned())).or_default();
            reached.insert(person.to_owned());
            if BY_CUSTOMERS.contains(&word) {
                active.insert(person.to_owned());
            }
        }
    }

    fn marketing(&mut self, event: &Value) {
        let (at, region) = (event["ts"].as_i64().unwrap() * 1_000, text(&event["market"]));
        let profile = &event["profile"];
        let (customer, cookie) = (text(&profile["customer"]), text(&profile["cookie"]));
        if !cookie.is_empty() {
            let (customers, alone) = self.cookies.entry(cookie.clone()).or_default();
            if customer.is_empty() {
                *alone = true;
            } else {
                customers.insert(customer.clone());
            }
        }
        let person = if customer.is_empty() { cookie } else { customer };
        self.seen(at, event["event"].as_str().unwrap(), &person, &region);
        self.feel(at, &region, &event["mood"]);
        self.answer(at, &region, &event["survey"]["type"], &event["survey"]["answer"]);
    }

    fn support(&mut self, event: &Value) {
        let at = time(&event["time"]).unwrap();
        let data = &event["data"];
        let (region, word) = (text(&data["region"]), text(&event["type"]));
        self.seen(at, &word, data["requester"]["number"].as_str().unwrap(), &region);
        self.feel(at, &region, &data["mood"]);
        self.answer(at, &region, &data["rating"]["scale"], &data["rating"]["value"]);
        let case = self.cases.entry(text(&data["ticket"])).or_default();
        case.region = region;
        let earliest = |slot: &mut Option<i64>| *slot = Some(slot.map_or(at, |known| known.min(at)));
        match word.as_str() {
            "ticket.opened" => earliest(&mut case.opened),
            "ticket.solved" => earliest(&mut case.resolved),
            "ticket.commented" if data["author"] == "agent" && data["comment"]["public"] == true => {
                earliest(&mut case.replied);
            }
            _ => {}
        }
    }

    fn order(&mut self, event: &Value) {
        let at = event["changed_at"].as_i64().unwrap() / 1_000;
        let kind = match event["state"].as_str().unwrap() {
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
            other => panic!("{other}"),
        };
        let amount = event["total"].as_str().map_or(0, |total| total.replace('.', "").parse().unwrap());
        let (region, customer) = (text(&event["market"]), text(&event["buyer"]["number"]));
        self.of_thing(at, kind, region, customer, (amount, None), event);
    }

    fn scan(&mut self, event: &Value) {
        let instant = |value: &Value| {
            let local: jiff::civil::DateTime = value.as_str()?.parse().ok()?;
            Some(local.in_tz(event["tz"].as_str()?).ok()?.timestamp().as_millisecond())
        };
        let kind = match event["what"].as_str().unwrap() {
            "announced" => "delivery_promised",
            "left" => "order_shipped",
            "handed over" => "order_delivered",
            "came back" => "order_returned",
            "paid back" => "refund_issued",
            "down" => "service_interrupted",
            "up again" => "service_restored",
            // Of no order and no customer.
            "changed over" => return,
            other => panic!("{other}"),
        };
        let (region, customer) = (text(&event["site"]), text(&event["customer"]["number"]));
        self.of_thing(instant(&event["at"]).unwrap(), kind, region, customer, (0, instant(&event["due"])), event);
    }

    /// An event about an order or a contract: its amount, and what was promised.
    fn of_thing(
        &mut self,
        at: i64,
        kind: &str,
        region: String,
        customer: String,
        (amount, promised_at): (i64, Option<i64>),
        event: &Value,
    ) {
        self.seen(at, kind, &customer, &region);
        let thing = [&event["order"], &event["contract"]];
        let Some(thing) = thing.iter().find_map(|value| value.as_str()) else { return };
        if kind == "subscription_renewed" {
            self.renewals.push((at, region, amount));
            return;
        }
        let order = self.orders.entry(thing.to_owned()).or_default();
        order.region = region;
        match kind {
            "order_placed" | "subscription_started" => order.placed = Some((at, customer, amount)),
            "order_cancelled" => order.cancelled = Some(at),
            "delivery_promised" => {
                order.promises.insert(at, promised_at.unwrap());
            }
            "order_delivered" => order.delivered = Some(at),
            "order_returned" => order.returned = Some(at),
            _ => {}
        }
    }

    fn feel(&mut self, at: i64, region: &str, mood: &Value) {
        if let Some(mood) = mood.as_i64() {
            self.feelings.push((at, region.to_owned(), mood));
        }
    }

    fn answer(&mut self, at: i64, region: &str, scale: &Value, value: &Value) {
        if let Some(value) = value.as_i64() {
            self.answers.push((at, region.to_owned(), text(scale), value));
        }
    }

    fn is_in(&self, at: i64, (first, last): Span) -> bool {
        (i64::from(first)..=i64::from(last)).contains(&(at - self.start).div_euclid(DAY))
    }

    fn answers(&self, scale: &str, region: &str, days: Span) -> Vec<i64> {
        let of = |place: &str| region.is_empty() || place == region;
        let answers = self
            .answers
            .iter()
            .filter(|(at, place, of_scale, _)| of_scale == scale && of(place) && self.is_in(*at, days));
        answers.map(|(.., value)| *value).collect()
    }

    /// How many of these periods are open at the close of each day, on average.
    fn level(&self, days: Span, periods: impl Iterator<Item = (i64, i64)>) -> f64 {
        let closes = i64::from(days.0) + 1..=i64::from(days.1) + 1;
        let count = periods
            .map(|(from, to)| closes.clone().filter(|day| (from..to).contains(&(self.start + day * DAY - 1))).count())
            .sum::<usize>();
        count as f64 / f64::from(days.1 - days.0 + 1)
    }

    /// A metric of the catalogue over some days, by its definition there: counts and sums per day, persons by weeks.
    pub fn metric(&self, metric: &str, region: &str, days: Span) -> f64 {
        let length = f64::from(days.1 - days.0 + 1);
        let of = |place: &str| region.is_empty() || place == region;
        let orders = || self.orders.values().filter(|order| of(&order.region));
        let bought = || orders().filter(|order| order.cancelled.is_none()).filter_map(|order| order.placed.as_ref());
        let bought_in = || bought().filter(|(at, ..)| self.is_in(*at, days));
        // Days between the newest promise and the delivery.
        let gaps = || {
            orders().filter_map(|order| {
                let delivered = order.delivered.filter(|at| self.is_in(*at, days))?;
                let promised = order.promises.range(..=delivered).next_back()?.1;
                Some((delivered - promised) as f64 / DAY as f64)
            })
        };
        let cases = || self.cases.values().filter(|case| of(&case.region));
        let weeks = || {
            let whole = i64::from(days.0).div_euclid(7)..=i64::from(days.1 + 1).div_euclid(7) - 1;
            whole.filter_map(|week| self.persons.get(&(week, region.to_owned())))
        };
        match metric {
            "nps" => {
                let answers = self.answers("nps", region, days);
                let count = |range: std::ops::RangeInclusive<i64>| {
                    answers.iter().filter(|answer| range.contains(answer)).count() as f64
                };
                100.0 * (count(9..=10) - count(0..=6)) / answers.len() as f64
            }
            "csat" => mean(self.answers("satisfaction", region, days).iter().map(|answer| *answer as f64)),
            "ces" => mean(self.answers("effort", region, days).iter().map(|answer| *answer as f64)),
            "sentiment" => mean(
                self.feelings
                    .iter()
                    .filter(|(at, place, _)| of(place) && self.is_in(*at, days))
                    .map(|(.., mood)| *mood as f64),
            ),
            "promise_gap" => mean(gaps()),
            "on_time" => 100.0 * mean(gaps().map(|gap| f64::from(u8::from(gap <= 0.0)))),
            "overdue" => self.level(
                days,
                orders().filter_map(|order| {
                    let due = *order.promises.values().next_back()?;
                    Some((due, order.delivered.or(order.cancelled).unwrap_or(i64::MAX)))
                }),
            ),
            "first_response_time" => mean(cases().filter_map(|case| {
                let replied = case.replied.filter(|at| self.is_in(*at, days))?;
                Some((replied - case.opened?) as f64 / 3_600_000.0)
            })),
            "resolution_time" => mean(cases().filter_map(|case| {
                let resolved = case.resolved.filter(|at| self.is_in(*at, days))?;
                Some((resolved - case.opened?) as f64 / 3_600_000.0)
            })),
            "unanswered" => self
                .level(days, cases().filter_map(|case| Some((case.opened? + DAY, case.replied.unwrap_or(i64::MAX))))),
            "new_customers" => {
                let mut first: BTreeMap<&str, i64> = BTreeMap::new();
                for (at, customer, _) in bought() {
                    let known = first.entry(customer).or_insert(*at);
                    *known = (*known).min(*at);
                }
                first.values().filter(|at| self.is_in(**at, days)).count() as f64 / length
            }
            "orders" => bought_in().count() as f64 / length,
            "revenue" => {
                let renewed = self.renewals.iter().filter(|(at, place, _)| of(place) && self.is_in(*at, days));
                (bought_in().map(|(.., amount)| amount).sum::<i64>() + renewed.map(|(.., amount)| amount).sum::<i64>())
                    as f64
                    / 100.0
                    / length
            }
            "average_order_value" => mean(bought_in().map(|(.., amount)| *amount as f64 / 100.0)),
            "return_rate" => {
                let returned = orders().filter(|order| order.returned.is_some_and(|at| self.is_in(at, days))).count();
                100.0 * returned as f64 / gaps().count() as f64
            }
            "contact_rate" => {
                let opened = cases().filter(|case| case.opened.is_some_and(|at| self.is_in(at, days))).count() as f64;
                100.0 * opened / length * 7.0 / mean(weeks().map(|(_, active)| active.len() as f64))
            }
            "reach" => mean(weeks().map(|(reached, _)| reached.len() as f64)),
            other => panic!("no metric {other}"),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    sum / count
}
