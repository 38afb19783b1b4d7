//! `insight-hub explain ID`: an event's id in; where it counts, or why it does not, and what cannot be known, out.
//!
//! The feeds are read: `insight.touchpoints` for what was accepted, `insight.rejected` for what was not. A duplicate and what
//! the mapping takes nothing from leave no trace there; `--arrivals` reads the departments' topics too, and maps every event again.
//! Of a record that is read element by element, the record's id finds all of its elements (`S1#1`, `S1#2`), and an element's id
//! what is known of the record.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    exit::Failure,
    hub,
    judge::{Outcome, Patience, ReadHeaders, judge},
    output::{Format, shortened, write_json, write_table},
    place,
    rejected::{Letter, read_letters},
    schemas, tap,
};
use crate::{
    engine::log::outside::{CommittedRecord, FeedRead},
    feeds::{self, Feed, Reader},
    ingest::{Skip, Spoke, SpokeSet},
    model::{EventTime, PersonKey, keys},
    settings::Settings,
};

/// Things of one kind that are shown; more are counted.
const SHOWN_MAX: usize = 100;

/// Flags of `explain`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ExplainArguments {
    /// The event's id, as its department has it; of a record with a list of contacts, the record's or an element's
    #[arg(value_name = "ID")]
    pub id: String,
    /// Whose event it is; without it, of any department
    #[arg(long, value_name = "SPOKE")]
    pub spoke: Option<String>,
    /// Read the departments' topics as well: how often it came, and which of them is a duplicate or a conflict
    #[arg(long)]
    pub arrivals: bool,
    /// How it is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// A timeline that it is, or was, on.
#[derive(Debug, Default)]
struct OnTimeline {
    person: String,
    spoke: String,
    /// The id itself, or that of an element of its record.
    id: String,
    is_element: bool,
    /// The latest value; `None`: it was withdrawn.
    current: Option<Value>,
    published_at: i64,
    /// How often the feed said something else of it than before.
    changes: u64,
}

/// A dead letter that is about it.
#[derive(Debug)]
struct Rejected {
    letter: Letter,
    /// How it was recognised.
    by: &'static str,
    /// What the mapping makes of it now.
    now: String,
}

/// An event of a department's topic that becomes a touchpoint with the id, or that the mapping takes nothing from.
#[derive(Debug)]
struct Arrival {
    spoke: String,
    /// Empty if it becomes no touchpoint.
    id: String,
    position: String,
    timestamp_ms: i64,
    /// The content's hash, or why it becomes no touchpoint.
    content: Result<u128, Skip>,
    what: String,
}

/// Everything that was found.
#[derive(Debug, Default)]
struct Findings {
    timelines: BTreeMap<String, OnTimeline>,
    rejected: Vec<Rejected>,
    arrivals: Vec<Arrival>,
    /// Found beyond what is kept.
    more: u64,
    /// With a registry that is away.
    patience: Patience,
}

/// What is looked for.
struct Sought<'a> {
    id: &'a str,
    spoke: Option<&'a str>,
    escaped_id: String,
    /// By which the hub keeps some of what an event says, if it can be read.
    key: Option<PersonKey>,
    /// Spokes whose records are one event each: a `#` in an id is the department's own.
    whole: Vec<String>,
}

impl<'a> Sought<'a> {
    fn new(id: &'a str, spoke: Option<&'a str>) -> Sought<'a> {
        let mut escaped_id = String::new();
        keys::push_escaped(&mut escaped_id, id);
        Sought { id, spoke, escaped_id, key: None, whole: Vec::new() }
    }

    /// Whether a touchpoint's id is the one, or that of an element of its record.
    fn is(&self, id: &str) -> bool {
        begins_id(id, self.id)
    }

    /// The id, and before each `#` what may be the record's.
    fn of_record(&self) -> impl Iterator<Item = &'a str> {
        let id = self.id;
        std::iter::once(id).chain(id.match_indices('#').map(|(at, _)| &id[..at]))
    }

    fn takes(&self, spoke: &str) -> bool {
        self.spoke.is_none_or(|sought| sought == spoke)
    }
}

/// Whether an id is another, or that of an element of the other's record.
fn begins_id(id: &str, record: &str) -> bool {
    id.strip_prefix(record).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
}

pub(super) fn execute(
    settings: &Settings,
    arguments: &ExplainArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let spokes = hub::spokes(settings)?;
    if let Some(name) = &arguments.spoke {
        tap::spoke_of(settings, &spokes, name)?;
    }
    let mut sought = Sought::new(&arguments.id, arguments.spoke.as_deref());
    sought.whole = spokes.iter().filter(|it| !it.reads_elements()).map(|it| it.name().to_owned()).collect();
    let mut findings = Findings::default();
    let open = |feed| place::feed(settings, &place::topic_of(settings, feed), place::WHOLE);
    if settings.topics.touchpoints_feed {
        let reader = schemas::reader(settings, Feed::Touchpoints)?;
        findings.read_touchpoints(&mut *open(Feed::Touchpoints)?, &reader, &sought)?;
    }
    findings.read_rejected(&mut *open(Feed::Rejected)?, &sought, &spokes)?;
    if arguments.arrivals {
        sought.key = hub::person_key(settings).ok();
        for spoke in spokes.iter().filter(|spoke| sought.takes(spoke.name())) {
            findings.read_arrivals(&mut *place::feed(settings, spoke.topic(), place::WHOLE)?, &sought, spoke)?;
        }
    }
    let unknown = unknown(settings, arguments.arrivals);
    match arguments.output {
        Format::Json | Format::Jsonl => write_json(output, &findings.as_json(&sought, &unknown))?,
        Format::Table => findings.show(&sought, &unknown, output)?,
    }
    Ok(output.flush()?)
}

/// What this command cannot know.
fn unknown(settings: &Settings, arrivals: bool) -> Vec<String> {
    let mut unknown = Vec::new();
    if !settings.topics.touchpoints_feed {
        unknown
            .push("whether it was accepted: the feed of touchpoints is switched off (topics.touchpoints_feed)".into());
    }
    unknown.push(format!(
        "what was rejected more than {} hours ago: its dead letter is gone (topics.rejected_retention_hours)",
        settings.topics.rejected_retention_ms() / 3_600_000
    ));
    unknown.push(
        "a dead letter whose id is nowhere in its record, key and headers as text: `insight-hub rejected list` has them all"
            .to_owned(),
    );
    unknown.push(if arrivals {
        "what is no longer in the department's topic, and what its mapping was when an event came: it is mapped as it is now".into()
    } else {
        "whether it came again (a duplicate), or the mapping took nothing from it: --arrivals reads the topics".into()
    });
    unknown.push(
        "whether it is of somebody who was erased: nothing of theirs is kept, and nothing here says who that was"
            .to_owned(),
    );
    unknown.push("whether it was ever sent, or the hub has yet to read it".to_owned());
    unknown
}

impl Findings {
    fn read_touchpoints(
        &mut self,
        log: &mut dyn FeedRead,
        reader: &Reader,
        sought: &Sought<'_>,
    ) -> Result<(), Failure> {
        place::read_whole(log, &mut |record| {
            let key = String::from_utf8_lossy(&record.key);
            let mut parts = key.splitn(3, '|');
            let (Some(person), Some(spoke), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
                return Ok(());
            };
            let may_be_element = || sought.whole.iter().all(|whole| whole != spoke);
            let is_it = id == sought.escaped_id || begins_id(id, &sought.escaped_id) && may_be_element();
            if !is_it || !sought.takes(spoke) {
                return Ok(());
            }
            if self.timelines.len() >= SHOWN_MAX && !self.timelines.contains_key(&*key) {
                self.more += 1;
                return Ok(());
            }
            let value = record.value.as_deref().map(|value| reader.read_with(value, &record.headers)).transpose();
            let value = value.map_err(hub::foreign_value)?;
            let found = self.timelines.entry(key.clone().into_owned()).or_default();
            if found.person.is_empty() {
                (found.person, found.spoke) = (person.to_owned(), spoke.to_owned());
                found.is_element = id != sought.escaped_id;
                found.id = format!("{}{}", sought.id, id.strip_prefix(&sought.escaped_id).unwrap_or_default());
            } else if found.current.is_some() && value.is_some() && found.current != value {
                found.changes += 1;
            }
            found.current = value;
            found.published_at = record.timestamp_ms;
            Ok(())
        })
    }

    fn read_rejected(&mut self, log: &mut dyn FeedRead, sought: &Sought<'_>, spokes: &SpokeSet) -> Result<(), Failure> {
        read_letters(log, &mut |mut letter| {
            if !sought.takes(&letter.spoke) {
                return Ok(());
            }
            let Some((by, now)) = recognised(&letter, sought, spokes.of_topic(&letter.topic), &mut self.patience)
            else {
                return Ok(());
            };
            if self.rejected.len() >= SHOWN_MAX {
                self.more += 1;
                return Ok(());
            }
            // Nothing of the record is shown.
            letter.value = None;
            letter.headers.clear();
            self.rejected.push(Rejected { letter, by, now });
            Ok(())
        })?;
        Ok(())
    }

    fn read_arrivals(&mut self, log: &mut dyn FeedRead, sought: &Sought<'_>, spoke: &Spoke) -> Result<(), Failure> {
        let first = self.arrivals.len();
        place::read_whole(log, &mut |record| {
            for outcome in tap::outcomes(spoke, &record, &mut self.patience) {
                let (id, content) = match &outcome {
                    Outcome::Accepted(accepted) if sought.is(&accepted.id) => {
                        (accepted.id.as_str(), Ok(accepted.content_hash(sought.key.as_ref())))
                    }
                    // What is left out has no id: it is recognised as a dead letter is.
                    Outcome::Skipped(skip) if Searched::of(&record).holds_id(sought, Some(spoke)).is_some() => {
                        ("", Err(*skip))
                    }
                    Outcome::Accepted(_) | Outcome::Skipped(_) | Outcome::Rejected(_) => continue,
                };
                if self.arrivals.len() - first >= SHOWN_MAX {
                    self.more += 1;
                    continue;
                }
                self.arrivals.push(arrival(spoke, &record, id, content));
            }
            Ok(())
        })?;
        judge_arrivals(&mut self.arrivals[first..]);
        Ok(())
    }

    /// The answer in a sentence.
    fn answer(&self) -> String {
        let counting: Vec<&OnTimeline> = self.timelines.values().filter(|found| found.current.is_some()).collect();
        let persons = counting.iter().map(|found| found.person.as_str()).collect::<BTreeSet<_>>().len();
        let elements = counting.iter().filter(|found| found.is_element).count();
        let replayed = self.rejected.iter().any(|found| found.now == "accepted");
        let is_refused = self.rejected.iter().any(|found| found.now != "accepted");
        match (counting.len(), self.timelines.is_empty(), self.rejected.is_empty()) {
            (1.., _, true) if elements > 0 => {
                format!("it counts: {elements} element(s) of it are on the timeline of {persons} person(s)")
            }
            (1.., _, false) if elements > 0 && is_refused => format!(
                "it counts in part: {elements} element(s) of it are on the timeline of {persons} person(s), others were rejected"
            ),
            (1.., _, true) => format!("it counts: it is on the timeline of {persons} person(s)"),
            (1.., _, false) => {
                format!("it counts now, on the timeline of {persons} person(s); it, or one like it, was rejected as well")
            }
            (0, false, _) => "it counted once and was withdrawn: it is on no timeline now".to_owned(),
            (0, true, false) if replayed => {
                "it was rejected; the mapping as it is now takes it: `insight-hub rejected replay`".to_owned()
            }
            (0, true, false) => "it was rejected".to_owned(),
            (0, true, true) if self.arrivals.iter().any(|arrival| arrival.content.is_ok()) => {
                "it came, and the mapping as it is now takes it; but it is in no feed: the hub may have yet to read it, or \
                 rejected it with an earlier mapping, longer ago than dead letters are kept, or it is of somebody who was \
                 erased"
                    .to_owned()
            }
            (0, true, true) if self.arrivals.iter().any(|arrival| arrival.content == Err(Skip::Condition)) => {
                "it came, and the condition of its mapping as it is now leaves it out".to_owned()
            }
            (0, true, true) if !self.arrivals.is_empty() => {
                "it came, and its list, of which the mapping as it is now takes each element, has none".to_owned()
            }
            (0, true, true) => "nothing is known of it".to_owned(),
        }
    }

    fn as_json(&self, sought: &Sought<'_>, unknown: &[String]) -> Value {
        let timelines = self.timelines.values().map(|found| {
            json!({
                "person": found.person,
                "spoke": found.spoke,
                "id": found.id,
                "counts": found.current.is_some(),
                "kind": found.field("kind"),
                "occurred_at": found.field("occurred_at"),
                "published_at": time(found.published_at),
                "changes": found.changes,
            })
        });
        let rejected = self.rejected.iter().map(|found| {
            let mut letter = found.letter.as_json();
            letter["recognised_by"] = found.by.into();
            letter["now"] = found.now.as_str().into();
            letter
        });
        let arrivals = self.arrivals.iter().map(|found| {
            json!({"spoke": found.spoke, "id": found.id, "position": found.position, "timestamp": time(found.timestamp_ms),
                "is": found.what, "content": found.content.ok().map(|hash| format!("{hash:032x}"))})
        });
        json!({
            "id": sought.id,
            "answer": self.answer(),
            "timelines": timelines.collect::<Vec<_>>(),
            "rejected": rejected.collect::<Vec<_>>(),
            "arrivals": arrivals.collect::<Vec<_>>(),
            "more": self.more,
            "cannot_be_known": unknown,
        })
    }

    fn show(&self, sought: &Sought<'_>, unknown: &[String], output: &mut dyn Write) -> Result<(), Failure> {
        writeln!(output, "{}: {}", shortened(sought.id), self.answer())?;
        if !self.timelines.is_empty() {
            writeln!(output, "\non timelines (insight.touchpoints)")?;
            let rows: Vec<Vec<String>> = self.timelines.values().map(OnTimeline::row).collect();
            write_table(output, &["spoke", "id", "person", "kind", "occurred at", "published at", ""], &rows)?;
        }
        if !self.rejected.is_empty() {
            writeln!(output, "\nrejected (insight.rejected)")?;
            let row = |found: &Rejected| {
                let letter = &found.letter;
                let at = letter.rejected_at.to_string();
                let texts = [&letter.reason, &letter.field, &letter.message].map(|text| shortened(text));
                let mut row = vec![letter.position(), at];
                row.extend(texts);
                row.extend([found.by.to_owned(), found.now.clone()]);
                row
            };
            let rows: Vec<Vec<String>> = self.rejected.iter().map(row).collect();
            let header = ["position", "rejected at", "reason", "field", "message", "recognised by", "is now"];
            write_table(output, &header, &rows)?;
        }
        if !self.arrivals.is_empty() {
            writeln!(output, "\narrivals (the department's topic, by the mapping as it is now)")?;
            let row = |found: &Arrival| {
                let at = time(found.timestamp_ms).unwrap_or_default();
                vec![found.position.clone(), found.spoke.clone(), shortened(&found.id), at, found.what.clone()]
            };
            let rows: Vec<Vec<String>> = self.arrivals.iter().map(row).collect();
            write_table(output, &["position", "spoke", "id", "came", "is"], &rows)?;
        }
        if self.more > 0 {
            writeln!(output, "\nand {} more, which are not shown", self.more)?;
        }
        writeln!(output, "\nwhat cannot be known here:")?;
        unknown.iter().try_for_each(|line| writeln!(output, "- {line}"))?;
        Ok(())
    }
}

impl OnTimeline {
    fn field(&self, name: &str) -> &str {
        self.current.as_ref().and_then(|value| value.get(name)).and_then(Value::as_str).unwrap_or_default()
    }

    fn row(&self) -> Vec<String> {
        let note = match (&self.current, self.changes) {
            (None, _) => "withdrawn".to_owned(),
            (Some(_), 0) => String::new(),
            (Some(_), _) => "conflicting: the same id came with other content; one of them counts".to_owned(),
        };
        let mut row = vec![self.spoke.clone(), shortened(&self.id), self.person.clone()];
        row.extend(["kind", "occurred_at"].map(|field| self.field(field).to_owned()));
        row.extend([time(self.published_at).unwrap_or_default(), note]);
        row
    }
}

fn time(timestamp_ms: i64) -> Option<String> {
    let at = EventTime(timestamp_ms);
    (timestamp_ms >= 0 && at.is_supported()).then(|| at.to_string())
}

/// How a dead letter is recognised, if it is about the id, and what becomes of it now.
fn recognised(
    letter: &Letter,
    sought: &Sought<'_>,
    spoke: Option<&Spoke>,
    patience: &mut Patience,
) -> Option<(&'static str, String)> {
    // The beginning of a record says nothing of what the whole becomes.
    let is_whole = letter.whole.is_none();
    let outcomes =
        spoke.filter(|_| is_whole).map(|spoke| judge(spoke, &letter.source(&ReadHeaders(&letter.headers)), patience));
    let outcomes = outcomes.unwrap_or_default();
    let id_of = |outcome: &Outcome| match outcome {
        Outcome::Accepted(accepted) => Some(accepted.id.clone()),
        Outcome::Skipped(_) | Outcome::Rejected(_) => None,
    };
    // Each element has an outcome of its own, and a letter is of one; a record that is refused as a whole has one outcome.
    let own = outcomes.get(letter.touchpoint).or(outcomes.first());
    if own.and_then(id_of).is_some_and(|id| sought.is(&id)) {
        return Some(("its id by the mapping now", "accepted".to_owned()));
    }
    let now = match own {
        None if !is_whole && spoke.is_some() => {
            "too long for a dead letter: see `insight-hub rejected replay --dry-run`".to_owned()
        }
        None => "no spoke reads its topic".to_owned(),
        Some(Outcome::Rejected(rejection)) => format!("rejected: {}", rejection.reason),
        Some(other) => other.word().to_owned(),
    };
    let made = format!("{}-{}-{}", letter.topic, letter.origin.partition, letter.origin.offset);
    if sought.id == made || sought.id == letter.position() {
        return Some(("its position", now));
    }
    let others: Vec<String> = outcomes.iter().filter_map(id_of).collect();
    if others.iter().any(|id| id == sought.id) {
        return None; // another element of the record, which is taken
    }
    if others.iter().any(|id| sought.is(id)) {
        return Some(("the id of another element of its record", now));
    }
    Some((Searched::of_letter(letter).holds_id(sought, spoke)?, now))
}

/// Where an id is looked for that no mapping tells.
struct Searched<'a> {
    value: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    headers: &'a [(String, Vec<u8>)],
}

impl<'a> Searched<'a> {
    fn of(record: &'a CommittedRecord) -> Searched<'a> {
        Searched { value: record.value.as_deref(), key: Some(&record.key), headers: &record.headers }
    }

    fn of_letter(letter: &'a Letter) -> Searched<'a> {
        Searched { value: letter.value.as_deref(), key: letter.key.as_deref(), headers: &letter.headers }
    }

    /// Where the id stands, or that of the record that it is an element of.
    fn holds_id(&self, sought: &Sought<'_>, spoke: Option<&Spoke>) -> Option<&'static str> {
        // Before a text in Avro stands its length, which may look like a character of it.
        let is_avro = spoke.is_some_and(Spoke::is_avro);
        let has_elements = spoke.is_none_or(Spoke::reads_elements);
        let ids: Vec<&[u8]> =
            sought.of_record().take(if has_elements { usize::MAX } else { 1 }).map(str::as_bytes).collect();
        let has = |bytes: &[u8], whole| ids.iter().any(|id| holds(bytes, id, whole));
        if self.value.is_some_and(|value| has(value, !is_avro)) {
            return Some("its id stands in the record");
        }
        if self.key.is_some_and(|key| has(key, true)) {
            return Some("its id stands in the record's key");
        }
        self.headers.iter().any(|(_, value)| has(value, true)).then_some("its id stands in the record's headers")
    }
}

/// Whether bytes hold a text; `whole`: not as a part of a longer word.
fn holds(bytes: &[u8], text: &[u8], whole: bool) -> bool {
    if text.is_empty() {
        return false;
    }
    let is_word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    bytes.windows(text.len()).enumerate().any(|(at, window)| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        window == text && !(whole && (is_word(before) || is_word(bytes.get(at + text.len()))))
    })
}

fn arrival(spoke: &Spoke, record: &CommittedRecord, id: &str, content: Result<u128, Skip>) -> Arrival {
    Arrival {
        spoke: spoke.name().to_owned(),
        id: id.to_owned(),
        position: feeds::position(spoke.topic(), record.partition, record.offset),
        timestamp_ms: record.timestamp_ms,
        content,
        what: String::new(),
    }
}

/// Of one id the smallest content hash counts within a person, once.
fn judge_arrivals(arrivals: &mut [Arrival]) {
    let mut smallest: BTreeMap<String, u128> = BTreeMap::new();
    for arrival in &*arrivals {
        if let Ok(hash) = arrival.content {
            let known = smallest.entry(arrival.id.clone()).or_insert(hash);
            *known = hash.min(*known);
        }
    }
    let mut counted: BTreeSet<String> = BTreeSet::new();
    for arrival in arrivals {
        arrival.what = match arrival.content {
            Err(skip) => format!("{} (its id stands in the record)", skip.in_words()),
            Ok(hash) if smallest.get(&arrival.id) != Some(&hash) => {
                "conflicting: other content (it counts only for another person)".to_owned()
            }
            Ok(_) if counted.insert(arrival.id.clone()) => "the one that counts".to_owned(),
            Ok(_) => "a duplicate".to_owned(),
        };
    }
}

#[cfg(test)]
mod tests;
