//! Few persons to whom much happens, in any order: everything that the metrics ask for meets everything else, far more often
//! than in a company, and each metric is what the oracle says.

use std::collections::BTreeMap;

use insight_hub::company::SourceEvent;
use serde_json::{Value, json};

use crate::{
    identity::{CONTACT_CAP, DEPARTMENTS, HOUR_MS, Hub, START_MS, Said, canonical},
    oracle::{METRICS, Options},
    simulation::{in_turn, seeds},
    world::{assert_truth, truth_under},
};

/// SplitMix64 (S. Vigna).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) % limit as u64) as usize
    }

    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

const KINDS: [&str; 31] = [
    "change_enacted",
    "order_placed",
    "order_placed",
    "order_placed",
    "order_placed",
    "order_cancelled",
    "order_cancelled",
    "delivery_promised",
    "order_delivered",
    "order_returned",
    "refund_issued",
    "subscription_started",
    "subscription_renewed",
    "subscription_cancelled",
    "case_opened",
    "case_opened",
    "case_replied",
    "case_resolved",
    "case_resolved",
    "case_reopened",
    "complaint_made",
    "follow_up_made",
    "survey_answered",
    "survey_answered",
    "survey_answered",
    "page_viewed",
    "page_viewed",
    "social_mentioned",
    "content_consumed",
    "content_consumed",
    "message_sent",
];

fn event(number: usize, random: &mut Random) -> SourceEvent {
    let kind = random.pick(&KINDS);
    // To some much happens, to the others so little that they buy again late or never.
    let often = random.percent(70);
    let person =
        if often { random.pick(&["ann", "bob"]) } else { random.pick(&["eve", "joe", "kim", "lou", "mia", "noa"]) };
    let mut identifiers = json!({"customer_id": [person]});
    if random.percent(85) {
        let (thing, names): (&str, &[&str]) = match kind.split('_').next().unwrap() {
            "case" | "complaint" => ("case", &["T1", "T2", "T3", "T4", "T5", "T6"]),
            "subscription" => ("contract", &["K1", "K2", "K3"]),
            _ => ("order", &["O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8"]),
        };
        // Things of different persons would link them. Some touchpoints are about several.
        let mut named = vec![format!("{person}-{}", random.pick(names))];
        let mut further = Random(random.0 ^ 0x5EBE_7A1D);
        while further.percent(30) {
            named.push(format!("{person}-{}", further.pick(names)));
        }
        identifiers[thing] = json!(named);
    }
    // So that the same moments and days are met, and half a year is spanned.
    let at = START_MS + HOUR_MS * [random.below(24 * 12), random.below(24 * 170)][random.below(2)] as i64;
    let mut payload = json!({"id": number.to_string(), "kind": kind, "occurred_at": at, "identifiers": identifiers});
    let money = |random: &mut Random| json!({"minor": random.below(2_000) as i64 - 300, "currency": random.pick(&["EUR", "EUR", "USD"])});
    let mut more = |name: &str, percent: usize, value: &mut dyn FnMut(&mut Random) -> Value| {
        if random.percent(percent) {
            payload[name] = value(random);
        }
    };
    more("amount", 70, &mut money.clone());
    more("cost", 25, &mut money.clone());
    more("subject", 50, &mut |random| json!(random.pick(&["delivery", "invoice"])));
    more("region", 50, &mut |random| json!(random.pick(&["north", "south"])));
    more("channel", 60, &mut |random| {
        json!(random.pick(&["web", "phone", "chat", "app", "store", "email", "community"]))
    });
    more("visibility", 10, &mut |_| json!("internal"));
    more("initiator", 15, &mut |random| json!(random.pick(&["customer", "agent", "bot"])));
    more("referrer", 3, &mut |_| json!({"type": "email", "value": "friend@example.org"}));
    // Felt better from the seventh day on.
    let worst = if at < START_MS + 6 * 24 * HOUR_MS { 100 } else { 0 };
    more("sentiment", 60, &mut |random| json!(random.below(101) as i64 - worst));
    more("promised_at", 20, &mut |random| json!(at + HOUR_MS * random.below(200) as i64));
    more("effort", 40, &mut |random| json!(random.below(12) as i64 - 2));
    if kind == "survey_answered" {
        let (scale, least, most) =
            [("nps", 0, 10), ("expectation", 1, 7), ("perception", 1, 7), ("expectation", 1, 7), ("csat", 1, 5)]
                [random.below(5)];
        payload["score"] = json!({"scale": scale, "value": least + random.below(most - least + 1)});
        if scale.ends_with("tion") && random.percent(80) {
            payload["score"]["item"] = json!(random.pick(&["speed", "advice"]));
        }
    }
    canonical(DEPARTMENTS[random.below(2)], number, at, &payload)
}

/// How often each metric of the company had a numerator, and one that is not the denominator.
type Seen = BTreeMap<String, [usize; 2]>;

fn run_seed(seed: u64) -> Seen {
    let mut random = Random(seed);
    let events: Vec<SourceEvent> = (0..150 + random.below(150)).map(|number| event(number, &mut random)).collect();
    let truth_of = |events: &[SourceEvent]| {
        let told = truth_under(events, Options { contact_cap: CONTACT_CAP, ..Options::default() });
        assert!(told.rejected.is_empty(), "seed {seed}: {:?}", told.rejected);
        told.feeds
    };
    // They are in no order: each part is late for the one before it.
    let mut hub = Hub::new(seed, 1);
    let mut told = 0;
    for part in [events.len() / 2, events.len() / 4, events.len()] {
        let until = (told + part).min(events.len());
        let said: Vec<Said> = events[told..until].iter().cloned().map(Said::Event).collect();
        told = until;
        hub.tell(&said);
        let what = format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1), {told} told");
        assert_truth(&truth_of(&events[..told]), &hub.rest(&what), &what);
    }
    let mut seen = Seen::new();
    let truth = truth_of(&events);
    let counts = seen.entry("changes".into()).or_default();
    counts[0] = truth.changes.len();
    counts[1] = truth.changes.values().filter(|change| change["movement"] != "unclear").count();
    let of_changes = seen.entry("efforts of changes".into()).or_default();
    for change in truth.changes.values() {
        of_changes[usize::from(change["effort"].is_null())] += 1;
    }
    for (key, value) in &truth.metrics {
        let part = |name: &str| value[name].as_i64().unwrap();
        let counts = seen.entry(key.split('|').next().unwrap().to_owned()).or_default();
        counts[0] += usize::from(part("numerator") != 0);
        counts[1] += usize::from(part("numerator") != part("denominator"));
    }
    seen
}

#[test]
fn much_that_happens_to_few_in_any_order_is_what_the_oracle_says() {
    let count = seeds(12, 1_000);
    let mut total = Seen::new();
    for (metric, counts) in in_turn(count, run_seed).into_iter().flatten() {
        let sum = total.entry(metric).or_default();
        (0..2).for_each(|part| sum[part] += counts[part]);
    }
    println!("{count} seeds: cells with a numerator, and with one unlike the denominator: {total:?}");
    let of_changes = total["efforts of changes"];
    assert!(of_changes.iter().all(|count| *count > 0), "some say what they took, some do not: {of_changes:?}");
    assert!(total["changes"].iter().all(|count| *count > 0), "changes: {:?}", total["changes"]);
    // Nobody is asked for the first, and neither department's costs are of winning customers.
    for metric in METRICS.iter().filter(|metric| !["ces", "acquisition_cost"].contains(*metric)) {
        let counts = total.get(*metric).copied().unwrap_or_default();
        assert!(counts.iter().all(|count| *count > 0), "{metric}: {counts:?}");
    }
}
