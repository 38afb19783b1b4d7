//! A person's month as each department that touched the person has it: what the person felt there, whether the department failed
//! them, and what they then asked and thought of the others.
//!
//! A department *failed* a person in a month if at least one of its touchpoints was: a delivery later than promised (beyond the
//! tolerance), an answer or review of 1 or 2 of 5, a detractor's answer (0–6 of 0–10), or a sentiment below
//! [`SENTIMENT_FAILS_BELOW`].

use serde::{Deserialize, Serialize};

use super::{
    facts::Facts,
    head::{Head, Sum},
    month::{THOUSANDTHS, mean},
    place::{DimensionValue, Emit},
};
use crate::model::{
    Accumulator, DepartmentElement, Dimension, Measure, PairElement, ScoreScale, Touchpoint, Window, family,
};

/// Sentiment below this, of −100…100, is a failure: as the share that is published of `sentiment` counts it.
const SENTIMENT_FAILS_BELOW: i8 = -20;
/// Of answers of 1–5 and reviews.
const SCORE_FAILS_TO: u8 = 2;
/// Of answers of 0–10: detractors.
const NPS_FAILS_TO: u8 = 6;

/// The measures that are observed at a touchpoint, and so at a department.
const MEASURES: [Measure; 6] =
    [Measure::Csat, Measure::Nps, Measure::Sentiment, Measure::FirstResponseTime, Measure::OnTime, Measure::PromiseGap];

/// A department in the month of a head, by its index in [`Head::spokes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Department {
    spoke: u32,
    failed: bool,
    /// Cases that the person opened there.
    cases: i64,
    /// What was observed there, in the order of [`MEASURES`].
    observed: [Sum; MEASURES.len()],
}

/// A department in a person's month that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepartmentMonth {
    spoke: Box<str>,
    failed: bool,
    /// Cases that the person opened at other departments.
    cases_elsewhere: i64,
    /// The mean answer of 1–5 there, in thousandths.
    csat_elsewhere: Option<i64>,
    /// In the order of [`MEASURES`], each in the unit of [`super::month::PersonMonth`].
    values: [Option<i64>; MEASURES.len()],
}

fn is_failure(touchpoint: &Touchpoint<'_>, facts: &Facts<'_, '_>) -> bool {
    let is_late = facts.delivery.is_some_and(|delivery| delivery.promised_at.is_some() && !delivery.on_time);
    let is_bad = touchpoint.score.is_some_and(|score| match score.scale {
        ScoreScale::Csat | ScoreScale::Review => score.value <= SCORE_FAILS_TO,
        ScoreScale::Nps => score.value <= NPS_FAILS_TO,
        ScoreScale::Ces | ScoreScale::Expectation | ScoreScale::Perception => false,
    });
    is_late || is_bad || touchpoint.sentiment.is_some_and(|sentiment| sentiment < SENTIMENT_FAILS_BELOW)
}

/// Takes a touchpoint of the spoke of an index into the month, once its facts are known.
pub(super) fn observe(departments: &mut Vec<Department>, facts: &Facts<'_, '_>, spoke: u32) {
    let touchpoint = facts.touchpoint;
    let at = departments.iter().position(|known| known.spoke == spoke).unwrap_or_else(|| {
        departments.push(Department { spoke, failed: false, cases: 0, observed: Default::default() });
        departments.len() - 1
    });
    let department = &mut departments[at];
    department.failed |= is_failure(touchpoint, facts);
    department.cases += i64::from(facts.case_opened);
    let answer = |scale| touchpoint.score.filter(|score| score.scale == scale).map(|score| i64::from(score.value));
    let promised = facts.delivery.and_then(|delivery| Some((delivery.on_time, delivery.promised_at?)));
    let values = [
        answer(ScoreScale::Csat),
        answer(ScoreScale::Nps),
        touchpoint.sentiment.map(i64::from),
        facts.first_response_ms,
        promised.map(|(on_time, _)| i64::from(on_time)),
        promised.map(|(_, at)| touchpoint.occurred_at.0.saturating_sub(at.0)),
    ];
    for (sum, value) in department.observed.iter_mut().zip(values) {
        if let Some(value) = value {
            sum.add(value);
        }
    }
}

/// The departments of the month of a head.
pub(super) fn over(head: &Head) -> Vec<DepartmentMonth> {
    let departments = &head.month.departments;
    let cases = departments.iter().fold(0_i64, |sum, it| sum + it.cases);
    let csat = departments.iter().fold(Sum::default(), |sum, it| {
        let [csat, ..] = it.observed;
        Sum { n: sum.n + csat.n, sum: sum.sum.wrapping_add(csat.sum) }
    });
    let of = |department: &Department| {
        let [own, ..] = department.observed;
        let (spoke, _) = head.spokes.get(department.spoke as usize)?;
        let mut values = [None; MEASURES.len()];
        for ((value, sum), measure) in values.iter_mut().zip(department.observed).zip(MEASURES) {
            *value = mean(sum, times(measure));
        }
        Some(DepartmentMonth {
            spoke: spoke.clone(),
            failed: department.failed,
            cases_elsewhere: cases - department.cases,
            csat_elsewhere: mean(Sum { n: csat.n - own.n, sum: csat.sum.wrapping_sub(own.sum) }, THOUSANDTHS),
            values,
        })
    };
    departments.iter().filter_map(of).collect()
}

/// What the mean of an observed measure is multiplied by: milliseconds are small enough.
fn times(measure: Measure) -> i64 {
    match measure {
        Measure::FirstResponseTime | Measure::PromiseGap => 1,
        _ => THOUSANDTHS,
    }
}

impl DepartmentMonth {
    /// Contributes it `times` to the department's month. `bought_again`: what became of the person, as far as it is known.
    pub(super) fn contribute<E: Emit>(&self, window: Window, bought_again: Option<i64>, times: i64, emit: &mut E) {
        // One text for all of its elements.
        let mut name = family::cell_value(&[&self.spoke], &[]);
        let head = name.len();
        let mut element = |element: DepartmentElement, add: &Accumulator| {
            name.truncate(head);
            element.push_name(&mut name);
            emit.cell(family::SCORECARDS, None, window, &DimensionValue::new(Dimension::Company, &name), add, times);
        };
        element(DepartmentElement::Cases(self.failed), &Accumulator::observe(self.cases_elsewhere));
        if let Some(csat) = self.csat_elsewhere {
            element(DepartmentElement::Scores(self.failed), &Accumulator::observe(csat));
        }
        let Some(outcome) = bought_again else { return };
        for (measure, value) in MEASURES.into_iter().zip(self.values) {
            let Some(value) = value else { continue };
            for pair in PairElement::ALL {
                let name = DepartmentElement::Pair(measure as u8, Measure::BoughtAgain as u8, pair);
                element(name, &pair.of(value, outcome));
            }
        }
    }
}
