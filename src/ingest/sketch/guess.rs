//! What was seen → which place makes which field of a touchpoint: what happened, when, and under which id.
//!
//! Names weigh more than forms, and forms decide whether a name can be true. Who it is about is in `people`, the other
//! fields in `details`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    forms::{self, TimeForm, time_form},
    kinds,
    part::{MadeUp, Part, paths, quoted},
    survey::{List, Place, Survey, scalar},
    words::{has, words},
};
use crate::{
    ingest::{
        made::{Keeper, Made},
        validate,
    },
    model::Kind,
};

/// Kinds of one spoke: what has more different values is no kind.
const KINDS_MAX: usize = 100;
/// Characters of the longest word that is taken for a kind or a channel.
const WORD_CHARACTERS_MAX: usize = 64;
/// Places of a time, of which the first that holds something counts.
const TIMES_MAX: usize = 4;
/// Whether a value can be a touchpoint's id.
fn is_id(value: &serde_json::Value) -> bool {
    validate::id(&scalar(value), &Keeper::new(&Made::default())).is_ok()
}

/// What names end with when they are of a number or a code.
pub(super) const NUMBERS: [&str; 15] = [
    "id",
    "no",
    "nr",
    "num",
    "number",
    "nummer",
    "key",
    "ref",
    "reference",
    "code",
    "uid",
    "uuid",
    "guid",
    "identifier",
    "kennung",
];
/// Words of a time that something was promised for.
const PROMISED: [&str; 13] = [
    "promised",
    "promise",
    "due",
    "deadline",
    "eta",
    "expected",
    "estimated",
    "sla",
    "scheduled",
    "planned",
    "by",
    "target",
    "zugesagt",
];
/// Words of a time at which nothing happened.
const NO_EVENT: [&str; 9] =
    ["birth", "birthday", "dob", "expires", "expiry", "expiration", "valid", "until", "geburtsdatum"];
/// Words of a time of the machinery and not of the event.
const LATER: [&str; 10] = [
    "updated",
    "modified",
    "received",
    "ingested",
    "processed",
    "exported",
    "loaded",
    "imported",
    "changed",
    "published",
];

/// What the caller says besides.
#[derive(Clone, Debug, Default)]
pub(super) struct Hints {
    /// The words of the spoke's name.
    pub spoke: Vec<String>,
    /// The time zone of local times.
    pub zone: Option<String>,
}

/// Takes one place after the other.
pub(super) struct Guesser<'s, 'v> {
    pub places: Vec<&'s Place<'v>>,
    pub hints: &'s Hints,
    /// Whether the records are `CloudEvents`.
    pub is_cloud_event: bool,
    pub used: BTreeSet<&'s str>,
    pub parts: Vec<Part>,
}

/// Whether records are `CloudEvents` in structured mode.
pub(super) fn is_cloud_event(survey: &Survey<'_>) -> bool {
    ["specversion", "type", "source", "id"]
        .iter()
        .all(|name| survey.places.iter().any(|place| place.path == *name && place.present * 10 >= survey.count * 9))
}

/// The list whose elements are contacts of their own: they have a time.
pub(super) fn each<'s, 'v>(
    survey: &'s Survey<'v>,
    elements: &'s [(usize, Survey<'v>)],
) -> Option<(&'s List<'v>, &'s Survey<'v>)> {
    let has_time =
        |places: &[Place<'_>]| places.iter().any(|place| time_rank(place).is_some_and(|(rank, _)| rank >= 20));
    let record_has_time = has_time(&survey.places);
    let says_more = |places: &[Place<'_>]| {
        places.iter().any(|place| kind_rank(place, &[]).is_some() || place.is_unique() && has(&place.last, &NUMBERS))
    };
    elements
        .iter()
        .filter_map(|(index, of)| Some((survey.lists.get(*index)?, of)))
        .filter(|(list, of)| {
            list.present * 2 >= survey.count && has_time(&of.places) && (!record_has_time || says_more(&of.places))
        })
        .max_by_key(|(list, _)| (list.elements.len(), std::cmp::Reverse(&list.path)))
}

/// How likely a place is the time of the event, and how it is written.
fn time_rank(place: &Place<'_>) -> Option<(u32, TimeForm)> {
    if place.is_list || has(&place.last, &NO_EVENT) {
        return None;
    }
    let (form, _) = time_form(place)?;
    let last = &place.last;
    let is_number = matches!(form, TimeForm::Instant(_)) && form.as_str() != "rfc3339";
    let rank = if has(last, &PROMISED) {
        return None;
    } else if has(last, &["occurred", "happened", "geschehen"]) {
        40
    } else if has(last, &LATER) {
        10
    } else if has(last, &["timestamp", "time", "ts", "when", "datetime", "zeit", "zeitpunkt", "at", "stamp"]) {
        // `time` before `createdAt`, `eventTime` before both.
        30 + if last.len() == 1 { 3 } else { 0 } + if has(last, &["event"]) { 5 } else { 0 }
    } else if has(last, &["date", "datum", "day", "tag", "created", "fecha", "jour"]) {
        25
    } else if is_number {
        // A number that could be a time, and nothing says that it is one.
        5
    } else {
        20
    };
    // A day says less than a time.
    Some((rank - if form.is_day() { 3 } else { 0 }, form))
}

/// How likely a place says what happened.
fn kind_rank(place: &Place<'_>, around: &[String]) -> Option<usize> {
    let distinct = place.distinct();
    let is_word = |text: &Cow<'_, str>| {
        text.chars().count() <= WORD_CHARACTERS_MAX
            && !text.chars().any(char::is_control)
            && !forms::is_personal(text)
            && text.chars().any(char::is_alphabetic)
            && text.split_whitespace().count() <= 4
    };
    let is_closed = (1..=KINDS_MAX).contains(&distinct.len())
        && !place.is_list
        && distinct.keys().all(is_word)
        && place.percent(serde_json::Value::is_string) == 100;
    if !is_closed || has(&place.last, &["currency", "channel", "medium"]) {
        return None;
    }
    let of_what = ["event", "message", "action", "activity", "touchpoint", "ticket", "order", "transaction"];
    let last = &place.last;
    let by_name = match last.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["event" | "kind" | "action" | "activity" | "operation" | "verb" | "ereignis" | "vorgang"] => 32,
        ["type" | "typ" | "eventtype"] => 30,
        ["what"] | ["what", "happened"] => 25,
        [thing, "type" | "kind" | "name" | "action"] if of_what.contains(thing) => 32,
        ["status" | "state" | "step" | "stage"] | [_, "status" | "state"] => 18,
        [.., "type" | "kind" | "event" | "action"] => 8,
        _ => 0,
    };
    let known = distinct.keys().filter(|word| kinds::kind(word, around).is_some()).count();
    let by_words = known * 20 / distinct.len().max(1);
    // `order.placed`, `EmailOpened`: a thing and what happened to it, in one word.
    let is_pair = |text: &&Cow<'_, str>| words(text).len() >= 2 && !text.contains(char::is_whitespace);
    let by_form = if distinct.keys().filter(is_pair).count() * 5 >= distinct.len() * 3 { 8 } else { 0 };
    // Without a name that says so, it must be few words that come again and again, or some that we know.
    let is_few = distinct.len() * 2 <= place.values.len() || by_name >= 18 || by_words >= 10 && by_form > 0;
    let rank = by_name + by_words + by_form;
    (rank >= 20 && by_name + by_words > 0 && is_few).then_some(rank)
}

impl<'s, 'v> Guesser<'s, 'v> {
    /// The best place that nothing else reads, by a rank; the first of equals.
    pub(super) fn best<R: Ord>(&self, rank: impl Fn(&Place<'v>) -> Option<R>) -> Option<&'s Place<'v>> {
        self.places
            .iter()
            .filter(|place| !self.used.contains(place.path.as_str()))
            .filter_map(|place| {
                let order = std::cmp::Reverse((place.keys.len(), place.path.as_str()));
                Some(((rank(place)?, place.of_element, place.present, order), *place))
            })
            .max_by(|(a, _), (b, _)| a.cmp(b))
            .map(|(_, place)| place)
    }

    /// Another place beside one, with a certain name.
    pub(super) fn beside(&self, place: &Place<'v>, names: &[&str]) -> Option<&'s Place<'v>> {
        let (_, before) = place.keys.split_last()?;
        self.places
            .iter()
            .find(|other| {
                other.of_element == place.of_element
                    && other.path != place.path
                    && other.keys.split_last().is_some_and(|(_, others)| others == before)
                    && has(&other.last, names)
            })
            .copied()
    }

    pub(super) fn take(&mut self, place: &'s Place<'v>) {
        self.used.insert(&place.path);
    }

    /// The id, and the list that is read element by element.
    pub(super) fn id(&mut self, each: Option<&'s List<'v>>) {
        let found = self.best(|place| {
            let is_sound = place.present * 20 >= place.count * 19
                && place.percent(|value| is_id(value) && !value.is_boolean()) == 100
                && !forms::is_email(&place.texts().next().unwrap_or_default());
            let last: Vec<&str> = place.last.iter().map(String::as_str).collect();
            let by_name = match last.as_slice() {
                ["id" | "uuid" | "guid"] if place.of_element || place.keys.len() == 1 => 50,
                ["event" | "message" | "record" | "touchpoint", "id" | "uuid" | "key"] => 45,
                [.., "id" | "uuid" | "guid"] => 25,
                [.., "number" | "no" | "nr" | "nummer" | "key" | "ref" | "reference"] => 15,
                [.., word] if is_numbered(word) && place.values.len() >= 3 => 13,
                _ if place.values.len() >= 3 && place.percent(is_code) == 100 => 5,
                _ => return None,
            };
            // Somebody's number is nobody's contact.
            let of_somebody = super::people::is_of_somebody(place);
            (is_sound && place.is_unique()).then_some(if of_somebody { by_name - 12 } else { by_name })
        });
        let each_line = |key: Option<&Place<'_>>| {
            each.map(|list| {
                let path = quoted(&list.path);
                match (key.map(|key| quoted(&key.path)), list.is_optional) {
                    (Some(key), false) => format!("each = {{ path = {path}, key = {key} }}"),
                    (Some(key), true) => format!("each = {{ path = {path}, key = {key}, optional = true }}"),
                    (None, true) => format!("each = {{ path = {path}, optional = true }}"),
                    (None, false) => format!("each = {path}"),
                }
            })
        };
        let part = match found {
            Some(place) => {
                let is_own = place.of_element;
                // Of an element that has no id: what tells it from the others of its record.
                let key = each.filter(|_| !is_own).and_then(|list| self.key_of_elements(list));
                let comment = format!("Tells one contact from another: {}, hardly a value twice.", place.coverage());
                let mut part = Part::new(comment, format!("id = {}", quoted(&place.path)));
                part.lines.extend(each_line(key));
                part = part.reads(place, MadeUp::Form);
                if let Some(key) = key {
                    part = part.reads(key, MadeUp::Form);
                }
                match place.values.len() {
                    1 => part.look("id", "one record alone does not show whether it is different in each"),
                    _ if super::people::is_of_somebody(place)
                        || !has(&place.last, &NUMBERS)
                        || place.last.len() > 1 && !has(&place.last, &["event"]) =>
                    {
                        part.look(
                            "id",
                            format!("is {} different for every event, or the same for several?", place.path),
                        )
                    }
                    _ => part,
                }
            }
            None => {
                let mut part = Part::new("No place has another value in each record.", "id = \"content\"");
                part.lines.extend(each_line(None));
                let remark = "no place tells one event from another, so a hash of the mapped fields does: two that are alike \
                              in all of them count once; if there is an id, put its place here";
                part.look("id", remark)
            }
        };
        let mut part = part;
        if let Some(list) = each.filter(|list| list.is_optional) {
            let remark = "at all, and are skipped; remove optional if each should have it";
            part.comments.push(format!("LOOK: some records have no {} {remark}", list.path));
        }
        self.parts.push(part);
    }

    /// A place that differs in all elements of one record.
    fn key_of_elements(&self, list: &List<'v>) -> Option<&'s Place<'v>> {
        let record: Vec<usize> = list.elements.iter().map(|(record, _)| *record).collect();
        self.places.iter().copied().find(|place| {
            let mut seen = BTreeSet::new();
            place.of_element
                && place.is_everywhere()
                && place.last.last().is_some_and(|last| NUMBERS.contains(&last.as_str()))
                && place.values.iter().all(|(element, value)| {
                    is_id(value) && seen.insert((record.get(*element).copied(), super::survey::text(value)))
                })
        })
    }

    /// When it happened, and what was promised.
    pub(super) fn times(&mut self) {
        match self.best(|place| {
            let (rank, _) = time_rank(place)?;
            let is_cloud_event = self.is_cloud_event && place.path == "time";
            // What only some records have cannot be the time of all, unless its name is much better.
            Some(if is_cloud_event { 100 } else { rank * 4 + (place.present * 20 / place.count.max(1)) as u32 })
        }) {
            Some(place) => self.time(place),
            None => {
                let part = Part::new("No time was found.", "occurred_at = { path = \"time\", format = \"rfc3339\" }");
                let remark = "no time was found: every event must say when it happened; put its place and its form here \
                              (rfc3339, epoch_s, epoch_ms, epoch_us, local, or a pattern such as \"%d.%m.%Y %H:%M\")";
                self.parts.push(part.look("occurred_at", remark));
            }
        }
        let promised = self.best(|place| {
            let form = if place.is_list || !has(&place.last, &PROMISED) { None } else { time_form(place) };
            form.map(|_| place.present)
        });
        if let Some(place) = promised
            && let Some((form, _)) = time_form(place)
        {
            self.take(place);
            let comment = format!("What was promised: {}.", place.coverage());
            let (zone, zone_place, _) = self.zone(place, form);
            let line =
                format!("promised_at = {{ path = {}, format = {}{zone} }}", quoted(&place.path), quoted(form.as_str()));
            let mut part = Part::new(comment, line).reads(place, MadeUp::Time(form, 3));
            if let Some(place) = zone_place {
                part = part.reads(place, MadeUp::Same);
            }
            self.parts.push(match form.is_day() {
                true => part.look("promised_at", "the values say the day only, which is taken as its last moment"),
                false => part,
            });
        }
    }

    fn time(&mut self, first: &'s Place<'v>) {
        let Some((form, is_either)) = time_form(first) else { return };
        self.take(first);
        let mut places = vec![first];
        // Records without it may have another one.
        let mut seen: BTreeSet<usize> = first.values.iter().map(|(number, _)| *number).collect();
        while seen.len() < first.count && places.len() < TIMES_MAX {
            let other = self.best(|place| {
                let (rank, other) = time_rank(place)?;
                let news = place.values.iter().filter(|(number, _)| !seen.contains(number)).count();
                (rank >= 20 && other == form && place.of_element == first.of_element && news > 0).then_some(news)
            });
            let Some(other) = other else { break };
            self.take(other);
            seen.extend(other.values.iter().map(|(number, _)| *number));
            places.push(other);
        }
        let coverage: Vec<String> = places.iter().map(|place| place.coverage()).collect();
        let (zone, zone_place, is_missing) = self.zone(first, form);
        let line = format!("occurred_at = {{ path = {}, format = {}{zone} }}", paths(&places), quoted(form.as_str()));
        let mut part = Part::new(format!("When it happened: {}.", coverage.join(", ")), line);
        part = part.reads(first, MadeUp::Time(form, 0));
        if let Some(place) = zone_place {
            part = part.reads(place, MadeUp::Same);
        }
        let others = self.best(|place| time_rank(place).map(|(rank, _)| rank)).map(|place| &place.path);
        let mut remarks = Vec::new();
        if time_rank(first).is_some_and(|(rank, _)| rank < 10) {
            remarks.push("nothing but the size of the numbers says that they are times".to_owned());
        }
        if is_either {
            remarks.push("the values fit with day and month the other way round as well".to_owned());
        }
        if is_missing {
            remarks.push(
                "these are local times and nothing says of which zone: put it instead of UTC, or give --zone"
                    .to_owned(),
            );
        }
        if form.is_day() {
            remarks.push("the values say the day only, which is taken as its first moment".to_owned());
        }
        if let Some(other) = others {
            remarks.push(format!("{other} holds times too: take the one at which the customer noticed it"));
        }
        self.parts.push(match remarks.is_empty() {
            true => part,
            false => part.look("occurred_at", remarks.join("; ")),
        });
    }

    /// What a local time needs besides, where that is read, and whether it had to be made up.
    fn zone(&self, place: &Place<'v>, form: TimeForm) -> (String, Option<&'s Place<'v>>, bool) {
        if !form.is_local() {
            return (String::new(), None, false);
        }
        let found = self.places.iter().copied().find(|other| {
            (other.of_element == place.of_element || !other.of_element) && other.percent(forms::is_zone) == 100
        });
        match (found, &self.hints.zone) {
            (Some(zone), Some(default)) => (
                format!(", zone = {{ path = {}, default = {} }}", quoted(&zone.path), quoted(default)),
                Some(zone),
                false,
            ),
            (Some(zone), None) if zone.is_everywhere() => {
                (format!(", zone = {{ path = {} }}", quoted(&zone.path)), Some(zone), false)
            }
            (Some(zone), None) => {
                (format!(", zone = {{ path = {}, default = \"UTC\" }}", quoted(&zone.path)), Some(zone), true)
            }
            (None, Some(zone)) => (format!(", zone = {}", quoted(zone)), None, false),
            (None, None) => (", zone = \"UTC\"".to_owned(), None, true),
        }
    }

    /// What happened: its place, and a translation of every word that was seen. These lines are a table.
    pub(super) fn kind(&mut self) -> Part {
        let spoke = self.hints.spoke.clone();
        let around = |place: &Place<'_>| -> Vec<String> {
            let common = common_words(&place.distinct());
            [spoke.as_slice(), &place.before, &place.last, &common].concat()
        };
        let found = self.best(|place| {
            let rank = kind_rank(place, &around(place))?;
            let is_cloud_event = self.is_cloud_event && place.path == "type";
            Some(if is_cloud_event { 100 } else { rank + place.present * 10 / place.count.max(1) })
        });
        let Some(place) = found else {
            let part = Part::new("Nothing was found that says what happened.", "kind = { constant = \"other\" }");
            let remark = "no place with few different words was found: put { path = \"…\", map = { … } } here, or the one kind \
                          that all these events are, such as visit_made";
            return part.look("kind", remark);
        };
        self.take(place);
        let words = place.distinct();
        let comment = format!("What happened: {}, {} different.", place.coverage(), words.len());
        let mut part = Part::new(comment, "[kind]").reads(place, MadeUp::Same);
        part.lines.push(format!("path = {}", quoted(&place.path)));
        // Where hardly a record is without it, one that is has a mistake.
        if place.present * 20 < place.count * 19 {
            part.lines.push("default = \"other\"".to_owned());
        }
        part.lines.push("unmapped = \"other\"".to_owned());
        part.lines.push(String::new());
        part.lines.push("[kind.map]".to_owned());
        let around = around(place);
        let mut unsure = Vec::new();
        for (word, count) in &words {
            let kind = kinds::kind(word, &around);
            // Our own word needs no translation.
            if Kind::parse(word).is_some() {
                continue;
            }
            let doubt = if kind.is_none() { ", which of ours is it?" } else { "" };
            if kind.is_none() {
                unsure.push(word.as_ref());
            }
            let ours = kind.unwrap_or(Kind::Other);
            let often = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
            part.lines.push(format!("{} = {} # {often}{doubt}", super::part::key(word), quoted(ours.as_str())));
        }
        if unsure.is_empty() {
            return part;
        }
        let shown: Vec<String> = unsure.iter().take(8).map(|word| quoted(word)).collect();
        let more = if unsure.len() > shown.len() { ", …" } else { "" };
        part.look("kind", format!("which of our words are {}{more}? Until then they are other", shown.join(", ")))
    }
}

/// The words that at least half of the values have: `ticket` of `ticket.opened` and `ticket.closed`.
/// Whether a word ends as names of numbers do where they are written in one: `belegnr`, `buchungsnummer`.
fn is_numbered(word: &str) -> bool {
    ["nr", "nummer", "number", "id"].iter().any(|end| word.len() > end.len() + 2 && word.ends_with(end))
}

/// Whether a text has the form of a number that something was given: letters, digits and hyphens, a digit among them, and
/// no date.
fn is_code(value: &serde_json::Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let is_date = text.len() >= 8 && text.split(['-', '/', '_']).map(str::len).take(2).eq([4, 2]);
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '/');
    !is_date && text.len() <= 40 && text.chars().all(fits) && text.chars().any(|letter| letter.is_ascii_digit())
}

fn common_words(values: &BTreeMap<Cow<'_, str>, usize>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in values.keys() {
        let unique: BTreeSet<String> = words(value).into_iter().collect();
        unique.into_iter().for_each(|word| *counts.entry(word).or_insert(0) += 1);
    }
    counts.into_iter().filter(|(_, count)| *count > 1 && count * 2 >= values.len()).map(|(word, _)| word).collect()
}
