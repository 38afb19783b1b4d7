//! Sums over the touchpoints of each kind of contact, and the journeys to a purchase in; contacts as the balance compares them out.
//!
//! *Credits*: of each goal that is a purchase, each step's Markov credit ([`super::attribution`]), added up. Steps that the chain
//! has as one (beyond [`super::attribution::MARKOV_STEPS_MAX`]) share its credit in proportion to their linear ones. A goal with too few
//! conversions credits nobody. What is credited in a month may have been a touchpoint of an earlier one: a kind of contact
//! can be credited without a touchpoint.

use std::collections::BTreeMap;

use super::{
    attribution::attribute,
    balance::{Contact, ContactKey},
    drivers::{PairSums, Pairs},
    journeys::JourneyTable,
    statistics::Sums,
};
use crate::model::{Accumulator, Capacities, ContactElement, parse_contact};

/// What is summed over the touchpoints of one kind of contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactSums {
    /// How many.
    pub touchpoints: i64,
    /// What they cost, in minor units.
    pub cost: i64,
    /// How many had a cost in another currency, which is not among those.
    pub costs_left_out: i64,
    /// What effort they took.
    pub effort: i64,
    /// Answers of 1–5.
    pub scores: Sums,
    /// Sentiment.
    pub sentiment: Sums,
    /// Deliveries that had been promised.
    pub promises: i64,
    /// Those on time.
    pub kept: i64,
    /// Persons by what they felt there and whether they bought again.
    pub pairs: Pairs,
}

/// Sums by the name of the kind of contact; none of them zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts(BTreeMap<Box<str>, ContactSums>);

impl Contacts {
    /// Adds to an element of a kind of contact.
    pub fn add(&mut self, contact: &str, element: ContactElement, add: &Accumulator) {
        if !self.0.contains_key(contact) {
            self.0.insert(contact.into(), ContactSums::default());
        }
        let Some(sums) = self.0.get_mut(contact) else { return };
        match element {
            ContactElement::Touchpoints => {
                sums.touchpoints = sums.touchpoints.wrapping_add(add.n);
                sums.cost = sums.cost.wrapping_add(add.a);
                sums.effort = sums.effort.wrapping_add(add.b);
                sums.costs_left_out = sums.costs_left_out.wrapping_add(add.sum);
            }
            ContactElement::Scores => sums.scores = sums.scores.and(Sums::of(add)),
            ContactElement::Promises => {
                sums.promises = sums.promises.wrapping_add(add.n);
                sums.kept = sums.kept.wrapping_add(add.a);
            }
            ContactElement::Sentiment => sums.sentiment = sums.sentiment.and(Sums::of(add)),
            // They are sums of another form: `add_pair`.
            ContactElement::Pair(..) => {}
        }
        if *sums == ContactSums::default() {
            self.0.remove(contact);
        }
    }

    /// Adds sums over persons with two measures, by their numbers, to a kind of contact.
    pub fn add_pair(&mut self, contact: &str, pair: (u8, u8), add: &PairSums) {
        let mut sums = self.0.remove(contact).unwrap_or_default();
        sums.pairs.add(pair, add);
        if sums != ContactSums::default() {
            self.0.insert(contact.into(), sums);
        }
    }

    /// Whether nothing is left.
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The sums of every kind of contact, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ContactSums)> {
        self.0.iter().map(|(name, sums)| (&**name, sums))
    }

    /// Every kind of contact that has sums or credits, in the order of their names. Costs that were paid back, and effort below
    /// zero, count as none: nothing costs less than nothing.
    pub fn contacts<'a>(&'a self, credits: &'a Credited, capacities: &Capacities) -> Vec<Contact<'a>> {
        let nothing = ContactSums::default();
        let mut names: Vec<&str> = self.0.keys().chain(credits.0.keys()).map(|name| &**name).collect();
        names.sort_unstable();
        names.dedup();
        let of = |name: &'a str| {
            let (spoke, kind, channel) = parse_contact(name)?;
            let sums = self.0.get(name).unwrap_or(&nothing);
            Some(Contact {
                key: ContactKey { spoke, kind, channel },
                touchpoints: sums.touchpoints,
                scores: sums.scores,
                sentiment: sums.sentiment,
                credit: credits.0.get(name).copied().unwrap_or_default(),
                cost: sums.cost.max(0),
                costs_left_out: sums.costs_left_out.max(0),
                effort: sums.effort.max(0),
                capacity: capacities.of(name),
                pairs: self.0.get(name).map(|sums| &sums.pairs),
            })
        };
        names.into_iter().filter_map(of).collect()
    }
}

/// Conversions credited to kinds of contact, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credited(BTreeMap<Box<str>, f64>);

impl Credited {
    /// The Markov credits of the journeys to each of some goals, in their order.
    pub fn of<'a>(goals: impl IntoIterator<Item = &'a JourneyTable>) -> Credited {
        let mut credited = Credited::default();
        for table in goals {
            let Some(found) = attribute(table, usize::MAX) else { continue };
            let together = || found.shown.iter().filter(|step| step.removal_effect.is_none());
            let linear: f64 = together().map(|step| step.credits.linear).sum();
            let of_each = if linear > 0.0 { found.other.credits.markov / linear } else { 0.0 };
            for step in &found.shown {
                let credit = match step.removal_effect {
                    Some(_) => step.credits.markov,
                    None => step.credits.linear * of_each,
                };
                *credited.0.entry(step.step.into()).or_default() += credit;
            }
        }
        credited.0.retain(|_, credit| *credit > 0.0);
        credited
    }
}
