//! Kinds of contact (spoke · kind · channel): the text that names one, the sums over its touchpoints that travel to analyses, and
//! how many an organisation can afford.

use std::collections::BTreeMap;

use super::{
    contribution::Accumulator,
    kind::{Channel, Kind},
    measure::PairElement,
};

/// Between the parts of a kind of contact's name.
const SEPARATOR: char = ':';

/// Appends the name of a kind of contact, `spoke:kind:channel`: also a step of journeys.
pub fn push_contact(text: &mut String, spoke: &str, kind: Kind, channel: Option<Channel>) {
    text.push_str(spoke);
    text.push(SEPARATOR);
    text.push_str(kind.as_str());
    text.push(SEPARATOR);
    text.push_str(channel.map_or("", Channel::as_str));
}

/// Spoke, kind and channel of a name; the channel may be empty.
pub fn parse_contact(name: &str) -> Option<(&str, &str, &str)> {
    let mut parts = name.rsplitn(3, SEPARATOR);
    let (channel, kind, spoke) = (parts.next()?, parts.next()?, parts.next()?);
    Some((spoke, kind, channel))
}

/// The sums over the touchpoints of a kind of contact need more than one accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactElement {
    /// How many in `n`, their cost in minor units in `a`, their effort in `b`, how many had a cost in another currency in `sum`.
    Touchpoints,
    /// Answers of 1–5 (csat): n, Σ, Σ².
    Scores,
    /// Sentiment of −100…100: n, Σ, Σ².
    Sentiment,
    /// Deliveries that had been promised in `n`, those on time in `a`.
    Promises,
    /// Persons with a measure at touchpoints of the kind and an outcome, by their numbers among [`super::Measure::ALL`].
    Pair(u8, u8, PairElement),
}

impl ContactElement {
    /// Appends its name.
    pub fn push_name(self, name: &mut String) {
        match self {
            ContactElement::Touchpoints => name.push('t'),
            ContactElement::Scores => name.push('s'),
            ContactElement::Sentiment => name.push('m'),
            ContactElement::Promises => name.push('p'),
            ContactElement::Pair(i, j, element) => element.push_name(i, j, name),
        }
    }

    /// From a name.
    pub fn parse(name: &str) -> Option<ContactElement> {
        match name {
            "t" => Some(ContactElement::Touchpoints),
            "s" => Some(ContactElement::Scores),
            "m" => Some(ContactElement::Sentiment),
            "p" => Some(ContactElement::Promises),
            _ => {
                let (i, j, element) = PairElement::parse(name)?;
                Some(ContactElement::Pair(u8::try_from(i).ok()?, u8::try_from(j).ok()?, element))
            }
        }
    }
}

/// How many touchpoints of each kind of contact an organisation can afford in a month, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacities(BTreeMap<String, i64>);

/// Why a list of capacities is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// No number follows.
    #[error("`{0}` says no capacity: write spoke:kind:channel=number, as in support:case_replied:phone=1000")]
    NoNumber(String),
    /// A name without its three parts.
    #[error("`{0}` names no kind of contact: write spoke:kind:channel, the channel empty where there is none")]
    NoContact(String),
    /// A kind that does not exist.
    #[error("`{contact}` names `{kind}`, which is no kind of touchpoint")]
    UnknownKind {
        /// The name.
        contact: String,
        /// Its second part.
        kind: String,
    },
    /// A channel that does not exist.
    #[error("`{contact}` names `{channel}`, which is no channel")]
    UnknownChannel {
        /// The name.
        contact: String,
        /// Its third part.
        channel: String,
    },
    /// A number that cannot be one.
    #[error("the capacity of `{contact}` is `{number}`: write a whole number of touchpoints a month, from 1 on")]
    BadNumber {
        /// The name.
        contact: String,
        /// What follows it.
        number: String,
    },
    /// Named twice.
    #[error("`{0}` is named twice")]
    Twice(String),
}

impl Capacities {
    /// The capacities of a list: `spoke:kind:channel=number`, separated by commas. None for an empty list.
    pub fn parse_list(list: &str) -> Result<Capacities, CapacityError> {
        let mut capacities = BTreeMap::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (contact, number) = word.split_once('=').ok_or_else(|| CapacityError::NoNumber(word.to_owned()))?;
            let (contact, number) = (contact.trim().to_owned(), number.trim());
            let (kind, channel) = match parse_contact(&contact) {
                Some((spoke, kind, channel)) if !spoke.is_empty() => (kind.to_owned(), channel.to_owned()),
                _ => return Err(CapacityError::NoContact(contact)),
            };
            if Kind::parse(&kind).is_none() {
                return Err(CapacityError::UnknownKind { contact, kind });
            }
            if !channel.is_empty() && Channel::parse(&channel).is_none() {
                return Err(CapacityError::UnknownChannel { contact, channel });
            }
            let Some(capacity) = number.parse().ok().filter(|capacity| *capacity > 0) else {
                return Err(CapacityError::BadNumber { contact, number: number.to_owned() });
            };
            if capacities.contains_key(&contact) {
                return Err(CapacityError::Twice(contact));
            }
            capacities.insert(contact, capacity);
        }
        Ok(Capacities(capacities))
    }

    /// That of a kind of contact, by name.
    pub fn of(&self, contact: &str) -> Option<i64> {
        self.0.get(contact).copied()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(contact, capacity)| (contact.as_str(), *capacity))
    }
}

/// One touchpoint's part of [`ContactElement::Touchpoints`].
pub fn contact_touchpoint(cost: i64, effort: i64, is_cost_left_out: bool) -> Accumulator {
    Accumulator { a: cost, b: effort, sum: i64::from(is_cost_left_out), ..Accumulator::count(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_spoke_kind_and_channel() {
        for channel in [None, Some(Channel::Phone)] {
            let mut name = String::new();
            push_contact(&mut name, "after:sales", Kind::CaseReplied, channel);
            assert_eq!(
                parse_contact(&name),
                Some(("after:sales", "case_replied", channel.map_or("", Channel::as_str)))
            );
        }
        assert_eq!(parse_contact("sales:visit_made"), None);
        let named =
            [ContactElement::Touchpoints, ContactElement::Scores, ContactElement::Sentiment, ContactElement::Promises];
        let pairs = PairElement::ALL.map(|element| ContactElement::Pair(0, 7, element));
        for element in named.into_iter().chain(pairs) {
            let mut name = String::new();
            element.push_name(&mut name);
            assert_eq!(ContactElement::parse(&name), Some(element), "{name}");
        }
        assert_eq!(ContactElement::parse("x"), None);
    }

    #[test]
    fn capacities_are_numbers_by_kind_of_contact() {
        let list = " support:case_replied:phone = 1000, sales:visit_made:=20,";
        let capacities = Capacities::parse_list(list).expect("two capacities");
        let all: Vec<_> = capacities.iter().collect();
        assert_eq!(all, [("sales:visit_made:", 20), ("support:case_replied:phone", 1_000)]);
        assert_eq!(capacities.of("sales:visit_made:"), Some(20));
        assert_eq!(capacities.of("sales:visit_made:store"), None);
        assert_eq!(Capacities::parse_list(""), Ok(Capacities::default()));
    }

    #[test]
    fn a_mistake_is_named() {
        for (list, error) in [
            ("support:case_replied:phone", CapacityError::NoNumber("support:case_replied:phone".into())),
            ("case_replied:phone=1", CapacityError::NoContact("case_replied:phone".into())),
            (":case_replied:phone=1", CapacityError::NoContact(":case_replied:phone".into())),
            ("s:reply:phone=1", CapacityError::UnknownKind { contact: "s:reply:phone".into(), kind: "reply".into() }),
            (
                "s:visit_made:shop=1",
                CapacityError::UnknownChannel { contact: "s:visit_made:shop".into(), channel: "shop".into() },
            ),
            (
                "s:visit_made:store=0",
                CapacityError::BadNumber { contact: "s:visit_made:store".into(), number: "0".into() },
            ),
            (
                "s:visit_made:store=many",
                CapacityError::BadNumber { contact: "s:visit_made:store".into(), number: "many".into() },
            ),
            ("s:visit_made:=1,s:visit_made:=2", CapacityError::Twice("s:visit_made:".into())),
        ] {
            assert_eq!(Capacities::parse_list(list), Err(error), "{list}");
        }
    }
}
