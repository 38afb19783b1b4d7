//! Any record that the model can hold: extreme numbers, empty maps, every character.

use std::collections::BTreeMap;

use proptest::{collection::vec, option::of, prelude::*, sample::select};

use crate::model::{
    BuyingSummary, Channel, Currency, Day, Dimension, DurationSummary, EventTime, Identifier, IdentifierType,
    Initiator, InsightRecord, JourneyStep, Kind, MetricValue, Money, Outcome, Percentiles, Phase, Reason,
    RhythmSummary, Score, ScoreScale, ScoreSummary, SpokeAccount, SpokePartition, SpokeSchema, Status, Touchpoint,
    Uncertainty, Visibility, Window, WindowKind,
};

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), -1_000_i64..1_000, any::<i64>()]
}

fn real() -> impl Strategy<Value = f64> {
    prop_oneof![Just(-0.0), Just(f64::MAX), Just(f64::MIN_POSITIVE), Just(f64::NAN), -1e6..1e6, any::<f64>()]
}

/// Any text: `.` leaves line feeds out, so they are added with other control characters.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,12}", "[a-z]{0,12}", "[\u{0}-\u{1f}\"\\\\\u{7f}\u{2028}😀]{0,6}"]
}

fn map<T: Strategy>(values: T) -> impl Strategy<Value = BTreeMap<String, T::Value>> {
    vec((text(), values), 0..4).prop_map(|entries| entries.into_iter().collect())
}

fn summary() -> impl Strategy<Value = ScoreSummary> {
    (number(), number(), real()).prop_map(|(n, last, mean)| ScoreSummary { n, last, mean })
}

fn duration() -> impl Strategy<Value = DurationSummary> {
    (number(), of(real())).prop_map(|(n, mean_seconds)| DurationSummary { n, mean_seconds })
}

fn step() -> impl Strategy<Value = JourneyStep> {
    (text(), select(Kind::ALL), of(select(Channel::ALL))).prop_map(|(spoke, kind, channel)| JourneyStep {
        spoke,
        kind,
        channel,
    })
}

fn count() -> impl Strategy<Value = u64> {
    number().prop_map(i64::unsigned_abs)
}

fn instant() -> impl Strategy<Value = Option<EventTime>> {
    of(number().prop_map(EventTime))
}

pub fn spoke_account() -> impl Strategy<Value = SpokeAccount> {
    let schema = (text(), count(), instant()).prop_map(|(schema, records, last_arrived_at)| SpokeSchema {
        schema,
        records,
        last_arrived_at,
    });
    let partition = (text(), any::<i32>(), number(), count(), instant(), instant());
    let partition =
        partition.prop_map(|(topic, partition, next_offset, records, last_arrived_at, newest_occurred_at)| {
            SpokePartition { topic, partition, next_offset, records, last_arrived_at, newest_occurred_at }
        });
    let outcomes = vec((select(Outcome::ALL), number()), 0..8).prop_map(|entries| entries.into_iter().collect());
    let rejections = vec((select(Reason::ALL), count()), 0..13).prop_map(|entries| entries.into_iter().collect());
    let maps = (outcomes, rejections, map(count()), vec(schema, 0..4), vec(partition, 0..4));
    (text(), maps, vec(count(), 4), vec(instant(), 3)).prop_map(|(spoke, maps, counts, times)| SpokeAccount {
        spoke,
        records: counts[0],
        outcomes: maps.0,
        rejections: maps.1,
        unmapped_kinds: maps.2,
        unmapped_kinds_unnamed: counts[1],
        schemas: maps.3,
        schemas_unnamed: counts[2],
        first_arrived_at: times[0],
        last_arrived_at: times[1],
        newest_occurred_at: times[2],
        partitions: maps.4,
        revision: counts[3],
    })
}

pub fn customer() -> impl Strategy<Value = InsightRecord> {
    let maps = (map(vec(text(), 0..3)), map(number()), map(number()), map(number()), map(number()), map(real()));
    let summaries = (map(summary()), of(summary()), duration(), duration(), vec(step(), 0..5));
    let words = (text(), of(text()), of(text()), of(text()), select(Phase::ALL));
    let buying = (of(buying()), of(rhythm()));
    (maps, summaries, words, buying, vec(number(), 12)).prop_map(|(maps, summaries, words, bought, numbers)| {
        InsightRecord {
            person: words.0,
            identifiers: maps.0,
            first_seen: EventTime(numbers[0]),
            last_seen: EventTime(numbers[1]),
            touchpoints: numbers[2],
            touchpoints_by_spoke: maps.1,
            touchpoints_by_kind: maps.2,
            touchpoints_by_channel: maps.3,
            phase: words.4,
            orders: numbers[3],
            frequency: numbers[4],
            revenue: maps.4,
            monetary_value: maps.5,
            open_cases: numbers[5],
            scores: summaries.0,
            sentiment: summaries.1,
            first_response_time: summaries.2,
            resolution_time: summaries.3,
            deliveries_on_time: numbers[6],
            deliveries_late: numbers[7],
            open_promises: numbers[8],
            overdue_promises: numbers[9],
            contacts_30_days: numbers[10],
            journey: summaries.4,
            segment: words.1,
            region: words.2,
            account: words.3,
            buying: bought.0,
            rhythm: bought.1,
        }
    })
}

fn buying() -> impl Strategy<Value = BuyingSummary> {
    (any::<[i32; 2]>(), vec(number(), 3)).prop_map(|(days, numbers)| BuyingSummary {
        first_on: Day(days[0]),
        last_on: Day(days[1]),
        days: numbers[0],
        repeat_paid_days: numbers[1],
        repeat_paid: numbers[2],
    })
}

fn rhythm() -> impl Strategy<Value = RhythmSummary> {
    (real(), any::<i32>(), vec(number(), 2), any::<bool>()).prop_map(|(mean_gap_days, day, numbers, lapsed)| {
        RhythmSummary { days: numbers[0], mean_gap_days, limit_days: numbers[1], lapses_on: Day(day), lapsed }
    })
}

/// A touchpoint's text, which the touchpoint borrows.
#[derive(Debug)]
pub struct TouchpointParts {
    words: Vec<String>,
    optional: Vec<Option<String>>,
    identifiers: BTreeMap<IdentifierType, Vec<String>>,
    properties: BTreeMap<String, String>,
    numbers: Vec<i64>,
    present: Vec<bool>,
    kind: Kind,
    channel: Option<Channel>,
    initiator: Initiator,
    scale: ScoreScale,
}

pub fn touchpoint() -> impl Strategy<Value = TouchpointParts> {
    let identifiers = vec((select(&IdentifierType::BUILT_IN[..]), vec(text(), 1..3)), 0..4);
    let closed = (select(Kind::ALL), of(select(Channel::ALL)), select(Initiator::ALL), select(ScoreScale::ALL));
    (vec(text(), 4), vec(of(text()), 9), identifiers, map(text()), vec(number(), 8), vec(any::<bool>(), 8), closed)
        .prop_map(|(words, optional, identifiers, properties, numbers, present, closed)| TouchpointParts {
            words,
            optional,
            identifiers: identifiers.into_iter().collect(),
            properties,
            numbers,
            present,
            kind: closed.0,
            channel: closed.1,
            initiator: closed.2,
            scale: closed.3,
        })
}

impl TouchpointParts {
    pub fn touchpoint(&self) -> Touchpoint<'_> {
        let money = |index: usize| {
            self.present[index].then_some(Money { minor: self.numbers[index], currency: Currency(*b"JPY") })
        };
        let optional = |index: usize| self.optional[index].as_deref();
        Touchpoint {
            occurred_at: EventTime(self.numbers[7]),
            id: &self.words[0],
            spoke: &self.words[1],
            kind: self.kind,
            label: optional(0),
            identifiers: self
                .identifiers
                .iter()
                .flat_map(|(&kind, values)| values.iter().map(move |value| Identifier { kind, value }))
                .collect(),
            channel: self.channel,
            subject: optional(1),
            product: optional(2),
            region: optional(3),
            segment: optional(4),
            campaign: optional(5),
            content: optional(6),
            account: optional(7),
            amount: money(0),
            cost: money(1),
            score: self.present[2].then_some(Score {
                scale: self.scale,
                value: self.numbers[2] as u8,
                item: optional(8),
            }),
            promised_at: self.present[3].then_some(EventTime(self.numbers[3])),
            initiator: self.initiator,
            visibility: if self.present[7] { Visibility::Public } else { Visibility::Internal },
            sentiment: self.present[4].then_some(self.numbers[4] as i8),
            referrer: self.present[5].then_some(Identifier { kind: IdentifierType::Phone, value: &self.words[2] }),
            effort: self.present[6].then_some(self.numbers[6] as i32),
            properties: self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        }
    }
}

/// A metric value's text, which the value borrows.
#[derive(Debug)]
pub struct MetricParts {
    words: Vec<String>,
    numbers: Vec<i64>,
    reals: Vec<f64>,
    kind: WindowKind,
    day: i32,
    dimension: Dimension,
    currency: bool,
    value: Option<f64>,
    uncertainty: u8,
    details: usize,
    status: Status,
}

pub fn metric() -> impl Strategy<Value = MetricParts> {
    // Windows end within the integers up to about these days.
    let closed = (
        select(&WindowKind::ALL[..]),
        select(Dimension::ALL),
        any::<bool>(),
        select(Status::ALL),
        prop_oneof![-1_000_000_i32..1_000_000, -2_000_000_000..2_000_000_000_i32],
    );
    (vec(text(), 3), vec(number(), 4), vec(real(), 8), closed, of(real()), 0_u8..3, 0_usize..4).prop_map(
        |(words, numbers, reals, closed, value, uncertainty, details)| MetricParts {
            words,
            numbers,
            reals,
            kind: closed.0,
            day: closed.4,
            dimension: closed.1,
            currency: closed.2,
            value,
            uncertainty,
            details,
            status: closed.3,
        },
    )
}

impl MetricParts {
    pub fn metric(&self) -> MetricValue<'_> {
        MetricValue {
            metric: &self.words[0],
            unit: &self.words[1],
            window: Window::of(self.kind, Day(self.day)),
            dimension: self.dimension,
            dimension_value: &self.words[2],
            other_values: (self.kind == WindowKind::Month).then_some(self.numbers[0].unsigned_abs()),
            currency: self.currency.then_some(Currency(*b"EUR")),
            n: self.numbers[0],
            numerator: self.numbers[1],
            denominator: self.numbers[2],
            value: self.value,
            uncertainty: match self.uncertainty {
                0 => None,
                1 => Some(Uncertainty::StandardError(self.reals[0])),
                _ => Some(Uncertainty::Interval(self.reals[0], self.reals[1])),
            },
            percentiles: (self.details > 0).then_some(Percentiles {
                p50: self.reals[2],
                p90: self.reals[3],
                p99: self.reals[4],
            }),
            details: ["first", "second", "third"]
                .into_iter()
                .zip(self.reals[5..].iter().copied())
                .take(self.details)
                .collect(),
            revision: self.numbers[3] as u64,
            status: self.status,
            definition_version: self.numbers[3] as u32,
        }
    }
}
