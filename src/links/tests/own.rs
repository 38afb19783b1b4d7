//! Types that a hub has of its own: where they stand, what the store has of them, and that others change nothing.

use std::fmt::Write as _;

use super::{
    golden::hexadecimal,
    oracle::{Numbers, Order},
    world::{World, id, identifier, name, usual},
};
use crate::{
    links::{Rules, store_keys},
    model::{EventTime, IdentifierType},
};

fn own(name: &str) -> IdentifierType {
    IdentifierType::own(name).expect("a name")
}

/// A tax number is unique, of badges a person has two.
fn numbers() -> Numbers {
    let (tax_number, badge) = (own("tax_number"), own("badge"));
    let mut numbers = Numbers { own: vec![tax_number, badge], ..usual() };
    numbers.unique.push(tax_number);
    numbers.limits.insert(badge, 2);
    numbers
}

fn check(world: &mut World) {
    world.check();
    world.publish();
    world.check_feed();
}

#[test]
fn without_them_ranks_are_what_they_always_were() {
    let (rules, own) = (Rules::default(), [own("tax_number"), own("badge")]);
    for (rank, kind) in (0..).zip(IdentifierType::BUILT_IN) {
        assert_eq!((rules.rank(kind), rules.kind(rank)), (rank, Some(kind)));
    }
    assert_eq!((rules.ranks(), rules.kind(10)), (10, None));
    // As other programs of this version have it in what they stored.
    let text = "links 1 shared 4 component 1000 customer_id 1 unique email 5 phone 5 loyalty 5 device 5 cookie 100 anonymous 100 \
        order none case none contract none";
    assert_eq!(rules.fingerprint(), xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
    assert_eq!(rules.clone().with_own_types(&[]), rules);
    let with = rules.clone().with_own_types(&own);
    assert_eq!(with, rules.clone().with_own_types(&[own[1], own[0], own[0]]), "named in whatever order");
    let words: Vec<&str> = with.kinds().map(IdentifierType::as_str).collect();
    assert_eq!(words[3..7], ["loyalty", "badge", "tax_number", "device"]);
    for (rank, kind) in (0..).zip(with.kinds()) {
        assert_eq!((with.rank(kind), with.kind(rank)), (rank, Some(kind)));
        assert_eq!(
            (with.limit(kind), with.is_unique(kind)),
            match kind.place() {
                Some(_) => (rules.limit(kind), rules.is_unique(kind)),
                None => (None, false),
            }
        );
    }
    assert_eq!((with.ranks(), with.kind(12)), (12, None));
}

#[test]
fn a_person_is_named_by_the_own_type_before_a_device_and_after_a_loyalty_card() {
    let mut world = World::new(numbers());
    world.touch(&["device:d", "tax_number:DE-secret-7"], 10);
    check(&mut world);
    assert_eq!(world.person("device:d"), "tax_number:DE-secret-7");
    world.touch(&["tax_number:DE-secret-7", "loyalty:l"], 20);
    check(&mut world);
    assert_eq!(world.person("device:d"), "loyalty:l");
    world.touch(&["badge:b", "tax_number:DE-secret-7"], 30);
    check(&mut world);
    assert_eq!(world.out.feed[&id(&name("loyalty:l"))], "loyalty:l badge:b tax_number:DE-secret-7 device:d/4 []/0");
}

#[test]
fn two_of_a_unique_one_are_never_one_person_and_a_limit_holds() {
    let mut world = World::new(numbers());
    world.touch(&["tax_number:DE-secret-1", "device:tablet"], 10);
    world.touch(&["tax_number:DE-secret-2", "device:tablet"], 20);
    check(&mut world);
    assert!(world.node(&name("device:tablet")).expect("it is known").shared, "it was seen with two");
    world.touch(&["email:a@x.org", "tax_number:DE-secret-1"], 30);
    world.touch(&["phone:+49", "tax_number:DE-secret-2"], 40);
    world.touch(&["email:a@x.org", "phone:+49"], 50);
    check(&mut world);
    assert_eq!(world.person("tax_number:DE-secret-1"), "email:a@x.org");
    assert_ne!(world.person("tax_number:DE-secret-2"), world.person("tax_number:DE-secret-1"));
    let told = &world.out.feed[&id(&name("email:a@x.org"))];
    assert!(told.contains("limit_tax_number"), "{told}");
    for badge in ["badge:1", "badge:2", "badge:3"] {
        world.touch(&["customer_id:c", badge], 60);
    }
    check(&mut world);
    let told = &world.out.feed[&id(&name("customer_id:c"))];
    assert!(told.starts_with("customer_id:c badge:1 badge:2/3") && told.contains("limit_badge"), "{told}");
    world.order("1", Order::Link(vec![(name("tax_number:DE-secret-1"), name("tax_number:DE-secret-2"))]));
    check(&mut world);
    assert_eq!(world.person("tax_number:DE-secret-2"), world.person("tax_number:DE-secret-1"), "an operator may");
    world.erase("2", &name("tax_number:DE-secret-2"), 100);
    check(&mut world);
    world.check_erased();
}

#[test]
fn what_no_rule_ranks_stops_the_stage_before_it_links_wrongly() {
    let mut world = World::new(usual());
    let (badge, email) = (name("badge:b"), name("email:a@x.org"));
    let pairs = [(identifier(&email), identifier(&badge), EventTime(10), None)];
    let error = world.links.pairs(identifier(&email), &pairs, &mut world.store, &mut world.out);
    let error = error.expect_err("another hub's type").to_string();
    assert!(error.contains("badge is none of the types in identity.types"), "{error}");
}

#[test]
fn the_store_of_a_hub_with_own_types_is_what_this_program_writes() {
    let mut world = World::new(numbers());
    world.touch(&["tax_number:DE-secret-1", "device:d", "order:1"], 1_000);
    world.touch(&["email:a@x.org", "tax_number:DE-secret-1", "badge:1"], 2_000);
    world.touch(&["email:a@x.org", "tax_number:DE-secret-2"], 3_000);
    world.order("1", Order::Never(vec![(name("badge:1"), name("cookie:k"))]));
    for badge in ["badge:2", "badge:3", "badge:4"] {
        world.touch(&["customer_id:c", badge], 4_000);
    }
    world.check();
    let text = world.store.iter().fold(String::new(), |mut text, (key, value)| {
        writeln!(text, "{} {}", hexadecimal(key), hexadecimal(value)).expect("a string takes every character");
        text
    });
    expect_test::expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/links_store_own_types_v1.txt")]
        .assert_eq(&text);
    // Under the rules of a hub that has none, a limit of theirs is no fate and a rank beyond the last no type.
    assert!(store_keys::Evidence::decode(&[16 + 10], &Rules::default()).is_err());
    assert!(store_keys::decode_kind(10, &Rules::default()).is_err());
}
