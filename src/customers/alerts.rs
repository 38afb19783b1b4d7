//! A head and the last closed day → a person's open alerts; and what the feed is told of the difference to those before.
//!
//! | cause | opens at the close of the day | closes | owner |
//! | --- | --- | --- | --- |
//! | `promise_overdue` | that an order was promised for, or on which a late promise was made | delivered, cancelled, promised for another moment, the order forgotten | who promised it first |
//! | `case_unanswered` | in which the target for a first reply ends | first public reply by an agent, resolved, or forgotten | where it was opened |
//! | `follow_up_missing` | in which 48 h after a detractor's answer or a complaint end | an agent's public follow-up, of whichever department | who was answered |
//! | `contact_cap_exceeded` | up to which more than the cap were sent in 30 days | as few as the cap | whose message was too much |
//! | `customer_lapsed` | after the limit of their own rhythm | a purchase | who sold last |
//!
//! Of a person the newest orders and cases are known: what is forgotten has no cause any more. An order that is promised for the same moment
//! after that opens the alert that it had.
//!
//! Opening needs a closed day, closing does not: what ends a cause is in the head at once. So the open alerts are a function
//! of head and closed day, like a record. What follows a backfill is held back until its end ([`Customers::release_alerts`]):
//! held people are marked in the store, and looked at then. As long as a home's touchpoints are on their way to a person, nothing is
//! told of the person either: the last of them has them looked at.

use std::{collections::BTreeMap, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use super::{
    contributions::Contributions,
    fold::{DimensionValue, Head, attention, head::Level},
    record::AtClose,
    rhythm::rhythm,
    stage::{Customers, Effects, Options, Person, person},
    store_keys,
};
use crate::model::{
    Acknowledgement, Alert, AlertCause, AlertId, AlertKey, AlertMark, AlertState, Day, DepartmentElement, Dimension,
    Identifier, IdentifierType, KeyValue, PersonId, StoreError, Window, WindowKind, family,
};

/// What alerts mean: another number asks for a rebuild.
pub const ALERTS_VERSION: u8 = 6;

/// What the feed was told of an alert last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its id.
    pub id: AlertId,
    /// The person of its key, by public id; `None`: it was told before keys had one.
    pub person: Option<PersonId>,
    /// Its cause.
    pub cause: AlertCause,
    /// Its owner.
    pub owner: Box<str>,
    /// The day on which it opened.
    pub since: Day,
    /// XXH3-64 of everything else that was said of it.
    pub content: u64,
    /// How often it was published.
    pub revision: u32,
}

/// The same as heads of version 5 and before had it.
#[derive(Debug, Deserialize)]
pub struct PublishedOfHeads5 {
    id: AlertId,
    cause: AlertCause,
    owner: Box<str>,
    since: Day,
    content: u64,
    revision: u32,
}

impl From<PublishedOfHeads5> for Published {
    fn from(it: PublishedOfHeads5) -> Published {
        let PublishedOfHeads5 { id, cause, owner, since, content, revision } = it;
        Published { id, person: None, cause, owner, since, content, revision }
    }
}

impl Published {
    fn key(&self) -> AlertKey {
        AlertKey { id: self.id, person: self.person }
    }

    /// Adds it `times` to what is open of its department, in the month in which it opened.
    pub(super) fn count(&self, times: i64, contributions: &mut Contributions) {
        let mut name = family::cell_value(&[&self.owner], &[]);
        DepartmentElement::Alerts(self.cause).push_name(&mut name);
        let value = DimensionValue::new(Dimension::Company, &name);
        contributions.count(family::SCORECARDS, Window::of(WindowKind::Month, self.since), &value, times);
    }
}

/// What is kept of a person's alerts, with the head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whether the feed may have to be told something once a backfill is over.
    pub held: bool,
    /// By id.
    pub published: Vec<Published>,
}

/// The same as heads of version 5 and before had it.
#[derive(Debug, Deserialize)]
pub struct KeptOfHeads5 {
    held: bool,
    published: Vec<PublishedOfHeads5>,
}

impl From<KeptOfHeads5> for Kept {
    fn from(it: KeptOfHeads5) -> Kept {
        Kept { held: it.held, published: it.published.into_iter().map(Published::from).collect() }
    }
}

impl Kept {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Kept::default()
    }
}

/// An open alert, before it is known who has seen it.
fn open<'a>(
    (options, person): (&Options, PersonId),
    (cause, since): (AlertCause, Day),
    mark: AlertMark,
    owner: &'a str,
) -> Alert<'a> {
    Alert {
        id: AlertId::of_person(&options.person_key, cause, mark),
        cause,
        state: AlertState::Open,
        owner,
        person: Some(person),
        series: None,
        thing: None,
        since,
        happened_at: None,
        test: None,
        figures: BTreeMap::new(),
        acknowledged: None,
        revision: 0,
    }
}

fn hours(milliseconds: i64) -> f64 {
    milliseconds as f64 / 3_600_000.0
}

/// The alerts of a person, by public id, that are open with a head at the close of a day, by id.
pub fn alerts<'a>(person: PersonId, head: &'a Head, closed_day: Day, options: &Options) -> Vec<Alert<'a>> {
    let of = (options, person);
    let spoke = |index: u32| head.spokes.get(index as usize).map_or("", |(spoke, _)| &**spoke);
    let mut alerts = Vec::new();
    let due = |level: &Level| level.start <= closed_day;
    for order in &head.orders {
        if let Some(promise) = order.promise.as_ref().filter(|promise| due(&promise.overdue)) {
            let level = &promise.overdue;
            let cause = (AlertCause::PromiseOverdue, level.start);
            alerts.push(Alert {
                thing: Some(Identifier { kind: IdentifierType::Order, value: &order.id }),
                happened_at: Some(promise.promised_at),
                ..open(of, cause, promise.mark, level.dimensions.spoke())
            });
        }
    }
    for case in &head.cases {
        if let Some(level) = case.unanswered.as_ref().filter(|level| due(level)) {
            let cause = (AlertCause::CaseUnanswered, level.start);
            alerts.push(Alert {
                thing: Some(Identifier { kind: IdentifierType::Case, value: &case.id }),
                happened_at: Some(case.opened_at),
                figures: BTreeMap::from([("target_hours", hours(options.fold.unanswered_target_ms))]),
                ..open(of, cause, case.mark, level.dimensions.spoke())
            });
        }
    }
    for concern in head.attention.concerns.iter().filter(|concern| concern.start <= closed_day) {
        let owner = spoke(concern.spoke);
        let score = concern.score.map(|score| ("score", f64::from(score)));
        let target = ("target_hours", hours(attention::FOLLOW_UP_TARGET_MS));
        alerts.push(Alert {
            happened_at: Some(concern.at),
            figures: [target].into_iter().chain(score).collect(),
            ..open(of, (AlertCause::FollowUpMissing, concern.start), concern.mark, owner)
        });
    }
    if let Some(over) = head.attention.over.as_ref().filter(|over| over.since <= closed_day) {
        let contacts = AtClose::of(head, closed_day).contacts_30_days;
        if contacts > options.fold.contact_cap {
            let (messages, cap) = (contacts as f64, options.fold.contact_cap as f64);
            alerts.push(Alert {
                figures: BTreeMap::from([("messages_30_days", messages), ("cap", cap)]),
                ..open(of, (AlertCause::ContactCapExceeded, over.since), over.mark, spoke(over.spoke))
            });
        }
    }
    if let Some(rhythm) = rhythm(head).filter(|rhythm| rhythm.lapse() <= closed_day) {
        alerts.push(Alert {
            figures: BTreeMap::from([
                ("purchase_days", (rhythm.gaps + 1) as f64),
                ("mean_gap_days", rhythm.mean_gap_days()),
                ("limit_days", rhythm.limit_days as f64),
            ]),
            ..open(of, (AlertCause::CustomerLapsed, rhythm.lapse()), rhythm.mark, spoke(rhythm.spoke))
        });
    }
    alerts.sort_by_key(|alert| alert.id);
    alerts.dedup_by_key(|alert| alert.id);
    alerts
}

/// The first day after `closed_day` at whose close an alert opens, if nothing else happens. What closes or changes by itself
/// does so with the messages of 30 days, which a record has as well: [`super::record::next_change`].
pub fn next_opening(head: &Head, closed_day: Day) -> Option<Day> {
    let cases = head.cases.iter().filter_map(|case| case.unanswered.as_ref()).map(|level| level.start);
    let concerns = head.attention.concerns.iter().map(|concern| concern.start);
    let lapse = rhythm(head).map(|rhythm| rhythm.lapse());
    cases.chain(concerns).chain(lapse).filter(|&day| day > closed_day).min()
}

fn acknowledgement<S: KeyValue + ?Sized>(id: AlertId, store: &S) -> Result<Option<Acknowledgement>, StoreError> {
    let stored = store.get(&store_keys::acknowledgement(id))?;
    stored
        .map(|bytes| postcard::from_bytes(&bytes).map_err(|error| store_keys::damaged("acknowledgement", error)))
        .transpose()
}

/// Whether what was published is among the alerts, which ascend by id, under the same key.
fn is_open(alerts: &[Alert<'_>], published: &Published) -> bool {
    let at = alerts.binary_search_by_key(&published.id, |alert| alert.id);
    at.is_ok_and(|at| alerts[at].key() == published.key())
}

/// When the feed is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    /// The last closed day.
    pub closed_day: Day,
    /// Whether the hub does not take in history.
    pub is_live: bool,
    /// Whether no more of the person's touchpoints is known to be on its way.
    pub is_whole: bool,
    /// Whether touchpoints have left the person for another since the feed was told last, so that what is no longer open here may be
    /// open there: it goes without a word.
    pub has_parted: bool,
}

/// Tells the feed how a person's alerts differ from what it knows, counts that at their departments, and keeps what it knows then.
/// `public`: whom they are published under. Returns whether that is so, or it is held back.
pub(super) fn publish<S: KeyValue + ?Sized>(
    (person_id, public): (PersonId, PersonId),
    (head, kept): (&Head, &mut Option<Box<Kept>>),
    When { closed_day, is_live, is_whole, has_parted }: When,
    options: &Options,
    (store, contributions): (&mut S, &mut Contributions),
    effects: &mut impl Effects,
) -> Result<bool, StoreError> {
    let mut now = if head.touchpoints > 0 { alerts(public, head, closed_day, options) } else { Vec::new() };
    if now.is_empty() && kept.is_none() {
        return Ok(true);
    }
    let is_gone = head.touchpoints == 0;
    let was_held = kept.as_ref().is_some_and(|kept| kept.held);
    let known = kept.as_ref().map_or(&[][..], |kept| &kept.published);
    // Who is gone, is gone: that is never held back for history, but for what is still to come to them.
    let is_told = is_live || is_gone || (now.is_empty() && known.is_empty());
    let held = !is_told;
    if held != was_held {
        let key = store_keys::held(person_id);
        if held { store.put_local(&key, &[]) } else { store.delete_local(&key) }
    }
    if held {
        kept.get_or_insert_default().held = true;
        return Ok(false);
    }
    if !is_whole {
        kept.iter_mut().for_each(|kept| kept.held = false);
        kept.take_if(|kept| kept.is_empty());
        return Ok(false);
    }
    let mut published = Vec::with_capacity(now.len());
    for old in known.iter().filter(|old| !is_open(&now, old)) {
        if !is_gone && !has_parted {
            let last = Alert::closed(old.id, old.cause, &old.owner, old.since);
            effects.alert(&Alert { person: old.person, revision: old.revision + 1, ..last });
        }
        effects.alert_gone(&old.key(), old.cause);
        store.delete_local(&store_keys::alert(old.id, person_id));
    }
    for alert in &mut now {
        let old = known.binary_search_by_key(&alert.id, |old| old.id).ok().map(|at| &known[at]);
        let old = old.filter(|old| old.key() == alert.key());
        alert.acknowledged = acknowledgement(alert.id, store)?;
        if alert.acknowledged.is_some() {
            alert.state = AlertState::Acknowledged;
        }
        let content = alert.content();
        let mut revision = old.map_or(0, |old| old.revision);
        if old.is_none_or(|old| old.content != content) {
            revision = revision.saturating_add(1);
            alert.revision = revision;
            effects.alert(alert);
        }
        if old.is_none() {
            store.put_local(&store_keys::alert(alert.id, person_id), &[]);
        }
        let (id, cause, since) = (alert.id, alert.cause, alert.since);
        let (person, owner) = (alert.person, alert.owner.into());
        published.push(Published { id, person, cause, owner, since, content, revision });
    }
    let counted = |of: &Published| (of.id, of.cause, of.since);
    let is_same = |(old, new): (&Published, &Published)| counted(old) == counted(new) && old.owner == new.owner;
    if known.len() != published.len() || !known.iter().zip(&published).all(is_same) {
        known.iter().for_each(|old| old.count(-1, contributions));
        published.iter().for_each(|new| new.count(1, contributions));
    }
    *kept = (!published.is_empty()).then(|| Box::new(Kept { held: false, published }));
    Ok(true)
}

impl Customers {
    /// Whether alerts are told from now on as they are, or held back because the hub takes in history. At first they are told.
    pub fn tell_alerts(&mut self, is_live: bool) {
        self.alerts_are_live = is_live;
    }

    /// Looks at up to `max` people whose alerts were held back, unless they still are. Returns whether there are more.
    pub fn release_alerts<S: KeyValue + ?Sized>(&mut self, store: &mut S, max: usize) -> Result<bool, StoreError> {
        if !self.alerts_are_live {
            return Ok(false);
        }
        let (from, to) = store_keys::all_held();
        let mut held = Vec::new();
        let mut more = false;
        store.scan(&from, &to, &mut |key, _| {
            if held.len() == max {
                more = true;
                return ControlFlow::Break(());
            }
            held.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        for key in held {
            let name = key[1..].try_into().map_err(|_| store_keys::damaged("held alert", "17 bytes expected"))?;
            // A restore may leave one of somebody who is held back no more.
            store.delete_local(&key);
            let id = PersonId(name);
            let person = person(&mut self.people, id, store)?;
            if !std::mem::replace(&mut person.dirty, true) {
                self.dirty.push(id);
            }
        }
        Ok(more)
    }

    /// An operator has seen an alert, of whichever person: it counts whenever the alert is open, now or later.
    pub fn acknowledge<S: KeyValue + ?Sized>(
        &mut self,
        id: AlertId,
        acknowledgement: &Acknowledgement,
        store: &mut S,
    ) -> Result<(), StoreError> {
        if self::acknowledgement(id, store)?.is_some_and(|known| known.number <= acknowledgement.number) {
            return Ok(());
        }
        let bytes = postcard::to_stdvec(acknowledgement).expect("a vector takes every byte");
        store.put(&store_keys::acknowledgement(id), &bytes);
        // While touchpoints move, it may be open with two people of one store.
        let prefix = store_keys::alerts_of(id);
        let mut people = Vec::new();
        let mut result = Ok(());
        store.scan(&prefix, &store_keys::after(&prefix), &mut |key, _| {
            match (&key[prefix.len()..], key[prefix.len()..].try_into()) {
                (_, Ok(name)) => people.push(PersonId(name)),
                // With heads of version 5 and before the key was the id alone.
                ([], _) => {}
                _ => result = Err(store_keys::damaged("alert", "33 bytes expected")),
            }
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result?;
        people.into_iter().try_for_each(|person| self.make_dirty(person, store))
    }

    /// The person of a home goes, whatever comes after under the same name: the alerts that were published go too.
    pub(super) fn withdraw_alerts<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let person: &mut Person = person(&mut self.people, id, store)?;
        let Some(kept) = person.envelope.alerts.take() else {
            return Ok(());
        };
        if kept.held {
            store.delete_local(&store_keys::held(id));
        }
        for old in &kept.published {
            old.count(-1, &mut self.contributions);
            effects.alert_gone(&old.key(), old.cause);
            store.delete_local(&store_keys::alert(old.id, id));
        }
        Ok(())
    }
}
