//! Elements of one family in, the table that its analysis reads out.

use std::collections::BTreeMap;

use crate::{
    analyses::{
        balance::Balance,
        buying::month::BuyingFit,
        contacts::Contacts,
        drivers::{Moments, PairSums},
        journeys::JourneyTable,
        priorities::{Group, PriorityTable, Subject},
        scorecards::Scorecard,
        statistics::Sums,
    },
    metrics::MetricsError,
    model::{
        Accumulator, Acknowledgement, AlertId, ContactElement, Currency, Day, GroupElement, Measure, PairElement,
        PathOutcome, Window, WindowKind, family,
    },
};

use super::changes::Compared;

/// What a family's elements add up to.
#[derive(Debug)]
pub(super) enum Table {
    Journeys(Box<JourneyTable>),
    Drivers(Box<Moments>),
    Priorities(Box<PriorityTable>),
    Contacts(Contacts),
}

/// The same, as it is published.
#[derive(Clone, Copy, Debug)]
pub enum Analysed<'a> {
    /// Journeys to a goal, by how they ended: for `insight.journeys` and `insight.attribution`.
    Journeys(&'a JourneyTable),
    /// Persons' months, whatever the subject of the place: for `insight.drivers`.
    Drivers(&'a Moments),
    /// Groups of persons by subject, and who has seen which subject: for `insight.priorities`.
    Priorities(&'a PriorityTable, &'a BTreeMap<AlertId, Acknowledgement>),
    /// A metric before and after a change by the spoke that the place names: for `insight.changes`.
    Change(&'a Compared),
    /// A department's month; `None`: it had none. For `insight.scorecards`.
    Scorecard(Option<&'a Scorecard>),
    /// Kinds of contact; `None`: nothing can be said of them. For `insight.balance`.
    Balance(Option<&'a Balance<'a>>),
    /// How customers bought by the end of the place's month, amounts in a currency: a set of parameters for `insight.catalogue`.
    /// `None` where nothing is left.
    Buying(Option<(Currency, &'a BuyingFit)>),
}

/// Whether a number is that of a family.
pub(super) fn is_known(number: u8) -> bool {
    matches!(
        number,
        family::JOURNEYS
            | family::DRIVERS
            | family::BALANCE
            | family::SCORECARDS
            | family::PRIORITIES
            | family::CHANGES
    )
}

impl Table {
    /// The empty table of a family.
    pub(super) fn of(family: &[u8]) -> Table {
        match family.first() {
            Some(&family::DRIVERS) => Table::Drivers(Box::new(Moments::new(Measure::ALL.len()))),
            Some(&family::PRIORITIES) => Table::Priorities(Box::default()),
            Some(&family::BALANCE) => Table::Contacts(Contacts::default()),
            _ => Table::Journeys(Box::default()),
        }
    }

    pub(super) fn add(&mut self, element: &str, add: &Accumulator) -> Result<(), MetricsError> {
        match self {
            Table::Journeys(table) => add_journeys(table, element, add),
            Table::Drivers(moments) => add_pair(moments, element, add),
            Table::Priorities(table) => add_group(table, element, add),
            Table::Contacts(contacts) => add_contact(contacts, element, add),
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        match self {
            Table::Journeys(table) => table.is_zero(),
            Table::Drivers(moments) => moments.is_zero(),
            Table::Priorities(table) => table.is_zero(),
            Table::Contacts(contacts) => contacts.is_zero(),
        }
    }
}

fn add_contact(contacts: &mut Contacts, element: &str, add: &Accumulator) -> Result<(), MetricsError> {
    let parsed = element.rsplit_once(family::PART_SEPARATOR);
    let (contact, element) = parsed
        .and_then(|(contact, element)| Some((contact, ContactElement::parse(element)?)))
        .ok_or(MetricsError::Corrupted { what: "a kind of contact" })?;
    contacts.add(contact, element, add);
    Ok(())
}

fn add_pair(moments: &mut Moments, element: &str, add: &Accumulator) -> Result<(), MetricsError> {
    let parsed = PairElement::parse(element).ok_or(MetricsError::Corrupted { what: "a pair of measures" })?;
    let (i, j, element) = parsed;
    let nothing = PairSums::default();
    let sums = match element {
        PairElement::Products => {
            PairSums { n: add.n, first: add.a.into(), second: add.b.into(), products: add.squares, ..nothing }
        }
        PairElement::First => PairSums { first_squares: add.squares, ..nothing },
        PairElement::Second => PairSums { second_squares: add.squares, ..nothing },
    };
    moments.add_pair(i, j, &sums);
    Ok(())
}

fn add_group(table: &mut PriorityTable, element: &str, add: &Accumulator) -> Result<(), MetricsError> {
    let corrupted = || MetricsError::Corrupted { what: "a group of persons" };
    let (letter, subject) = element.split_once(family::PART_SEPARATOR).ok_or_else(corrupted)?;
    let group = match GroupElement::parse(letter).ok_or_else(corrupted)? {
        GroupElement::Persons => {
            Group { persons: add.n, outcome_yes: add.a, outcome_known: add.b, revenue: add.sum, ..Group::default() }
        }
        GroupElement::Scores => Group { scores: Sums::of(add), ..Group::default() },
    };
    let parts: Vec<&str> = subject.split(family::PART_SEPARATOR).collect();
    match *parts {
        [""] => table.add_everyone(group),
        [spoke, kind, subject] => table.add(Subject { spoke, kind, subject }, group),
        _ => return Err(corrupted()),
    }
    Ok(())
}

/// The day before which everything lies that a family of a window is told of: priorities wait for the month after.
pub(super) fn settles_with(number: u8, window: Window) -> Day {
    match number {
        family::PRIORITIES => Window::of(WindowKind::Month, window.end()).end(),
        _ => window.end(),
    }
}

fn add_journeys(table: &mut JourneyTable, element: &str, add: &Accumulator) -> Result<(), MetricsError> {
    let corrupted = || MetricsError::Corrupted { what: "a journey" };
    let (outcome, path) = element.split_once(family::PART_SEPARATOR).ok_or_else(corrupted)?;
    let end = PathOutcome::parse(outcome).ok_or_else(corrupted)?;
    let path: Vec<&str> = path.split('>').filter(|step| !step.is_empty()).collect();
    table.add(&path, end, add, 1);
    Ok(())
}
