//! Families that are read together: whose change makes another one due, and what is read of it.
//!
//! ```text
//! journeys to a purchase, of the company ──▶ balance of the same month ──▶ scorecards of the same month
//!                                        priorities of the same month ──▶
//! ```

use std::ops::ControlFlow;

use super::{HEAD, PUBLISHED, prefixed};
use crate::{
    metrics::{
        MetricsError,
        cells::{StoreKey, day_bytes},
    },
    model::{Day, Dimension, KeyValue, KnownGoal, family, parse_contact},
};

/// The key of a family of the company in the month of another one.
fn of_company(number: u8, name: &str, family: &[u8]) -> StoreKey {
    let mut key = StoreKey::new();
    key.push(number);
    key.extend_from_slice(&family[1..HEAD - 1]);
    key.push(Dimension::Company as u8);
    key.extend_from_slice(name.as_bytes());
    key
}

/// The families of the journeys to a purchase, in the month of a family.
pub(super) fn purchases(family: &[u8]) -> [StoreKey; KnownGoal::PURCHASES.len()] {
    KnownGoal::PURCHASES.map(|goal| of_company(family::JOURNEYS, goal.as_str(), family))
}

/// Whether a family is one of those.
pub(super) fn is_of_purchases(family: &[u8]) -> bool {
    family.first() == Some(&family::JOURNEYS) && purchases(family).iter().any(|key| **key == *family)
}

/// The balance in the month of a family.
pub(super) fn balance(family: &[u8]) -> StoreKey {
    of_company(family::BALANCE, family::CONTACTS, family)
}

/// The priorities in the month of a family.
pub(super) fn priorities(family: &[u8]) -> StoreKey {
    of_company(family::PRIORITIES, family::PERSONS, family)
}

/// The scorecard of a spoke in the month of a family.
pub(super) fn scorecard(family: &[u8], spoke: &str) -> StoreKey {
    of_company(family::SCORECARDS, spoke, family)
}

/// The same, by the first day of the month.
pub(super) fn scorecard_of(month: Day, spoke: &str) -> StoreKey {
    let mut head = StoreKey::from_slice(&[family::SCORECARDS]);
    head.extend_from_slice(&day_bytes(month));
    head.push(Dimension::Company as u8);
    scorecard(&head, spoke)
}

/// The scorecards of the month of a family of which something is published, or due as the store knows it.
pub(super) fn cards(family: &[u8], store: &dyn KeyValue) -> Result<Vec<StoreKey>, MetricsError> {
    let from = prefixed(PUBLISHED, &scorecard(family, ""));
    let mut to = from.clone();
    *to.last_mut().expect("a key is not empty") += 1;
    let mut cards = Vec::new();
    store.scan(&from, &to, &mut |key, _| {
        cards.push(StoreKey::from_slice(&key[1..]));
        ControlFlow::Continue(())
    })?;
    Ok(cards)
}

/// The spoke of an element of a balance.
pub(super) fn spoke_of(element: &str) -> Option<&str> {
    let (contact, _) = element.rsplit_once(family::PART_SEPARATOR)?;
    Some(parse_contact(contact)?.0)
}
