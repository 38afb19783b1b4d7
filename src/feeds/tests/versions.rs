//! What another version of the hub wrote: read by its schema, or refused with what to do, and never taken for something else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::*;
use crate::wire::{
    SchemaFolder, Schemas,
    registry::{Fetch, Registry, client::RegistryError},
    single_object::{SingleObject, reference},
};

/// Every feed in Avro, with a value of this version.
fn values() -> Vec<(Feed, Vec<u8>)> {
    let encoded = Feed::ALL.into_iter().filter(|feed| feed.description().encoded);
    let value = |feed: Feed| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/feeds/");
        let text = std::fs::read_to_string(format!("{root}{}.avro.hex", feed.description().suffix));
        let digits: Vec<u8> = text.expect("a golden file").bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits");
        (feed, digits.chunks(2).map(byte).collect())
    };
    encoded.map(value).collect()
}

fn first(feed: Feed) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/feeds/first/");
    std::fs::read_to_string(format!("{root}{}.avsc", feed.description().suffix)).expect("every feed's first schema")
}

/// As a later version may have it: one more field, before all others.
fn later(feed: Feed) -> String {
    let mut schema: Value = serde_json::from_str(feed.description().schema).expect("JSON");
    let field = json!({"name": "later", "type": [{"type": "int", "logicalType": "date"}, "null"], "default": 3});
    schema["fields"].as_array_mut().expect("fields").insert(0, field);
    schema.to_string()
}

fn folder(text: &str) -> Arc<Schemas> {
    Arc::new(SchemaFolder::from_files([("other.avsc", text)]).expect("a schema that is read").into())
}

/// A registry that counts who asks; `None`: it does not answer.
fn registry(text: Option<String>) -> (Arc<Schemas>, Arc<AtomicU32>) {
    struct Answers(Option<String>, Arc<AtomicU32>);
    impl Fetch for Answers {
        fn schema(&mut self, id: u32) -> Result<String, RegistryError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            match &self.0 {
                Some(text) if id == 7 => Ok(text.clone()),
                Some(_) => Err(RegistryError::NotFound),
                None => Err(RegistryError::Unavailable("connection refused".into())),
            }
        }
    }
    let asked = Arc::new(AtomicU32::new(0));
    let started = Registry::start(Answers(text, Arc::clone(&asked)), Duration::from_secs(60), Arc::new(|_| {}));
    (Arc::new(Schemas { folder: SchemaFolder::default(), registry: Some(started.expect("a thread")) }), asked)
}

/// The same value in the wire format of registries, and the header that names its schema.
fn registered(id: u32, message: &[u8], schema: &str) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let codec = SingleObject::parse(schema).expect("a schema");
    let header = format!("{}#{:016x}", codec.name(), codec.fingerprint());
    ([&[0][..], &id.to_be_bytes(), &message[10..]].concat(), vec![("schema".to_owned(), header.into_bytes())])
}

fn refused(error: &ReadError) -> (String, &'static str, bool) {
    (error.to_string(), error.advice(), matches!(error, ReadError::OtherVersion { may_come: true, .. }))
}

#[test]
fn what_the_first_version_wrote_is_read_by_its_schema_and_has_what_this_version_says_of_the_rest() {
    let mut evolved = 0;
    for (feed, message) in values() {
        let (now, first) = (feed.description().schema, first(feed));
        let old = reference::resolved(now, &first, &message);
        // The Avro project's own resolution of the old value to this version's schema.
        let expected = Reader::new(feed).read(&reference::resolved(&first, now, &old)).expect("this version's");
        if old[..10] == message[..10] {
            continue;
        }
        evolved += 1;
        assert_eq!(Reader::with_schemas(feed, folder(&first)).read(&old).expect("its schema is there"), expected);
        let (text, advice, may_come) = refused(&Reader::new(feed).read(&old).expect_err("its schema is nowhere"));
        assert!(text.contains("another version") && advice.contains("schemas.directory") && !may_come, "{text}");

        let (in_registry, headers) = registered(7, &old, &first);
        let (schemas, asked) = registry(Some(first.clone()));
        let reader = Reader::with_schemas(feed, schemas);
        for headers in [&headers[..], &[]] {
            assert_eq!(reader.read_with(&in_registry, headers).expect("the registry has it"), expected);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "and is asked once");
        // The header says that it is no value of this version, whatever its bytes look like.
        let (text, ..) = refused(&Reader::new(feed).read_with(&in_registry, &headers).expect_err("no registry"));
        assert!(text.contains("registry id 7"), "{text}");
        let (unknown, headers) = registered(8, &old, &first);
        assert!(reader.read_with(&unknown, &headers).is_err());
    }
    assert!(evolved >= 5, "{evolved} feeds have evolved");
}

#[test]
fn what_a_later_version_writes_is_shown_with_what_only_that_version_has() {
    for (feed, message) in values() {
        let later = later(feed);
        let newer = reference::resolved(feed.description().schema, &later, &message);
        let mut expected = Reader::new(feed).read(&message).expect("this version's");
        expected["later"] = json!("1970-01-04");
        assert_eq!(Reader::with_schemas(feed, folder(&later)).read(&newer).expect("its schema is there"), expected);
        // This version's schema would make something else of the same bytes, or of the beginning of them.
        let (in_registry, headers) = registered(7, &newer, &later);
        assert!(Reader::new(feed).read_with(&in_registry, &headers).is_err(), "{}", feed.topic());
        let longer = [&message[..], &[0]].concat();
        assert!(Reader::new(feed).read(&longer).is_err(), "bytes are left: {}", feed.topic());
        let (longer, _) = registered(7, &longer, feed.description().schema);
        assert!(Reader::new(feed).read(&longer).is_err(), "bytes are left: {}", feed.topic());
    }
}

#[test]
fn a_registry_that_is_away_is_not_asked_about_this_versions_values_and_may_tell_of_others_later() {
    let (schemas, asked) = registry(None);
    let (feed, message) = values().swap_remove(0);
    let reader = Reader::with_schemas(feed, schemas);
    let (own, headers) = registered(7, &message, feed.description().schema);
    assert_eq!(reader.read_with(&own, &headers).expect("this version's"), reader.read(&message).expect("the same"));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let later = later(feed);
    let newer = reference::resolved(feed.description().schema, &later, &message);
    let (newer, headers) = registered(7, &newer, &later);
    let error = reader.find_schema(&newer, &headers).expect_err("nobody tells");
    let (text, advice, may_come) = refused(&error);
    assert!(text.contains("connection refused") && advice.contains("try again") && may_come, "{text}");
}
