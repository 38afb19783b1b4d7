//! Sample records → every place of them, with the values that were seen there.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use super::{forms, words::words};
use crate::wire::Scalar;

/// Places that are told apart. More have only records with keys that are values.
const PLACES_MAX: usize = 1_000;
/// Keys on the way to a place: deeper, nothing of interest lies, and a path has 32 steps.
const DEPTH_MAX: usize = 16;
/// Bytes of the longest key.
const KEY_BYTES_MAX: usize = 128;
/// Values of one place that are looked at.
const VALUES_MAX: usize = 5_000;
/// Elements of all lists of one place that are looked at.
const ELEMENTS_MAX: usize = 5_000;
/// So many keys in one object, each in few of the records, are values: of a map, by whatever.
const KEYS_OF_A_MAP: usize = 40;

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Survey<'v> {
    /// Records, or elements of a list, that were looked at.
    pub count: usize,
    /// Places with single values or lists of them, in the order of their paths.
    pub places: Vec<Place<'v>>,
    /// Lists of objects, in the order of their paths.
    pub lists: Vec<List<'v>>,
    /// Whether some places were not looked at.
    pub is_cut: bool,
}

/// One place of the records.
#[derive(Clone, Debug)]
pub(super) struct Place<'v> {
    /// As a mapping has it; with a dot before it if it is in an element.
    pub path: String,
    /// The keys that lead to it.
    pub keys: Vec<&'v str>,
    /// The words of the last key.
    pub last: Vec<String>,
    /// The words of the keys before it.
    pub before: Vec<String>,
    /// Whether it is in an element of the list that is read element by element.
    pub of_element: bool,
    /// How many records, or elements, there are.
    pub count: usize,
    /// How many of them have something here.
    pub present: usize,
    /// The values, with the number of their record or element.
    pub values: Vec<(usize, &'v Value)>,
    /// Whether there are lists of values in it.
    pub is_list: bool,
}

/// A list of objects.
#[derive(Clone, Debug)]
pub(super) struct List<'v> {
    /// As a mapping has it.
    pub path: String,
    /// The keys that lead to it.
    pub keys: Vec<&'v str>,
    /// How many records have it, with elements.
    pub present: usize,
    /// Whether some records do not have it, not even empty or as null.
    pub is_optional: bool,
    /// Its elements, with the number of their record.
    pub elements: Vec<(usize, &'v Value)>,
}

/// A value as a mapping sees it.
pub(super) fn scalar(value: &Value) -> Scalar<'_> {
    match value {
        Value::Null => Scalar::Null,
        Value::Bool(is) => Scalar::Bool(*is),
        Value::String(text) => Scalar::Text(Cow::Borrowed(text)),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Scalar::Int(number),
            (None, Some(number), _) => Scalar::Large(number),
            (None, None, number) => Scalar::Float(number.unwrap_or_default()),
        },
        Value::Array(_) | Value::Object(_) => Scalar::Composite,
    }
}

/// A value as text, trimmed; `None` if there is none.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.trim()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Bool(is) => Cow::Borrowed(if *is { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

impl<'v> Place<'v> {
    /// The values as text.
    pub(super) fn texts(&self) -> impl Iterator<Item = Cow<'v, str>> {
        self.values.iter().filter_map(|(_, value)| text(value))
    }

    /// Every value that there is, and how often.
    pub(super) fn distinct(&self) -> BTreeMap<Cow<'v, str>, usize> {
        let mut distinct = BTreeMap::new();
        for text in self.texts() {
            *distinct.entry(text).or_insert(0) += 1;
        }
        distinct
    }

    /// Whether hardly a value comes twice. A record that was sent again must not hide it.
    pub(super) fn is_unique(&self) -> bool {
        let (distinct, all) = (self.distinct().len(), self.values.len());
        !self.is_list && distinct * 20 >= all * 19 && all > 0
    }

    /// The share of the values of which something is true, in percent.
    pub(super) fn percent(&self, is: impl Fn(&Value) -> bool) -> usize {
        let fitting = self.values.iter().filter(|(_, value)| is(value)).count();
        fitting * 100 / self.values.len().max(1)
    }

    /// Whether every record has it.
    pub(super) fn is_everywhere(&self) -> bool {
        self.present == self.count
    }

    /// For the beginning of a comment: `In all 120 records`.
    pub(super) fn covers(&self) -> String {
        self.coverage().replacen('i', "I", 1)
    }

    /// For a comment: `in all 120 records`.
    pub(super) fn coverage(&self) -> String {
        let things = if self.of_element { "elements" } else { "records" };
        match self.present == self.count {
            true => format!("in all {} {things}", self.count),
            false => format!("in {} of {} {things}", self.present, self.count),
        }
    }
}

/// A key as a step of a path; `None` if no path can lead through it.
fn step(key: &str) -> Option<String> {
    let is_sound = (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.chars().any(char::is_control);
    is_sound.then(|| key.replace('\\', "\\\\").replace('.', "\\.").replace('[', "\\["))
}

/// Keys as the path that a mapping has.
pub(super) fn path(keys: &[&str], of_element: bool) -> Option<String> {
    let steps: Option<Vec<String>> = keys.iter().map(|key| step(key)).collect();
    let joined = steps?.join(".");
    let is_word = ["content", "position"].contains(&joined.as_str()) || joined.starts_with('@');
    Some(match of_element {
        true => format!(".{joined}"),
        // `$.` says that it is a place of the payload, for a key that means something else otherwise.
        false if is_word || joined.starts_with("$.") => format!("$.{joined}"),
        false => joined,
    })
}

impl<'v> Survey<'v> {
    /// Looks at records, or at the elements of a list.
    pub(super) fn of(values: impl Iterator<Item = &'v Value> + Clone, of_element: bool) -> Survey<'v> {
        let mut found = Found { places: BTreeMap::new(), lists: BTreeMap::new(), is_cut: false };
        let mut count = 0;
        for (number, value) in values.clone().enumerate() {
            count += 1;
            found.walk(number, value, &mut Vec::new());
        }
        let mut places = Vec::new();
        let maps = found.maps(count);
        for (keys, seen) in found.places {
            let Some((last, before)) = keys.split_last() else { continue };
            if maps.contains(before) && is_rare(seen.present, count) {
                continue;
            }
            let Some(path) = path(&keys, of_element) else { continue };
            let (last, before) = (words(last), before.iter().flat_map(|key| words(key)).collect());
            let Seen { present, values, is_list } = seen;
            places.push(Place { path, keys, last, before, of_element, count, present, values, is_list });
        }
        let lists = found.lists.into_iter().filter_map(|(keys, list)| {
            let path = path(&keys, false)?;
            let is_optional = list.present < count && values.clone().any(|value| lacks(value, &keys));
            Some(List { path, keys, present: list.present, is_optional, elements: list.values })
        });
        Survey { count, places, lists: lists.collect(), is_cut: found.is_cut || !maps.is_empty() }
    }
}

/// Whether there is nothing where keys lead, not even null.
fn lacks(value: &Value, keys: &[&str]) -> bool {
    keys.iter().try_fold(value, |value, key| value.get(key)).is_none()
}

/// In one of five records at most.
fn is_rare(present: usize, count: usize) -> bool {
    present * 5 <= count
}

#[derive(Default)]
struct Seen<'v> {
    present: usize,
    values: Vec<(usize, &'v Value)>,
    is_list: bool,
}

struct Found<'v> {
    places: BTreeMap<Vec<&'v str>, Seen<'v>>,
    lists: BTreeMap<Vec<&'v str>, Seen<'v>>,
    is_cut: bool,
}

impl<'v> Found<'v> {
    fn walk(&mut self, number: usize, value: &'v Value, keys: &mut Vec<&'v str>) {
        match value {
            Value::Null => {}
            Value::Object(members) => {
                for (key, value) in members {
                    // A key that is somebody's address is a value, and no place for a mapping.
                    if keys.len() >= DEPTH_MAX || step(key).is_none() || forms::is_personal(key) {
                        self.is_cut = true;
                        continue;
                    }
                    keys.push(key);
                    self.walk(number, value, keys);
                    keys.pop();
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                if let Some(seen) = at(&mut self.lists, keys, &mut self.is_cut) {
                    seen.present += 1;
                    let room = ELEMENTS_MAX.saturating_sub(seen.values.len());
                    seen.values.extend(items.iter().filter(|item| item.is_object()).take(room).map(|it| (number, it)));
                }
            }
            Value::Array(items) => {
                let is_plain = |item: &&Value| !item.is_array() && text(item).is_some();
                if items.iter().any(|item| is_plain(&item))
                    && let Some(seen) = at(&mut self.places, keys, &mut self.is_cut)
                {
                    seen.present += 1;
                    seen.is_list = true;
                    let room = VALUES_MAX.saturating_sub(seen.values.len());
                    seen.values.extend(items.iter().filter(is_plain).take(room).map(|item| (number, item)));
                }
            }
            scalar if text(scalar).is_some() => {
                if let Some(seen) = at(&mut self.places, keys, &mut self.is_cut) {
                    seen.present += 1;
                    if seen.values.len() < VALUES_MAX {
                        seen.values.push((number, scalar));
                    }
                }
            }
            _ => {}
        }
    }

    /// The objects whose keys are values: many of them, and each in few of the records.
    fn maps(&self, count: usize) -> BTreeSet<Vec<&'v str>> {
        let mut children: BTreeMap<&[&'v str], (usize, usize)> = BTreeMap::new();
        for (keys, seen) in &self.places {
            let Some((_, before)) = keys.split_last() else { continue };
            let (all, rare) = children.entry(before).or_default();
            *all += 1;
            *rare += usize::from(is_rare(seen.present, count));
        }
        let is_map = |(all, rare): (usize, usize)| all > KEYS_OF_A_MAP && rare * 10 >= all * 9;
        children.into_iter().filter(|(_, counts)| is_map(*counts)).map(|(keys, _)| keys.to_vec()).collect()
    }
}

/// What was seen at a place; a new one as long as there is room.
fn at<'s, 'v>(
    places: &'s mut BTreeMap<Vec<&'v str>, Seen<'v>>,
    keys: &[&'v str],
    is_cut: &mut bool,
) -> Option<&'s mut Seen<'v>> {
    if keys.is_empty() || places.len() >= PLACES_MAX && !places.contains_key(keys) {
        *is_cut = true;
        return None;
    }
    Some(places.entry(keys.to_vec()).or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_lists_and_maps_are_told_apart() {
        let letter = |n: usize| char::from(b'a' + n as u8);
        let records: Vec<Value> = (0..50)
            .map(|n| {
                json!({
                    "a": {"b.c": n % 2, "none": null, "blank": " "},
                    "mails": ["x", 1, null],
                    "lines": [{"sku": "P"}, {"sku": "Q"}],
                    "by": {format!("{}{}", letter(n / 26), letter(n % 26)): 1},
                    "ann@example.org": 1,
                    "content": 1,
                    "$": {"x": 1},
                    "": 1,
                })
            })
            .collect();
        let survey = Survey::of(records.iter(), false);
        let paths: Vec<(&str, usize)> =
            survey.places.iter().map(|place| (place.path.as_str(), place.values.len())).collect();
        assert_eq!(paths, [("$.$.x", 50), (r"a.b\.c", 50), ("$.content", 50), ("mails", 100)]);
        assert_eq!((survey.lists[0].path.as_str(), survey.lists[0].elements.len()), ("lines", 100));
        assert!(survey.is_cut && survey.places[3].is_list && !survey.places[1].is_unique());
    }

    #[test]
    fn no_record_is_too_wide_or_too_deep() {
        let wide: Value = (0..5_000).map(|n| (format!("key{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!({"d": deep});
        }
        let records = [wide, deep];
        let survey = Survey::of(records.iter(), false);
        assert!(survey.is_cut && survey.places.len() <= PLACES_MAX);
    }
}
