//! Pairs that do not link, and the timelines of whose they are, in; how often touchpoints name both, by whom, first and last, out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    customers::{self, Sought},
    problem::Problem,
    shapes::Identity,
};
use crate::{
    feeds::{Moment, Sightings, Together},
    model::IdentifierType,
    serve::view::{Index, View},
};

/// Touchpoints of one person that are looked at, the newest first.
const TOUCHPOINTS_OF_PERSON_MAX: usize = 2_000;
/// Touchpoints that are looked at for one answer.
const TOUCHPOINTS_MAX: usize = 20_000;
/// Identifiers whose persons are looked for, for one answer.
const ENDS_MAX: usize = 500;

/// A person with something that somebody should look at.
#[derive(Serialize, ToSchema)]
pub(super) struct Contested {
    #[serde(flatten)]
    #[schema(value_type = Identity)]
    pub(super) record: Value,
    /// Of each of `conflicts`, in their order: which touchpoints name both.
    pub(super) seen: Vec<SeenTogether>,
}

/// Which touchpoints name both of two identifiers that do not link: of those that count now and are on the timelines of whom the two name.
/// None of a pair that only an operator linked, nor where the hub publishes no touchpoints (`topics.touchpoints_feed`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(super) struct SeenTogether {
    /// How many touchpoints name both.
    touchpoints: u64,
    /// How many by each department.
    by_spoke: BTreeMap<String, u64>,
    /// The earliest of them.
    first: Option<Sighting>,
    /// The latest of them.
    last: Option<Sighting>,
    /// Whether all of those timelines were looked at: else the newest 2,000 touchpoints of each were, for one answer at most
    /// 20,000, and there may be more, and earlier ones.
    is_whole: bool,
}

/// A touchpoint that names both.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Sighting {
    /// When it happened.
    #[schema(format = DateTime)]
    occurred_at: String,
    /// The department.
    spoke: String,
    /// Unique within its department; null for whoever may not see customers.
    id: Option<String>,
    /// What happened.
    kind: String,
}

impl From<Moment> for Sighting {
    fn from(moment: Moment) -> Sighting {
        let Moment { occurred_at, spoke, id, kind } = moment;
        Sighting { occurred_at, spoke, id: Some(id), kind }
    }
}

impl SeenTogether {
    fn of(together: Together, is_whole: bool) -> SeenTogether {
        SeenTogether {
            touchpoints: together.touchpoints(),
            by_spoke: together.by_spoke,
            first: together.first.map(Sighting::from),
            last: together.last.map(Sighting::from),
            is_whole,
        }
    }

    /// An id may be an order's number, or an address.
    pub(super) fn withhold_ids(&mut self) {
        self.first.iter_mut().chain(&mut self.last).for_each(|it| it.id = None);
    }
}

/// Of each person's record, and of each of its conflicts in their order, which touchpoints name both.
pub(super) fn seen(view: &View, records: &[Value]) -> Result<Vec<Vec<SeenTogether>>, Problem> {
    let mut sightings = Sightings::of(records.iter().flat_map(conflicts));
    let mut whom = Whom { view, named: BTreeMap::new() };
    // By person, whether the whole timeline was looked at.
    let mut looked_at: BTreeMap<String, bool> = BTreeMap::new();
    let mut left = TOUCHPOINTS_MAX;
    for record in records {
        for conflict in conflicts(record) {
            for person in whom.name(record, conflict)?.into_iter().flatten().flatten() {
                if looked_at.contains_key(&person) {
                    continue;
                }
                let max = left.min(TOUCHPOINTS_OF_PERSON_MAX);
                let page = view.list(&Index::Timeline.by(&[&person]), None, max, &|_| true)?;
                left -= page.records.len();
                for touchpoint in &page.records {
                    if let Some(sighting) = sightings.sighting(&touchpoint.value) {
                        sightings.add(&sighting);
                    }
                }
                looked_at.insert(person, page.next.is_none());
            }
        }
    }
    let mut seen = Vec::with_capacity(records.len());
    for record in records {
        let mut of_record = Vec::new();
        for conflict in conflicts(record) {
            let is_whole = whom.name(record, conflict)?.iter().all(|person| match person {
                Some(Some(person)) => looked_at.get(person) == Some(&true),
                Some(None) => true,
                None => false,
            });
            of_record.push(SeenTogether::of(sightings.together(conflict), is_whole));
        }
        seen.push(of_record);
    }
    Ok(seen)
}

fn conflicts(record: &Value) -> &[Value] {
    record.get("conflicts").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whom identifiers name, as far as it was looked up: nobody, where only a decision has them.
struct Whom<'a> {
    view: &'a View,
    named: BTreeMap<(IdentifierType, String), Option<String>>,
}

impl Whom<'_> {
    /// Whom each of a pair names; `None`: it is not looked up any more.
    fn name(&mut self, record: &Value, conflict: &Value) -> Result<[Option<Option<String>>; 2], Problem> {
        let mut both = [None, None];
        for (person, end) in both.iter_mut().zip(["stronger", "weaker"]) {
            let end = &conflict[end];
            let text = |field: &str| end.get(field).and_then(Value::as_str).unwrap_or_default();
            let Some(kind) = IdentifierType::parse(text("type")) else { continue };
            let key = (kind, text("value").to_owned());
            *person = self.named.get(&key).cloned();
            if person.is_some() {
                continue;
            }
            let own = record.get("identifiers").and_then(Value::as_array);
            if own.is_some_and(|own| own.contains(end)) {
                *person = Some(record.get("person").and_then(Value::as_str).map(str::to_owned));
            } else if self.named.len() < ENDS_MAX {
                *person = Some(customers::find(self.view, &Sought::Identifier(kind.as_str(), key.1.clone()))?);
            }
            if let Some(person) = person {
                self.named.insert(key, person.clone());
            }
        }
        Ok(both)
    }
}
