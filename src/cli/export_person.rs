//! `insight-hub export-person IDENTIFIER`: everything that the hub keeps about one person, as one JSON document: what somebody
//! who asks for their data is to be given.
//!
//! The timeline comes from the hub's own state (the changelog of customers), so that it is whole and in clear also where the
//! feed of touchpoints is switched off or identifiers are published as hashes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::PathBuf,
};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use super::{
    exit::{Exit, Failure},
    hub,
    identity::{Sought, find},
    output::write_json,
    place, private,
    rejected::read_letters,
};
use crate::{
    customers::{self, TIMELINE_ENTRIES},
    engine::log::outside::FeedRead,
    feeds::{Encoder, Feed, FeedFormat, PersonTouchpoint, Touchpoints},
    links,
    model::{Identifier, IdentifierType, PersonId, PersonKey},
    settings::{PublishedIdentifiers, Settings},
    topology,
};

/// Flags of `export-person`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ExportPersonArguments {
    /// TYPE:VALUE of any identifier of the person; or the 32 digits of the person's id
    #[arg(value_name = "IDENTIFIER")]
    pub identifier: String,
    /// Where to; it must not exist, and only its owner may read it. Without it, standard output
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

pub(super) fn execute(
    settings: &Settings,
    arguments: &ExportPersonArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let (person, document) = gathered(settings, &arguments.identifier)?.ok_or_else(|| {
        Failure::new(
            Exit::Failure,
            "nobody is known by that",
            "see how the identifier is written in `insight-hub tail identities --from-beginning`, or whether it was erased",
        )
    })?;
    let Some(path) = &arguments.to else {
        write_json(output, &document)?;
        return Ok(output.flush()?);
    };
    let failed = |error| private::not_written(path, &error);
    private::write_new(path, document.to_string().as_bytes()).map_err(failed)?;
    let touchpoints = document["touchpoints"].as_array().map_or(0, Vec::len);
    writeln!(output, "{touchpoints} touchpoints of person {person} in {}", path.display())?;
    Ok(output.flush()?)
}

/// The id and the document of whom a text names; `None`: it is nobody.
pub(super) fn gathered(settings: &Settings, identifier: &str) -> Result<Option<(String, Value)>, Failure> {
    let key = hub::person_key(settings)?;
    let sought = Sought::parse(identifier, &hub::identifier_rules(settings))?.published(settings)?;
    let Some((person, identity, _)) = find(settings, &sought)? else { return Ok(None) };
    let document = document(settings, &key, &person, identity)?;
    Ok(Some((person, document)))
}

fn document(settings: &Settings, key: &PersonKey, person: &str, identity: Value) -> Result<Value, Failure> {
    let unreadable = |what: &str| Failure::new(Exit::Failure, format!("{what} cannot be read"), "report it");
    let public = PersonId::parse(person).ok_or_else(|| unreadable("the person's id"))?;
    let internal = internal_name(settings, key, public, &identity)?
        .ok_or_else(|| unreadable("the person's strongest identifier"))?;
    let mut identifiers: BTreeMap<IdentifierType, BTreeSet<String>> = BTreeMap::new();
    let mut touchpoints = Vec::new();
    let store = entries(settings, internal)?;
    let mut encoder = Encoder::<Touchpoints>::new(FeedFormat::Json, &settings.hub.application_id);
    customers::timeline(internal, &store, &mut |touchpoint| {
        for identifier in &touchpoint.identifiers {
            identifiers.entry(identifier.kind).or_default().insert(identifier.value.to_owned());
        }
        encoder.encode(&PersonTouchpoint { person: public, touchpoint });
        touchpoints.push(serde_json::from_slice::<Value>(encoder.encoded()).unwrap_or_default());
    })
    .map_err(|error| Failure::new(Exit::Failure, error.to_string(), "run `insight-hub state verify`"))?;
    let names = of_person(internal, key, &identifiers);
    let mut record = None;
    place::read_feed(settings, Feed::Customers, &mut |key, value| {
        if key == person {
            record = value;
        }
    })?;
    let counted = record.as_ref().and_then(|record| record["touchpoints"].as_u64());
    if counted != Some(touchpoints.len() as u64) {
        tracing::warn!(
            "the hub was taking something in about this person meanwhile: run it again for a picture of one moment"
        );
    }
    let mut journal = Vec::new();
    place::read_feed(settings, Feed::IdentityJournal, &mut |_, line| {
        let Some(line) = line else { return };
        let names_one =
            |end: &str| line[end]["id"].as_str().and_then(PersonId::parse).is_some_and(|id| names.contains(&id));
        if names_one("one") || names_one("other") {
            journal.push(line);
        }
    })?;
    let mut alerts: BTreeMap<String, Value> = BTreeMap::new();
    place::read_feed(settings, Feed::Alerts, &mut |key, alert| match alert {
        Some(alert) if alert["person"] == person => drop(alerts.insert(key.to_owned(), alert)),
        _ => drop(alerts.remove(key)),
    })?;
    let rejected = letters(settings, &identifiers)?;
    let shown: serde_json::Map<String, Value> =
        identifiers.into_iter().map(|(kind, values)| (kind.as_str().to_owned(), json!(values))).collect();
    Ok(json!({
        "person": person,
        "identifiers": shown,
        "identity": identity,
        "record": record,
        "touchpoints": touchpoints,
        "alerts": alerts.into_values().collect::<Vec<_>>(),
        "journal": journal,
        "rejected": rejected,
    }))
}

/// How the hub calls the person, whoever they were before an erasure.
fn internal_name(
    settings: &Settings,
    key: &PersonKey,
    public: PersonId,
    identity: &Value,
) -> Result<Option<PersonId>, Failure> {
    let strongest = &identity["strongest"];
    let kind = strongest["type"].as_str().and_then(IdentifierType::parse);
    let (Some(kind), Some(value)) = (kind, strongest["value"].as_str()) else { return Ok(None) };
    match settings.identity.publish {
        PublishedIdentifiers::Clear if value.is_empty() => named_unseen(settings, key, public).map(Some),
        PublishedIdentifiers::Clear => Ok(Some(key.person(Identifier { kind, value }))),
        PublishedIdentifiers::Hashed => Ok(PersonId::parse(value)),
    }
}

/// The same of somebody whose strongest identifier a link named before anybody saw it, or saw it again after an erasure. What
/// is erased is asked of the state of links, which keeps it for ever: the journal that told of it may have expired.
fn named_unseen(settings: &Settings, key: &PersonKey, public: PersonId) -> Result<PersonId, Failure> {
    let topic = topology::links_changelog(&settings.hub.application_id);
    Ok(reborn_as(&mut *place::feed(settings, &topic, place::WHOLE)?, key, public)?.unwrap_or(public))
}

/// Whose erasure made a public id, as the changelog of links has it; `None`: no erasure did.
fn reborn_as(log: &mut dyn FeedRead, key: &PersonKey, public: PersonId) -> Result<Option<PersonId>, Failure> {
    let mut found = None;
    place::read_whole(log, &mut |record| {
        let erased = record.value.as_deref().and_then(|value| links::erased_entry(&record.key, value));
        if let Some((id, until)) = erased
            && key.reborn(id, until) == public
        {
            found = Some(id);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The keyed hashes of everything that the person is known by.
fn of_person(
    internal: PersonId,
    key: &PersonKey,
    identifiers: &BTreeMap<IdentifierType, BTreeSet<String>>,
) -> BTreeSet<PersonId> {
    let mut names = BTreeSet::from([internal]);
    for (kind, values) in identifiers {
        names.extend(values.iter().map(|value| key.person(Identifier { kind: *kind, value })));
    }
    names
}

/// The person's own entries of the customers' state. The newest of each key stays.
fn entries(settings: &Settings, person: PersonId) -> Result<BTreeMap<Vec<u8>, Bytes>, Failure> {
    let topic = topology::customers_changelog(&settings.hub.application_id);
    let mut log = place::feed(settings, &topic, place::WHOLE)?;
    let mut found = BTreeMap::new();
    place::read_whole(&mut *log, &mut |record| {
        let is_theirs = matches!(record.key.as_slice(), [first, rest @ ..]
            if TIMELINE_ENTRIES.contains(first) && rest.starts_with(&person.0));
        match record.value {
            _ if !is_theirs => {}
            Some(value) => drop(found.insert(record.key, Bytes::from(value))),
            None => drop(found.remove(&record.key)),
        }
        Ok(())
    })?;
    Ok(found)
}

/// Dead letters in which one of the identifiers stands, wherever. What else is in such a record may be about others, so that
/// only its place is told: `insight-hub rejected show` shows it.
fn letters(
    settings: &Settings,
    identifiers: &BTreeMap<IdentifierType, BTreeSet<String>>,
) -> Result<Vec<Value>, Failure> {
    let values: Vec<&str> =
        identifiers.values().flatten().map(String::as_str).filter(|value| value.len() >= SOUGHT_BYTES_MIN).collect();
    let mut found = Vec::new();
    let mut log = place::feed(settings, &place::topic_of(settings, Feed::Rejected), place::WHOLE)?;
    read_letters(&mut *log, &mut |letter| {
        let text = String::from_utf8_lossy(letter.value.as_deref().unwrap_or_default()).to_lowercase();
        if values.iter().any(|value| text.contains(&value.to_lowercase())) {
            found.push(json!({ "position": letter.position(), "spoke": letter.spoke, "reason": letter.reason }));
        }
        Ok(())
    })?;
    Ok(found)
}

/// A shorter value stands in any record by chance.
const SOUGHT_BYTES_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use super::*;
    use crate::{
        engine::log::{
            LogError,
            outside::{CommittedRecord, Next},
        },
        links::{Assigned, Command, Counted, Effects, IdentityState, JournalEntry, Links, Rules},
        model::EventTime,
    };

    struct Changelog(VecDeque<CommittedRecord>);

    impl FeedRead for Changelog {
        fn next(&mut self, _: Duration) -> Result<Next, LogError> {
            Ok(self.0.pop_front().map_or(Next::End, Next::Record))
        }
    }

    /// Nobody reads the journal, as once it has expired.
    struct Nobody;

    impl Effects for Nobody {
        fn assign(&mut self, _: PersonId, _: Assigned) {}
        fn expect(&mut self, _: PersonId, _: u64, _: u32) {}
        fn erased(&mut self, _: PersonId, _: &[(PersonId, EventTime)]) {}
        fn identity(&mut self, _: PersonId, _: &IdentityState<'_>) {}
        fn journal(&mut self, _: &JournalEntry<'_>) {}
        fn counted(&mut self, _: Counted) {}
    }

    #[test]
    fn who_an_erasure_made_anew_is_known_from_the_state_of_links_alone() {
        let key = PersonKey([7; 32]);
        let mut links = Links::new(Rules::default(), key.clone());
        let mut store: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
        let name = |value| Identifier { kind: IdentifierType::Email, value };
        let (ann, bob) = (key.person(name("ann@x.org")), key.person(name("bob@x.org")));
        for (number, id, until) in [(1, ann, 50), (2, bob, 60), (3, ann, 70)] {
            let command = Command::Erase(id);
            let id = number.to_string();
            links.command(number, &id, &command, EventTime(until), &mut store, &mut Nobody).expect("a map");
        }
        links
            .pairs(
                name("cid@x.org"),
                &[(name("cid@x.org"), name("cid@x.org"), EventTime(9), None)],
                &mut store,
                &mut Nobody,
            )
            .expect("a map");
        let changelog = || {
            let record = |(key, value): (&Vec<u8>, &Bytes)| CommittedRecord {
                partition: 0,
                offset: 0,
                timestamp_ms: 0,
                key: key.clone(),
                value: Some(value.to_vec()),
                headers: Vec::new(),
            };
            Changelog(store.iter().map(record).collect())
        };
        let asked = |public| reborn_as(&mut changelog(), &key, public).expect("it can be read");
        assert_eq!(asked(key.reborn(ann, EventTime(70))), Some(ann));
        assert_eq!(asked(key.reborn(bob, EventTime(60))), Some(bob));
        assert_eq!((asked(ann), asked(key.person(name("cid@x.org")))), (None, None), "nobody was erased by that name");
    }
}
