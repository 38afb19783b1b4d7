//! Departments' months as stories: what scorecards have besides kinds of contact.

use expect_test::expect;

use super::world::{MONDAY, World, check_customers, person_of, time, touchpoint};
use crate::model::{Identifier, IdentifierType};

const SHOWN: [&str; 1] = ["scorecards"];

/// A month in which operations is late and support answers badly.
const MARCH: [&str; 5] = [
    "sales order_placed O1 for 500EUR promised 3d12:00 at 0d09:00",
    "operations order_delivered O1 at 4d09:00",
    "support case_opened T1 at 4d10:00",
    "support survey_answered csat 2 at 5d09:00",
    "web survey_answered csat 4 at 5d10:00",
];

#[test]
fn a_month_counts_at_each_department_by_whether_it_failed_the_person() {
    let counted = |arrivals: &[&str]| {
        check_customers(
            arrivals,
            &SHOWN,
            expect![[r#"
            scorecards month:2026-03 operations 4,7,p: n 1
            scorecards month:2026-03 operations 5,7,p: n 1, a 75600000
            scorecards month:2026-03 operations 5,7,x: n 0
            scorecards month:2026-03 operations c+: n 1, sum 1
            scorecards month:2026-03 operations s+: n 1, sum 3000
            scorecards month:2026-03 sales c-: n 1, sum 1
            scorecards month:2026-03 sales s-: n 1, sum 3000
            scorecards month:2026-03 support 0,7,p: n 1, a 2000
            scorecards month:2026-03 support 0,7,x: n 0
            scorecards month:2026-03 support 3,7,p: n 1, a 3600000
            scorecards month:2026-03 support 3,7,x: n 0
            scorecards month:2026-03 support c+: n 1
            scorecards month:2026-03 support s+: n 1, sum 4000
            scorecards month:2026-03 web 0,7,p: n 1, a 4000
            scorecards month:2026-03 web 0,7,x: n 0
            scorecards month:2026-03 web c-: n 1, sum 1
            scorecards month:2026-03 web s-: n 1, sum 2000"#]],
        );
    };
    // Nothing before the month is over but the case that nobody answers.
    check_customers(
        &[&MARCH[..], &["closed 28d"]].concat(),
        &SHOWN,
        expect!["scorecards month:2026-03 support !case_unanswered: n 1"],
    );
    let reply = "support case_replied T1 at 4d11:00";
    counted(&[&MARCH[..], &[reply, "closed 29d"]].concat());
    counted(&[&MARCH[..], &[reply, "web page_viewed at 34d09:00"]].concat());
    // Late, and in another order.
    counted(&[&[reply, "web page_viewed at 34d09:00"], &MARCH[..]].concat());
    counted(&[&["closed 40d", reply], &MARCH[..]].concat());
}

#[test]
fn each_kind_of_failure_is_one_and_what_is_a_little_better_is_none() {
    let failed = |line: &str, is: bool| {
        let arrivals = [line, "web page_viewed at 0d08:00", "closed 29d"];
        let mut world = World::new(10);
        tell(&mut world, &arrivals);
        let lines = world.lines();
        let of = |letter: &str| lines.iter().any(|it| *it == format!("scorecards month:2026-03 spoke {letter}: n 1"));
        assert_eq!((of("c+"), of("c-")), (is, !is), "{line}: {lines:?}");
    };
    failed("spoke survey_answered csat 2 at 0d09:00", true);
    failed("spoke survey_answered csat 3 at 0d09:00", false);
    failed("spoke review_posted review 2 at 0d09:00", true);
    failed("spoke review_posted review 3 at 0d09:00", false);
    failed("spoke survey_answered nps 6 at 0d09:00", true);
    failed("spoke survey_answered nps 7 at 0d09:00", false);
    failed("spoke survey_answered ces 1 at 0d09:00", false);
    failed("spoke page_viewed sentiment -21 at 0d09:00", true);
    failed("spoke page_viewed sentiment -20 at 0d09:00", false);
    failed("spoke order_delivered O1 promised 0d08:59 at 0d09:00", true);
    failed("spoke order_delivered O1 promised 0d09:00 at 0d09:00", false);
    failed("spoke order_delivered O1 at 0d09:00", false);
}

fn tell(world: &mut World, arrivals: &[&str]) {
    for (number, line) in arrivals.iter().enumerate() {
        if let Some(days) = line.strip_prefix("closed ") {
            let days = days.trim_end_matches('d').parse::<i32>().expect("days");
            world.advance(MONDAY.plus(days + 1));
        } else {
            world.batch(&[&touchpoint(line, number)]);
        }
        world.commit();
    }
}

fn alerts(world: &World) -> Vec<String> {
    world.lines().into_iter().filter(|line| line.contains(" !")).collect()
}

const OVERDUE: &str = "scorecards month:2026-03 sales !promise_overdue: n 1";
const UNANSWERED: &str = "scorecards month:2026-03 support !case_unanswered: n 1";
const TWO_ALERTS: [&str; 3] =
    ["sales order_placed O1 promised 2d12:00 at 0d09:00", "support case_opened T1 at 1d09:00", "closed 3d"];

#[test]
fn an_open_alert_counts_at_its_owner_in_the_month_in_which_it_opened_until_it_closes() {
    let mut world = World::new(1);
    tell(&mut world, &TWO_ALERTS);
    assert_eq!(alerts(&world), [OVERDUE, UNANSWERED]);
    // Nothing changes with days, other touchpoints, or a restart.
    world.restart();
    tell(&mut world, &["web page_viewed at 35d09:00", "closed 36d"]);
    assert_eq!(alerts(&world), [OVERDUE, UNANSWERED]);
    tell(&mut world, &["support case_replied T1 #r at 37d09:00"]);
    assert_eq!(alerts(&world), [OVERDUE]);
    // Late, and it was never true.
    tell(&mut world, &["operations order_delivered O1 #d at 1d09:00"]);
    assert_eq!(alerts(&world), [""; 0]);
}

#[test]
fn alerts_are_counted_when_the_feed_is_told_of_them_and_not_during_a_backfill() {
    let mut world = World::new(1);
    world.stage.tell_alerts(false);
    tell(&mut world, &TWO_ALERTS);
    assert_eq!(alerts(&world), [""; 0]);
    world.restore();
    world.stage.tell_alerts(true);
    while world.stage.release_alerts(&mut world.store, 1).expect("a map never fails") {}
    world.commit();
    assert_eq!(alerts(&world), [OVERDUE, UNANSWERED]);
    // What the feed knows counts on while another backfill holds back what is new.
    world.stage.tell_alerts(false);
    tell(&mut world, &["support case_replied T1 #r at 4d09:00", "closed 5d"]);
    assert_eq!(alerts(&world), [OVERDUE, UNANSWERED]);
}

#[test]
fn of_whoever_is_erased_no_alert_counts() {
    let mut world = World::new(10);
    tell(&mut world, &["support case_opened T1 by email:ann@x.org at 1d09:00", "closed 3d"]);
    assert_eq!(alerts(&world), [UNANSWERED]);
    let ann = person_of(Identifier { kind: IdentifierType::Email, value: "ann@x.org" });
    world.stage.erased(ann, &[(ann, time("2d09:00"))], &mut world.store, &mut world.told).expect("a map never fails");
    world.commit();
    assert_eq!(world.lines(), [""; 0]);
}

#[test]
fn a_rebuild_counts_departments_months_and_alerts_as_they_were() {
    for is_live in [true, false] {
        let mut world = World::new(1);
        tell(&mut world, &[&MARCH[..], &TWO_ALERTS[..1], &["closed 40d", "web page_viewed #v at 40d10:00"]].concat());
        let before = world.lines();
        assert!(before.iter().any(|line| line.contains("operations c+")), "{before:?}");
        assert_eq!(alerts(&world).len(), 1, "{before:?}");
        world.stage.tell_alerts(is_live);
        world.count_anew(MONDAY.plus(41));
        assert_eq!(world.lines(), before);
    }
}

/// Which promises of which department are open, as months see it: changes by month.
fn promises(arrivals: &[&str]) -> Vec<String> {
    let mut world = World::new(10);
    tell(&mut world, arrivals);
    let lines = world.lines().into_iter().filter(|line| line.contains(" o: "));
    lines.map(|line| line.trim_start_matches("scorecards month:2026-").to_owned()).collect()
}

#[test]
fn a_promise_counts_at_whoever_made_it_until_it_ends() {
    // Monday is in March; the 30th day after it in April.
    let placed = "sales order_placed O1 promised 3d12:00 #p at 0d09:00";
    assert_eq!(promises(&[placed]), ["03 sales o: n 1, a 1"]);
    let late = "sales order_placed O1 promised 40d12:00 #p at 0d09:00";
    assert_eq!(promises(&[late]), ["03 sales o: n 1", "04 sales o: n 0, a 1"]);
    // Kept by another department, in the month or in the one after.
    assert_eq!(promises(&[placed, "operations order_delivered O1 #d at 2d09:00"]), [""; 0]);
    let ended = ["03 sales o: n 1, a 1", "04 sales o: n -1, a -1"];
    assert_eq!(promises(&[placed, "operations order_delivered O1 #d at 33d09:00"]), ended);
    assert_eq!(promises(&[placed, "sales order_cancelled O1 #d at 33d09:00"]), ended);
    // Kept a month before it had to be: it was open, and never overdue.
    let early = promises(&[late, "operations order_delivered O1 #d at 2d09:00"]);
    assert_eq!(early, [""; 0]);
    // Another promise takes its place, whoever makes it; a late event takes back what no longer holds.
    let replaced = ["03 operations o: n 1", "04 operations o: n 0, a 1"];
    let shipped = "operations order_shipped O1 promised 40d12:00 #s at 1d09:00";
    assert_eq!(promises(&[placed, shipped]), replaced);
    assert_eq!(promises(&[shipped, placed]), replaced);
    assert_eq!(promises(&["operations order_delivered O1 #d at 2d09:00", shipped, placed]), [""; 0]);
}
