//! What each metric means: definitions as data, published as they are on `insight.catalogue`.
//!
//! A metric is one entry here (or in a file of this room) and one function of the fold that contributes to its cells. A window holds the touchpoints
//! whose defining moment (`counted_at`) lies in it, in the configured time zone.

mod experience;
mod relations;

use super::values::{self, Figures};
use crate::{
    analyses::buying::month,
    model::{Accumulator, CatalogueEntry, Currency, Day, Dimension, Window},
};

/// The position of each metric in [`CATALOGUE`]: part of the internal formats, so a number is never reused.
#[allow(missing_docs, reason = "each is the metric of its name")]
pub mod index {
    pub const NPS: u8 = 0;
    pub const CSAT: u8 = 1;
    pub const CES: u8 = 2;
    pub const SENTIMENT: u8 = 3;
    pub const PROMISE_GAP: u8 = 4;
    pub const ON_TIME: u8 = 5;
    pub const OVERDUE: u8 = 6;
    pub const FIRST_RESPONSE_TIME: u8 = 7;
    pub const UNANSWERED: u8 = 8;
    pub const RESOLUTION_TIME: u8 = 9;
    pub const NEW_CUSTOMERS: u8 = 10;
    pub const REVENUE: u8 = 11;
    pub const ORDERS: u8 = 12;
    pub const AVERAGE_ORDER_VALUE: u8 = 13;
    pub const RETURN_RATE: u8 = 14;
    pub const CONTACT_RATE: u8 = 15;
    pub const REACH: u8 = 16;
    pub const DATA_QUALITY: u8 = 17;
    pub const RETENTION: u8 = 18;
    pub const ADVOCACY: u8 = 19;
    pub const ACQUISITION_COST: u8 = 20;
    pub const CUSTOMER_VALUE: u8 = 21;
    pub const EXPECTATION_GAP: u8 = 22;
    pub const FULL_RESOLUTION_TIME: u8 = 23;
    pub const FIRST_CONTACT_RESOLUTION: u8 = 24;
    pub const FOLLOW_UP_TIME: u8 = 25;
    pub const REPURCHASE_30: u8 = 26;
    pub const REPURCHASE_60: u8 = 27;
    pub const REPURCHASE_90: u8 = 28;
    pub const REFERRAL: u8 = 29;
    pub const WORD_OF_MOUTH: u8 = 30;
    pub const MARGIN: u8 = 31;
    pub const CONVERSION: u8 = 32;
    pub const CONTACT_PRESSURE: u8 = 33;
    pub const CHURN: u8 = 34;
    pub const CONTENT_CREDIBILITY: u8 = 35;
}

/// How contributions become cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Each contribution goes into the windows that its moment lies in.
    Flow,
    /// Contributions are changes on days; a window shows the level at its last closed day.
    Level,
    /// `n` is a level that changes on days, shown as it was at the close of the day before the window; all else is added to
    /// the windows themselves.
    Opening,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its position in [`CATALOGUE`], see [`index`].
    pub index: u8,
    /// Its name in feeds.
    pub id: &'static str,
    /// A short name for people.
    pub title: &'static str,
    /// The unit of the value.
    pub unit: &'static str,
    /// How the value is computed.
    pub formula: &'static str,
    /// What is counted and what is not.
    pub inclusion: &'static str,
    /// The moment that puts an observation into a window.
    pub counted_at: &'static str,
    /// Where the definition comes from.
    pub source: &'static str,
    /// What it is published for, one at a time.
    pub dimensions: &'static [Dimension],
    /// Whether its values are per currency.
    pub per_currency: bool,
    /// Whether one cell holds the money of every currency ([`Accumulator::money`]), because it is divided by something
    /// that has none. It is published for each currency of which it holds amounts.
    pub currencies_within: bool,
    /// Increases when the meaning changes; a hub whose cells have another version does not mix them.
    pub version: u32,
    /// Flow or level.
    pub kind: MetricKind,
    /// Whether a window is contributed to before it begins: until the newest touchpoint lies in it or after it, its cell
    /// is held back.
    pub ahead: bool,
    /// How many days after its end a window becomes final, because what happens in them still counts in it.
    pub settles_after_days: i32,
    /// Whether it becomes final one more length of its own later.
    pub settles_after_own_length: bool,
    /// The published figures of a cell.
    pub figures: fn(&Accumulator) -> Figures,
}

impl Definition {
    /// From this day on nothing on time counts in a window any more: its end, and what the metric waits for after it.
    pub fn settles_on(&self, window: Window) -> Day {
        let end = window.end();
        let own_length = if self.settles_after_own_length { end.0 - window.start.0 } else { 0 };
        end.plus(self.settles_after_days + own_length)
    }
}

/// Every metric, in the order of [`index`].
pub const CATALOGUE: &[Definition] = &[
    Definition {
        index: index::NPS,
        id: "nps",
        title: "Net promoter score",
        unit: "points",
        formula: "100·(promoters − detractors)/answers; SE = 100·√((p+d−(p−d)²)/n)",
        inclusion: "Answers on the scale 0–10: promoters 9–10, detractors 0–6; passives count in the denominator.",
        counted_at: "answer",
        source: "F. F. Reichheld, The One Number You Need to Grow, Harvard Business Review, 2003",
        figures: values::nps,
        ..FLOW
    },
    Definition {
        index: index::CSAT,
        id: "csat",
        title: "Customer satisfaction",
        unit: "percent",
        formula: "100·(answers 4–5)/answers, with the mean answer; 95 % interval after Wilson (1927)",
        inclusion: "Answers on the scale 1–5.",
        counted_at: "answer",
        source: "Top-two-box share of a five-point scale, the common reading of CSAT; interval: E. B. Wilson, JASA 22, 1927",
        figures: values::csat,
        ..FLOW
    },
    Definition {
        index: index::CES,
        id: "ces",
        title: "Customer effort score",
        unit: "points",
        formula: "mean answer, with the share of answers 5–7; SE = √(variance/n)",
        inclusion: "Answers 1–7 to \"the company made it easy\": a higher answer is less effort.",
        counted_at: "answer",
        source: "M. Dixon, K. Freeman, N. Toman, Stop Trying to Delight Your Customers, Harvard Business Review, 2010",
        figures: values::ces,
        ..FLOW
    },
    Definition {
        index: index::SENTIMENT,
        id: "sentiment",
        title: "Sentiment",
        unit: "points",
        formula: "mean of −100…100, with the share below −20; SE = √(variance/n)",
        inclusion: "Every touchpoint that a spoke gave a sentiment to.",
        counted_at: "touchpoint",
        source: "Convention of this hub: each spoke's own measure of feeling, on one scale",
        figures: values::sentiment,
        ..FLOW
    },
    Definition {
        index: index::PROMISE_GAP,
        id: "promise_gap",
        title: "Gap between promise and delivery",
        unit: "days",
        formula: "mean of delivered − promised (negative: early), with the share late and percentiles by nearest rank \
                  from log buckets (relative error ≤ 1 % of the distance from zero)",
        inclusion: "First deliveries with a promise, of each order that a touchpoint names: the delivery's own, or the newest one of \
                    the order, unless the order was cancelled after it.",
        counted_at: "delivery",
        version: 3,
        source: "A. Parasuraman, V. Zeithaml, L. Berry, A Conceptual Model of Service Quality, Journal of Marketing 49, \
                 1985 (promise against delivery)",
        figures: values::promise_gap,
        ..FLOW
    },
    Definition {
        index: index::ON_TIME,
        id: "on_time",
        title: "Delivered on time",
        unit: "percent",
        formula: "100·(delivered no later than promised + tolerance)/deliveries with a promise; Wilson interval (1927)",
        inclusion: "First deliveries with a promise, of each order that a touchpoint names: the delivery's own, or the newest one of \
                    the order, unless the order was cancelled after it.",
        counted_at: "delivery",
        version: 3,
        source: "Delivery performance to commit date, Supply Chain Operations Reference model (RL.2.2)",
        figures: values::percent,
        ..FLOW
    },
    Definition {
        index: index::OVERDUE,
        id: "overdue",
        title: "Orders overdue",
        unit: "orders",
        formula: "orders promised, due by the day's close, neither delivered nor cancelled by then",
        inclusion: "Orders with an order number and a promise; a new promise replaces the one before. An order whose placing \
                    is not known can be promised and cancelled as well; after its cancellation nothing is promised until it \
                    is placed. Of a customer the newest 256 orders are known: an older one is overdue no longer.",
        counted_at: "day close",
        version: 4,
        source: "Past-due backlog: a count at the close of a day of event time",
        figures: values::count,
        ..LEVEL
    },
    Definition {
        index: index::FIRST_RESPONSE_TIME,
        id: "first_response_time",
        title: "Time to first response",
        unit: "seconds",
        formula: "mean of first public reply − case opened, with percentiles by nearest rank from log buckets (relative \
                  error ≤ 1 %)",
        inclusion: "The first public reply by an agent to a case with a number, to each that the reply names; bots and internal notes \
                    do not count.",
        counted_at: "reply",
        version: 2,
        source: "First response time as customer-service desks report it, in elapsed time and not working hours",
        figures: values::duration,
        ..FLOW
    },
    Definition {
        index: index::UNANSWERED,
        id: "unanswered",
        title: "Cases unanswered past the target",
        unit: "cases",
        formula: "cases without a public reply by an agent and not resolved, older than the target at the day's close",
        inclusion: "Cases with a number. Of a customer the newest 128 are known: an older one waits no longer.",
        counted_at: "day close",
        version: 3,
        source: "Service-level breach: a count at the close of a day of event time",
        figures: values::count,
        ..LEVEL
    },
    Definition {
        index: index::RESOLUTION_TIME,
        id: "resolution_time",
        title: "Time to resolution",
        unit: "seconds",
        formula: "mean of first resolved − case opened, with percentiles by nearest rank from log buckets (relative \
                  error ≤ 1 %)",
        inclusion: "The first resolution of a case with a number, of each that the touchpoint names; a case that is opened again is \
                    not measured twice.",
        counted_at: "resolution",
        version: 2,
        source: "Time to first resolution as customer-service desks report it, in elapsed time and not working hours",
        figures: values::duration,
        ..FLOW
    },
    Definition {
        index: index::NEW_CUSTOMERS,
        id: "new_customers",
        title: "New customers",
        unit: "customers",
        formula: "persons whose first purchase lies in the window",
        inclusion: "A purchase that is cancelled does not count: the next one becomes the first.",
        counted_at: "first purchase",
        version: 2,
        source: "Customer acquisition: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
        figures: values::count,
        ..FLOW
    },
    Definition {
        index: index::REVENUE,
        id: "revenue",
        title: "Revenue",
        unit: "minor_units",
        formula: "sum of the amounts of purchases and renewals",
        inclusion: "Orders placed, not cancelled, subscriptions started, and renewals; those without an amount add nothing. A \
                    contract is started once, and again after it was cancelled, which takes nothing back. The amount of a touchpoint \
                    that names several counts once: with the first order, in the order of bytes.",
        counted_at: "order",
        version: 3,
        source: "Order intake: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
        per_currency: true,
        figures: values::total,
        ..FLOW
    },
    Definition {
        index: index::ORDERS,
        id: "orders",
        title: "Orders",
        unit: "orders",
        formula: "number of purchases",
        inclusion: "Orders placed, not cancelled, and subscriptions started; renewals are not purchases. A contract is started \
                    once, and again after it was cancelled, which takes nothing back. A touchpoint that names several is one \
                    purchase: of the first order, in the order of bytes. A cancellation takes back each that it names.",
        counted_at: "order",
        version: 3,
        source: "Order intake: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
        figures: values::count,
        ..FLOW
    },
    Definition {
        index: index::AVERAGE_ORDER_VALUE,
        id: "average_order_value",
        title: "Average order value",
        unit: "minor_units",
        formula: "mean amount of purchases; SE = √(variance/n)",
        inclusion: "Purchases, as the metric orders has them, with an amount; no renewals.",
        counted_at: "order",
        version: 3,
        source: "Average purchase: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
        per_currency: true,
        figures: values::mean_amount,
        ..FLOW
    },
    Definition {
        index: index::RETURN_RATE,
        id: "return_rate",
        title: "Return rate",
        unit: "percent",
        formula: "100·returned/delivered orders of the window; Wilson interval (1927) where returned ≤ delivered",
        inclusion: "First deliveries and first returns of each order, each in its own window, of each that a touchpoint names; absent \
                    without deliveries.",
        counted_at: "order; return",
        version: 2,
        source: "Returns rate as retailers report it: by period, not by cohort",
        figures: values::percent,
        ..FLOW
    },
    Definition {
        index: index::CONTACT_RATE,
        id: "contact_rate",
        title: "Contact rate",
        unit: "cases_per_customer",
        formula: "cases opened/active customers",
        inclusion: "Active: a person with a touchpoint in the window that the customer initiated. A case counts \
                    once, and each that the opening names.",
        counted_at: "opening",
        version: 2,
        source: "Contact rate (contacts per customer) as contact centres report it",
        figures: values::rate,
        ..FLOW
    },
    Definition {
        index: index::REACH,
        id: "reach",
        title: "Reach",
        unit: "customers",
        formula: "distinct persons with a touchpoint",
        inclusion: "Each person once per window and dimension value.",
        counted_at: "window",
        source: "Reach (distinct persons exposed at least once): N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, \
                 Marketing Metrics, 2015",
        figures: values::count,
        ..FLOW
    },
    Definition {
        index: index::DATA_QUALITY,
        id: "data_quality",
        title: "Data quality of a spoke",
        unit: "share",
        formula: "accepted/(accepted + rejected + skipped), with the count of each outcome",
        inclusion: "Every arrival, by the day of arrival; duplicate, conflicting, late and capped are accepted ones too. \
                    Late: new, of a day that the watermark of its source partition had passed as it came. \
                    Counts copies and arrivals, so it is outside the promise of identical results.",
        counted_at: "arrival",
        source: "Convention of this hub, after the validity of records in ISO/IEC 25012:2008",
        dimensions: &[Dimension::Spoke],
        figures: values::data_quality,
        ..FLOW
    },
    relations::RETENTION,
    relations::ADVOCACY,
    relations::ACQUISITION_COST,
    relations::CUSTOMER_VALUE,
    experience::EXPECTATION_GAP,
    experience::FULL_RESOLUTION_TIME,
    experience::FIRST_CONTACT_RESOLUTION,
    experience::FOLLOW_UP_TIME,
    experience::REPURCHASE_30,
    experience::REPURCHASE_60,
    experience::REPURCHASE_90,
    experience::REFERRAL,
    experience::WORD_OF_MOUTH,
    experience::MARGIN,
    experience::CONVERSION,
    relations::CONTACT_PRESSURE,
    relations::CHURN,
    relations::CONTENT_CREDIBILITY,
];

/// What most definitions share.
const FLOW: Definition = Definition {
    index: u8::MAX,
    id: "",
    title: "",
    unit: "",
    formula: "",
    inclusion: "",
    counted_at: "",
    source: "",
    dimensions: Dimension::COMMON,
    per_currency: false,
    currencies_within: false,
    version: 1,
    kind: MetricKind::Flow,
    ahead: false,
    settles_after_days: 0,
    settles_after_own_length: false,
    figures: values::count,
};

const MONEY_EACH: Definition =
    Definition { per_currency: true, currencies_within: true, figures: values::amount_each, ..FLOW };

const LEVEL: Definition = Definition { kind: MetricKind::Level, ..FLOW };

impl Definition {
    /// What is published of a cell: once, or for each currency within.
    pub fn published(&self, currency: Option<Currency>, cell: &Accumulator) -> Vec<(Option<Currency>, Figures)> {
        if !self.currencies_within {
            return vec![(currency, (self.figures)(cell))];
        }
        let of_sum = |(currency, sum)| {
            let of_currency = Accumulator { sum, buckets: Vec::new(), ..cell.clone() };
            (Some(currency), (self.figures)(&of_currency))
        };
        cell.sums_of_money().map(of_sum).collect()
    }
}

/// The definition of an [`index`]; `None` if there is no such metric.
pub fn definition(index: u8) -> Option<&'static Definition> {
    CATALOGUE.get(usize::from(index))
}

/// The catalogue as `insight.catalogue` publishes it.
pub fn entries() -> impl Iterator<Item = CatalogueEntry<'static>> {
    CATALOGUE.iter().map(|definition| CatalogueEntry {
        metric: definition.id,
        title: definition.title,
        unit: definition.unit,
        formula: definition.formula,
        inclusion: definition.inclusion,
        counted_at: definition.counted_at,
        source: definition.source,
        dimensions: definition.dimensions.iter().map(|dimension| dimension.as_str()).collect(),
        version: definition.version,
    })
}

/// What cells depend on, for the generation: each metric's position, id, kind, version and when it settles (what waits for
/// that is indexed by it); and the version of the models of buying. XXH3-64.
pub fn fingerprint() -> u64 {
    let mut bytes = Vec::new();
    for definition in CATALOGUE {
        bytes.push(definition.index);
        bytes.extend_from_slice(definition.id.as_bytes());
        bytes.push(definition.kind as u8);
        bytes.extend([definition.ahead, definition.currencies_within].map(u8::from));
        bytes.extend_from_slice(&definition.version.to_le_bytes());
        bytes.extend_from_slice(&definition.settles_after_days.to_le_bytes());
        bytes.push(u8::from(definition.settles_after_own_length));
    }
    bytes.extend_from_slice(&month::DEFINITION_VERSION.to_le_bytes());
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::WindowKind;

    #[test]
    fn indexes_are_positions_and_every_definition_says_what_it_means() {
        let mut ids = BTreeSet::new();
        for (position, definition) in CATALOGUE.iter().enumerate() {
            assert_eq!(usize::from(definition.index), position, "{}", definition.id);
            assert!(ids.insert(definition.id), "{} is there twice", definition.id);
            assert!(definition.version > 0 && !definition.dimensions.is_empty());
            let has_items = definition.dimensions.contains(&Dimension::Item);
            assert_eq!(has_items, definition.id == "expectation_gap", "{}", definition.id);
            let waits = definition.settles_after_days > 0 || definition.settles_after_own_length;
            assert!(definition.settles_after_days >= 0);
            assert!(
                !waits || definition.kind == MetricKind::Flow,
                "{}: a level is known when its day closes",
                definition.id
            );
            assert_eq!(waits, definition.inclusion.contains("A window is final"), "{}", definition.id);
            let texts = [
                definition.id,
                definition.title,
                definition.unit,
                definition.formula,
                definition.inclusion,
                definition.counted_at,
                definition.source,
            ];
            assert!(
                texts.iter().all(|text| !text.is_empty() && !text.contains("  ")),
                "{} has an empty or badly broken text",
                definition.id
            );
        }
        assert_eq!(CATALOGUE.len(), 36);
        assert_eq!(CATALOGUE[usize::from(index::DATA_QUALITY)].id, "data_quality");
        assert_eq!(entries().count(), CATALOGUE.len());
    }

    #[test]
    fn a_window_settles_at_its_end_or_when_what_it_waits_for_is_over() {
        let day = Day::from_civil(2026, 2, 11);
        let on = |metric: u8| {
            let definition = definition(metric).expect("a metric of the catalogue");
            WindowKind::ALL.map(|kind| definition.settles_on(Window::of(kind, day)).to_string())
        };
        assert_eq!(on(index::NPS), ["2026-02-12", "2026-02-16", "2026-03-01"]);
        assert_eq!(on(index::FIRST_CONTACT_RESOLUTION), ["2026-02-19", "2026-02-23", "2026-03-08"]);
        assert_eq!(on(index::REPURCHASE_90), ["2026-05-13", "2026-05-17", "2026-05-30"]);
        assert_eq!(on(index::CONVERSION), ["2026-02-13", "2026-02-23", "2026-03-29"]);
    }

    #[test]
    fn the_fingerprint_is_part_of_the_generation_and_changes_only_on_purpose() {
        expect_test::expect!["f09254ed4ad34e27"].assert_eq(&format!("{:016x}", fingerprint()));
    }
}
