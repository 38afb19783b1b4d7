//! A family that is due in, what its analysis says out: unless it says what it said.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Families,
    changes::Changes,
    day_of_family, is_comparison,
    loading::read_table,
    parse, promises, read_published, save_published,
    table::{Analysed, Prioritised, Table},
    together,
};
use crate::{
    analyses::{
        balance,
        contacts::Credited,
        priorities::{Priority, SCORE_RANGE, Stated, Subject},
        scorecards::{MonthOf, Scorecard, scorecard},
    },
    metrics::{
        cells::StoreKey,
        departments::{self, Known},
        published::Published,
        publishing::next_status,
        stage::{Effects, MetricsError},
        watch,
    },
    model::{Acknowledgement, AlertId, AnalysisPlace, Capacities, Day, KeyValue, family},
};

/// So many kinds of contact are in a balance.
const RANKED_MAX: usize = 200;

/// So many things to fix are published of a month.
const PRIORITIES_MAX: usize = 50;

/// Who has seen which of them.
fn seen_of(
    priorities: &[Priority<'_>],
    store: &dyn KeyValue,
) -> Result<BTreeMap<AlertId, Acknowledgement>, MetricsError> {
    let mut seen = BTreeMap::new();
    for Subject { spoke, kind, subject } in priorities.iter().map(|priority| priority.subject) {
        let id = AlertId::of_priority(spoke, kind, subject);
        if let Some(acknowledgement) = watch::acknowledgement(id, store)? {
            seen.insert(id, acknowledgement);
        }
    }
    Ok(seen)
}

impl Families {
    /// Publishes what a family says, if it does not say it already.
    pub(super) fn publish_family(
        &mut self,
        family: &StoreKey,
        settled: Option<Day>,
        (capacities, stated): (&Capacities, &Stated),
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<(), MetricsError> {
        let published = read_published(family, store)?;
        let name = parse(family)?;
        let part = |index: usize| name.parts.get(index).copied().unwrap_or_default();
        // A comparison's name begins with the value, others with the subject.
        let (subject, dimension_value) = if is_comparison(family) { (part(1), part(0)) } else { (part(0), part(1)) };
        let place = AnalysisPlace { subject, window: name.window, dimension: name.dimension, dimension_value };
        let credited = match family.first() {
            Some(&(family::BALANCE | family::SCORECARDS)) => self.credited(family, name.window.start, store)?,
            _ => Arc::default(),
        };
        let (compared, contacts, balance, department, card, found, seen);
        let (analysed, is_nothing) = if is_comparison(family) {
            compared = Changes::compare(name.window.start, name.dimension, &name.parts, store)?;
            (Analysed::Change(&compared), compared.change.is_none())
        } else if family.first() == Some(&family::SCORECARDS) {
            // Small, and one of many: not kept.
            department = read_table(family, store)?;
            card = self.scorecard(family, &department, subject, (&credited, stated), store)?;
            (Analysed::Scorecard(card.as_ref()), card.is_none())
        } else {
            let table = self.table(family, store)?;
            let analysed = match table {
                Table::Journeys(table) => Analysed::Journeys(table),
                Table::Drivers(moments) => Analysed::Drivers(moments),
                Table::Priorities(table) => {
                    found = table.prioritise(stated, SCORE_RANGE, PRIORITIES_MAX);
                    seen = seen_of(&found.shown, store)?;
                    Analysed::Priorities(Prioritised { everyone: table.everyone(), found: &found, seen: &seen })
                }
                Table::Contacts(table) => {
                    contacts = table.contacts(&credited, capacities);
                    balance = balance::balance(&contacts, RANKED_MAX);
                    Analysed::Balance(balance.as_ref())
                }
                Table::Department(_) => return Err(MetricsError::NoElement),
            };
            (analysed, table.is_zero() || matches!(analysed, Analysed::Balance(None)))
        };
        if is_nothing {
            if published.status.is_some() {
                effects.analysis(&place, analysed, None);
            }
            save_published(Published::default(), family, store);
            return Ok(());
        }
        let content = effects.content(&place, analysed);
        let changed = content.is_none() || content != published.content;
        let is_settled = settled.is_some_and(|settled| name.settles <= settled);
        let status = next_status(published.status, changed, false, is_settled);
        if !changed && published.status == Some(status) {
            save_published(Published { due: false, ..published }, family, store);
            return Ok(());
        }
        let revision = published.revision + 1;
        effects.analysis(&place, analysed, Some((revision, status)));
        save_published(Published { due: false, status: Some(status), revision, content }, family, store);
        Ok(())
    }

    /// A department's month, from the families that it is read from.
    fn scorecard<'a>(
        &'a mut self,
        family: &[u8],
        department: &'a Table,
        spoke: &str,
        (credited, stated): (&'a Credited, &'a Stated),
        store: &dyn KeyValue,
    ) -> Result<Option<Scorecard<'a>>, MetricsError> {
        let (balance, priorities) = (together::balance(family), together::priorities(family));
        for key in [&balance, &priorities] {
            self.table(key, store)?;
        }
        let (Some(Table::Contacts(contacts)), Some(Table::Priorities(priorities)), Table::Department(department)) =
            (self.tables.get(&balance), self.tables.get(&priorities), department)
        else {
            return Err(MetricsError::NoElement);
        };
        let month = day_of_family(family)?;
        let Known { metric_alerts, arrived } = departments::known(month, spoke, store)?;
        let promises = promises::up_to(family, month, store)?;
        let of = MonthOf { contacts, credited, department, priorities, stated, promises, metric_alerts, arrived };
        Ok(scorecard(of, spoke))
    }

    /// What the purchases of a family's month are credited to.
    fn credited(&mut self, family: &[u8], month: Day, store: &dyn KeyValue) -> Result<Arc<Credited>, MetricsError> {
        if let Some(credited) = self.credited.get(&month) {
            return Ok(Arc::clone(credited));
        }
        let purchases = together::purchases(family);
        for key in &purchases {
            self.table(key, store)?;
        }
        let tables = purchases.iter().filter_map(|key| match self.tables.get(key) {
            Some(Table::Journeys(table)) => Some(&**table),
            _ => None,
        });
        let credited = Arc::new(Credited::of(tables));
        self.credited.insert(month, Arc::clone(&credited));
        Ok(credited)
    }
}
