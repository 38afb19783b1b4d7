//! Stored formats, version by version: what an older program wrote must be read for ever, or the version must change.

use std::fmt::Write;

use super::world::{MONDAY, World, touchpoint};
use crate::{
    customers::{
        alerts::{Kept, Published},
        fold::Head,
        moves::Unsettled,
        store_keys::{self, Envelope, Ties},
    },
    model::{AlertCause, AlertId, EventTime, PersonId},
};

const STORE_VERSION_3: &str = "tests/fixtures/customers_store_v3.txt";
const STORE_VERSION_5: &str = "tests/fixtures/customers_store_v5.txt";
const STORE_VERSION_6: &str = "tests/fixtures/customers_store_v6.txt";
const STORE_VERSION_7: &str = "tests/fixtures/customers_store_v7.txt";
const STORE_VERSION_8: &str = "tests/fixtures/customers_store_v8.txt";
const STORE_VERSION_9: &str = "tests/fixtures/customers_store_v9.txt";
const STORE_VERSION_10: &str = "tests/fixtures/customers_store_v10.txt";
const STORE_VERSION_11: &str = "tests/fixtures/customers_store_v11.txt";

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every character");
        text
    })
}

/// One person with something of everything. Each entry of the store as `key value`.
fn store() -> World {
    let mut world = World::new(10);
    let lines = [
        "support case_opened T1 by email:ann@x.org channel phone segment gold region north sentiment -40 at 09:00",
        "support case_replied T1 by email:ann@x.org at 09:20",
        "marketing message_sent by email:ann@x.org at 10:00",
        "sales order_placed O1 by email:ann@x.org for 1999EUR promised 3d12:00 at 1d09:00",
        "sales order_placed O2 by email:ann@x.org for 500USD promised 3d12:00 at 1d10:00",
        "operations order_delivered O2 by email:ann@x.org at 2d08:00",
        "sales order_placed by email:ann@x.org at 2d08:30",
        "operations refund_issued O2 by email:ann@x.org for 100USD at 2d08:40",
        "support survey_answered by email:ann@x.org nps 3 at 2d09:00",
        "support survey_answered by email:ann@x.org expectation 5 of speed at 2d09:10",
        "web social_mentioned by email:ann@x.org referrer bob at 2d09:20",
        "support case_resolved T1 by email:ann@x.org subject delivery at 2d09:30",
        "support case_opened T2 by email:ann@x.org subject invoice effort 3 at 2d09:40",
        "sales order_placed O3 by email:ann@x.org for 300EUR subject chairs at -20d09:00",
    ];
    for (number, line) in lines.iter().enumerate() {
        world.batch(&[&touchpoint(line, number)]);
    }
    let views: Vec<_> = (0..60)
        .map(|minute| touchpoint(&format!("web page_viewed by email:ann@x.org at 3d09:{minute:02}"), 100 + minute))
        .collect();
    world.batch(&views.iter().collect::<Vec<_>>());
    world.advance(MONDAY.plus(4));
    world.commit();
    world
}

#[test]
fn the_store_of_version_11_is_what_this_program_writes() {
    let world = store();
    let mut text = String::new();
    for (key, value) in &world.store {
        // Of the many views, the first and the last.
        let view = key.windows(3).any(|window| window == b"web");
        let shown = [&b"e100"[..], b"e159"].iter().any(|id| key.windows(4).any(|window| window == *id));
        if !view || shown {
            writeln!(text, "{} {}", hexadecimal(key), hexadecimal(value)).expect("a string takes every character");
        }
    }
    expect_test::expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/customers_store_v11.txt")]
        .assert_eq(&text);
}

/// The first head of a store.
fn head_of(path: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(path).expect("the fixture is part of the repository");
    let value = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(key, value)| key.starts_with("68").then_some(value))
        .expect("the fixture holds a head");
    (0..value.len() / 2)
        .map(|index| u8::from_str_radix(&value[2 * index..2 * index + 2], 16).expect("hexadecimal"))
        .collect()
}

#[test]
fn a_head_of_version_11_can_be_read() {
    let bytes = head_of(STORE_VERSION_11);
    let (envelope, encoded) = store_keys::Envelope::decode(&bytes).expect("version 11");
    // The detractor of the third day waits for a follow-up until the fifth.
    assert_eq!(envelope.timer, Some(MONDAY.plus(4)));
    let head = Head::decode(encoded).expect("version 11");
    assert_eq!((head.touchpoints, head.purchases), (74, 4));
}

#[test]
fn a_head_of_version_3_asks_for_a_rebuild_which_can_read_what_it_is_tied_to() {
    let bytes = head_of(STORE_VERSION_3);
    let (envelope, encoded) = store_keys::Envelope::decode(&bytes).expect("version 3");
    assert_eq!((envelope.timer, envelope.closed), (Some(MONDAY.plus(4)), None));
    let error = Head::decode(encoded).expect_err("another version").to_string();
    assert_eq!(error, "the stored head has version 3, this program reads version 11; run `insight-hub rebuild`");
}

#[test]
fn a_head_of_version_5_asks_for_a_rebuild_which_knows_what_the_feed_was_told_under_keys_without_a_person() {
    let bytes = head_of(STORE_VERSION_5);
    let (envelope, encoded) = store_keys::Envelope::decode(&bytes).expect("version 5");
    let told = envelope.alerts.expect("something was told");
    assert!(!told.published.is_empty() && told.published.iter().all(|told| told.person.is_none()), "{told:?}");
    assert!(Head::decode(encoded).is_err());
}

#[test]
fn a_head_of_version_6_asks_for_a_rebuild_which_knows_what_the_feed_was_told() {
    let bytes = head_of(STORE_VERSION_6);
    let (envelope, encoded) = store_keys::Envelope::decode(&bytes).expect("version 6");
    assert_eq!((envelope.timer, envelope.closed), (Some(MONDAY.plus(4)), None));
    let told = envelope.alerts.expect("something was told");
    assert!(!told.published.is_empty() && told.published.iter().all(|told| told.person.is_some()), "{told:?}");
    assert!(Head::decode(encoded).is_err());
}

#[test]
fn a_head_of_versions_7_to_10_asks_for_a_rebuild() {
    let stores = [(7, STORE_VERSION_7), (8, STORE_VERSION_8), (9, STORE_VERSION_9), (10, STORE_VERSION_10)];
    for (version, path) in stores {
        let bytes = head_of(path);
        let (envelope, encoded) = store_keys::Envelope::decode(&bytes).expect("its envelope is read");
        assert!(envelope.alerts.is_some_and(|told| !told.published.is_empty()), "it knows what the feed was told");
        let error = Head::decode(encoded).expect_err("another version").to_string();
        let expected =
            format!("the stored head has version {version}, this program reads version 11; run `insight-hub rebuild`");
        assert_eq!(error, expected);
    }
}

/// What stores of older versions say of a month with what followed: its first day, subjects, mean, revenue, whether the person was a
/// customer; whether they bought.
type OldFollowed = ((i32, Vec<&'static str>, Option<i64>, i64, bool), bool);

/// A rebuild finds in it what is kept nowhere else. Whatever the months are, the head begins where it began.
#[test]
fn what_older_versions_kept_of_the_close_of_days_hides_nothing_that_stands_after_it() {
    let name = PersonId([7; 16]);
    let ties = Ties { hidden: 3, copies: 2, erased: vec![(name, EventTime(9))], ..Ties::default() };
    let told = Published {
        id: AlertId([5; 16]),
        person: Some(name),
        cause: AlertCause::CustomerLapsed,
        owner: "sales".into(),
        since: MONDAY,
        content: 11,
        revision: 4,
    };
    let kept = Kept { held: true, published: vec![told] };
    let unsettled = Unsettled { homes: vec![name], expected: vec![], parted: false, owed: vec![] };
    let followed: [Vec<OldFollowed>; 4] = [
        vec![],
        vec![((20_000, vec!["support\0case_opened\0delivery"], Some(2_500), 1_999, true), false)],
        vec![((20_000, vec![], None, 0, false), false)],
        vec![((20_000, vec!["a", "b"], None, 70_000, true), true), ((20_031, vec![], Some(5_000), -3, true), false)],
    ];
    for followed in followed {
        let journeys: Vec<u8> = Vec::new();
        let closed = Some((journeys, None::<()>, followed));
        for (version, is_unsettled) in [(7, false), (8, true)] {
            let mut bytes = vec![version, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
            let written = match is_unsettled {
                true => postcard::to_io(&(Some(&ties), &closed, Some(&kept), &unsettled), &mut bytes),
                false => postcard::to_io(&(Some(&ties), &closed, Some(&kept)), &mut bytes),
            };
            assert!(written.is_ok(), "a vector takes every byte");
            bytes.extend_from_slice(b"head");
            let (envelope, head) = Envelope::decode(&bytes).expect("a version that was written");
            let found = (envelope.ties.as_deref(), envelope.alerts.as_deref(), envelope.unsettled.as_deref());
            assert_eq!(found, (Some(&ties), Some(&kept), is_unsettled.then_some(&unsettled)), "{closed:?}");
            assert_eq!((envelope.closed, head), (None, &b"head"[..]), "{closed:?}");
        }
    }
}

#[test]
fn what_is_on_its_way_is_stored_as_it_is_read() {
    let homes = vec![PersonId([1; 16]), PersonId([2; 16])];
    let unsettled = Some(Box::new(Unsettled { homes, expected: vec![(258, -1)], parted: true, owed: vec![7] }));
    let envelope = Envelope { timer: Some(MONDAY), published: 1, unsettled, ..Envelope::default() };
    let mut bytes = Vec::new();
    envelope.encode_into(&mut bytes);
    let homes = [1_u8, 2].map(|home| format!("{home:02x}").repeat(16)).concat();
    assert_eq!(hexadecimal(&bytes), format!("0a00005022000000000000000100000002{homes}01820201010107"));
    assert_eq!(Envelope::decode(&bytes).expect("what was written"), (envelope, &[][..]));
}
