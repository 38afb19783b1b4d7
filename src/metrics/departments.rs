//! What the other partitions tell of departments' months in; out what scorecards have besides what families hold: open alerts about
//! metrics, which are found where the metric's cells are, and what arrived, which is counted where `data_quality` is.
//!
//! ```text
//! n alert¹⁶                        →  version owner month    an open alert about a metric
//! o month⁴ owner 0x00 alert¹⁶      →  (empty)                the same, by department and month
//! q month⁴ spoke                   →  version outcomes       what arrived in a month
//! ```
//! Each is told as it is now. So nothing is lost, and nothing counts twice, when a rebuild leaves these entries as they are: alerts are
//! told again when their series are examined anew, arrivals when their cells are published once more.

use std::{collections::BTreeMap, ops::ControlFlow};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    cells::{StoreKey, day_bytes},
    stage::MetricsError,
};
use crate::model::{AlertId, Day, DepartmentNews, KeyValue, Outcome, Window, WindowKind};

const ALERT: u8 = b'n';
const ALERT_OF: u8 = b'o';
const ARRIVED: u8 = b'q';

/// Version of the stored forms. Golden file: `tests/fixtures/metrics_store_v1.txt`.
const VERSION: u8 = 1;

/// What is known of a department's month besides what families hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Alerts about metrics that it owns, that opened in the month and are open.
    pub(super) metric_alerts: i64,
    /// What arrived from it in the month, by outcome.
    pub(super) arrived: BTreeMap<Outcome, i64>,
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("a vector takes every byte")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MetricsError> {
    let corrupted = || MetricsError::Corrupted { what: "what was told of a department" };
    match bytes {
        [VERSION, rest @ ..] => postcard::from_bytes(rest).map_err(|_| corrupted()),
        _ => Err(corrupted()),
    }
}

fn alert_key(id: AlertId) -> StoreKey {
    let mut key = StoreKey::from_slice(&[ALERT]);
    key.extend_from_slice(&id.0);
    key
}

/// What comes before the name of a department.
fn of_month(first: u8, month: Day) -> StoreKey {
    let mut key = StoreKey::from_slice(&[first]);
    key.extend_from_slice(&day_bytes(month));
    key
}

/// What comes before the ids of a department's alerts of a month.
fn alerts_of(month: Day, owner: &str) -> StoreKey {
    let mut key = of_month(ALERT_OF, month);
    key.extend_from_slice(owner.as_bytes());
    key.push(0);
    key
}

fn arrived_key(month: Day, spoke: &str) -> StoreKey {
    let mut key = of_month(ARRIVED, month);
    key.extend_from_slice(spoke.as_bytes());
    key
}

/// Takes news. Returns the departments' months, by their first day, that it changes.
pub(super) fn take(news: &DepartmentNews, store: &mut dyn KeyValue) -> Result<Vec<(Day, Box<str>)>, MetricsError> {
    match news {
        DepartmentNews::Alert(id, open) => {
            let key = alert_key(*id);
            let before: Option<(Box<str>, Day)> = store.get(&key)?.map(|bytes| decode(&bytes)).transpose()?;
            let now = open.as_ref().map(|(owner, since)| (owner.clone(), Window::of(WindowKind::Month, *since).start));
            if before == now {
                return Ok(Vec::new());
            }
            if let Some((owner, month)) = &before {
                let mut of = alerts_of(*month, owner);
                of.extend_from_slice(&id.0);
                store.delete(&of);
            }
            match &now {
                Some((owner, month)) => {
                    store.put(&key, &encode(&(owner, month)));
                    let mut of = alerts_of(*month, owner);
                    of.extend_from_slice(&id.0);
                    store.put(&of, &[]);
                }
                None => store.delete(&key),
            }
            Ok(before.into_iter().chain(now).map(|(owner, month)| (month, owner)).collect())
        }
        DepartmentNews::Arrived(spoke, month, arrived) => {
            let (key, told) = (arrived_key(*month, spoke), encode(arrived));
            if store.get(&key)?.as_deref() == Some(&told[..]) {
                return Ok(Vec::new());
            }
            store.put(&key, &told);
            Ok(vec![(*month, spoke.clone())])
        }
    }
}

/// What is known of a department's month.
pub(super) fn known(month: Day, spoke: &str, store: &dyn KeyValue) -> Result<Known, MetricsError> {
    let from = alerts_of(month, spoke);
    let mut to = from.clone();
    *to.last_mut().expect("a prefix is not empty") = 1;
    let mut metric_alerts = 0;
    store.scan(&from, &to, &mut |_, _| {
        metric_alerts += 1;
        ControlFlow::Continue(())
    })?;
    let arrived = store.get(&arrived_key(month, spoke))?.map(|bytes| decode(&bytes)).transpose()?.unwrap_or_default();
    Ok(Known { metric_alerts, arrived })
}
