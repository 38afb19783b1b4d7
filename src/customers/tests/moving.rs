//! What is told of persons while histories move from one to another: nothing but what is so in the end, and that once.

use super::{
    alerts::{alone, assign, carry, carry_with, seen, told},
    world::{MONDAY, World, person_of, touchpoint},
};
use crate::{
    customers::Assignment,
    model::{AlertId, Identifier, IdentifierType, PersonId},
};

fn named(kind: IdentifierType, value: &str) -> PersonId {
    person_of(Identifier { kind, value })
}

/// A history of several chunks, of whoever it is: a case that was answered too late, a complaint that nobody followed up, and what
/// came between.
fn long_history(world: &mut World, who: &str, case: &str) {
    let mut arrivals = vec![
        format!("support case_opened {case} #{case}o by {who} at 09:00"),
        format!("support complaint_made #{case}c by {who} at 09:01"),
    ];
    arrivals.extend((0..13).map(|number| format!("web page_viewed #{case}v{number} by {who} at 2d10:{number:02}")));
    arrivals.push(format!("support case_replied {case} #{case}r by {who} at 3d09:00"));
    told(world, &arrivals.iter().map(String::as_str).collect::<Vec<_>>());
}

/// What was published since it was looked last.
fn news(world: &mut World) -> Vec<String> {
    let news = std::mem::take(&mut world.told.alert_log);
    world.commit();
    news
}

#[test]
fn while_a_long_history_moves_nothing_is_told_and_then_what_is_left_of_it_once() {
    let (phone, cookie) = (named(IdentifierType::Phone, "+491"), named(IdentifierType::Cookie, "c1"));
    let ann = named(IdentifierType::CustomerId, "ann");
    let mut world = World::new(1);
    long_history(&mut world, "phone:+491", "T1");
    long_history(&mut world, "cookie:c1", "T2");
    told(&mut world, &["support case_opened T9 #T9o at 4d09:00", "closed 9d"]);
    let complaint = world.told.alerts.iter().find(|(key, _)| key.ends_with(&format!("|{phone}")));
    let (id, _person) = complaint.and_then(|(key, _)| key.split_once('|')).expect("a complaint waits");
    let id = AlertId::parse(id).expect("32 digits");
    world.stage.acknowledge(id, &seen(7, "mo"), &mut world.store).expect("a map never fails");
    world.commit();
    news(&mut world);
    for (version, home) in [(1, phone), (1, cookie)] {
        assign(&mut world, home, ann, version);
    }
    let mut steps = 0;
    carry_with(&mut world, &mut |world, is_last| {
        steps += 1;
        match steps % 3 {
            0 => world.restart(),
            1 => world.restore(),
            _ => {}
        }
        if !is_last {
            assert_eq!(news(world), [""; 0], "after {steps} messages");
        }
    });
    assert!(steps > 10, "{steps} messages are many");
    let mut said = news(&mut world);
    said.sort_unstable();
    assert_eq!(said, ["follow_up_missing acknowledged 1", "follow_up_missing open 1"]);
    assert_eq!(world.told.alerts.len(), 3, "{:?}", world.told.alerts);
    world.restore();
}

#[test]
fn who_was_to_get_a_long_history_that_went_to_another_waits_no_more() {
    let phone = named(IdentifierType::Phone, "+491");
    let (ann, bob) = (named(IdentifierType::CustomerId, "ann"), named(IdentifierType::CustomerId, "bob"));
    let mut world = World::new(1);
    told(&mut world, &["support case_opened T8 #T8o at 09:00", "closed 2d"]);
    long_history(&mut world, "phone:+491", "T1");
    told(&mut world, &["closed 9d"]);
    news(&mut world);
    assign(&mut world, phone, ann, 1);
    world.commit();
    // Another assignment, or an erasure of all that the home has, in the middle of it.
    for erases in [false, true] {
        let mut world = world.copy();
        let mut step = 0;
        carry_with(&mut world, &mut |world, _| {
            step += 1;
            if step == 3 {
                let (stage, store, told) = (&mut world.stage, &mut world.store, &mut world.told);
                let done = match erases {
                    false => stage.assign(phone, alone(bob, 2), store, told),
                    true => stage.erased(phone, &[(phone, super::world::time("5d00:00"))], store, told),
                };
                done.expect("a map never fails");
            }
        });
        let said = news(&mut world);
        match erases {
            false => assert_eq!(said, ["follow_up_missing open 1"], "of bob, and of ann nothing that is over"),
            true => assert_eq!(said, [""; 0]),
        }
        told(&mut world, &["support case_opened T9 #T9o at 10d09:00", "closed 12d"]);
        assert_eq!(news(&mut world), ["case_unanswered open 1"], "ann is told of again");
        let open = world.told.alerts.keys().filter(|key| key.ends_with(&format!("|{ann}"))).count();
        assert_eq!(open, 2);
    }
}

#[test]
fn what_an_erasure_leaves_of_a_long_history_is_not_told_again() {
    let (phone, ann) = (named(IdentifierType::Phone, "+491"), named(IdentifierType::CustomerId, "ann"));
    let device = Identifier { kind: IdentifierType::Device, value: "d1" };
    let mut world = World::new(1);
    long_history(&mut world, "phone:+491", "T1");
    let mut with_device = touchpoint("web page_viewed #d by phone:+491 at 2d11:00", 0);
    with_device.identifiers.push(device);
    world.batch(&[&with_device]);
    told(&mut world, &["closed 9d"]);
    assign(&mut world, phone, ann, 1);
    carry(&mut world);
    assert_eq!(news(&mut world).last().map(String::as_str), Some("follow_up_missing open 1"));
    let until = super::world::time("3d00:00");
    let (stage, store, said) = (&mut world.stage, &mut world.store, &mut world.told);
    stage.erased(phone, &[(person_of(device), until)], store, said).expect("a map never fails");
    let mut steps = 0;
    carry_with(&mut world, &mut |world, _| {
        steps += 1;
        world.restart();
        assert_eq!(world.told.alerts.len(), 1, "after {steps} messages");
    });
    assert!(steps > 4, "it was sent again in {steps} messages");
    assert_eq!(news(&mut world), [""; 0]);
    world.restore();
}

/// A purchase that is known by an address and its delivery that knows only the order, which are one person's; a complaint about the
/// order, and a customer.
fn one_of_two(email: PersonId, order: PersonId) -> World {
    let mut world = World::new(1);
    let mut delivered = touchpoint("operations order_delivered O1 by order:O1 at 1d10:00", 1);
    delivered.identifiers.truncate(1);
    world.batch(&[&touchpoint("sales order_placed O1 by email:a@x.org promised 2d12:00 at 09:00", 0), &delivered]);
    world.commit();
    assign(&mut world, order, email, 1);
    carry(&mut world);
    told(
        &mut world,
        &["support complaint_made #c by order:O1 at 1d11:00", "web page_viewed by customer_id:ann at 9d10:00"],
    );
    carry(&mut world);
    world
}

/// They become the customer's. Between the two of them coming nothing is overdue.
#[test]
fn several_histories_that_move_together_are_one_before_and_after_and_nothing_is_told_of_them_between() {
    let (email, order) = (named(IdentifierType::Email, "a@x.org"), named(IdentifierType::Order, "O1"));
    let ann = named(IdentifierType::CustomerId, "ann");
    // Whoever is heard first.
    for turn in 0..24 {
        let mut world = one_of_two(email, order);
        let open: Vec<&String> = world.told.alerts.keys().collect();
        assert!(open.len() == 1 && open[0].ends_with(&format!("|{email}")), "{:?}", world.told.alerts);
        news(&mut world);
        // What links says is told to four, in any order.
        let assignment = Assignment { person: ann, version: 2, from: Some(email), expects: true };
        let mut said: Vec<usize> = vec![0, 1, 2, 3];
        let order_of = [turn / 6, turn / 2 % 3, turn % 2, 0].map(|place| said.remove(place));
        for said in order_of {
            let (stage, store, told) = (&mut world.stage, &mut world.store, &mut world.told);
            let heard = match said {
                0 => stage.assign(email, assignment, store, told),
                1 => stage.assign(order, assignment, store, told),
                2 => stage.expect(ann, 2, 2, store),
                _ => stage.expect(email, 2, 2, store),
            };
            heard.expect("a map never fails");
            world.commit();
            carry_with(&mut world, &mut |world, _| world.restore());
        }
        assert_eq!(news(&mut world), ["follow_up_missing open 1"], "turn {turn}");
        let open: Vec<&String> = world.told.alerts.keys().collect();
        assert!(open.len() == 1 && open[0].ends_with(&format!("|{ann}")), "{:?}", world.told.alerts);
    }
}

/// What counts in the end if both become one customer's, who has nothing else, and then another's, and everything is counted anew after so
/// many messages of the second time. Also whether that many were on their way.
fn counted_anew_after(messages: usize) -> (Vec<String>, bool) {
    let (email, order) = (named(IdentifierType::Email, "a@x.org"), named(IdentifierType::Order, "O1"));
    let (bob, cid) = (named(IdentifierType::CustomerId, "bob"), named(IdentifierType::CustomerId, "cid"));
    let mut world = one_of_two(email, order);
    for home in [email, order] {
        assign(&mut world, home, bob, 2);
        carry(&mut world);
    }
    let assignment = Assignment { person: cid, version: 3, from: Some(bob), expects: true };
    let (stage, store, told) = (&mut world.stage, &mut world.store, &mut world.told);
    stage.expect(cid, 3, 2, store).expect("a map never fails");
    stage.expect(bob, 3, 2, store).expect("a map never fails");
    stage.assign(email, assignment, store, told).expect("a map never fails");
    stage.assign(order, assignment, store, told).expect("a map never fails");
    let mut carried = 0;
    carry_with(&mut world, &mut |world, _| {
        carried += 1;
        if carried == messages {
            world.count_anew(MONDAY.plus(9));
        }
    });
    (world.lines().into_iter().filter(|line| !line.starts_with("record.")).collect(), carried >= messages)
}

#[test]
fn what_is_counted_anew_while_histories_move_is_in_the_end_what_it_would_have_been() {
    let (expected, _) = counted_anew_after(usize::MAX);
    assert!(expected.iter().any(|line| line.contains("!follow_up_missing: n 1")), "{expected:?}");
    let counted: Vec<Vec<String>> =
        (1..).map(counted_anew_after).take_while(|(_, is_on_its_way)| *is_on_its_way).map(|(lines, _)| lines).collect();
    assert!(counted.len() > 4, "{} messages", counted.len());
    for (before, counted) in counted.iter().enumerate() {
        let differ = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|line| !other.contains(line)).cloned().collect()
        };
        let differences = (differ(counted, &expected), differ(&expected, counted));
        assert_eq!(differences, (Vec::new(), Vec::new()), "after {} messages", before + 1);
    }
}

#[test]
fn what_a_pair_is_known_by_is_what_it_was_and_has_the_name_of_a_type_of_ones_own() {
    use crate::customers::home::pair_hash;
    let of = |kind, value| Identifier { kind, value };
    let own = |name: &str| IdentifierType::own(name).expect("a name");
    let address = of(IdentifierType::Email, "a@x.org");
    let known = pair_hash(address, of(IdentifierType::Cookie, "c"));
    assert_eq!(known, xxhash_rust::xxh3::xxh3_128(b"\x01a@x.org\0\x05c\0"), "as homes have it that were kept before");
    let [badge, member, members] = ["badge", "member", "members"].map(own);
    let hashes = [of(badge, "c"), of(member, "sc"), of(members, "c"), of(IdentifierType::Device, "c")];
    let hashes: std::collections::BTreeSet<u128> = hashes.map(|other| pair_hash(address, other)).into();
    assert_eq!(hashes.len(), 4);
    assert_eq!(pair_hash(address, of(badge, "c")), xxhash_rust::xxh3::xxh3_128(b"\x01a@x.org\0\xffbadge\0c\0"));
}
