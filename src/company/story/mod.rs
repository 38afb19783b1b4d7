//! A story's name in, what happens to the company over the months out: chapters for people, occasions for the generator.
//!
//! Chapters change *conditions*: what the departments send, how parcels travel. What an analyst sees follows through the
//! customers: whom a parcel kept waiting asks support ([`desk`], which falls behind when many ask), remembers it
//! ([`people`]) when a survey comes weeks later, hesitates to buy again, and talks, so that fewer visitors become customers.

mod days;
mod desk;
mod people;
mod plan;
#[cfg(test)]
mod tests;

use crate::model::Day;

use super::random::Random;
use days::{ANNOYING, FIXED, LATE, LENGTH, QUIET, WORKING};

pub(super) use plan::Planner;

/// The story's campaigns and the subjects of its cases, which steps name by their index.
pub(super) const CAMPAIGNS: [&str; 6] =
    ["newsletter", "welcome", "spring-launch", "last-chance", "loyalty", "seasonal-ads"];
pub(super) const SUBJECTS: [&str; 6] = ["product", "delivery", "return", "invoice", "login", "newsletter"];
/// Who carries parcels to each region of `render::REGIONS`: only the south depends on one that nobody else uses.
pub(super) const CARRIERS: [&str; 5] = ["north-post", "swift", "north-post", "cargo-bike", "north-post"];
/// The region of the trouble, as an index of `render::REGIONS`.
const SOUTH: usize = 1;

/// An order of the story's shop: 20 to 138 of the currency, and a large one now and then.
pub(super) fn price_minor(journey: &mut Random) -> i64 {
    let price = 1_990 + journey.below(60) as i64 * 200;
    if journey.percent(4) { price * 3 } else { price }
}

/// What happens to a company over the months: the same at every size, but chance hides what shows in few events. With
/// 300,000 touchpoints every effect is seen, with 120,000 not always those on `csat`, `return_rate`, `unanswered` and
/// `sentiment`, with 20,000 only the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// A young shop over nine months: a campaign that works, late deliveries in the south, a campaign that annoys, a fix.
    NineMonths,
}

/// Days, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub first: Day,
    /// The last.
    pub last: Day,
}

/// Where a metric goes: `rises`, `falls`, `stays`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It rises.
    Up,
    /// It falls.
    Down,
    /// It stays, where one would have hoped for more.
    Level,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Direction::Up => "rises",
            Direction::Down => "falls",
            Direction::Level => "stays",
        })
    }
}

/// What an analyst sees of a chapter in one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The metric's id in the catalogue.
    pub metric: &'static str,
    /// The region to look at; `None` for the whole company.
    pub region: Option<&'static str>,
    /// Where it goes.
    pub direction: Direction,
    /// When it shows: later than the chapter where customers need time.
    pub seen: Days,
    /// The days to compare with.
    pub against: Days,
}

/// A part of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// A short name.
    pub name: &'static str,
    /// One sentence for people.
    pub description: &'static str,
    /// When its conditions hold.
    pub days: Days,
    /// What can be seen of it.
    pub effects: Vec<Effect>,
}

/// Days of a story, from 0, both included.
type Span = (i32, i32);

/// Chapter 1 without its first weeks, in which every customer is new to the hub and no parcel has arrived.
const SETTLED: Span = (28, 55);
/// Everything from then to the trouble: campaigns bring orders, but change no experience.
const BEFORE: Span = (28, 97);
/// The weeks between the working campaign and the trouble, to count orders against.
const BETWEEN: Span = (84, 97);
/// The trouble before the annoying campaign.
const TROUBLED: Span = (126, 160);

impl Story {
    /// How many days it takes.
    pub const fn days(self) -> u32 {
        match self {
            Story::NineMonths => LENGTH as u32,
        }
    }

    /// How many customers a company of so many touchpoints has at the story's beginning, so that people come back as often
    /// at every size.
    pub const fn customers(self, touchpoints: u64) -> u32 {
        match self {
            Story::NineMonths => {
                let customers = touchpoints / 120;
                if customers < 8 {
                    8
                } else if customers > 10_000_000 {
                    10_000_000
                } else {
                    customers as u32
                }
            }
        }
    }

    /// Its chapters, if it begins on that day.
    pub fn chapters(self, start: Day) -> Vec<Chapter> {
        use Direction::{Down, Level, Up};
        let days = |span: Span| Days { first: start.plus(span.0), last: start.plus(span.1) };
        let chapter = |name, description, span, seen: &[(&'static str, Direction, Span, Span)]| Chapter {
            name,
            description,
            days: days(span),
            effects: seen
                .iter()
                .map(|&(word, direction, seen, against)| {
                    // "orders@south" is a metric in a region.
                    let (metric, region) = match word.split_once('@') {
                        Some((metric, region)) => (metric, Some(region)),
                        None => (word, None),
                    };
                    Effect { metric, region, direction, seen: days(seen), against: days(against) }
                })
                .collect(),
        };
        match self {
            Story::NineMonths => vec![
                chapter(
                    "a quiet beginning",
                    "A young shop grows slowly: parcels come when promised, support answers within hours, customers are content.",
                    QUIET,
                    &[],
                ),
                chapter(
                    "a campaign that works",
                    "Marketing's spring launch reaches visitors and customers who are glad of it, and buy within days.",
                    WORKING,
                    &[
                        ("reach", Up, WORKING, SETTLED),
                        ("new_customers", Up, WORKING, SETTLED),
                        ("orders", Up, WORKING, SETTLED),
                        ("revenue", Up, WORKING, SETTLED),
                    ],
                ),
                chapter(
                    "late deliveries in the south",
                    "The carrier swift, which only serves the south, loses its depot: parcels come days after the promise; \
                     support feels it two weeks later, loyalty after a month.",
                    LATE,
                    &[
                        ("on_time", Down, (106, 160), BEFORE),
                        ("on_time@south", Down, (106, 160), BEFORE),
                        ("promise_gap", Up, (106, 160), BEFORE),
                        ("overdue", Up, (106, 160), BEFORE),
                        ("contact_rate", Up, (112, 160), BEFORE),
                        ("contact_rate@south", Up, (112, 160), BEFORE),
                        ("first_response_time", Up, (119, 195), BEFORE),
                        ("unanswered", Up, (119, 195), BEFORE),
                        ("resolution_time", Up, (119, 195), BEFORE),
                        ("csat", Down, (119, 195), BEFORE),
                        ("return_rate", Up, (119, 195), BEFORE),
                        ("nps", Down, (126, 195), BEFORE),
                        ("nps@south", Down, (126, 195), BEFORE),
                        ("sentiment", Down, (126, 160), BEFORE),
                        ("orders@south", Down, (126, 195), BETWEEN),
                    ],
                ),
                chapter(
                    "a campaign that annoys",
                    "With orders falling, marketing writes to everybody several times a week and buys advertising: more people \
                     are reached, some unsubscribe and complain, nobody buys more.",
                    ANNOYING,
                    &[
                        ("reach", Up, ANNOYING, TROUBLED),
                        ("sentiment", Down, ANNOYING, TROUBLED),
                        ("nps", Down, (168, 202), TROUBLED),
                        ("orders", Level, ANNOYING, TROUBLED),
                    ],
                ),
                chapter(
                    "a fix that helps",
                    "Operations gives the south to another carrier: parcels are on time within a week, support catches up, and \
                     customers forgive within two months.",
                    FIXED,
                    &[
                        ("on_time", Up, (210, 269), TROUBLED),
                        ("on_time@south", Up, (210, 269), TROUBLED),
                        ("promise_gap", Down, (210, 269), TROUBLED),
                        ("overdue", Down, (217, 262), TROUBLED),
                        ("contact_rate", Down, (217, 269), TROUBLED),
                        ("first_response_time", Down, (217, 269), (126, 195)),
                        ("unanswered", Down, (217, 269), (126, 195)),
                        ("resolution_time", Down, (217, 269), (126, 195)),
                        ("csat", Up, (224, 269), (126, 195)),
                        ("nps", Up, (231, 269), (154, 202)),
                        ("orders@south", Up, (231, 269), (154, 202)),
                        ("revenue", Up, (231, 269), (154, 202)),
                    ],
                ),
            ],
        }
    }
}
