//! Elements of one family in, the table that its analysis reads out.

use std::collections::BTreeMap;

use crate::{
    analyses::{
        attribution::MARKOV_STEPS_MAX,
        balance::Balance,
        buying::month::BuyingFit,
        contacts::Contacts,
        drivers::{Moments, PairSums},
        journeys::JourneyTable,
        priorities::{Group, Judged, Priority, PriorityTable, Subject},
        ranking::Ranked,
        scorecards::{Department, Scorecard},
        statistics::Sums,
    },
    metrics::MetricsError,
    model::{
        Accumulator, Acknowledgement, AlertId, ContactElement, Currency, Day, DepartmentElement, GroupElement, Measure,
        PairElement, PathOutcome, Window, WindowKind, family,
    },
};

use super::changes::Compared;

/// What publishing a table costs at least, in the time that a comparison of two sums takes.
const STEPS_PER_TABLE: usize = 8;

/// What was added to an element.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub before: &'a Accumulator,
    pub add: &'a Accumulator,
    pub after: &'a Accumulator,
}

/// What a family's elements add up to.
#[derive(Debug)]
pub(super) enum Table {
    Journeys(Box<JourneyTable>),
    Drivers(Box<Moments>),
    Priorities(Box<PriorityTable>),
    Contacts(Contacts),
    Department(Box<Department>),
}

/// What to fix first in a month.
#[derive(Clone, Copy, Debug)]
pub struct Prioritised<'a> {
    /// All persons.
    pub everyone: Group,
    /// The first ones, and how many others there are.
    pub found: &'a Ranked<Priority<'a>, Judged>,
    /// Who has seen which of them.
    pub seen: &'a BTreeMap<AlertId, Acknowledgement>,
}

/// The same, as it is published.
#[derive(Clone, Copy, Debug)]
pub enum Analysed<'a> {
    /// Journeys to a goal, by how they ended: for `insight.journeys` and `insight.attribution`.
    Journeys(&'a JourneyTable),
    /// Persons' months, whatever the subject of the place: for `insight.drivers`.
    Drivers(&'a Moments),
    /// What to fix first, from groups of persons by subject: for `insight.priorities`.
    Priorities(Prioritised<'a>),
    /// A metric before and after a change by the spoke that the place names: for `insight.changes`.
    Change(&'a Compared),
    /// A department's month; `None`: it had none. For `insight.scorecards`.
    Scorecard(Option<&'a Scorecard<'a>>),
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
            Some(&family::SCORECARDS) => Table::Department(Box::default()),
            _ => Table::Journeys(Box::default()),
        }
    }

    /// An element, to which something was added. Returns the path whose lost journeys have to be told next:
    /// [`Table::note_lost`].
    pub(super) fn change<'e>(
        &mut self,
        element: &'e str,
        Step { before, add, after }: Step<'_>,
    ) -> Result<Option<&'e str>, MetricsError> {
        match self {
            Table::Journeys(table) => return change_journeys(table, element, before, after),
            Table::Drivers(moments) => add_pair(moments, element, add)?,
            Table::Priorities(table) => add_group(table, element, add)?,
            Table::Contacts(contacts) => add_contact(contacts, element, add)?,
            Table::Department(department) => add_to_department(department, element, add)?,
        }
        Ok(None)
    }

    /// So many journeys were lost on a path that has just come into a table's list.
    pub(super) fn note_lost(&mut self, path: &str, n: i64) {
        if let Table::Journeys(table) = self {
            table.note_lost(&steps(path), n);
        }
    }

    /// Whether the table has to be filled again before it is published.
    pub(super) fn is_lacking(&self) -> bool {
        matches!(self, Table::Journeys(table) if table.lacks_paths())
    }

    /// What publishing it costs, in the time that a comparison of two sums takes.
    pub(super) fn steps(&self) -> usize {
        match self {
            Table::Journeys(table) => {
                let states = table.kinds_of_steps().min(MARKOV_STEPS_MAX);
                STEPS_PER_TABLE + table.sums() / 500 + states.pow(3) / 500_000
            }
            Table::Priorities(table) => STEPS_PER_TABLE + table.kinds() / 500,
            Table::Drivers(_) | Table::Contacts(_) | Table::Department(_) => STEPS_PER_TABLE,
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        match self {
            Table::Journeys(table) => table.is_zero(),
            Table::Drivers(moments) => moments.is_zero(),
            Table::Priorities(table) => table.is_zero(),
            Table::Contacts(contacts) => contacts.is_zero(),
            Table::Department(department) => department.is_zero(),
        }
    }
}

fn add_contact(contacts: &mut Contacts, element: &str, add: &Accumulator) -> Result<(), MetricsError> {
    let parsed = element.rsplit_once(family::PART_SEPARATOR);
    let (contact, element) = parsed
        .and_then(|(contact, element)| Some((contact, ContactElement::parse(element)?)))
        .ok_or(MetricsError::Corrupted { what: "a kind of contact" })?;
    match element {
        ContactElement::Pair(i, j, element) => contacts.add_pair(contact, (i, j), &pair_sums(element, add)),
        element => contacts.add(contact, element, add),
    }
    Ok(())
}

fn add_pair(moments: &mut Moments, element: &str, add: &Accumulator) -> Result<(), MetricsError> {
    let parsed = PairElement::parse(element).ok_or(MetricsError::Corrupted { what: "a pair of measures" })?;
    let (i, j, element) = parsed;
    moments.add_pair(i, j, &pair_sums(element, add));
    Ok(())
}

fn pair_sums(element: PairElement, add: &Accumulator) -> PairSums {
    let nothing = PairSums::default();
    match element {
        PairElement::Products => {
            PairSums { n: add.n, first: add.a.into(), second: add.b.into(), products: add.squares, ..nothing }
        }
        PairElement::First => PairSums { first_squares: add.squares, ..nothing },
        PairElement::Second => PairSums { second_squares: add.squares, ..nothing },
    }
}

fn add_to_department(department: &mut Department, element: &str, add: &Accumulator) -> Result<(), MetricsError> {
    let parsed = DepartmentElement::parse(element);
    match parsed.ok_or(MetricsError::Corrupted { what: "an element of a department's month" })? {
        DepartmentElement::Cases(failed) => {
            let cases = &mut department.side(failed).cases;
            *cases = cases.and(Sums::of(add));
        }
        DepartmentElement::Scores(failed) => {
            let scores = &mut department.side(failed).scores;
            *scores = scores.and(Sums::of(add));
        }
        DepartmentElement::Promises => department.add_promises(add),
        DepartmentElement::Alerts(cause) => department.add_alerts(cause, add.n),
        DepartmentElement::Pair(i, j, element) => department.add_pair((i, j), &pair_sums(element, add)),
    }
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
        GroupElement::Efforts => Group { efforts: add.n, effort: add.sum, ..Group::default() },
    };
    let parts: Vec<&str> = subject.split(family::PART_SEPARATOR).collect();
    match *parts {
        [""] => table.add_everyone(group),
        [spoke, kind, subject] => table.add(Subject { spoke, kind, subject }, group),
        _ => return Err(corrupted()),
    }
    Ok(())
}

/// The day before which everything lies that a family of a window is told of: priorities wait for the month after, and so
/// do scorecards, which have them.
pub(super) fn settles_with(number: u8, window: Window) -> Day {
    match number {
        family::PRIORITIES | family::SCORECARDS => Window::of(WindowKind::Month, window.end()).end(),
        _ => window.end(),
    }
}

fn steps(path: &str) -> Vec<&str> {
    path.split('>').filter(|step| !step.is_empty()).collect()
}

/// The end of journeys, and their path.
fn parse_journeys(element: &str) -> Result<(PathOutcome, &str), MetricsError> {
    let parsed = element.split_once(family::PART_SEPARATOR);
    parsed
        .and_then(|(outcome, path)| Some((PathOutcome::parse(outcome)?, path)))
        .ok_or(MetricsError::Corrupted { what: "a journey" })
}

fn change_journeys<'e>(
    table: &mut JourneyTable,
    element: &'e str,
    before: &Accumulator,
    after: &Accumulator,
) -> Result<Option<&'e str>, MetricsError> {
    let (end, path) = parse_journeys(element)?;
    Ok(table.change(&steps(path), end, before, after).then_some(path))
}

/// The element of the journeys that were lost on a path.
pub(super) fn lost(path: &str) -> String {
    format!("{}{}{path}", PathOutcome::Lost.as_str(), family::PART_SEPARATOR)
}

/// What taking an element into a table costs: a journey has sums for its steps and their pairs.
pub(super) fn work(element: &str) -> usize {
    let steps = element.bytes().filter(|byte| *byte == b'>').count() + 1;
    8 + steps + steps * steps / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::priorities::{EffortSource, SCORE_RANGE, Stated};

    /// Two subjects in a table that a hundred persons are touched by, each, and what touchpoints say of one.
    #[test]
    fn efforts_are_those_of_their_subject() {
        let mut table = Table::of(&[family::PRIORITIES]);
        let mut add = |element: GroupElement, subject: &str, add: &Accumulator| {
            let element = family::element(&[element.as_str(), subject]);
            let nothing = Accumulator::default();
            table.change(&element, Step { before: &nothing, add, after: add }).expect("an element of a group");
        };
        let subject = |word: &str| family::element(&["support", "case_opened", word]);
        let persons = |n: i64, bought: i64| Accumulator { n, a: bought, b: n, sum: 100 * n, ..Accumulator::default() };
        add(GroupElement::Persons, "", &persons(1_000, 600));
        add(GroupElement::Persons, &subject("dear"), &persons(100, 20));
        add(GroupElement::Persons, &subject("late"), &persons(100, 30));
        add(GroupElement::Efforts, &subject("dear"), &Accumulator { sum: 50, ..Accumulator::count(10) });
        let Table::Priorities(priorities) = &table else { panic!("a table of priorities") };
        let stated = Stated::default();
        let found = priorities.prioritise(&stated, SCORE_RANGE, 10).shown;
        let said = |it: &Priority<'_>| (it.subject.subject.to_owned(), it.effort, it.effort_source);
        let expected =
            [("late".to_owned(), 1, EffortSource::Assumed), ("dear".to_owned(), 5, EffortSource::Touchpoints)];
        assert_eq!(found.iter().map(said).collect::<Vec<_>>(), expected);
        // Everything is taken back.
        let mut back = |element: GroupElement, subject: &str, sum: &Accumulator| {
            let element = family::element(&[element.as_str(), subject]);
            let (mut add, nothing) = (Accumulator::default(), Accumulator::default());
            add.add(sum, -1);
            table.change(&element, Step { before: sum, add: &add, after: &nothing }).expect("an element of a group");
        };
        back(GroupElement::Persons, "", &persons(1_000, 600));
        back(GroupElement::Persons, &subject("dear"), &persons(100, 20));
        back(GroupElement::Persons, &subject("late"), &persons(100, 30));
        back(GroupElement::Efforts, &subject("dear"), &Accumulator { sum: 50, ..Accumulator::count(10) });
        assert!(table.is_zero());
    }
}
