//! Sample records of a department in; a spoke file for them, with what is sure and what is not, out.
//!
//! - `survey`: records → their places, with what was seen there.
//! - `words`, `forms`: a name → its parts; a value → what it looks like.
//! - `kinds`: a department's words → ours.
//! - `guess`, `people`, `details`: places → fields of a touchpoint; `part`: one of them, as lines of the file.
//! - `example`: a test for the file, in which nothing of the sample is.
//!
//! A guess says what it rests on, and what is not known is said and not made up: the file always compiles, and the mapping is
//! tried on the very sample. The same sample gives the same file. Values of the sample come into it only where they are words of
//! a closed list (kinds, channels, scales), never what may be somebody's.

mod details;
mod example;
mod forms;
mod guess;
mod kinds;
mod part;
mod people;
mod survey;
mod words;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use self::{
    example::Element,
    guess::{Guesser, Hints},
    part::{Part, quoted},
    survey::{List, Survey},
};
use super::{Mapped, NoHeaders, Options, SourceRecord, Spoke, SpokeError, SpokeFile, local, trial};
use crate::{model::Reason, wire::Schemas};

/// Characters of a line of comment.
const COMMENT_CHARACTERS: usize = 120;
/// Places that are named though nothing reads them.
const UNUSED_MAX: usize = 60;
/// Records that are tried as the pattern of the made-up one.
const PATTERNS_MAX: usize = 200;

/// What a draft is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The spoke's name.
    pub spoke: String,
    /// The topic of its events.
    pub topic: String,
    /// The time zone of local times, if the caller knows it; a name of the IANA database.
    pub zone: Option<String>,
    /// What holds for every spoke.
    pub options: Options,
    /// The time against which "too far in the future" is judged; negative: not at all.
    pub now_ms: i64,
}

/// A drafted spoke file, and what it makes of the sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// The file.
    pub text: String,
    /// What a person must look at, a sentence each. No value of the sample is in them but words of closed lists.
    pub remarks: Vec<String>,
    /// What the mapping makes of the sample.
    pub tally: Tally,
}

/// What a mapping makes of a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that were tried.
    pub records: usize,
    /// Records of which nothing was rejected, and at least one touchpoint taken.
    pub taken: usize,
    /// Touchpoints.
    pub touchpoints: usize,
    /// Records from which nothing is taken.
    pub skipped: usize,
    /// How often each reason came up at each field, in their order.
    pub rejected: BTreeMap<(String, String), usize>,
    /// Records that were rejected, at least in part.
    pub rejected_records: usize,
}

/// Whether a name is one of a time zone of the IANA database.
pub fn is_zone(name: &str) -> bool {
    local::zone(name).is_some()
}

/// Drafts a spoke file for records, each as it comes on the topic. The error: the draft's own names (spoke, topic, zone) are
/// not possible, or there is no record that is an object.
pub fn sketch(payloads: &[Vec<u8>], draft: &Draft) -> Result<Sketch, SpokeError> {
    let error = |key: &str, problem: &str| SpokeError {
        spoke: draft.spoke.clone(),
        line: None,
        key: key.to_owned(),
        problem: problem.to_owned(),
    };
    if draft.zone.as_deref().is_some_and(|zone| !is_zone(zone)) {
        let problem = "is no time zone of the IANA database; use a name such as \"Europe/Amsterdam\"";
        return Err(error("zone", problem));
    }
    let values: Vec<Value> =
        payloads.iter().filter_map(|payload| serde_json::from_slice(payload).ok()).filter(Value::is_object).collect();
    if values.is_empty() {
        return Err(error("", "the sample has no record that is a JSON object"));
    }
    let head = format!("spoke = {}\ntopic = {}\n", quoted(&draft.spoke), quoted(&draft.topic));
    // A department that writes our own shape needs no mapping.
    let canonical = format!("{head}format = \"touchpoint-json\"\n");
    let tally = try_on(&compiled(&canonical, draft)?, payloads, draft);
    if tally.taken * 10 >= tally.records * 9 {
        let about = "# These records are canonical touchpoints already, so there is nothing to map.\n\n";
        return Ok(Sketch { text: format!("{about}{canonical}"), remarks: Vec::new(), tally });
    }

    let hints = Hints { spoke: words::words(&draft.spoke), zone: draft.zone.clone() };
    let survey = Survey::of(values.iter(), false);
    let elements: Vec<(usize, Survey<'_>)> = survey
        .lists
        .iter()
        .enumerate()
        .map(|(index, list)| (index, Survey::of(list.elements.iter().map(|(_, value)| *value), true)))
        .collect();
    let each = guess::each(&survey, &elements);
    let guessed = Guessed::of(&survey, each, &hints);
    let body = guessed.body(&head, &values);
    let spoke = compiled(&body, draft)?;
    let test = guessed.test(&spoke, &values);
    let with_test = match &test {
        Some(test) => format!("{body}\n{test}"),
        None => body.clone(),
    };
    // A test that does not hold is worse than none.
    let text = match SpokeFile::parse(&draft.spoke, &with_test) {
        Ok(file) if trial::run(&spoke, &file.tests).is_empty() => with_test,
        _ => body,
    };
    Ok(Sketch { text, remarks: guessed.remarks, tally: try_on(&spoke, payloads, draft) })
}

fn compiled(text: &str, draft: &Draft) -> Result<Spoke, SpokeError> {
    Spoke::compile(&SpokeFile::parse(&draft.spoke, text)?, draft.options.clone(), &Arc::new(Schemas::default()))
}

/// What a mapping makes of records.
fn try_on(spoke: &Spoke, payloads: &[Vec<u8>], draft: &Draft) -> Tally {
    let mut tally = Tally::default();
    for (offset, payload) in (0..).zip(payloads) {
        let record = SourceRecord {
            topic: spoke.topic(),
            partition: 0,
            offset,
            timestamp_ms: draft.now_ms,
            key: None,
            payload: Some(payload),
            headers: &NoHeaders,
        };
        let (mut touchpoints, mut is_rejected) = (0, false);
        let mut reject = |reason: Reason, field: String| {
            *tally.rejected.entry((reason.to_string(), field)).or_insert(0) += 1;
            is_rejected = true;
        };
        spoke.map_json(&record, &mut |mapped| match mapped {
            Mapped::Touchpoint(_) => touchpoints += 1,
            Mapped::Skipped(_) => {}
            Mapped::Rejected(rejection) => reject(rejection.reason, without_numbers(&rejection.field)),
        });
        tally.records += 1;
        tally.touchpoints += touchpoints;
        tally.rejected_records += usize::from(is_rejected);
        tally.taken += usize::from(!is_rejected && touchpoints > 0);
        tally.skipped += usize::from(!is_rejected && touchpoints == 0);
    }
    tally
}

/// `parcels[3].sku` → `parcels[].sku`: one place, whichever element.
fn without_numbers(field: &str) -> String {
    let mut inside = false;
    field
        .chars()
        .filter(|character| {
            if *character == '[' || *character == ']' {
                inside = *character == '[';
            }
            !(inside && character.is_ascii_digit())
        })
        .collect()
}

/// Everything that was guessed.
struct Guessed<'s, 'v> {
    each: Option<&'s List<'v>>,
    is_cloud_event: bool,
    is_cut: bool,
    top: Vec<Part>,
    kind: Part,
    identifiers: Vec<Part>,
    unused: Vec<String>,
    lists: Vec<String>,
    remarks: Vec<String>,
}

impl<'s, 'v> Guessed<'s, 'v> {
    fn of(survey: &'s Survey<'v>, each: Option<(&'s List<'v>, &'s Survey<'v>)>, hints: &Hints) -> Guessed<'s, 'v> {
        let (list, elements) = each.map_or((None, None), |(list, of)| (Some(list), Some(of)));
        let places: Vec<_> = elements.into_iter().flat_map(|of| &of.places).chain(&survey.places).collect();
        let is_cloud_event = guess::is_cloud_event(survey);
        let mut guesser = Guesser { places, hints, is_cloud_event, used: Default::default(), parts: Vec::new() };
        if is_cloud_event {
            guesser.used.extend(["specversion", "source", "datacontenttype", "dataschema", "traceparent", "subject"]);
        }
        guesser.id(list);
        let id = guesser.parts.first().and_then(|part| part.uses.first()).map(|of| {
            let keys: Vec<&str> = of.keys.iter().map(String::as_str).collect();
            survey::path(&keys, of.of_element).unwrap_or_default()
        });
        guesser
            .used
            .extend(guesser.places.iter().find(|place| Some(&place.path) == id.as_ref()).map(|it| it.path.as_str()));
        let kind = guesser.kind();
        guesser.times();
        let identifiers = guesser.identifiers(id.as_deref());
        guesser.details();
        let shown = |place: &&&survey::Place<'_>| format!("{} ({})", place.path, place.coverage());
        let is_unused = |place: &&&survey::Place<'_>| !guesser.used.contains(place.path.as_str());
        let mut unused: Vec<String> = guesser.places.iter().filter(is_unused).map(|place| shown(&place)).collect();
        let more = unused.len().saturating_sub(UNUSED_MAX);
        unused.truncate(UNUSED_MAX);
        if more > 0 {
            unused.push(format!("and {more} more"));
        }
        let other_lists = survey.lists.iter().filter(|other| list.is_none_or(|list| list.path != other.path));
        let lists = other_lists.map(|list| format!("{} (in {} of {} records)", list.path, list.present, survey.count));
        let mut remarks = Vec::new();
        if survey.count < 20 {
            let records = if survey.count == 1 { "1 record is" } else { &*format!("{} records are", survey.count) };
            remarks.push(format!("sample: {records} little to go by; more, of every kind, make surer guesses"));
        }
        if let Some(list) = list {
            remarks.push(format!(
                "each: every element of {} is taken as a touchpoint of its own; remove it if a record is one event",
                list.path
            ));
        }
        let parts = guesser.parts.iter().chain([&kind]).chain(&identifiers);
        remarks.extend(parts.filter_map(|part| part.remark.clone()));
        let lists: Vec<String> = lists.take(UNUSED_MAX).collect();
        let Guesser { parts: top, .. } = guesser;
        let is_cut = survey.is_cut || elements.is_some_and(|elements| elements.is_cut);
        Guessed { each: list, is_cloud_event, is_cut, top, kind, identifiers, unused, lists, remarks }
    }

    /// The file without a test.
    fn body(&self, head: &str, values: &[Value]) -> String {
        let mut text = String::new();
        let records = if values.len() == 1 { "1 record".to_owned() } else { format!("{} records", values.len()) };
        comment(
            &mut text,
            &format!(
                "Drafted from a sample of {records}. Look at every line that says LOOK, then try it: \
                 insight-hub check --sample FILE. README.md says what else a mapping can do."
            ),
        );
        if self.is_cloud_event {
            comment(&mut text, "The records are CloudEvents with the event inside (structured mode).");
        }
        text.push('\n');
        text.push_str(head);
        text.push_str("format = \"json\"\n");
        for part in &self.top {
            text.push('\n');
            write(&mut text, part);
        }
        if !self.unused.is_empty() {
            text.push('\n');
            comment(&mut text, &format!("Nothing reads these places: {}.", self.unused.join(", ")));
        }
        if !self.lists.is_empty() {
            text.push('\n');
            comment(
                &mut text,
                &format!(
                    "Lists of objects: {}. If each of their elements is a contact of its own, each = \"the list\" reads them \
                     one by one.",
                    self.lists.join(", ")
                ),
            );
        }
        if self.is_cut {
            text.push('\n');
            comment(
                &mut text,
                "Some places were not looked at: there are too many, too deep, or their keys are values (an address, a number).",
            );
        }
        text.push('\n');
        write(&mut text, &self.kind);
        text.push_str("\n[identifiers]\n");
        for part in &self.identifiers {
            write(&mut text, part);
        }
        text
    }

    /// A test with a made-up record that has as many of the places as a record of the sample has.
    fn test(&self, spoke: &Spoke, values: &[Value]) -> Option<String> {
        let parts = self.top.iter().chain([&self.kind]).chain(&self.identifiers);
        let uses: Vec<part::Use> = parts.flat_map(|part| part.uses.clone()).collect();
        let mut best: Option<(usize, String)> = None;
        for record in values.iter().take(PATTERNS_MAX) {
            let element = match self.each {
                None => None,
                Some(list) => {
                    let found = list.keys.iter().try_fold(record, |value, key| value.get(key));
                    let Some(value) = found.and_then(|list| list.as_array()?.iter().find(|it| it.is_object())) else {
                        continue;
                    };
                    Some(Element { keys: list.keys.iter().map(|key| (*key).to_owned()).collect(), value })
                }
            };
            let made = example::made_up(record, element.as_ref(), &uses);
            let places = made.to_string().matches(':').count();
            if best.as_ref().is_none_or(|(most, _)| places > *most) {
                let is_content_id =
                    self.top.iter().any(|part| part.lines.iter().any(|line| line == "id = \"content\""));
                best = example::test(spoke, &made, is_content_id).map(|test| (places, test)).or(best);
            }
        }
        let (_, test) = best?;
        let mut text = String::new();
        comment(
            &mut text,
            "A record of the same shape with made-up values; `insight-hub check` tries it, so change it along with the mapping.",
        );
        text.push_str(&test);
        Some(text)
    }
}

fn write(text: &mut String, part: &Part) {
    for line in &part.comments {
        comment(text, line);
    }
    for line in &part.lines {
        text.push_str(line);
        text.push('\n');
    }
}

/// A comment, on as many lines as it needs. Names of places are foreign text: nothing in them ends the comment.
fn comment(text: &mut String, words: &str) {
    let mut line = String::new();
    let safe: String =
        words.chars().map(|character| if part::is_unsafe(character) { ' ' } else { character }).collect();
    for word in safe.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() >= COMMENT_CHARACTERS {
            text.push_str(&format!("# {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&format!("# {line}\n"));
}

#[cfg(test)]
mod tests;
