//! Conflicts and touchpoints, as the feeds have them, in; how often two identifiers were named together, by whom, first and last, out.
//!
//! What is said of a pair is a function of the set of touchpoints that count: whatever their order, each once. What an erasure takes out
//! of `insight.touchpoints` is gone from it too, and nothing is said beyond what the feed has.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// An identifier's type and published value.
type Known = (String, String);

/// A pair, in the order of texts.
type Pair = (Known, Known);

/// One touchpoint that names both of a pair. Ordered by its time, then by department and id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Moment {
    /// When it happened. One notation in UTC: the order of texts is that of instants.
    pub occurred_at: String,
    /// The department.
    pub spoke: String,
    /// Unique within its department.
    pub id: String,
    /// What happened.
    pub kind: String,
}

impl Moment {
    fn of(touchpoint: &Value) -> Moment {
        let text = |field: &str| text(touchpoint, field).to_owned();
        Moment { occurred_at: text("occurred_at"), spoke: text("spoke"), id: text("id"), kind: text("kind") }
    }
}

/// What touchpoints say of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Together {
    /// How many name both, by department.
    pub by_spoke: BTreeMap<String, u64>,
    /// The earliest.
    pub first: Option<Moment>,
    /// The latest.
    pub last: Option<Moment>,
}

impl Together {
    /// How many touchpoints name both.
    pub fn touchpoints(&self) -> u64 {
        self.by_spoke.values().sum()
    }

    fn add(&mut self, moment: &Moment) {
        *self.by_spoke.entry(moment.spoke.clone()).or_default() += 1;
        if self.first.as_ref().is_none_or(|first| moment < first) {
            self.first = Some(moment.clone());
        }
        if self.last.as_ref().is_none_or(|last| moment > last) {
            self.last = Some(moment.clone());
        }
    }
}

/// What touchpoints say of the pairs of some conflicts.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    ends: BTreeSet<Known>,
    pairs: BTreeMap<Pair, Together>,
}

/// Which pairs a touchpoint names both of.
#[derive(Clone, Debug)]
pub struct Sighting {
    pairs: Vec<Pair>,
    moment: Moment,
}

impl Sightings {
    /// Nothing is known of these conflicts yet: members of `conflicts` of `insight.identities`.
    pub fn of<'v>(conflicts: impl IntoIterator<Item = &'v Value>) -> Sightings {
        let mut sightings = Sightings::default();
        for pair in conflicts.into_iter().map(pair_of) {
            sightings.ends.extend([pair.0.clone(), pair.1.clone()]);
            sightings.pairs.entry(pair).or_default();
        }
        sightings
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// What a touchpoint says of these pairs; `None`: nothing.
    pub fn sighting(&self, touchpoint: &Value) -> Option<Sighting> {
        let mut named: Vec<Known> = Vec::new();
        for (kind, values) in touchpoint.get("identifiers").and_then(Value::as_object).into_iter().flatten() {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            named
                .extend(values.map(|value| (kind.clone(), value.to_owned())).filter(|known| self.ends.contains(known)));
        }
        named.sort_unstable();
        let mut pairs = Vec::new();
        for (place, one) in named.iter().enumerate() {
            let with_later = named[place + 1..].iter().map(|other| (one.clone(), other.clone()));
            pairs.extend(with_later.filter(|pair| self.pairs.contains_key(pair)));
        }
        (!pairs.is_empty()).then(|| Sighting { pairs, moment: Moment::of(touchpoint) })
    }

    /// Counts a touchpoint; each must come once.
    pub fn add(&mut self, sighting: &Sighting) {
        for pair in &sighting.pairs {
            self.pairs.entry(pair.clone()).or_default().add(&sighting.moment);
        }
    }

    /// What is known of a conflict's pair.
    pub fn together(&self, conflict: &Value) -> Together {
        self.pairs.get(&pair_of(conflict)).cloned().unwrap_or_default()
    }
}

fn pair_of(conflict: &Value) -> Pair {
    let known = |end: &str| {
        let of = |field: &str| conflict.get(end).map_or("", |end| text(end, field)).to_owned();
        (of("type"), of("value"))
    };
    let (one, other) = (known("stronger"), known("weaker"));
    if one <= other { (one, other) } else { (other, one) }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn conflict(stronger: (&str, &str), weaker: (&str, &str)) -> Value {
        let known = |(kind, value): (&str, &str)| json!({"type": kind, "value": value});
        json!({"stronger": known(stronger), "weaker": known(weaker), "rule": "never_link", "decided": false})
    }

    fn touchpoint(at: &str, spoke: &str, id: &str, identifiers: Value) -> Value {
        json!({"occurred_at": at, "spoke": spoke, "id": id, "kind": "page_viewed", "identifiers": identifiers})
    }

    fn day(day: u32) -> String {
        format!("2026-01-{day:02}T09:00:00.000Z")
    }

    fn seen(sightings: &mut Sightings, touchpoints: &[Value]) {
        for touchpoint in touchpoints {
            if let Some(sighting) = sightings.sighting(touchpoint) {
                sightings.add(&sighting);
            }
        }
    }

    #[test]
    fn of_each_pair_it_is_said_who_named_both_and_when() {
        let ann_and_cookie = conflict(("email", "ann@x.org"), ("cookie", "k"));
        let two = conflict(("email", "ann@x.org"), ("email", "bob@x.org"));
        let never = conflict(("phone", "+491"), ("cookie", "k"));
        let mut sightings = Sightings::of([&ann_and_cookie, &two, &never]);
        seen(
            &mut sightings,
            &[
                touchpoint(&day(5), "sales", "17", json!({"email": ["ann@x.org"], "cookie": ["k"]})),
                touchpoint(&day(3), "web", "9", json!({"email": ["ann@x.org", "bob@x.org"], "cookie": ["j", "k"]})),
                // The same instant: the department and the id decide.
                touchpoint(&day(3), "web", "10", json!({"email": ["ann@x.org"], "cookie": ["k"]})),
                touchpoint(&day(9), "web", "11", json!({"email": ["ann@x.org"], "cookie": ["j"]})),
                // A cookie whose value is the other's address.
                touchpoint(&day(1), "web", "12", json!({"email": ["ann@x.org"], "cookie": ["bob@x.org"]})),
            ],
        );
        let together = sightings.together(&ann_and_cookie);
        assert_eq!(together.by_spoke, BTreeMap::from([("sales".to_owned(), 1), ("web".to_owned(), 2)]));
        assert_eq!(together.touchpoints(), 3);
        let (first, last) = (together.first.unwrap(), together.last.unwrap());
        assert_eq!((first.spoke.as_str(), first.id.as_str(), first.occurred_at), ("web", "10", day(3)));
        assert_eq!((last.spoke.as_str(), last.id.as_str(), last.occurred_at), ("sales", "17", day(5)));
        assert_eq!(last.kind, "page_viewed");
        assert_eq!(sightings.together(&two).touchpoints(), 1);
        assert_eq!(sightings.together(&never), Together::default());
    }

    proptest! {
        /// Whatever the order; and what a brute count says.
        #[test]
        fn the_order_of_touchpoints_does_not_matter(
            of in prop::collection::vec((1_u32..5, 0_u8..3, prop::collection::vec(0_u8..5, 0..4)), 0..40),
            at in any::<prop::sample::Index>(),
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let touchpoints: Vec<Value> = of.iter().enumerate().map(|(id, (on, spoke, identifiers))| {
                let named: BTreeSet<&str> = identifiers.iter().map(|it| names[usize::from(*it)]).collect();
                touchpoint(&day(*on), &format!("spoke-{spoke}"), &id.to_string(), json!({"cookie": named}))
            }).collect();
            let pairs: Vec<Value> = (0..4).map(|it| conflict(("cookie", names[it + 1]), ("cookie", names[it]))).collect();
            let mut turned = touchpoints.clone();
            turned.rotate_left(at.index(of.len().max(1)).min(of.len()));
            turned.reverse();
            let (mut one, mut other) = (Sightings::of(&pairs), Sightings::of(&pairs));
            seen(&mut one, &touchpoints);
            seen(&mut other, &turned);
            for (place, pair) in pairs.iter().enumerate() {
                prop_assert_eq!(one.together(pair), other.together(pair));
                let both: Vec<&Value> = touchpoints.iter().filter(|it| {
                    let named = it["identifiers"]["cookie"].as_array().unwrap();
                    named.contains(&json!(names[place])) && named.contains(&json!(names[place + 1]))
                }).collect();
                let key = |it: &&Value| (it["occurred_at"].to_string(), it["spoke"].to_string(), it["id"].to_string());
                let first = both.iter().copied().min_by_key(key).map(|it| it["id"].as_str().unwrap().to_owned());
                let last = both.iter().copied().max_by_key(key).map(|it| it["id"].as_str().unwrap().to_owned());
                let together = one.together(pair);
                prop_assert_eq!(together.touchpoints(), both.len() as u64);
                prop_assert_eq!(together.first.map(|it| it.id), first);
                prop_assert_eq!(together.last.map(|it| it.id), last);
            }
        }
    }
}
