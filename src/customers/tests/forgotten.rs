//! What a head forgets because it is full, as stories: nothing that comes could end it, so it stands no longer.

use super::world::{World, touchpoint};

/// The lines that start with one of `show`, given the first of its kind, of the north, so many newer ones of nowhere two days later,
/// and what comes after them: the same in the order of occurrence and with the first one last.
fn shown(first: &str, newer: (&str, usize), after: &[&str], show: &[&str]) -> Vec<String> {
    let (kind, count) = newer;
    let mut lines = vec![format!("{first} region north system at 09:00")];
    lines.extend((1..=count).map(|it| format!("{kind}{it} system at 2d{:02}:{:02}", 9 + it / 60, it % 60)));
    lines.extend(after.iter().map(|line| (*line).to_owned()));
    let lines: Vec<_> = lines.iter().enumerate().map(|(number, line)| touchpoint(line, number)).collect();
    let told = |late: usize| {
        let mut world = World::new(10);
        world.batch(&lines[late..].iter().collect::<Vec<_>>());
        world.batch(&lines[..late].iter().collect::<Vec<_>>());
        world.commit();
        let mut told = world.lines();
        told.retain(|line| show.iter().any(|prefix| line.starts_with(prefix)));
        told
    };
    let in_order = told(0);
    assert_eq!(told(1), in_order, "whatever came first");
    in_order
}

/// What is shown of a day and the north: the line's end after `METRIC day:`.
fn of_north(lines: &[String]) -> Vec<&str> {
    let of_day = lines.iter().filter(|line| line.contains(" region=north"));
    of_day.filter_map(|line| Some(line.split_once(" day:")?.1)).collect()
}

#[test]
fn what_was_promised_of_an_order_that_is_forgotten_is_overdue_and_open_no_longer() {
    let told = |newer: usize| {
        let show = ["overdue day", "record.open_promises", "record.overdue_promises"];
        shown("sales order_placed O0 promised 1d12:00", ("sales order_placed O", newer), &[], &show)
    };
    let [known, forgotten] = [255, 256].map(told);
    assert_eq!(of_north(&known), ["2026-03-03 region=north: n 1"]);
    assert!(known.contains(&"record.open_promises: 1".to_owned()), "{known:?}");
    assert_eq!(of_north(&forgotten), ["2026-03-03 region=north: n 1", "2026-03-04 region=north: n -1"]);
    assert!(forgotten.contains(&"record.open_promises: 0".to_owned()), "{forgotten:?}");
}

#[test]
fn a_case_that_is_forgotten_waits_no_longer_for_an_answer() {
    let told = |newer: usize| {
        // One that comes is none of a case that is known.
        let answer = ["support case_replied T0 agent at 5d09:00"];
        shown("support case_opened T0", ("support case_opened T", newer), &answer, &["unanswered day"])
    };
    assert_eq!(of_north(&told(127)), ["2026-03-03 region=north: n 1", "2026-03-07 region=north: n -1"]);
    assert_eq!(of_north(&told(128)), ["2026-03-03 region=north: n 1", "2026-03-04 region=north: n -1"]);
}

#[test]
fn a_subscription_that_is_forgotten_runs_no_longer_and_is_not_cancelled() {
    let told = |newer: usize| {
        let cancelled = ["web subscription_cancelled C0 system at 5d09:00"];
        let newer = ("sales subscription_started C", newer);
        shown("sales subscription_started C0", newer, &cancelled, &["churn day"])
    };
    assert_eq!(of_north(&told(255)), ["2026-03-02 region=north: n 1", "2026-03-07 region=north: n -1, a 1"]);
    assert_eq!(of_north(&told(256)), ["2026-03-02 region=north: n 1", "2026-03-04 region=north: n -1"]);
}
