//! The seeded company: options in, the events of its four departments out, the same for the same seed everywhere. For the
//! demo, for tests and for benchmarks.
//!
//! Customers (drawn by Zipf's law) go on journeys that begin evenly over the company's days: campaigns, purchases with
//! promised deliveries, cases, subscriptions. Each department tells its part in its own shape; orders, cases and contracts
//! keep their numbers across departments, and every event carries the customer's number.
//!
//! A company with a [`Story`] changes over the months instead: see there.

mod bench;
mod defect;
mod journey;
mod orders;
mod parcels;
mod random;
mod render;
mod shape;
mod story;
#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::model::{Day, Reason};

pub use bench::{BENCH_PAYLOAD_BYTES, BenchEvents, BenchOptions, FirstLinks};
pub use orders::ORDER_SCHEMA;
pub use story::{Chapter, Days, Direction, Effect, Story};

use journey::{DAY, HOUR, MINUTE, SECOND, Step};
use random::{Random, Zipf};
use render::{Place, Renderer};
use story::Planner;

/// The departments, in alphabetical order.
pub const SPOKES: [&str; 4] = ["marketing", "operations", "sales", "support"];

/// How sales writes its records, in the schema of its order desk ([`ORDER_SCHEMA`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SalesFormat {
    /// As the JSON that they would be.
    Json,
    /// As Avro in single-object encoding.
    Avro,
}

/// What company to make up.
#[derive(Clone, Debug)]
pub struct CompanyOptions {
    /// Another seed is another company.
    pub seed: u64,
    /// How many customers there are to draw from; with a story: at its beginning, more join.
    pub customers: u32,
    /// Exactly how many distinct valid touchpoints; copies and invalid events come on top.
    pub touchpoints: u64,
    /// The first day (UTC).
    pub start: Day,
    /// How many days; no touchpoint happens after them. A story has days of its own.
    pub days: u32,
    /// Customers are drawn with weight 1 / rank^(this / 100): 0 is uniform, 100 Zipf's law. Not in a story.
    pub zipf_exponent_hundredths: u32,
    /// Exact copies per million touchpoints; each arrives within a day of its original.
    pub duplicates_per_million: u32,
    /// Events that must be rejected, per million touchpoints.
    pub invalid_per_million: u32,
    /// Touchpoints that arrive late, per million.
    pub late_per_million: u32,
    /// How late at most.
    pub late_by_days_max: u32,
    /// Whether the events come in random order instead of that of arrival. Holds all of them in memory.
    pub shuffled: bool,
    /// How sales writes.
    pub sales: SalesFormat,
    /// What happens to the company over the months; without one its days are alike.
    pub story: Option<Story>,
}

impl Default for CompanyOptions {
    /// A small company with the troubles of a real one: 1 % copies, 1 % invalid, 5 % late up to three days.
    fn default() -> CompanyOptions {
        CompanyOptions {
            seed: 1,
            customers: 1_000,
            touchpoints: 10_000,
            start: Day::from_civil(2026, 1, 1),
            days: 90,
            zipf_exponent_hundredths: 100,
            duplicates_per_million: 10_000,
            invalid_per_million: 10_000,
            late_per_million: 50_000,
            late_by_days_max: 3,
            shuffled: false,
            sales: SalesFormat::Json,
            story: None,
        }
    }
}

/// One record for a spoke's topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEvent {
    /// The department.
    pub spoke: &'static str,
    /// The record's key: what the department partitions by (order, case, contract or customer number).
    pub key: Vec<u8>,
    /// The record's value, in the department's shape.
    pub payload: Vec<u8>,
    /// When it happened, ms (of an invalid event: of the one it was made from).
    pub occurred_at: i64,
    /// When it arrived, ms: the record's timestamp.
    pub timestamp_ms: i64,
    /// Whether the hub must accept it.
    pub valid: bool,
    /// Why the hub must reject it, if it must.
    pub rejection: Option<Reason>,
    /// Whether it is a copy of an earlier one.
    pub duplicate: bool,
}

/// A step that waits for its arrival. Ordered by arrival, then by journey and place in it, so that the order is total.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    arrives_at: i64,
    journey: u64,
    customer: u32,
    step: Step,
    copy: bool,
}

impl Waiting {
    fn order(&self) -> (i64, u64, u8, bool) {
        (self.arrives_at, self.journey, self.step.index, self.copy)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.order() == other.order()
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// The company's events. Memory follows the journeys under way, not the events (unless shuffled).
pub struct Company {
    events: Events,
    chapters: Vec<Chapter>,
}

enum Events {
    InOrder(Box<Stream>),
    Shuffled(std::vec::IntoIter<SourceEvent>),
}

impl Company {
    /// The company of these options.
    pub fn new(options: CompanyOptions) -> Company {
        let (shuffled, seed) = (options.shuffled, options.seed);
        let chapters = options.story.map(|story| story.chapters(options.start)).unwrap_or_default();
        let stream = Stream::new(options);
        if !shuffled {
            return Company { events: Events::InOrder(Box::new(stream)), chapters };
        }
        let mut events: Vec<SourceEvent> = stream.collect();
        let mut random = Random::of_part(seed, u64::MAX);
        // Fisher and Yates.
        for index in (1..events.len()).rev() {
            events.swap(index, random.below(index as u64 + 1) as usize);
        }
        Company { events: Events::Shuffled(events.into_iter()), chapters }
    }

    /// What happens in this company, in order; nothing without a story.
    pub fn chapters(&self) -> &[Chapter] {
        &self.chapters
    }
}

impl Iterator for Company {
    type Item = SourceEvent;

    fn next(&mut self) -> Option<SourceEvent> {
        match &mut self.events {
            Events::InOrder(stream) => stream.next(),
            Events::Shuffled(events) => events.next(),
        }
    }
}

/// Who begins which journey, and when.
enum Occasions {
    /// The same all the time, spread evenly.
    Steady {
        customers: Zipf,
        random: Random,
    },
    Story(Box<Planner>),
}

/// The events in order of arrival.
struct Stream {
    options: CompanyOptions,
    occasions: Occasions,
    start_ms: i64,
    end_ms: i64,
    planned: u64,
    journeys: u64,
    next_start_ms: i64,
    waiting: BinaryHeap<Reverse<Waiting>>,
    steps: Vec<Step>,
    renderer: Renderer,
    invalid: Option<SourceEvent>,
}

impl Stream {
    fn new(options: CompanyOptions) -> Stream {
        let start_ms = i64::from(options.start.0) * DAY;
        let days = options.story.map_or(options.days, Story::days);
        let occasions = match options.story {
            None => Occasions::Steady {
                customers: Zipf::new(options.customers, options.zipf_exponent_hundredths),
                random: Random::of_part(options.seed, 0),
            },
            Some(story) => Occasions::Story(Box::new(Planner::new(story, &options))),
        };
        Stream {
            occasions,
            start_ms,
            end_ms: start_ms + i64::from(days.max(1)) * DAY,
            planned: 0,
            journeys: 0,
            next_start_ms: start_ms,
            waiting: BinaryHeap::new(),
            steps: Vec::new(),
            renderer: Renderer::default(),
            invalid: None,
            options,
        }
    }

    /// Plans the next journey and sets when the one after begins: as far into the days as touchpoints are planned.
    fn begin_journey(&mut self) {
        self.journeys += 1;
        let mut random = Random::of_part(self.options.seed, self.journeys);
        let customer = match &mut self.occasions {
            Occasions::Steady { customers, random: drawing } => {
                let customer = customers.draw(drawing);
                journey::plan(&mut random, self.next_start_ms, &mut self.steps);
                customer
            }
            Occasions::Story(planner) => planner.plan(&mut random, &mut self.steps),
        };
        let mut beyond = 0;
        for step in &self.steps {
            if step.occurred_at >= self.end_ms || self.planned == self.options.touchpoints {
                beyond += 1;
                continue;
            }
            self.planned += 1;
            let delay = if random.chance(self.options.late_per_million) && self.options.late_by_days_max > 0 {
                random.between(HOUR, i64::from(self.options.late_by_days_max) * DAY)
            } else {
                random.between(100, 30 * SECOND)
            };
            let arrives_at = step.occurred_at + delay;
            let waiting = Waiting { arrives_at, journey: self.journeys, customer, step: *step, copy: false };
            self.waiting.push(Reverse(waiting));
            if random.chance(self.options.duplicates_per_million) {
                let arrives_at = arrives_at + random.between(SECOND, DAY);
                self.waiting.push(Reverse(Waiting { arrives_at, copy: true, ..waiting }));
            }
        }
        self.next_start_ms = match &mut self.occasions {
            Occasions::Steady { .. } => {
                let span = i128::from(self.end_ms - self.start_ms);
                let done = span * i128::from(self.planned) / i128::from(self.options.touchpoints.max(1));
                self.start_ms + hours_of_people(done as i64)
            }
            Occasions::Story(planner) => planner.next_start(self.planned, beyond),
        };
    }
}

/// Bends a moment so that little happens at night: 8 % of a day's journeys begin before 7:00, 84 % until 22:00. It keeps
/// the order of moments and the day.
fn hours_of_people(moment: i64) -> i64 {
    let (day, rest) = (moment.div_euclid(DAY) * DAY, moment.rem_euclid(DAY));
    let (night, evening) = (DAY * 8 / 100, DAY * 92 / 100);
    day + if rest < night {
        rest * (7 * HOUR) / night
    } else if rest < evening {
        7 * HOUR + (rest - night) * (15 * HOUR) / (evening - night)
    } else {
        22 * HOUR + (rest - evening) * (2 * HOUR - MINUTE) / (DAY - evening)
    }
}

impl Iterator for Stream {
    type Item = SourceEvent;

    fn next(&mut self) -> Option<SourceEvent> {
        if let Some(invalid) = self.invalid.take() {
            return Some(invalid);
        }
        // Every step of a later journey arrives after that journey begins.
        while self.planned < self.options.touchpoints
            && self.waiting.peek().is_none_or(|Reverse(first)| first.arrives_at > self.next_start_ms)
        {
            self.begin_journey();
        }
        let Reverse(waiting) = self.waiting.pop()?;
        let place = Place {
            seed: self.options.seed,
            customer: waiting.customer,
            journey: waiting.journey,
            told: self.options.story.is_some(),
        };
        let (mut key, mut payload) = (Vec::with_capacity(16), Vec::with_capacity(512));
        let occurred_at = self.renderer.render(place, &waiting.step, self.options.sales, &mut key, &mut payload);
        let event = SourceEvent {
            spoke: waiting.step.action.spoke(),
            key,
            payload,
            occurred_at,
            timestamp_ms: waiting.arrives_at,
            valid: true,
            rejection: None,
            duplicate: waiting.copy,
        };
        let mut random =
            Random::of_part(self.options.seed ^ 0xDEFEC7, waiting.journey << 8 | u64::from(waiting.step.index));
        if !waiting.copy && random.chance(self.options.invalid_per_million) {
            let mut invalid = event.clone();
            let reason = defect::spoil(event.spoke, &mut invalid.payload, event.timestamp_ms, &mut random);
            (invalid.valid, invalid.rejection) = (false, Some(reason));
            self.invalid = Some(invalid);
        }
        Some(event)
    }
}
