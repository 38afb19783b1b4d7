//! What a person felt at each kind of contact (spoke · kind · channel) in a month: the means that drivers of departments and of kinds of
//! contact are found from.

use serde::{Deserialize, Serialize};

use super::{
    facts::{Facts, Thing},
    head::Sum,
    month::{Month, THOUSANDTHS, mean},
    place::{DimensionValue, Emit},
};
use crate::model::{
    Channel, ContactElement, Dimension, Kind, Measure, PairElement, ScoreScale, Touchpoint, Window, family,
    push_contact,
};

/// The measures that are observed at a touchpoint, and so at a kind of contact and a department.
pub(super) const MEASURES: [Measure; 6] =
    [Measure::Csat, Measure::Nps, Measure::Sentiment, Measure::FirstResponseTime, Measure::OnTime, Measure::PromiseGap];

/// Sums in the order of [`MEASURES`].
pub(super) type Observed = [Sum; MEASURES.len()];
/// Means in the order of [`MEASURES`], each in the unit of [`super::month::PersonMonth`].
pub(super) type Means = [Option<i64>; MEASURES.len()];

/// A kind of contact in the month of a head at which something was observed; the spoke by its index in
/// [`super::head::Head::spokes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Felt {
    pub(super) spoke: u32,
    kind: Kind,
    channel: Option<Channel>,
    pub(super) observed: Observed,
}

/// A kind of contact in a person's month that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactMonth {
    /// As [`push_contact`] writes it.
    name: Box<str>,
    values: Means,
}

/// Takes what was observed at a touchpoint of the spoke of an index into the month, once its facts are known.
pub(super) fn observe(felt: &mut Vec<Felt>, facts: &Facts<'_, '_>, spoke: u32) {
    let touchpoint = facts.touchpoint;
    let answer = |scale| touchpoint.score.filter(|score| score.scale == scale).map(|score| i64::from(score.value));
    let of_thing = |thing: &Thing| {
        let promised = thing.delivery.and_then(|delivery| Some((delivery.on_time, delivery.promised_at?)));
        [
            thing.first_response_ms,
            promised.map(|(on_time, _)| i64::from(on_time)),
            promised.map(|(_, at)| touchpoint.occurred_at.0.saturating_sub(at.0)),
        ]
    };
    let [response, on_time, gap] = of_thing(&facts.thing);
    let of_touchpoint = [answer(ScoreScale::Csat), answer(ScoreScale::Nps), touchpoint.sentiment.map(i64::from)];
    let [csat, nps, sentiment] = of_touchpoint;
    add(felt, (spoke, touchpoint), [csat, nps, sentiment, response, on_time, gap]);
    for thing in &facts.further {
        let [response, on_time, gap] = of_thing(thing);
        add(felt, (spoke, touchpoint), [None, None, None, response, on_time, gap]);
    }
}

fn add(felt: &mut Vec<Felt>, (spoke, touchpoint): (u32, &Touchpoint<'_>), values: [Option<i64>; MEASURES.len()]) {
    if values.iter().all(Option::is_none) {
        return;
    }
    let (kind, channel) = (touchpoint.kind, touchpoint.channel);
    let is_it = |known: &Felt| (known.spoke, known.kind, known.channel) == (spoke, kind, channel);
    let at = felt.iter().position(is_it).unwrap_or_else(|| {
        felt.push(Felt { spoke, kind, channel, observed: Observed::default() });
        felt.len() - 1
    });
    for (sum, value) in felt[at].observed.iter_mut().zip(values) {
        if let Some(value) = value {
            sum.add(value);
        }
    }
}

/// What was observed at all kinds of contact of a spoke.
pub(super) fn at_spoke(felt: &[Felt], spoke: u32) -> Observed {
    let mut all = Observed::default();
    for felt in felt.iter().filter(|felt| felt.spoke == spoke) {
        for (sum, part) in all.iter_mut().zip(felt.observed) {
            *sum = Sum { n: sum.n + part.n, sum: sum.sum.wrapping_add(part.sum) };
        }
    }
    all
}

/// The means of what was observed.
pub(super) fn means(observed: Observed) -> Means {
    let mut values = Means::default();
    for ((value, sum), measure) in values.iter_mut().zip(observed).zip(MEASURES) {
        *value = mean(sum, times(measure));
    }
    values
}

/// What the mean of an observed measure is multiplied by: milliseconds are small enough.
fn times(measure: Measure) -> i64 {
    match measure {
        Measure::FirstResponseTime | Measure::PromiseGap => 1,
        _ => THOUSANDTHS,
    }
}

/// The kinds of contact of a month, of the spokes of its head.
pub(super) fn over(month: &Month, spokes: &[(Box<str>, u64)]) -> Vec<ContactMonth> {
    let of = |felt: &Felt| {
        let (spoke, _) = spokes.get(felt.spoke as usize)?;
        let mut name = String::new();
        push_contact(&mut name, spoke, felt.kind, felt.channel);
        Some(ContactMonth { name: name.into(), values: means(felt.observed) })
    };
    month.felt.iter().filter_map(of).collect()
}

impl ContactMonth {
    /// Contributes `times` how what was felt there goes together with buying again.
    pub(super) fn contribute<E: Emit>(&self, window: Window, bought_again: i64, times: i64, emit: &mut E) {
        // One text for all of its elements.
        let mut name = family::cell_value(&[family::CONTACTS], &[&self.name, ""]);
        let head = name.len();
        for (measure, value) in MEASURES.into_iter().zip(self.values) {
            let Some(value) = value else { continue };
            for pair in PairElement::ALL {
                name.truncate(head);
                ContactElement::Pair(measure as u8, Measure::BoughtAgain as u8, pair).push_name(&mut name);
                let place = DimensionValue::new(Dimension::Company, &name);
                emit.cell(family::BALANCE, None, window, &place, &pair.of(value, bought_again), times);
            }
        }
    }
}
