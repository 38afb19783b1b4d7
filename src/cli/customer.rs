//! `insight-hub customer IDENTIFIER`: one customer as every department sees them: the record, the timeline, and why.
//!
//! Why: by which identifiers this is one person, and what each touchpoint counts for. The touchpoints of the feed are folded
//! again, by the fold that the hub itself uses, and what each step contributes to company-wide metrics is shown beside it. What the
//! models of buying expect of the customer is computed here, from the record and the newest parameters.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    exit::{Exit, Failure},
    hub::{self, fold_options},
    identity::{Sought, find},
    output::{Format, write_json, write_table},
    place, value,
};
use crate::{
    customers::fold::{self, DimensionValue, Emit, Head},
    feeds::{Expected, Feed, day_of},
    ingest::{Mapped, NoHeaders, SourceRecord, Spoke, SpokeFile},
    metrics::catalogue,
    model::{Accumulator, Currency, Dimension, IdentifierType, Kind, Window, WindowKind},
    settings::{PublishedIdentifiers, Settings},
    wire::Schemas,
};

/// Customers that one identifier may lead to and are told: more of them is a mistake in the data worth knowing.
const FOUND_MAX: usize = 5;
/// How many more are counted.
const MORE_MAX: usize = 10_000;

/// Flags of `customer`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CustomerArguments {
    /// TYPE:VALUE, for example customer_id:C0000042 or email:ann@example.org; or a person's id of the feeds
    #[arg(value_name = "IDENTIFIER")]
    pub identifier: String,
    /// Show so many of the newest touchpoints; what the older ones count for is in the record
    #[arg(long, default_value_t = 30, value_name = "NUMBER")]
    pub last: usize,
    /// Over so many days purchases and value are expected
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub horizon: u32,
    /// How it is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

impl Sought {
    fn is(&self, person: &str, record: &Value) -> bool {
        match self {
            Sought::Person(sought) => sought == person,
            Sought::Identifier(kind, value) => {
                let known = record.get("identifiers").and_then(|all| all.get(kind.as_str())).and_then(Value::as_array);
                known.is_some_and(|values| values.iter().any(|known| known.as_str() == Some(value)))
            }
        }
    }
}

pub(super) fn execute(
    settings: &Settings,
    arguments: &CustomerArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let mut sought = Sought::parse(&arguments.identifier, &hub::identifier_rules(settings))?.published(settings)?;
    if matches!(sought, Sought::Person(_))
        && let Some((person, _, true)) = find(settings, &sought)?
    {
        // An id that is no longer in use.
        sought = Sought::Person(person);
    }
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    let mut more = BTreeSet::new();
    let mut as_of = String::new();
    place::read_feed(settings, Feed::Customers, &mut |key, value| {
        // One notation in UTC: the order of texts is that of instants.
        let seen = value.as_ref().map(|record| text(record, "last_seen")).unwrap_or_default();
        if seen > as_of {
            as_of = seen;
        }
        // A record that no longer has the identifier, or is gone, counts as the newest.
        match value {
            Some(record) if sought.is(key, &record) => {
                if found.len() < FOUND_MAX || found.contains_key(key) {
                    more.remove(key);
                    found.insert(key.to_owned(), record);
                } else if more.len() < MORE_MAX {
                    more.insert(key.to_owned());
                }
            }
            _ => {
                found.remove(key);
                more.remove(key);
            }
        }
    })?;
    if !more.is_empty() {
        let at_least = if more.len() < MORE_MAX { "" } else { "at least " };
        tracing::warn!(
            "{at_least}{} more are known by that and are not shown: name one by an identifier of its own, or by the id that \
             `insight-hub tail customers` shows",
            more.len()
        );
    }
    if found.is_empty() {
        return Err(Failure::new(
            Exit::Failure,
            "nobody is known by that",
            "see how the identifier is written in `insight-hub tail customers --from-beginning`, or whether its event was rejected",
        ));
    }
    if !settings.topics.touchpoints_feed {
        tracing::warn!("the feed of touchpoints is switched off: there is no timeline to show");
    }
    let parameters = value::newest(settings)?;
    let as_of = day_of(&as_of, &settings.calendar()?);
    let mut timelines = timelines(settings, &found)?;
    for (person, record) in &found {
        let timeline = timelines.remove(person).unwrap_or_default();
        let counted = counted(settings, &timeline)?;
        let shown = timeline.len().saturating_sub(arguments.last);
        let steps = &timeline[shown..];
        let counted = &counted[shown..];
        let expected = parameters.as_ref().zip(as_of);
        let expected = expected.and_then(|(parameters, as_of)| parameters.said_of(record, as_of, arguments.horizon));
        match arguments.output {
            Format::Json | Format::Jsonl => {
                let steps: Vec<Value> = steps
                    .iter()
                    .zip(counted)
                    .map(|(touchpoint, counts)| json!({"touchpoint": touchpoint, "counts_for": counts}))
                    .collect();
                write_json(
                    output,
                    &json!({
                        "person": person,
                        "record": record,
                        "expected": expected.as_ref().map(value::document),
                        "timeline": steps,
                    }),
                )?;
            }
            Format::Table => {
                show_record(person, record, output)?;
                show_expected(record, expected.as_ref(), output)?;
                show(&timeline, shown, counted, output)?;
            }
        }
    }
    Ok(output.flush()?)
}

/// The touchpoints of some persons, in the order of their timelines.
fn timelines(settings: &Settings, persons: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Vec<Value>>, Failure> {
    let mut found: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    if settings.topics.touchpoints_feed {
        place::read_feed(settings, Feed::Touchpoints, &mut |key, value| {
            let Some((person, _)) = key.split_once('|').filter(|(person, _)| persons.contains_key(*person)) else {
                return;
            };
            let timeline = found.entry(person.to_owned()).or_default();
            match value {
                Some(touchpoint) => drop(timeline.insert(key.to_owned(), touchpoint)),
                None => drop(timeline.remove(key)),
            }
        })?;
    }
    let sorted = |touchpoints: BTreeMap<String, Value>| {
        let mut timeline: Vec<Value> = touchpoints.into_values().collect();
        let place = |touchpoint: &Value| {
            let text = |field: &str| touchpoint.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let rank = Kind::parse(&text("kind")).map_or(0, Kind::rank);
            (text("occurred_at"), rank, text("id"), text("spoke"))
        };
        timeline.sort_by_key(place);
        timeline
    };
    Ok(found.into_iter().map(|(person, touchpoints)| (person, sorted(touchpoints))).collect())
}

/// What each touchpoint of a timeline counts for, company-wide.
fn counted(settings: &Settings, timeline: &[Value]) -> Result<Vec<Vec<String>>, Failure> {
    let options = fold_options(settings, &settings.calendar()?)?;
    let schemas = std::sync::Arc::new(Schemas::default());
    let mut spokes: BTreeMap<String, Spoke> = BTreeMap::new();
    let mut head = Head::default();
    let mut all = Vec::new();
    for touchpoint in timeline {
        let name = touchpoint.get("spoke").and_then(Value::as_str).unwrap_or_default();
        if !spokes.contains_key(name) {
            let file = format!("spoke = {name:?}\ntopic = {name:?}\nformat = \"touchpoint-json\"\n");
            let compiled = SpokeFile::parse(name, &file)
                .and_then(|file| Spoke::compile(&file, hub::ingest_options(settings), &schemas))
                .map_err(|error| {
                    Failure::new(Exit::Failure, error.to_string(), "report it: the feed names this spoke")
                })?;
            spokes.insert(name.to_owned(), compiled);
        }
        let Some(spoke) = spokes.get(name) else { continue };
        let payload = foldable(settings, touchpoint).to_string();
        let record = SourceRecord {
            topic: name,
            partition: 0,
            offset: 0,
            // It was accepted once: no touchpoint is too far in the future any more.
            timestamp_ms: i64::MAX / 2,
            key: None,
            payload: Some(payload.as_bytes()),
            headers: &NoHeaders,
        };
        let mut counts = Counts::default();
        spoke.map_json(&record, &mut |mapped| match mapped {
            Mapped::Touchpoint(touchpoint) => drop(fold::step(&mut head, &touchpoint, &options, &mut counts)),
            Mapped::Skipped(_) | Mapped::Rejected(_) => {}
        });
        all.push(counts.in_words());
    }
    Ok(all)
}

/// A touchpoint of the feed as a department could have written it. Identifiers count for nothing here, and hashes of some are
/// none that a department may write.
fn foldable<'t>(settings: &Settings, touchpoint: &'t Value) -> Cow<'t, Value> {
    if settings.identity.publish == PublishedIdentifiers::Clear {
        return Cow::Borrowed(touchpoint);
    }
    let mut touchpoint = touchpoint.clone();
    touchpoint["identifiers"] = json!({"customer_id": ["hashed"]});
    if touchpoint["referrer"].is_object() {
        touchpoint["referrer"]["type"] = json!("customer_id");
    }
    Cow::Owned(touchpoint)
}

/// Contributions to the whole company, by metric.
#[derive(Default)]
struct Counts(BTreeMap<(u8, Option<Currency>), Accumulator>);

impl Emit for Counts {
    fn cell(
        &mut self,
        metric: u8,
        currency: Option<Currency>,
        window: Window,
        value: &DimensionValue<'_>,
        add: &Accumulator,
        times: i64,
    ) {
        if value.dimension == Dimension::Company && window.kind == WindowKind::Day {
            self.0.entry((metric, currency)).or_default().add(add, times);
        }
    }
}

impl Counts {
    fn in_words(&self) -> Vec<String> {
        let contributed = self.0.iter().filter(|(_, added)| !added.is_zero());
        contributed
            .filter_map(|((metric, currency), added)| {
                let definition = catalogue::definition(*metric)?;
                // The values of a cell that holds nothing else, in the metric's own unit.
                let published = definition.published(*currency, added);
                Some(published.into_iter().map(move |(currency, figures)| (definition, added, currency, figures)))
            })
            .flatten()
            .map(|(definition, added, currency, figures)| {
                let money = |minor: f64| value::money(minor, currency.as_ref().map_or("", Currency::as_str), true);
                match figures.value {
                    Some(value) if definition.unit == "minor_units" => format!("{} {}", definition.id, money(value)),
                    Some(value) if definition.unit == "seconds" => format!("{} {:.0} min", definition.id, value / 60.0),
                    Some(value) => format!("{} {value:.0}", definition.id),
                    None if definition.per_currency => format!("{} {}", definition.id, money(figures.numerator as f64)),
                    None => format!("{} {:+}", definition.id, added.n),
                }
            })
            .collect()
    }
}

fn show_record(person: &str, record: &Value, output: &mut dyn Write) -> Result<(), Failure> {
    writeln!(output, "person {person}\n")?;
    let rows: Vec<Vec<String>> = record
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(field, value)| *field != "person" && *field != "journey" && !is_empty(value))
        .map(|(field, value)| vec![field.replace('_', " "), in_words(value)])
        .collect();
    Ok(write_table(output, &["record", ""], &rows)?)
}

/// What the models of buying expect, if there are parameters and something was bought.
fn show_expected(record: &Value, expected: Option<&Expected>, output: &mut dyn Write) -> Result<(), Failure> {
    match expected {
        Some(said) => {
            let (as_of, month) = (said.as_of, &said.parameters);
            writeln!(
                output,
                "\nwhat customers who bought alike would do: as of {as_of}, by the parameters of {month}"
            )?;
            write_table(output, &["expected", ""], &value::rows(said))?;
        }
        None if record.get("buying").is_some_and(Value::is_object) => {
            writeln!(
                output,
                "\nwhat to expect is not known: no closed month has parameters: too few bought again, or how they did does not determine them"
            )?;
        }
        None => {}
    }
    Ok(())
}

fn show(timeline: &[Value], shown: usize, counted: &[Vec<String>], output: &mut dyn Write) -> Result<(), Failure> {
    writeln!(output, "\nwhy this is one person: the strongest identifier of each touchpoint leads to the same one")?;
    let mut seen: BTreeMap<(String, String), (u64, BTreeSet<String>)> = BTreeMap::new();
    for touchpoint in timeline {
        let spoke = text(touchpoint, "spoke");
        for (kind, values) in touchpoint.get("identifiers").and_then(Value::as_object).into_iter().flatten() {
            for value in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
                let entry = seen.entry((kind.clone(), value.to_owned())).or_default();
                entry.0 += 1;
                entry.1.insert(spoke.clone());
            }
        }
    }
    let mut seen: Vec<_> = seen.into_iter().collect();
    seen.sort_by_key(|((kind, value), (count, _))| {
        (IdentifierType::parse(kind), std::cmp::Reverse(*count), value.clone())
    });
    let rows: Vec<Vec<String>> = seen
        .into_iter()
        .take(20)
        .map(|((kind, value), (count, spokes))| {
            vec![kind, value, count.to_string(), spokes.into_iter().collect::<Vec<_>>().join(", ")]
        })
        .collect();
    write_table(output, &["identifier", "value", "touchpoints", "from"], &rows)?;

    match shown {
        0 => writeln!(output, "\ntimeline: {} touchpoints, and what each counts for", timeline.len())?,
        older => writeln!(output, "\ntimeline: the last {} touchpoints ({older} older ones)", timeline.len() - older)?,
    }
    let rows: Vec<Vec<String>> = timeline[shown..]
        .iter()
        .zip(counted)
        .map(|(touchpoint, counts)| {
            let at: String = text(touchpoint, "occurred_at").chars().take(16).collect();
            vec![at.replace('T', " "), text(touchpoint, "spoke"), detail(touchpoint), counts.join(", ")]
        })
        .collect();
    write_table(output, &["occurred at", "spoke", "what", "counts for"], &rows)?;
    Ok(())
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What a touchpoint says, in a few words.
fn detail(touchpoint: &Value) -> String {
    let mut words = vec![text(touchpoint, "kind").replace('_', " ")];
    for field in ["channel", "subject", "campaign"] {
        let value = text(touchpoint, field);
        if !value.is_empty() {
            words.push(value);
        }
    }
    if let Some(amount) = touchpoint.get("amount").filter(|amount| amount.is_object()) {
        words.push(in_words(amount));
    }
    if let Some(score) = touchpoint.get("score").filter(|score| score.is_object()) {
        words.push(in_words(score));
    }
    words.join(" · ")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty() || fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A value of a record on one line.
fn in_words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !is_empty(value));
            fields.map(|(field, value)| format!("{field} {}", in_words(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Number(number) if number.is_f64() => number.as_f64().map(|it| format!("{it:.1}")).unwrap_or_default(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IdentifierRules;

    fn parse(text: &str) -> Result<Sought, Failure> {
        Sought::parse(text, &IdentifierRules::default())
    }

    #[test]
    fn identifiers_and_ids_are_told_apart() {
        assert_eq!(
            parse("email: Ann@X.org").expect("an identifier"),
            Sought::Identifier(IdentifierType::Email, "ann@x.org".into())
        );
        let id = "D4A1C97269163F668D179FBBC81625A0";
        assert_eq!(parse(id).expect("a person"), Sought::Person(id.to_lowercase()));
        for wrong in ["ann", "mail:ann@x.org", "d4a1c9"] {
            let failure = parse(wrong).expect_err(wrong);
            assert!(failure.exit == Exit::Usage && failure.next.contains("customer_id"), "{failure}");
        }
    }

    #[test]
    fn a_customer_is_found_by_any_identifier_of_the_record() {
        let record = json!({"identifiers": {"email": ["ann@x.org", "a@y.org"], "customer_id": ["C1"]}});
        let is = |text: &str| parse(text).expect("right").is("p", &record);
        assert!(is("email:a@y.org") && is("customer_id:C1"));
        assert!(!is("customer_id:C2") && !is("phone:C1"));
    }

    #[test]
    fn each_touchpoint_says_what_it_counts_for() {
        let touchpoint = |id: &str, kind: &str, at: &str| {
            json!({"id": id, "spoke": "support", "kind": kind, "occurred_at": at, "channel": "email",
                "identifiers": {"customer_id": ["C1"], "case": ["T1"]}, "initiator": if kind == "case_opened" { "customer" } else { "agent" },
                "visibility": "public"})
        };
        let timeline = [
            touchpoint("1", "case_opened", "2026-01-01T10:00:00Z"),
            touchpoint("2", "case_replied", "2026-01-01T10:20:00Z"),
        ];
        let counted = counted(&Settings::default(), &timeline).expect("a timeline");
        assert!(counted[0].iter().any(|it| it == "unanswered 1"), "{counted:?}");
        assert!(counted[1].contains(&"first_response_time 20 min".to_owned()), "{counted:?}");
    }
}
