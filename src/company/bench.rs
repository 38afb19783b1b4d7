//! The input of the benchmarks: canonical JSON touchpoints of 281 bytes on average, made fast.

use crate::model::EventTime;

use super::{
    SourceEvent,
    journey::DAY,
    random::{Random, Zipf},
    shape::{Writer, push_number, push_padded},
};

/// The mean size of a payload in bytes: the size for which the orientation figures of other systems are known.
pub const BENCH_PAYLOAD_BYTES: usize = 281;

/// What to make.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Another seed, other events.
    pub seed: u64,
    /// Drawn by Zipf's law.
    pub customers: u32,
    /// Its exponent in hundredths.
    pub exponent_hundredths: u32,
    /// How many events.
    pub events: u64,
    /// When the first arrives, ms.
    pub start_ms: i64,
    /// Over how many days they arrive evenly.
    pub days: u32,
    /// Of how many customers in a hundred only a cookie is known at first: by the end all of them have become known, each
    /// after [`ANONYMOUS_TOUCHPOINTS`] touchpoints.
    pub anonymous_percent: u32,
    /// The same events of the same customers, but none of them is anonymous: what linking costs is the difference.
    pub recognised: bool,
}

/// Touchpoints of a customer whom only a cookie names; the next names both. Partitions are read at different speeds, so that
/// some come after it: 20 or so are there to be moved.
pub const ANONYMOUS_TOUCHPOINTS: u32 = 24;
/// So many customers browse at a time. Who they are is said when the next so many have browsed: partitions that are read at
/// different speeds do not bring it before what it moves.
const BROWSE_TOGETHER: u32 = 200;

impl Default for BenchOptions {
    /// A million events of 100,000 customers over 30 days of 2026.
    fn default() -> BenchOptions {
        BenchOptions {
            seed: 1,
            customers: 100_000,
            exponent_hundredths: 100,
            events: 1_000_000,
            start_ms: 1_767_225_600_000,
            days: 30,
            anonymous_percent: 0,
            recognised: false,
        }
    }
}

/// A customer who is anonymous at first, and whether it is said now who it is.
type Visit = (u32, bool);

/// The visits of all who are anonymous at first, and how many there are.
fn visits(customers: u32, percent: u32) -> (Box<dyn Iterator<Item = Visit> + Send>, u64) {
    let percent = percent.min(100);
    let all = (0..customers).filter(move |customer| customer % 100 < percent).count() as u32;
    let together = move |group: u32| {
        let first = group * BROWSE_TOGETHER;
        let numbers = first.min(all)..(first + BROWSE_TOGETHER).min(all);
        numbers.map(move |number| number / percent * 100 + number % percent)
    };
    let groups = 0..=all.div_ceil(BROWSE_TOGETHER);
    let visits = groups.flat_map(move |group| {
        let browse = (0..ANONYMOUS_TOUCHPOINTS).flat_map(move |_| together(group)).map(|customer| (customer, false));
        let before = group.checked_sub(1).into_iter().flat_map(together);
        browse.chain(before.map(|customer| (customer, true)))
    });
    (Box::new(visits), u64::from(all) * u64::from(ANONYMOUS_TOUCHPOINTS + 1))
}

/// The events, in order of arrival; 5 % of them happened up to three days before.
pub struct BenchEvents {
    options: BenchOptions,
    customers: Zipf,
    /// What is left of the visits, which are spread evenly among the events.
    visits: Box<dyn Iterator<Item = Visit> + Send>,
    /// How many there are, and how many were made.
    visits_all: u64,
    visits_made: u64,
    /// Whose name was said, of those who are anonymous at first.
    known: Vec<bool>,
    random: Random,
    made: u64,
    bytes: u64,
}

impl BenchEvents {
    /// The events of these options.
    ///
    /// # Panics
    ///
    /// If there are fewer events than it takes until everybody is known, or if everybody is anonymous at first.
    pub fn new(options: BenchOptions) -> BenchEvents {
        let (visits, visits_all) = visits(options.customers, options.anonymous_percent);
        assert!(options.anonymous_percent < 100, "somebody is known from the beginning");
        assert!(visits_all <= options.events, "{visits_all} events at least for so many anonymous customers");
        BenchEvents {
            customers: Zipf::new(options.customers, options.exponent_hundredths),
            visits,
            visits_all,
            visits_made: 0,
            known: vec![false; if visits_all > 0 { options.customers as usize } else { 0 }],
            random: Random::of_part(options.seed, 1),
            made: 0,
            bytes: 0,
            options,
        }
    }
}

/// Kinds with their share in percent.
const KINDS: [(&str, u64); 12] = [
    ("message_sent", 20),
    ("message_opened", 12),
    ("page_viewed", 24),
    ("order_placed", 7),
    ("payment_received", 6),
    ("delivery_promised", 6),
    ("order_shipped", 5),
    ("order_delivered", 5),
    ("case_opened", 4),
    ("case_replied", 4),
    ("case_resolved", 3),
    ("survey_answered", 4),
];
const PERCENT_OF_LATE: u32 = 5;
const LATE_BY_MAX: i64 = 3 * DAY;
/// Long enough to fill the shortest event, short enough for a property's value.
const FILLING: &str = "7f3a9c51e8b24d06a1f7c3e95b8d2460f1a9e3c75d8b2460a7f3c9e15b8d24609c51e8b24d06a1f7c3e95b8d2460f1a9e3c75d8b2460a7f3c9e15b8d24";

impl Iterator for BenchEvents {
    type Item = SourceEvent;

    fn next(&mut self) -> Option<SourceEvent> {
        if self.made == self.options.events {
            return None;
        }
        let random = &mut self.random;
        let visits_due = u128::from(self.visits_all) * u128::from(self.made + 1) / u128::from(self.options.events);
        let visit = if visits_due > u128::from(self.visits_made) { self.visits.next() } else { None };
        self.visits_made += u64::from(visit.is_some());
        let (customer, is_said) = visit.unwrap_or_else(|| {
            // Who is not known yet comes by visits alone, or the most active would have moved thousands of touchpoints.
            let is_known = |customer: u32| {
                customer % 100 >= self.options.anonymous_percent
                    || self.known.get(customer as usize).is_none_or(|known| *known)
            };
            let mut customer = self.customers.draw(random);
            while !is_known(customer) {
                customer = self.customers.draw(random);
            }
            (customer, false)
        });
        let span = i128::from(self.options.days.max(1)) * i128::from(DAY);
        let passed = (span * i128::from(self.made) / i128::from(self.options.events)) as i64;
        let timestamp_ms = self.options.start_ms + passed;
        let late = if random.percent(PERCENT_OF_LATE) { random.between(1, LATE_BY_MAX) } else { 0 };
        let occurred_at = timestamp_ms - late;
        // A customer has one order and one case in four days, so that most deliveries find their order without a memory.
        let occasion = occurred_at.div_euclid(4 * DAY);
        let mut share = random.below(100);
        let mut kind = KINDS[0].0;
        for (word, percent) in KINDS {
            kind = word;
            if share < percent {
                break;
            }
            share -= percent;
        }

        let mut key = Vec::with_capacity(8);
        key.push(b'C');
        push_padded(&mut key, u64::from(customer) + 1, 7);
        let mut payload = Vec::with_capacity(BENCH_PAYLOAD_BYTES + 64);
        payload.extend_from_slice(b"{\"id\":\"b-");
        push_padded(&mut payload, self.made, 9);
        payload.extend_from_slice(b"\",\"identifiers\":{");
        let unknown = self
            .known
            .get_mut(customer as usize)
            .filter(|known| customer % 100 < self.options.anonymous_percent && !**known);
        let is_anonymous = unknown.is_some() && !is_said;
        if let Some(known) = unknown {
            *known = is_said;
            if !self.options.recognised {
                payload.extend_from_slice(b"\"cookie\":[\"K-");
                payload.extend_from_slice(&key);
                payload.extend_from_slice(if is_anonymous { b"\"]" } else { b"\"]," });
            }
        }
        if !is_anonymous || self.options.recognised {
            payload.extend_from_slice(b"\"customer_id\":[\"");
            payload.extend_from_slice(&key);
            payload.extend_from_slice(b"\"]");
        }
        let thing: Option<&[u8]> = match kind {
            // An order of its own would join them sooner.
            _ if is_anonymous => None,
            "order_placed" | "payment_received" | "delivery_promised" | "order_shipped" | "order_delivered" => {
                Some(b",\"order\":[\"O-")
            }
            "case_opened" | "case_replied" | "case_resolved" => Some(b",\"case\":[\"T-"),
            _ => None,
        };
        if let Some(thing) = thing {
            payload.extend_from_slice(thing);
            push_number(&mut payload, i64::from(customer) + 1);
            payload.push(b'-');
            push_number(&mut payload, occasion);
            payload.extend_from_slice(b"\"]");
        }
        payload.extend_from_slice(b"},");
        self.rest(kind, customer, occurred_at, &mut payload);
        self.made += 1;
        self.bytes += payload.len() as u64;
        Some(SourceEvent {
            spoke: "operations",
            key,
            payload,
            occurred_at,
            timestamp_ms,
            valid: true,
            rejection: None,
            duplicate: false,
        })
    }
}

impl BenchEvents {
    /// The members after the identifiers, and what fills the event up to the mean size.
    fn rest(&mut self, kind: &str, customer: u32, occurred_at: i64, payload: &mut Vec<u8>) {
        let random = &mut self.random;
        let mut json = Writer::new(payload);
        json.text("kind", kind);
        json.time("occurred_at", EventTime(occurred_at));
        json.text("channel", random.pick(&["web", "app", "email", "phone", "store"]));
        json.text("region", ["north", "south", "east", "west"][customer as usize % 4]);
        json.text("segment", ["families", "singles", "seniors"][customer as usize % 3]);
        match kind {
            "order_placed" | "payment_received" => {
                json.open(Some("amount"));
                json.number("minor", random.between(990, 49_990));
                json.text("currency", "EUR");
                json.close();
            }
            "delivery_promised" => json.time("promised_at", EventTime(occurred_at + random.between(1, 3) * DAY)),
            "survey_answered" => {
                json.open(Some("score"));
                json.text("scale", "nps");
                json.number("value", random.between(0, 10));
                json.close();
            }
            _ => {}
        }
        const AROUND_FILLING: usize = ",\"properties\":{\"trace\":\"\"}}".len();
        let wanted = BENCH_PAYLOAD_BYTES as u64 * (self.made + 1);
        let filled = self.bytes + (json.out.len() + AROUND_FILLING) as u64;
        let missing = (wanted.saturating_sub(filled) as usize).clamp(1, FILLING.len());
        json.open(Some("properties"));
        json.text("trace", &FILLING[..missing]);
        json.close();
        json.close();
    }
}

/// The events of customers who become known: first what a cookie did, of all of them; then, of each, the event that names
/// both the cookie and the customer.
#[derive(Debug)]
pub struct FirstLinks {
    customers: u64,
    made: u64,
}

impl FirstLinks {
    /// Touchpoints of each cookie before its customer is known.
    pub const BEFORE: u32 = 20;
    /// When they happened: after those of [`BenchEvents`] by default, so that nothing is late.
    const START_MS: i64 = 1_767_225_600_000 + 31 * DAY;

    /// Of so many customers.
    pub fn new(customers: u64) -> FirstLinks {
        FirstLinks { customers, made: 0 }
    }
}

impl Iterator for FirstLinks {
    type Item = SourceEvent;

    fn next(&mut self) -> Option<SourceEvent> {
        let before = self.customers * u64::from(FirstLinks::BEFORE);
        let customer = if self.made < before { self.made / u64::from(FirstLinks::BEFORE) } else { self.made - before };
        if customer >= self.customers {
            return None;
        }
        let occurred_at = FirstLinks::START_MS + self.made as i64;
        let known = if self.made < before { String::new() } else { format!(",\"customer_id\":[\"F-{customer}\"]") };
        let payload = format!(
            "{{\"id\":\"f-{}\",\"kind\":\"page_viewed\",\"occurred_at\":\"{}\",\"identifiers\":{{\"cookie\":[\"F-{customer}\"]{known}}},\"channel\":\"web\"}}",
            self.made,
            EventTime(occurred_at),
        );
        self.made += 1;
        Some(SourceEvent {
            spoke: "operations",
            key: customer.to_string().into_bytes(),
            payload: payload.into_bytes(),
            occurred_at,
            timestamp_ms: occurred_at,
            valid: true,
            rejection: None,
            duplicate: false,
        })
    }
}
