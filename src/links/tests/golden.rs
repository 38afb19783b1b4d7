//! Stored formats, version by version: what an older program wrote must be read for ever, or the version must change.

use std::fmt::Write;

use super::{
    oracle::Order,
    world::{World, name, usual},
};
use crate::links::{Rules, store_keys};

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every character");
        text
    })
}

/// Something of everything: pairs in use, shared, refused; third parties; decisions, live and not; an erasure.
fn world() -> World {
    let mut world = World::new(usual());
    world.touch(&["customer_id:ann", "email:ann@x.org", "cookie:k"], 1_000);
    world.touch(&["email:ann@x.org", "order:1"], 2_000);
    world.touch(&["customer_id:bob", "customer_id:cid", "device:tablet"], 3_000);
    world.touch(&["customer_id:ann", "device:tablet"], 4_000);
    world.order("1", Order::Link(vec![(name("customer_id:ann"), name("loyalty:7"))]));
    world.order("2", Order::Never(vec![(name("customer_id:ann"), name("order:1"))]));
    world.order("3", Order::Undo("1".to_owned()));
    world.touch(&["customer_id:dot", "phone:+491"], 5_000);
    world.erase("4", &name("phone:+491"), 6_000);
    world
}

#[test]
fn the_store_of_version_1_is_what_this_program_writes() {
    let mut world = world();
    world.check();
    let text = world.store.iter().fold(String::new(), |mut text, (key, value)| {
        writeln!(text, "{} {}", hexadecimal(key), hexadecimal(value)).expect("a string takes every character");
        text
    });
    for first in [b'n', b'e', b't', b'h', b'm', b'k', b'i', b'd', b'q', b'x', b'c'] {
        assert!(world.store.keys().any(|key| key[0] == first), "an entry `{}`", char::from(first));
    }
    expect_test::expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/links_store_v1.txt")]
        .assert_eq(&text);
}

#[test]
fn what_is_damaged_or_of_another_version_is_named() {
    let ann = super::world::id(&name("customer_id:ann"));
    let node = world().node(&name("customer_id:ann")).expect("it is known").encode(ann, &Rules::default());
    for length in 0..6 {
        assert!(store_keys::Node::decode(ann, &node[..length], &Rules::default()).is_err(), "{length} bytes");
    }
    let other = [&[store_keys::VERSION + 1], &node[1..]].concat();
    let error = store_keys::Node::decode(ann, &other, &Rules::default()).expect_err("another version");
    assert!(error.to_string().contains("restore the store from its changelog"), "{error}");
    assert!(store_keys::Evidence::decode(&[], &Rules::default()).is_err());
    assert!(store_keys::Evidence::decode(&[9], &Rules::default()).is_err(), "a fate that nobody wrote");
    assert!(store_keys::Command::decode(&[store_keys::VERSION, 9, 0, 0, 0, 0]).is_err());
    assert!(store_keys::Counters::decode(&[store_keys::VERSION, 0]).is_err());
}

#[test]
fn other_rules_have_another_fingerprint() {
    use crate::model::IdentifierType::{self, Cookie, Loyalty};
    let rules = Rules::default();
    let [own, other] = ["tax_number", "badge"].map(|name| IdentifierType::own(name).expect("a name"));
    let others = [
        rules.clone().with_unique(Loyalty),
        rules.clone().with_limit(Cookie, None),
        rules.clone().with_limit(Cookie, Some(99)),
        rules.clone().with_shared_above(99),
        rules.clone().with_component_max(99),
        rules.clone().with_own_types(&[own]),
        rules.clone().with_own_types(&[own, other]),
        rules.clone().with_own_types(&[own]).with_unique(own),
    ];
    for (place, other) in others.iter().enumerate() {
        assert_ne!(other.fingerprint(), rules.fingerprint(), "{place}");
    }
    assert_eq!(rules.fingerprint(), Rules::default().fingerprint());
}
