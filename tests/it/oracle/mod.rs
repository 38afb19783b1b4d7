//! The brute-force oracle: raw source events in any order in, what the public feeds must hold out.
//!
//! It shares no code with the product: it has its own parsing, calendar, buckets and formulas, and it computes from the
//! sorted set with indices and intervals where the product steps through a state. `compare` says where feeds differ.

mod alerts;
mod cells;
mod changes;
mod compare;
mod contacts;
mod departments;
mod experience;
mod experience_tests;
mod fields;
mod figures;
mod identity;
mod intervals;
mod journeys;
mod months;
mod orders;
mod person;
mod priorities;
mod relations;
pub mod segments;
mod source_tests;
mod sources;
mod tests;
mod trade;
mod value;
mod value_tests;
mod verifier_tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use orders::Standing;
use serde_json::Value;

pub use cells::METRICS;
#[allow(unused_imports, reason = "for those who look into differences")]
pub use compare::Difference;
pub use compare::{Feeds, compare, parameters};
pub use fields::IDENTIFIER_TYPES;
pub use identity::{FIRST_THING, Identifier, Persons};
pub use orders::{Order, Orders};
pub use sources::{Source, Touch, instant, read};

/// What the meaning of the feeds depends on; the defaults are the product's.
#[derive(Clone, Debug)]
pub struct Options {
    /// IANA name.
    pub time_zone: String,
    /// How much later than promised still counts as on time.
    pub on_time_tolerance_ms: i64,
    /// How long a case may wait for its first reply.
    pub unanswered_target_ms: i64,
    /// Whose costs are those of winning customers.
    pub acquisition_spokes: Vec<String>,
    /// How far an event may lie after its record's timestamp.
    pub too_far_in_future_ms: i64,
    /// The key of person ids.
    pub person_key: [u8; 32],
    /// Whether the timeline is published.
    pub touchpoints: bool,
    /// More messages in 30 days are too many.
    pub contact_cap: i64,
    /// Touchpoints a month that can be afforded, by kind of contact.
    pub capacities: BTreeMap<String, i64>,
    /// Efforts and limits of subjects.
    pub stated: priorities::Stated,
    /// Who has seen which alert, and when they said so.
    pub acknowledged: BTreeMap<String, (String, i64)>,
    /// What operators ordered about identities.
    pub orders: Orders,
    /// Whether customers are put into segments by [`segments::RULES`].
    pub segments: bool,
    /// How many values of a dimension have keys of their own.
    pub dimension_values_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            time_zone: "UTC".into(),
            on_time_tolerance_ms: 0,
            unanswered_target_ms: 86_400_000,
            acquisition_spokes: vec!["marketing".into(), "sales".into()],
            too_far_in_future_ms: 86_400_000,
            person_key: [7; 32],
            touchpoints: true,
            contact_cap: 8,
            capacities: BTreeMap::new(),
            stated: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            orders: Orders::new(),
            segments: false,
            dimension_values_max: 1_000,
        }
    }
}

/// What must be true once all sources were taken in.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The compacted state of the three feeds.
    pub feeds: Feeds,
    /// Accepted touchpoints, duplicates included.
    pub accepted: u64,
    /// Of these, how many repeat a (person, spoke, id).
    pub repeated: u64,
    /// Touchpoints that erasures took, or identifiers of them; each copy once.
    pub erased: u64,
    /// Rejections by (spoke, reason).
    pub rejected: BTreeMap<(String, String), u64>,
}

/// What is there of touchpoints, by home: the strongest of their identifiers.
struct Taken {
    homes: HashMap<Identifier, BTreeSet<Placed>>,
    as_of: Option<i64>,
    standing: Standing,
}

impl Taken {
    fn of<'a>(sources: impl IntoIterator<Item = Source<'a>>, options: &Options, result: &mut Expected) -> Taken {
        let standing = Standing::of(&options.orders);
        let mut taken = Taken { homes: HashMap::new(), as_of: None, standing };
        for source in sources {
            match sources::read(&source, options) {
                Ok(touch) => {
                    result.accepted += 1;
                    taken.as_of = taken.as_of.max(Some(touch.occurred_at));
                    let home = touch.identifiers.first().unwrap().clone();
                    if !taken.homes.entry(home).or_default().insert(Placed(touch)) {
                        result.repeated += 1;
                    }
                }
                Err(reason) => {
                    *result.rejected.entry((source.spoke.to_owned(), reason.to_owned())).or_default() += 1;
                }
            }
        }
        let Taken { homes, standing, .. } = &mut taken;
        for (home, timeline) in homes.iter_mut() {
            let all = std::mem::take(timeline);
            for Placed(mut touch) in all {
                let before = touch.identifiers.len();
                let is_gone = standing.is_erased(home, touch.occurred_at);
                touch.identifiers.retain(|identifier| !standing.is_erased(identifier, touch.occurred_at));
                result.erased += u64::from(touch.identifiers.len() < before);
                if !is_gone {
                    timeline.insert(Placed(touch));
                }
            }
        }
        homes.retain(|_, timeline| !timeline.is_empty());
        taken
    }

    fn resolve(&self) -> Persons {
        let touches = self.homes.values().flatten().map(|Placed(touch)| &touch.identifiers);
        identity::resolve(touches, &self.standing.decisions)
    }
}

/// Who is one person.
pub fn persons<'a>(sources: impl IntoIterator<Item = Source<'a>>, options: &Options) -> Persons {
    Taken::of(sources, options, &mut Expected::default()).resolve()
}

/// The strongest identifiers of what is left of touchpoints.
pub fn homes<'a>(sources: impl IntoIterator<Item = Source<'a>>, options: &Options) -> BTreeSet<Identifier> {
    Taken::of(sources, options, &mut Expected::default()).homes.into_keys().collect()
}

/// Up to when identifiers are erased.
pub fn erased(options: &Options) -> BTreeMap<Identifier, i64> {
    Standing::of(&options.orders).erased
}

/// What an erasure does that was ordered at an instant, given all that came before it and that it was read after that.
pub fn erasure<'a>(
    sources: impl IntoIterator<Item = Source<'a>>,
    options: &Options,
    named: &Identifier,
    ordered_at: i64,
) -> Order {
    let taken = Taken::of(sources, options, &mut Expected::default());
    let persons = taken.resolve();
    let person = persons.of.get(named);
    let of_person = persons.of.iter().filter(|(_, of)| Some(*of) == person).map(|(member, _)| member);
    Order::Erase {
        members: of_person.chain([named]).cloned().collect(),
        at: taken.as_of.map_or(ordered_at, |as_of| as_of.max(ordered_at)),
    }
}

/// What the feeds must hold for a set of source events and a log of commands.
pub fn expected<'a>(sources: impl IntoIterator<Item = Source<'a>>, options: &Options) -> Expected {
    let mut result = Expected::default();
    let taken = Taken::of(sources, options, &mut result);
    let Some(as_of) = taken.as_of else { return result };
    let calendar = cells::Calendar::new(&options.time_zone);
    let mut world = cells::World::new(calendar, as_of);
    let mut analysed = person::Analysed::default();
    let resolved = taken.resolve();
    result.feeds.identities = resolved.feed(&options.person_key, &taken.standing);
    for (name, timeline) in timelines(taken.homes, &resolved, &taken.standing, options) {
        let published = timeline.iter().filter(|_| options.touchpoints);
        result.feeds.touchpoints.extend(published.map(|touch| shown(&name, touch, options)));
        analysed.changes.add(&timeline, &mut world);
        let timeline = if options.segments { person::in_segments(&timeline, &world) } else { timeline };
        let (record, alerts) = person::fold(&name, &timeline, &mut world, &mut analysed, options);
        result.feeds.alerts.extend(alerts);
        result.feeds.customers.insert(name, record);
    }
    let [metrics, of_every_value] = world.publish(options);
    result.feeds.metrics = metrics;
    let unusual = watch::open(&of_every_value, &world, options);
    analysed.departments.add_alerts(&unusual, &world);
    result.feeds.alerts.extend(unusual);
    result.feeds.changes = analysed.changes.publish(&mut world);
    (result.feeds.journeys, result.feeds.attribution) = analysed.journeys.publish();
    result.feeds.drivers = analysed.months.publish();
    result.feeds.priorities = analysed.priorities.publish(&options.stated);
    result.feeds.scorecards = analysed.contacts.scorecards(&result.feeds.attribution);
    analysed.departments.complete(&mut result.feeds.scorecards, &result.feeds.priorities);
    result.feeds.balance = analysed.contacts.publish(&result.feeds.attribution, &analysed.departments, options);
    result.feeds.parameters = analysed.buyers.publish(&world);
    result
}

/// What `insight.touchpoints` must hold for a set of source events.
pub fn touchpoints<'a>(sources: impl IntoIterator<Item = Source<'a>>, options: &Options) -> BTreeMap<String, Value> {
    let taken = Taken::of(sources, options, &mut Expected::default());
    let resolved = taken.resolve();
    let timelines = timelines(taken.homes, &resolved, &taken.standing, options);
    let all = timelines.flat_map(|(name, timeline)| timeline.into_iter().map(move |touch| (name.clone(), touch)));
    all.map(|(name, touch)| shown(&name, &touch, options)).collect()
}

/// The timeline of each person, by name.
fn timelines<'a>(
    homes: HashMap<Identifier, BTreeSet<Placed>>,
    resolved: &'a Persons,
    standing: &'a Standing,
    options: &'a Options,
) -> impl Iterator<Item = (String, Vec<Touch>)> + use<'a> {
    let mut persons: HashMap<&Identifier, BTreeSet<Placed>> = HashMap::new();
    for (home, timeline) in homes {
        persons.entry(&resolved.of[&home]).or_default().extend(timeline);
    }
    let named = |(strongest, timeline)| {
        (standing.person_id(&options.person_key, strongest), without_conflicting_copies(timeline))
    };
    persons.into_iter().map(named)
}

/// A touchpoint on a person's timeline as the feed shows it, by its key.
fn shown(person: &str, touch: &Touch, options: &Options) -> (String, Value) {
    let mut value = touch.to_json(&|identifier| person_id(&options.person_key, identifier));
    value["person"] = Value::from(person);
    (format!("{person}|{}|{}", escaped(&touch.spoke), escaped(&touch.id)), value)
}

/// Which of the touchpoints of one instant come first: those that no later list names.
fn of_its_instant(kind: &str) -> usize {
    const LATER: [&[&str]; 5] = [
        &["order_placed", "subscription_started", "case_opened"],
        &[
            "delivery_promised",
            "order_shipped",
            "payment_received",
            "invoice_issued",
            "subscription_renewed",
            "case_replied",
            "case_reopened",
        ],
        &["order_delivered", "case_resolved"],
        &[
            "order_cancelled",
            "order_returned",
            "refund_issued",
            "subscription_cancelled",
            "complaint_made",
            "survey_answered",
            "review_posted",
        ],
        &["follow_up_made"],
    ];
    LATER.iter().position(|kinds| kinds.contains(&kind)).map_or(0, |level| level + 1)
}

/// A touchpoint ordered by its place in the timeline; equal places are copies.
struct Placed(Touch);

impl Placed {
    fn place(&self) -> (i64, usize, &str, &str) {
        (self.0.occurred_at, of_its_instant(&self.0.kind), &self.0.id, &self.0.spoke)
    }
}

impl PartialEq for Placed {
    fn eq(&self, other: &Placed) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Placed {}
impl PartialOrd for Placed {
    fn partial_cmp(&self, other: &Placed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Placed {
    fn cmp(&self, other: &Placed) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

/// One touchpoint per (spoke, id). Which of two that differ survives depends on a hash that the oracle does not know: it
/// keeps the earliest, and inputs that are compared value by value must not contain such copies.
fn without_conflicting_copies(timeline: BTreeSet<Placed>) -> Vec<Touch> {
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::with_capacity(timeline.len());
    for Placed(touch) in timeline {
        if seen.insert((touch.spoke.clone(), touch.id.clone())) {
            kept.push(touch);
        }
    }
    kept
}

/// The first 128 bits of keyed BLAKE3 over type, zero byte, value, in hexadecimal.
pub fn person_id(key: &[u8; 32], (rank, value): &(usize, String)) -> String {
    let text = [fields::IDENTIFIER_TYPES[*rank].as_bytes(), &[0], value.as_bytes()].concat();
    blake3::keyed_hash(key, &text).to_hex()[..32].to_owned()
}

/// A part of a feed's key.
fn escaped(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for character in part.chars() {
        if "%|=&".contains(character) || character.is_control() {
            for byte in character.to_string().bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        } else {
            text.push(character);
        }
    }
    text
}
