//! The elements that a department's month is made of besides its kinds of contact: how they are named on their way to analyses; and
//! what partitions of metrics tell the one that has the analyses of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    alert::{AlertCause, AlertId},
    measure::PairElement,
    time::Day,
    touchpoint::Outcome,
};

/// What is known of a department's month where a metric's cells are, and not where analyses are. It says what is, not what changes: told
/// twice, it says no more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DepartmentNews {
    /// An alert about a metric is open: whose, and since which day. `None`: it is open no more.
    Alert(AlertId, Option<(Box<str>, Day)>),
    /// What arrived from a department in the month that begins on a day, by outcome.
    Arrived(Box<str>, Day, BTreeMap<Outcome, i64>),
}

/// What a person's month, or an alert, adds to a department's month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepartmentElement {
    /// Cases that persons opened at other departments, one observation of each person: n, Σ, Σ². By whether the department
    /// failed them.
    Cases(bool),
    /// Persons' mean answers of 1–5 to other departments, in thousandths: n, Σ, Σ². By the same.
    Scores(bool),
    /// Promises, as changes: in `n` those made in the month less those that ended in it, in `a` those to be kept by its end less
    /// those of them that ended. Up to a month they add up to what is open at its end, and to what is overdue then.
    Promises,
    /// Open alerts about customers, in `n`.
    Alerts(AlertCause),
    /// Persons with a measure at the department's touchpoints and an outcome, by their numbers among [`super::Measure::ALL`].
    Pair(u8, u8, PairElement),
}

/// The name of [`DepartmentElement::Promises`].
const PROMISES: &str = "o";

impl DepartmentElement {
    /// Appends its name.
    pub fn push_name(self, name: &mut String) {
        match self {
            DepartmentElement::Cases(true) => name.push_str("c+"),
            DepartmentElement::Cases(false) => name.push_str("c-"),
            DepartmentElement::Scores(true) => name.push_str("s+"),
            DepartmentElement::Scores(false) => name.push_str("s-"),
            DepartmentElement::Promises => name.push_str(PROMISES),
            DepartmentElement::Alerts(cause) => {
                name.push('!');
                name.push_str(cause.as_str());
            }
            DepartmentElement::Pair(i, j, element) => element.push_name(i, j, name),
        }
    }

    /// From a name.
    pub fn parse(name: &str) -> Option<DepartmentElement> {
        match name {
            "c+" => Some(DepartmentElement::Cases(true)),
            "c-" => Some(DepartmentElement::Cases(false)),
            "s+" => Some(DepartmentElement::Scores(true)),
            "s-" => Some(DepartmentElement::Scores(false)),
            PROMISES => Some(DepartmentElement::Promises),
            _ => match name.strip_prefix('!') {
                Some(cause) => AlertCause::parse(cause).map(DepartmentElement::Alerts),
                None => {
                    let (i, j, element) = PairElement::parse(name)?;
                    Some(DepartmentElement::Pair(u8::try_from(i).ok()?, u8::try_from(j).ok()?, element))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_element_they_are() {
        let alerts = AlertCause::ALL.iter().map(|cause| DepartmentElement::Alerts(*cause));
        let pairs = PairElement::ALL.into_iter().map(|element| DepartmentElement::Pair(0, 7, element));
        let groups =
            [true, false].into_iter().flat_map(|it| [DepartmentElement::Cases(it), DepartmentElement::Scores(it)]);
        for element in alerts.chain(pairs).chain(groups).chain([DepartmentElement::Promises]) {
            let mut name = String::new();
            element.push_name(&mut name);
            assert_eq!(DepartmentElement::parse(&name), Some(element), "{name}");
        }
        for wrong in ["", "c", "c*", "!", "!nothing", "7,0,p", "x"] {
            assert_eq!(DepartmentElement::parse(wrong), None, "{wrong}");
        }
    }
}
