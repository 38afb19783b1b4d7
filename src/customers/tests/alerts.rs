//! Each cause of an alert as a story: when it opens, whose it is, what closes it.

use std::collections::VecDeque;

use expect_test::{Expect, expect};

use super::world::{MONDAY, Message, World, person_of, touchpoint};
use crate::{
    customers::{Assignment, Item},
    model::{Acknowledgement, AlertCause, AlertId, EventTime, Identifier, IdentifierType, PersonId},
};

/// Arrivals in their order, each with a commit; `closed 5d` lets days close up to that one, `shown` says what is open.
pub(super) fn told(world: &mut World, arrivals: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, line) in arrivals.iter().enumerate() {
        if let Some(days) = line.strip_prefix("closed ") {
            let days = days.trim_end_matches('d').parse::<i32>().expect("days");
            world.advance(MONDAY.plus(days + 1));
        } else if *line != "shown" {
            world.batch(&[&touchpoint(line, number)]);
        }
        world.commit();
        if *line == "shown" {
            let mut open: Vec<String> = world.told.alerts.values().cloned().collect();
            open.sort_unstable();
            lines.push(if open.is_empty() { "nothing".to_owned() } else { open.join("\n") });
        }
    }
    lines
}

fn check(arrivals: &[&str], expected: Expect) {
    expected.assert_eq(&told(&mut World::new(10), arrivals).join("\n--\n"));
}

#[test]
fn the_cancellation_of_an_order_that_nobody_told_of_closes_the_alert_about_its_promise() {
    check(
        &[
            "operations delivery_promised O1 promised 1d12:00 at 09:00",
            "closed 2d",
            "shown",
            "sales order_cancelled O1 at 3d09:00",
            "shown",
        ],
        expect![[r#"
            promise_overdue order:O1 of operations since 1d open
            --
            nothing"#]],
    );
}

#[test]
fn a_promise_is_overdue_at_the_close_of_its_day_until_it_is_delivered() {
    check(
        &[
            "sales order_placed O1 promised 2d12:00 at 09:00",
            "closed 1d",
            "shown",
            "closed 2d",
            "shown",
            "operations order_delivered O1 at 3d10:00",
            "shown",
        ],
        expect![[r#"
            nothing
            --
            promise_overdue order:O1 of sales since 2d open
            --
            nothing"#]],
    );
}

#[test]
fn a_new_promise_is_another_alert_of_whoever_made_it() {
    check(
        &[
            "sales order_placed O1 promised 2d12:00 at 09:00",
            "closed 2d",
            "operations order_shipped O1 promised 4d12:00 at 3d10:00",
            "shown",
            "closed 4d",
            "shown",
            "sales order_cancelled O1 at 5d09:00",
            "shown",
        ],
        expect![[r#"
            nothing
            --
            promise_overdue order:O1 of operations since 4d open
            --
            nothing"#]],
    );
}

#[test]
fn a_promise_that_is_told_once_more_is_the_same_alert_of_whoever_made_it() {
    let mut world = World::new(10);
    let shown = told(
        &mut world,
        &[
            "sales order_placed O1 promised 2d12:00 at 09:00",
            "operations order_shipped O1 promised 2d12:00 at 1d10:00",
            "closed 2d",
            "operations delivery_promised O1 promised 2d12:00 at 3d10:00",
            "closed 4d",
            "shown",
        ],
    );
    assert_eq!(shown, ["promise_overdue order:O1 of sales since 2d open"]);
    assert_eq!(world.told.alert_log, ["promise_overdue open 1"]);
    // What was told first comes last: by another, and yet no other alert.
    let id = id_of_only(&world);
    let shown = told(&mut world, &["shop order_placed O1 #early promised 2d12:00 at 08:00", "shown"]);
    assert_eq!(shown, ["promise_overdue order:O1 of shop since 2d open"]);
    assert_eq!((id_of_only(&world), &world.told.alert_log[1..]), (id, &["promise_overdue open 2".to_owned()][..]));
}

#[test]
fn a_case_waits_for_an_agents_public_reply() {
    check(
        &[
            "support case_opened T1 at 09:00",
            "closed 0d",
            "shown",
            "support case_replied T1 bot at 1d10:00",
            "support case_replied T1 internal at 1d11:00",
            "closed 1d",
            "shown",
            "support case_replied T1 at 2d09:00",
            "shown",
        ],
        expect![[r#"
            nothing
            --
            case_unanswered case:T1 of support since 1d open, target_hours 24
            --
            nothing"#]],
    );
}

#[test]
fn whoever_follows_up_closes_the_loop_of_every_detractor_and_complaint_before() {
    check(
        &[
            "marketing survey_answered nps 6 at 09:00",
            "marketing survey_answered nps 7 at 09:01",
            "support complaint_made at 1d10:00",
            "closed 1d",
            "shown",
            "support follow_up_made bot at 2d10:00",
            "support follow_up_made internal at 2d11:00",
            "closed 2d",
            "shown",
            "closed 3d",
            "shown",
            "sales follow_up_made at 4d09:00",
            "shown",
            "closed 9d",
            "shown",
        ],
        expect![[r#"
            nothing
            --
            follow_up_missing of marketing since 2d open, score 6, target_hours 48
            --
            follow_up_missing of marketing since 2d open, score 6, target_hours 48
            follow_up_missing of support since 3d open, target_hours 48
            --
            nothing
            --
            nothing"#]],
    );
}

#[test]
fn a_follow_up_in_time_leaves_no_alert() {
    check(
        &["marketing survey_answered nps 0 at 09:00", "support follow_up_made at 2d08:59", "closed 5d", "shown"],
        expect!["nothing"],
    );
}

#[test]
fn more_messages_than_the_cap_are_too_many_until_the_oldest_are_a_month_old() {
    let mut arrivals: Vec<String> = (0..8).map(|day| format!("marketing message_sent at {day}d09:00")).collect();
    arrivals.extend(["closed 8d", "shown", "sales message_sent at 9d09:00"].map(str::to_owned));
    arrivals.extend(["closed 9d", "shown", "closed 29d", "shown", "closed 30d", "shown"].map(str::to_owned));
    check(
        &arrivals.iter().map(String::as_str).collect::<Vec<_>>(),
        expect![[r#"
        nothing
        --
        contact_cap_exceeded of sales since 9d open, cap 8, messages_30_days 9
        --
        contact_cap_exceeded of sales since 9d open, cap 8, messages_30_days 9
        --
        nothing"#]],
    );
}

#[test]
fn who_bought_every_ten_days_has_lapsed_after_two_weeks_and_comes_back() {
    let bought = ["00d", "10d", "20d", "30d"].map(|day| format!("sales order_placed for 5EUR at {day}09:00"));
    let mut arrivals: Vec<&str> = bought.iter().map(String::as_str).collect();
    arrivals.extend(["closed 44d", "shown", "closed 45d", "shown", "shop order_placed for 5EUR at 50d09:00", "shown"]);
    arrivals.extend(["closed 90d", "shown"]);
    check(
        &arrivals,
        expect![[r#"
        nothing
        --
        customer_lapsed of sales since 45d open, limit_days 14, mean_gap_days 10, purchase_days 4
        --
        nothing
        --
        customer_lapsed of shop since 74d open, limit_days 23, mean_gap_days 12.5, purchase_days 5"#]],
    );
}

#[test]
fn who_renews_every_month_has_not_lapsed_until_they_no_longer_do() {
    let bought = ["00d", "10d", "20d"].map(|day| format!("sales order_placed for 5EUR at {day}09:00"));
    let renewed =
        ["30d", "40d", "50d", "60d"].map(|day| format!("sales subscription_renewed K1 for 5EUR at {day}09:00"));
    let mut arrivals: Vec<&str> = bought.iter().chain(&renewed).map(String::as_str).collect();
    arrivals.extend(["closed 74d", "shown", "closed 75d", "shown"]);
    check(
        &arrivals,
        expect![[r#"
        nothing
        --
        customer_lapsed of sales since 75d open, limit_days 14, mean_gap_days 10, purchase_days 7"#]],
    );
}

#[test]
fn two_purchases_or_many_of_one_day_are_no_rhythm_and_a_cancelled_one_is_none() {
    check(
        &[
            "sales order_placed for 5EUR at 09:00",
            "sales order_placed for 5EUR at 10:00",
            "sales order_placed O3 for 5EUR at 5d10:00",
            "sales order_placed O4 for 5EUR at 15d10:00",
            "closed 60d",
            "shown",
            "sales order_cancelled O4 at 61d10:00",
            "shown",
        ],
        expect![[r#"
            customer_lapsed of sales since 31d open, limit_days 15, mean_gap_days 7.5, purchase_days 3
            --
            nothing"#]],
    );
}

#[test]
fn a_late_touchpoint_takes_an_alert_back_and_says_so_once() {
    let mut world = World::new(10);
    told(&mut world, &["support case_opened T1 at 09:00", "closed 3d", "closed 4d", "web page_viewed at 5d09:00"]);
    assert_eq!(world.told.alert_log, ["case_unanswered open 1"]);
    told(&mut world, &["support case_replied T1 #late at 10:00"]);
    assert_eq!(world.told.alert_log, ["case_unanswered open 1", "case_unanswered closed 2"]);
    assert!(world.told.alerts.is_empty());
}

#[test]
fn what_is_published_survives_crashes_and_is_not_published_again() {
    let mut world = World::new(1);
    told(&mut world, &["support case_opened T1 at 09:00", "closed 3d"]);
    world.restart();
    world.commit();
    world.restore();
    told(&mut world, &["web page_viewed at 4d09:00", "closed 5d"]);
    assert_eq!(world.told.alert_log, ["case_unanswered open 1"]);
}

#[test]
fn nothing_is_told_while_history_comes_and_what_is_left_is_told_after_it() {
    let mut world = World::new(1);
    world.stage.tell_alerts(false);
    told(
        &mut world,
        &[
            "support case_opened T1 at 09:00",
            "support case_opened T2 at 10:00",
            "sales order_placed O1 by email:bob@x.org promised 2d12:00 at 09:00",
            "closed 3d",
            "support case_replied T1 at 4d10:00",
            "operations order_delivered O1 by email:bob@x.org at 5d09:00",
            "closed 6d",
        ],
    );
    assert_eq!(world.told.alert_log, [""; 0]);
    // Whoever is held back is found again, also where the disk was lost.
    world.restore();
    world.stage.tell_alerts(true);
    while world.stage.release_alerts(&mut world.store, 1).expect("a map never fails") {}
    world.commit();
    assert_eq!(world.told.alert_log, ["case_unanswered open 1"]);
    assert!(world.store.keys().all(|key| key[0] != b'y'), "nobody is held back any more");
    world.restore();
}

/// The id of the only alert that is open.
pub(super) fn id_of_only(world: &World) -> AlertId {
    let mut keys = world.told.alerts.keys();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        panic!("one is open, not {:?}", world.told.alerts);
    };
    let (id, _person) = key.split_once('|').expect("a person is part of the key");
    AlertId::parse(id).expect("32 digits")
}

pub(super) fn seen(number: u64, by: &str) -> Acknowledgement {
    Acknowledgement { number, at: EventTime(5), by: by.into() }
}

#[test]
fn the_first_who_has_seen_an_alert_counts_whenever_it_is_open() {
    let mut world = World::new(10);
    let story = ["support case_opened T1 at 09:00", "closed 3d", "shown"];
    told(&mut world, &story);
    let id = id_of_only(&world);
    // Told out of order, and twice.
    for acknowledgement in [seen(8, "bo"), seen(7, "mo"), seen(8, "bo")] {
        world.stage.acknowledge(id, &acknowledgement, &mut world.store).expect("a map never fails");
        world.commit();
    }
    let log = ["case_unanswered open 1", "case_unanswered acknowledged 2", "case_unanswered acknowledged 3"];
    assert_eq!(world.told.alert_log, log);
    world.restore();
    let shown = told(&mut world, &["shown"]);
    expect!["case_unanswered case:T1 of support since 1d acknowledged by mo, target_hours 24"]
        .assert_eq(&shown.join("\n"));

    // The entry that a store of an older version has says nothing any more.
    let of_before = crate::customers::store_keys::alerts_of(id);
    crate::model::KeyValue::put_local(&mut world.store, &of_before, &[3; 16]);
    world.stage.acknowledge(id, &seen(6, "jo"), &mut world.store).expect("it is passed over");
    world.commit();
    assert!(world.told.alerts.values().all(|shown| shown.contains("by jo")), "{:?}", world.told.alerts);

    // Seen before it opened: the same in the end.
    let mut early = World::new(10);
    early.stage.acknowledge(id, &seen(7, "mo"), &mut early.store).expect("a map never fails");
    assert_eq!(told(&mut early, &story), shown);
    assert_eq!(early.told.alert_log, ["case_unanswered acknowledged 1"]);
}

#[test]
fn who_is_gone_leaves_no_alert() {
    let mut world = World::new(10);
    told(&mut world, &["support case_opened T1 by email:ann@x.org at 09:00", "closed 3d"]);
    assert_eq!(world.told.alerts.len(), 1);
    let ann = crate::model::Identifier { kind: crate::model::IdentifierType::Email, value: "ann@x.org" };
    let ann = super::world::person_of(ann);
    let until = super::world::time("1d09:00");
    world.stage.erased(ann, &[(ann, until)], &mut world.store, &mut world.told).expect("a map never fails");
    world.commit();
    assert!(world.told.alerts.is_empty());
    assert_eq!(world.told.alert_log, ["case_unanswered open 1"], "of the erased nothing is said again");
    assert!(world.store.keys().all(|key| key[0] != b'a'));
    // Whoever comes under the same name is somebody else.
    told(&mut world, &["support case_opened T1 by email:ann@x.org at 9d09:00", "closed 12d"]);
    assert_eq!(world.told.alerts.len(), 1);
}

/// Nobody else moves.
pub(super) fn alone(person: PersonId, version: u64) -> Assignment {
    Assignment { person, version, from: None, expects: false }
}

pub(super) fn assign(world: &mut World, home: PersonId, to: PersonId, version: u64) {
    let (stage, store, told) = (&mut world.stage, &mut world.store, &mut world.told);
    stage.assign(home, alone(to, version), store, told).expect("a map never fails");
}

/// Carries what homes told persons, as the log does, each with a commit; `between` is called after each.
pub(super) fn carry_with(world: &mut World, between: &mut dyn FnMut(&mut World, bool)) {
    let mut log: VecDeque<Message> = VecDeque::new();
    loop {
        log.extend(std::mem::take(&mut world.told.messages));
        world.commit();
        let Some(message) = log.pop_front() else { return };
        let (stage, store, told) = (&mut world.stage, &mut world.store, &mut world.told);
        let carried = match message {
            Message::Put(person, home, items, more) => {
                let item = |(content_hash, encoded): (u128, Vec<u8>)| Item { content_hash, encoded: encoded.into() };
                stage.put(person, home, &items.into_iter().map(item).collect::<Vec<_>>(), more, store, told)
            }
            Message::Drop(person, home, more) => stage.drop_fragment(person, home, more, store, told),
            Message::Settled(person, home, version) => stage.settled(person, home, version, store),
            Message::More(home) => stage.go_on_moving(home, store, told),
            Message::Pairs(..) | Message::Withdraw(..) => continue,
        };
        carried.expect("a map never fails");
        log.extend(std::mem::take(&mut world.told.messages));
        world.commit();
        between(world, log.is_empty());
    }
}

pub(super) fn carry(world: &mut World) {
    carry_with(world, &mut |_, _| {});
}

#[test]
fn a_link_and_a_split_leave_every_cause_its_id_and_whoever_has_seen_it() {
    let customer = |value| Identifier { kind: IdentifierType::CustomerId, value };
    let (phone, ann, bob) = (
        person_of(Identifier { kind: IdentifierType::Phone, value: "+491" }),
        person_of(customer("ann")),
        person_of(customer("bob")),
    );
    let causes = [
        "support case_opened T1 by phone:+491 at 09:00",
        "sales order_placed O1 by phone:+491 promised 1d12:00 at 09:01",
        "support complaint_made by phone:+491 at 09:02",
        "sales order_placed by phone:+491 at 09:03",
        "sales order_placed by phone:+491 at 1d09:03",
        "sales order_placed by phone:+491 at 2d09:03",
        "sales order_placed by customer_id:ann at 2d08:00",
        "closed 40d",
    ];
    for (number, cause) in [
        AlertCause::CaseUnanswered,
        AlertCause::PromiseOverdue,
        AlertCause::FollowUpMissing,
        AlertCause::CustomerLapsed,
    ]
    .into_iter()
    .enumerate()
    {
        let mut world = World::new(1);
        told(&mut world, &causes);
        let open = |world: &World| -> Vec<(String, String)> {
            let split = |key: &String| key.split_once('|').map(|(id, person)| (id.to_owned(), person.to_owned()));
            let of_cause = world.told.alerts.iter().filter(|(_, shown)| shown.starts_with(cause.as_str()));
            of_cause.map(|(key, _)| split(key).expect("a person is part of the key")).collect()
        };
        let [(id, person)] = &open(&world)[..] else { panic!("{number}: one {cause} is open") };
        assert_eq!(*person, phone.to_string());
        let acknowledged = AlertId::parse(id).expect("32 digits");
        world.stage.acknowledge(acknowledged, &seen(7, "mo"), &mut world.store).expect("a map never fails");
        world.commit();
        // To ann, from her to bob, and back to nobody but themselves.
        for (version, to) in [(1, ann), (2, bob), (3, phone)] {
            assign(&mut world, phone, to, version);
            world.commit();
            carry(&mut world);
            assert_eq!(open(&world), [(id.clone(), to.to_string())], "{cause}, assignment {version}");
            let closed = format!("{cause} closed");
            assert!(!world.told.alert_log.iter().any(|told| told.starts_with(&closed)), "{:?}", world.told.alert_log);
            assert!(
                world.told.alerts.values().any(|shown| shown.starts_with(cause.as_str()) && shown.contains("by mo"))
            );
        }
        world.restore();
    }
}
