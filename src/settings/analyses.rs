//! `[analyses]`: what the organisation states about itself. A change needs a rebuild.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Capacities, CapacityError, Kind};

/// `[analyses]`: what the organisation states about itself. A change needs a rebuild.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analyses {
    /// Touchpoints that can be afforded in a month, by kind of contact: `spoke:kind:channel=number`, separated by commas.
    pub capacity: String,
    /// What it takes to fix a subject, in a unit of the organisation: `spoke:kind:subject=number`, separated by commas. It goes
    /// before what touchpoints say.
    pub efforts: String,
    /// How many persons' problem can be handled in a month, in the same form.
    pub limits: String,
    /// Whose alerts about metrics are that no single department has.
    pub alerts_owner: String,
}

impl Default for Analyses {
    fn default() -> Self {
        let nothing = String::new;
        Analyses { capacity: nothing(), efforts: nothing(), limits: nothing(), alerts_owner: "company".into() }
    }
}

/// Numbers by spoke, kind and subject.
pub type BySubject = BTreeMap<(String, String, String), i64>;

impl Analyses {
    /// The capacities.
    pub fn capacities(&self) -> Result<Capacities, CapacityError> {
        Capacities::parse_list(&self.capacity)
    }

    /// What it takes to fix subjects, or what is wrong with the list.
    pub fn efforts(&self) -> Result<BySubject, String> {
        parse(&self.efforts)
    }

    /// How many persons' problem can be handled, or what is wrong with the list.
    pub fn limits(&self) -> Result<BySubject, String> {
        parse(&self.limits)
    }
}

fn parse(list: &str) -> Result<BySubject, String> {
    let mut numbers = BySubject::new();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let wrong =
            || format!("{entry:?} is not of the form spoke:kind:subject=number, as in support:case_opened:delivery=5");
        let (place, number) = entry.rsplit_once('=').ok_or_else(wrong)?;
        let mut parts = place.splitn(3, ':').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
        let (Some(spoke), Some(kind), Some(subject)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        if Kind::parse(&kind).is_none() {
            return Err(format!("{entry:?} names {kind:?}, which is no kind of touchpoint"));
        }
        let number = number.trim().parse::<i64>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| format!("{entry:?} does not end with a whole number above zero"))?;
        if numbers.insert((spoke, kind, subject), number).is_some() {
            return Err(format!("{:?} is there twice", place.trim()));
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stated_by_spoke_kind_and_subject() {
        let found = parse("support:case_opened:late: south = 5, sales:quote_sent:price=1,").expect("a list");
        let key = |spoke: &str, kind: &str, subject: &str| (spoke.to_owned(), kind.to_owned(), subject.to_owned());
        assert_eq!(found[&key("support", "case_opened", "late: south")], 5);
        assert_eq!(found[&key("sales", "quote_sent", "price")], 1);
        assert_eq!(parse(" ").expect("nothing"), BySubject::new());
        for wrong in [
            "support:case_opened=5",
            "a:order_placed:c",
            "a:order_placed:c=0",
            "a:order_placed:c=-1",
            "a:order_placed:c=x",
            "a:order_placed:c=1,a:order_placed:c=2",
            "a:order_placd:c=1",
            "::c=1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
