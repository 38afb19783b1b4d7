//! The verifier: the feeds as they should be and as they were read in, every difference out.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use super::{contacts, departments, journeys, months, priorities, value};

/// The compacted state of the compared feeds: value by key.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    /// `insight.customers`.
    pub customers: BTreeMap<String, Value>,
    /// `insight.touchpoints`.
    pub touchpoints: BTreeMap<String, Value>,
    /// `insight.identities`.
    pub identities: BTreeMap<String, Value>,
    /// `insight.alerts`.
    pub alerts: BTreeMap<String, Value>,
    /// `insight.metrics`.
    pub metrics: BTreeMap<String, Value>,
    /// `insight.journeys`.
    pub journeys: BTreeMap<String, Value>,
    /// `insight.attribution`.
    pub attribution: BTreeMap<String, Value>,
    /// `insight.drivers`.
    pub drivers: BTreeMap<String, Value>,
    /// `insight.changes`.
    pub changes: BTreeMap<String, Value>,
    /// `insight.priorities`.
    pub priorities: BTreeMap<String, Value>,
    /// `insight.scorecards`.
    pub scorecards: BTreeMap<String, Value>,
    /// `insight.balance`.
    pub balance: BTreeMap<String, Value>,
    /// Of `insight.catalogue`, the sets of parameters.
    pub parameters: BTreeMap<String, Value>,
}

/// The sets of parameters among the entries of `insight.catalogue`.
pub fn parameters(catalogue: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    catalogue.into_iter().filter(|(key, _)| key.starts_with("parameters|")).collect()
}

impl Feeds {
    /// What a comparison would say nothing of: the feeds with nothing that is compared, and `open_alerts` if no scorecard counts any.
    pub fn silent(&self) -> BTreeSet<&'static str> {
        // By name, so that a further feed cannot be left out.
        let Feeds {
            customers,
            touchpoints,
            identities,
            alerts,
            metrics,
            journeys,
            attribution,
            drivers,
            changes,
            priorities,
            scorecards,
            balance,
            parameters,
        } = self;
        let counts_alerts = scorecards.values().any(|card| !says_nothing(&card["open_alerts"]));
        let speaks = |feed: &BTreeMap<String, Value>| feed.values().any(|value| !says_nothing(value));
        let speaks = [
            ("customers", speaks(customers)),
            ("touchpoints", speaks(touchpoints)),
            ("identities", speaks(identities)),
            ("alerts", speaks(alerts)),
            ("metrics", metrics.keys().any(|key| is_promised("metrics", key))),
            ("journeys", speaks(journeys)),
            ("attribution", speaks(attribution)),
            ("drivers", speaks(drivers)),
            ("changes", speaks(changes)),
            ("priorities", speaks(priorities)),
            ("scorecards", speaks(scorecards)),
            ("open_alerts", counts_alerts),
            ("balance", speaks(balance)),
            ("parameters", speaks(parameters)),
        ];
        speaks.into_iter().filter(|(_, speaks)| !speaks).map(|(feed, _)| feed).collect()
    }

    /// Fails unless there is something to be compared in each feed.
    #[track_caller]
    pub fn assert_each_speaks(&self, what: &str) {
        let silent = self.silent();
        assert!(silent.is_empty(), "{what}: nothing would be compared of {silent:?}");
    }

    /// What was read as the oracle would say it, so that what two hubs published can be compared.
    pub fn as_expected(&self) -> Feeds {
        let Feeds { journeys, attribution, drivers, priorities, balance, scorecards, .. } = self.analyses();
        Feeds { journeys, attribution, drivers, priorities, balance, scorecards, ..self.clone() }
    }

    /// The same of the feeds alone that the oracle says in another form than they are read.
    fn analyses(&self) -> Feeds {
        let of = |feed: &BTreeMap<String, Value>, comparable: fn(&Value) -> Value| {
            // What the oracle says has no revision.
            let plain = |record: &Value| match record.get("revision") {
                Some(_) => comparable(record),
                None => record.clone(),
            };
            feed.iter().map(|(key, record)| (key.clone(), plain(record))).collect()
        };
        Feeds {
            journeys: of(&self.journeys, journeys::comparable),
            attribution: of(&self.attribution, journeys::comparable_credits),
            drivers: of(&self.drivers, months::comparable),
            priorities: of(&self.priorities, priorities::comparable),
            balance: of(&self.balance, contacts::comparable),
            scorecards: of(&self.scorecards, departments::comparable),
            ..Feeds::default()
        }
    }
}

/// One field (or a whole value, if `field` is empty) that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `customers`, `touchpoints`, `identities`, `alerts`, `metrics`, `journeys`, `attribution`, `drivers`,
    /// `changes`, `parameters`, `priorities` or `balance`.
    pub feed: &'static str,
    /// The record's key.
    pub key: String,
    /// Path within the value.
    pub field: String,
    /// What should be there.
    pub expected: Option<Value>,
    /// What is there.
    pub actual: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        write!(
            formatter,
            "{} {} {}: expected {}, found {}",
            self.feed,
            self.key,
            self.field,
            show(&self.expected),
            show(&self.actual)
        )
    }
}

/// Outside the promise.
const IGNORED_FIELDS: [&str; 3] = ["revision", "status", "definition_version"];

/// Every difference; none means equal. Integers and text exactly, other numbers to a billionth.
pub fn compare(expected: &Feeds, actual: &Feeds) -> Vec<Difference> {
    let mut found = Vec::new();
    compare_feed("customers", &expected.customers, &actual.customers, &mut found);
    compare_feed("touchpoints", &expected.touchpoints, &actual.touchpoints, &mut found);
    compare_feed("identities", &expected.identities, &actual.identities, &mut found);
    compare_feed("alerts", &expected.alerts, &actual.alerts, &mut found);
    compare_feed("metrics", &expected.metrics, &actual.metrics, &mut found);
    compare_feed("changes", &expected.changes, &actual.changes, &mut found);
    let (expected_parameters, actual_parameters) = value::comparable(&expected.parameters, &actual.parameters);
    compare_feed("parameters", &expected_parameters, &actual_parameters, &mut found);
    let (expected, actual) = (expected.analyses(), actual.analyses());
    for (feed, mut expected, actual) in [
        ("journeys", expected.journeys, &actual.journeys),
        ("attribution", expected.attribution, &actual.attribution),
        ("drivers", expected.drivers, &actual.drivers),
        ("priorities", expected.priorities, &actual.priorities),
        ("balance", expected.balance, &actual.balance),
        ("scorecards", expected.scorecards, &actual.scorecards),
    ] {
        for (key, record) in &mut expected {
            // Lists that were cut are not compared.
            if let (Some(record), Some(actual)) = (record.as_object_mut(), actual.get(key)) {
                record.retain(|name, _| actual.get(name).is_some());
            }
        }
        compare_feed(feed, &expected, actual, &mut found);
    }
    found
}

/// What arrived is outside the promise.
fn is_promised(feed: &str, key: &str) -> bool {
    feed != "metrics" || !key.starts_with("data_quality|")
}

fn compare_feed(
    feed: &'static str,
    expected: &BTreeMap<String, Value>,
    actual: &BTreeMap<String, Value>,
    found: &mut Vec<Difference>,
) {
    let whole = |key: &String, expected: Option<&Value>, actual: Option<&Value>| Difference {
        feed,
        key: key.clone(),
        field: String::new(),
        expected: expected.cloned(),
        actual: actual.cloned(),
    };
    // Both ascend.
    let mut left = expected.iter().filter(|(key, _)| is_promised(feed, key)).peekable();
    let mut right = actual.iter().filter(|(key, _)| is_promised(feed, key)).peekable();
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some((one, _)), Some((other, _))) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let expected = if order.is_le() { left.next() } else { None };
        let actual = if order.is_ge() { right.next() } else { None };
        match (expected, actual) {
            (Some((key, expected)), Some((_, actual))) => {
                compare_value((feed, key), &mut Vec::new(), expected, actual, found);
            }
            (Some((key, expected)), None) => found.push(whole(key, Some(expected), None)),
            (None, Some((key, actual))) => found.push(whole(key, None, Some(actual))),
            (None, None) => return,
        }
    }
}

/// Null, and an empty map or list, say as much as an absent field.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(says_nothing),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

fn compare_value<'a>(
    place: (&'static str, &str),
    path: &mut Vec<&'a str>,
    expected: &'a Value,
    actual: &'a Value,
    found: &mut Vec<Difference>,
) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (name, value) in expected {
                if path.is_empty() && IGNORED_FIELDS.contains(&name.as_str()) {
                    continue;
                }
                path.push(name);
                compare_value(place, path, value, actual.get(name).unwrap_or(&Value::Null), found);
                path.pop();
            }
            for (name, value) in actual.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                if path.is_empty() && IGNORED_FIELDS.contains(&name.as_str()) {
                    continue;
                }
                path.push(name);
                compare_value(place, path, &Value::Null, value, found);
                path.pop();
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (left, right) in left.iter().zip(right) {
                path.push("[]");
                compare_value(place, path, left, right, found);
                path.pop();
            }
        }
        _ if equal(expected, actual) => {}
        _ => found.push(Difference {
            feed: place.0,
            key: place.1.to_owned(),
            field: path.join("."),
            expected: Some(expected.clone()),
            actual: Some(actual.clone()),
        }),
    }
}

fn equal(expected: &Value, actual: &Value) -> bool {
    if says_nothing(expected) && says_nothing(actual) {
        return true;
    }
    match (expected, actual) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left == right,
            (Some(left), None) => right.as_f64() == Some(left as f64),
            _ => {
                let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
                (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1.0)
            }
        },
        _ => expected == actual,
    }
}
