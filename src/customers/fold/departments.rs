//! A person's month as each department that touched the person has it: what the person felt there, whether the department failed
//! them, and what they then asked and thought of the others.
//!
//! A department *failed* a person in a month if at least one of its touchpoints was: a delivery later than promised (beyond the
//! tolerance), an answer or review of 1 or 2 of 5, a detractor's answer (0–6 of 0–10), or a sentiment below
//! [`SENTIMENT_FAILS_BELOW`].
//!
//! A department *promises* by a touchpoint that says until when an order is to be delivered. The promise is open until the order is
//! delivered or cancelled, another promise replaces it, by whomever, or the order is forgotten (of a person the newest 256 are known); it is
//! to be kept by the day on which `overdue` begins to count it.

use serde::{Deserialize, Serialize};

use super::{
    facts::Facts,
    felt::{self, MEASURES, Means},
    head::Sum,
    month::{Month, THOUSANDTHS, mean},
    place::{DimensionValue, Emit},
};
use crate::model::{
    Accumulator, Day, DepartmentElement, Dimension, Measure, PairElement, ScoreScale, Touchpoint, Window, WindowKind,
    family,
};

/// Sentiment below this, of −100…100, is a failure: as the share that is published of `sentiment` counts it.
const SENTIMENT_FAILS_BELOW: i8 = -20;
/// Of answers of 1–5 and reviews.
const SCORE_FAILS_TO: u8 = 2;
/// Of answers of 0–10: detractors.
const NPS_FAILS_TO: u8 = 6;

/// A department in the month of a head, by its index in [`super::head::Head::spokes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Department {
    spoke: u32,
    failed: bool,
    /// Cases that the person opened there.
    cases: i64,
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
    /// What was felt there.
    values: Means,
}

fn is_failure(touchpoint: &Touchpoint<'_>, facts: &Facts<'_, '_>) -> bool {
    let mut deliveries = facts.things().filter_map(|thing| thing.delivery);
    let is_late = deliveries.any(|delivery| delivery.promised_at.is_some() && !delivery.on_time);
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
        departments.push(Department { spoke, failed: false, cases: 0 });
        departments.len() - 1
    });
    let department = &mut departments[at];
    department.failed |= is_failure(touchpoint, facts);
    department.cases += facts.things().map(|thing| i64::from(thing.case_opened)).sum::<i64>();
}

/// Contributes promises that a touchpoint makes and ends to the departments that made them.
pub(super) fn contribute_promises<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let day = facts.place.day;
    for thing in facts.things() {
        if let Some(ended) = &thing.promise_ended {
            contribute_promise(ended.dimensions.spoke(), (day, ended.day), -1, emit);
        }
        if let Some(due) = thing.promise_made {
            contribute_promise(facts.touchpoint.spoke, (day, due), 1, emit);
        }
    }
}

/// A promise that is open from a day on (`-1`: no more), and to be kept by another one.
fn contribute_promise<E: Emit>(spoke: &str, (open, due): (Day, Day), times: i64, emit: &mut E) {
    let mut name = family::cell_value(&[spoke], &[]);
    DepartmentElement::Promises.push_name(&mut name);
    let value = DimensionValue::new(Dimension::Company, &name);
    let [open, due] = [open, due].map(|day| Window::of(WindowKind::Month, day));
    let is_due = Accumulator { a: 1, ..Accumulator::default() };
    if open == due {
        let both = Accumulator { n: 1, ..is_due };
        emit.cell(family::SCORECARDS, None, open, &value, &both, times);
    } else {
        emit.cell(family::SCORECARDS, None, open, &value, &Accumulator::count(1), times);
        emit.cell(family::SCORECARDS, None, due, &value, &is_due, times);
    }
}

/// The departments of a month, of the spokes of its head.
pub(super) fn over(month: &Month, spokes: &[(Box<str>, u64)]) -> Vec<DepartmentMonth> {
    let departments = &month.departments;
    let cases = departments.iter().fold(0_i64, |sum, it| sum + it.cases);
    let felt = &month.felt;
    let csat = felt.iter().fold(Sum::default(), |sum, it| {
        let [csat, ..] = it.observed;
        Sum { n: sum.n + csat.n, sum: sum.sum.wrapping_add(csat.sum) }
    });
    let of = |department: &Department| {
        let observed = felt::at_spoke(felt, department.spoke);
        let [own, ..] = observed;
        let (spoke, _) = spokes.get(department.spoke as usize)?;
        Some(DepartmentMonth {
            spoke: spoke.clone(),
            failed: department.failed,
            cases_elsewhere: cases - department.cases,
            csat_elsewhere: mean(Sum { n: csat.n - own.n, sum: csat.sum.wrapping_sub(own.sum) }, THOUSANDTHS),
            values: felt::means(observed),
        })
    };
    departments.iter().filter_map(of).collect()
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
