//! The measures of a person's month, and the sums over pairs of them that travel to the analysis of drivers.

use super::{contribution::Accumulator, kind::vocabulary};

vocabulary! {
    /// A measure of a person's month. Experience first, then outcomes.
    Measure {
        Csat => "csat",
        Nps => "nps",
        Sentiment => "sentiment",
        FirstResponseTime => "first_response_time",
        OnTime => "on_time",
        PromiseGap => "promise_gap",
        Contacts => "contacts",
        BoughtAgain => "bought_again",
        Revenue => "revenue",
        Margin => "margin",
        Churned => "churned",
        Referred => "referred",
    }
}

impl Measure {
    /// What persons experienced.
    pub const DRIVERS: &'static [Measure] = &[
        Measure::Csat,
        Measure::Nps,
        Measure::Sentiment,
        Measure::FirstResponseTime,
        Measure::OnTime,
        Measure::PromiseGap,
        Measure::Contacts,
    ];
    /// What came of it.
    pub const OUTCOMES: &'static [Measure] =
        &[Measure::BoughtAgain, Measure::Revenue, Measure::Margin, Measure::Churned, Measure::Referred];
}

/// The sums over persons with both measures of a pair (x, y) need more than one accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairElement {
    /// n, Σx in `a`, Σy in `b`, Σxy in `squares`.
    Products,
    /// Σx² in `squares`.
    First,
    /// Σy² in `squares`.
    Second,
}

impl PairElement {
    /// All of them.
    pub const ALL: [PairElement; 3] = [PairElement::Products, PairElement::First, PairElement::Second];

    const fn letter(self) -> char {
        match self {
            PairElement::Products => 'p',
            PairElement::First => 'x',
            PairElement::Second => 'y',
        }
    }

    /// What a person adds.
    pub fn of(self, x: i64, y: i64) -> Accumulator {
        let (x, y) = (i128::from(x), i128::from(y));
        let narrow = |value: i128| value as i64; // it was one
        match self {
            PairElement::Products => {
                Accumulator { n: 1, a: narrow(x), b: narrow(y), squares: x * y, ..Accumulator::default() }
            }
            PairElement::First => Accumulator { squares: x * x, ..Accumulator::default() },
            PairElement::Second => Accumulator { squares: y * y, ..Accumulator::default() },
        }
    }

    /// Appends the name of the element of measures number `i` and `j`.
    pub fn push_name(self, i: u8, j: u8, name: &mut String) {
        use std::fmt::Write;
        write!(name, "{i},{j},{}", self.letter()).expect("a string takes every character");
    }

    /// From a name: the measures' numbers, in order, and which sums.
    pub fn parse(name: &str) -> Option<(usize, usize, PairElement)> {
        let mut parts = name.split(',');
        let (i, j, letter) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        let element = PairElement::ALL.into_iter().find(|element| letter.chars().eq([element.letter()]))?;
        (parts.next().is_none() && i <= j && j < Measure::ALL.len()).then_some((i, j, element))
    }
}

vocabulary! {
    /// The sums over a group of persons need more than one accumulator. Efforts are of their touchpoints: how many say one, and the sum.
    GroupElement {
        Persons => "g",
        Scores => "s",
        Efforts => "e",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_sums_they_are() {
        for element in PairElement::ALL {
            let mut name = String::new();
            element.push_name(3, 11, &mut name);
            assert_eq!(PairElement::parse(&name), Some((3, 11, element)));
        }
        for wrong in ["", "3,11", "3,11,q", "3,12,p", "11,3,p", "3,11,p,1"] {
            assert_eq!(PairElement::parse(wrong), None, "{wrong}");
        }
        let all: Vec<Measure> = Measure::DRIVERS.iter().chain(Measure::OUTCOMES).copied().collect();
        assert_eq!(all, Measure::ALL, "experience first, then outcomes");
    }
}
