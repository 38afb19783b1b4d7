//! What scorecards have from other months and other partitions, as stories: open promises, alerts about metrics, what arrived.

use expect_test::expect;

use super::{Harness, day};
use crate::{
    metrics::Options,
    model::{AlertId, Calendar, DepartmentNews},
};

/// The published cards after a story, and after each `--` what is new of them.
fn cards(lines: &[&str]) -> String {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    lines.iter().for_each(|line| harness.tell(line));
    let cards = harness.feed.lines.lines().filter(|line| line.starts_with("scorecards"));
    cards.fold(String::new(), |text, line| text + line.trim_start_matches("scorecards|month:") + "\n")
}

#[test]
fn promises_are_open_in_every_later_month_until_they_end() {
    let told = cards(&[
        "contacts 2026-01-05 a:order_placed: 3 0",
        "contacts 2026-02-05 a:order_placed: 3 0",
        "contacts 2026-03-05 a:order_placed: 3 0",
        "contacts 2026-03-05 b:order_placed: 3 0",
        // Two made in January, one of them to be kept then.
        "promises 2026-01-05 a 2 1",
        "promises 2026-03-05 a 0 1",
        "commit",
        // Kept in March, and one made in January comes late: the months from then on change, those of others do not.
        "promises 2026-03-06 a -1 -1",
        "commit",
        "restart",
        "promises 2026-02-06 a 1 1",
        "commit-once",
        "restart",
        "commit",
        // Those of whom nothing else is known have no card.
        "promises 2026-02-06 c 1 1",
        "commit",
    ]);
    expect![[r#"
        2026-01|spoke=a 3 touchpoints, touchpoints net None, 2 promises, 1 overdue r1 provisional
        2026-02|spoke=a 3 touchpoints, touchpoints net None, 2 promises, 1 overdue r1 provisional
        2026-03|spoke=a 3 touchpoints, touchpoints net None, 2 promises, 2 overdue r1 provisional
        2026-03|spoke=b 3 touchpoints, touchpoints net None r1 provisional
        2026-03|spoke=a 3 touchpoints, touchpoints net None, 1 promises, 1 overdue r2 provisional
        2026-02|spoke=a 3 touchpoints, touchpoints net None, 3 promises, 2 overdue r2 provisional
        2026-03|spoke=a 3 touchpoints, touchpoints net None, 2 promises, 2 overdue r3 provisional
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_card_that_says_what_it_said_is_not_published_again() {
    let told = cards(&[
        "contacts 2026-01-05 a:order_placed: 3 0",
        "contacts 2026-02-05 a:order_placed: 3 0",
        "watermark 0 2026-04-02",
        "commit",
        // Made and kept in January, known of late: both cards are looked at, and are as they were.
        "promises 2026-01-05 a 1 1",
        "promises 2026-01-06 a -1 -1",
        "commit",
        "restart",
        // Made in January and still open.
        "promises 2026-01-07 a 1 0",
        "commit",
        "promises 2026-01-08 a -1 0",
        "commit",
    ]);
    expect![[r#"
        2026-01|spoke=a 3 touchpoints, touchpoints net None r1 final
        2026-02|spoke=a 3 touchpoints, touchpoints net None r1 final
        2026-01|spoke=a 3 touchpoints, touchpoints net None, 1 promises, 0 overdue r2 revised
        2026-02|spoke=a 3 touchpoints, touchpoints net None, 1 promises, 0 overdue r2 revised
        2026-01|spoke=a 3 touchpoints, touchpoints net None r3 revised
        2026-02|spoke=a 3 touchpoints, touchpoints net None r3 revised
    "#]]
    .assert_eq(&told);
}

#[test]
fn alerts_about_metrics_count_at_their_owner_however_often_they_are_told() {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    harness.tell("contacts 2026-01-05 a:visit_made: 3 0");
    harness.commit_all();
    let card = |harness: &Harness, spoke: &str| {
        harness.feed.latest.get(&format!("scorecards|month:2026-01|spoke={spoke}")).cloned().unwrap_or_default()
    };
    let tell = |harness: &mut Harness, id: u8, open: Option<(&str, &str)>| {
        let open = open.map(|(owner, since)| (owner.into(), day(since)));
        let news = DepartmentNews::Alert(AlertId([id; 16]), open);
        harness.metrics.department(&news, &mut harness.store).expect("a good store");
        harness.commit_all();
    };
    let none = card(&harness, "a");
    tell(&mut harness, 1, Some(("a", "2026-01-12")));
    tell(&mut harness, 2, Some(("a", "2026-01-19")));
    assert_eq!(card(&harness, "a"), format!("{none}, 2 metric_unusual"));
    let publications = harness.feed.publications;
    tell(&mut harness, 2, Some(("a", "2026-01-19")));
    assert_eq!(harness.feed.publications, publications, "nothing is new");
    harness.tell("restart");
    // It is another one's: a department's of which nothing else is known.
    tell(&mut harness, 2, Some(("b", "2026-01-19")));
    assert_eq!(card(&harness, "a"), format!("{none}, 1 metric_unusual"));
    assert_eq!(card(&harness, "b"), "0 touchpoints, touchpoints net None, 1 metric_unusual");
    // A rebuild counts touchpoints anew, and these as they are.
    let mut first = true;
    while harness.metrics.clear(std::mem::take(&mut first), 2, &mut harness.store).expect("a good store").1 {}
    harness.tell("contacts 2026-01-05 a:visit_made: 3 0");
    harness.metrics.refolded(0, &mut harness.store).expect("a good store");
    harness.commit_all();
    assert_eq!(card(&harness, "a"), format!("{none}, 1 metric_unusual"));
    tell(&mut harness, 1, None);
    tell(&mut harness, 1, None);
    tell(&mut harness, 2, None);
    assert_eq!((card(&harness, "a"), card(&harness, "b")), (none, String::new()));
}

#[test]
fn what_arrived_is_on_the_card_of_the_month_in_which_it_came() {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    let story = [
        "contacts 2026-01-05 a:visit_made: 3 0",
        "contacts 2026-02-05 a:visit_made: 3 0",
        "data_quality 2026-02-07 spoke=a n=4 accepted=3 rejected=1",
        "data_quality 2026-02-07 spoke=b n=1 accepted=1",
        "data_quality 2026-02-07 n=5 accepted=4 rejected=1",
    ];
    story.iter().for_each(|line| harness.tell(line));
    harness.commit_all();
    let cards = |harness: &Harness| -> Vec<String> {
        let cards = harness.feed.latest.iter().filter(|(key, _)| key.starts_with("scorecards"));
        cards.map(|(key, card)| format!("{key} {card}")).collect()
    };
    let before = cards(&harness);
    expect![[r#"
        scorecards|month:2026-01|spoke=a 3 touchpoints, touchpoints net None
        scorecards|month:2026-02|spoke=a 3 touchpoints, touchpoints net None, 3 accepted, 1 rejected"#]]
    .assert_eq(&before.join("\n"));
    harness.tell("data_quality 2026-02-08 spoke=a n=1 duplicate=1");
    harness.commit_all();
    assert!(cards(&harness)[1].ends_with(", 3 accepted, 1 duplicate, 1 rejected"), "{:?}", cards(&harness));
    // A rebuild leaves arrivals as they are.
    let mut first = true;
    while harness.metrics.clear(std::mem::take(&mut first), 2, &mut harness.store).expect("a good store").1 {}
    story[..2].iter().for_each(|line| harness.tell(line));
    harness.metrics.refolded(0, &mut harness.store).expect("a good store");
    harness.commit_all();
    assert!(cards(&harness)[1].ends_with(", 3 accepted, 1 duplicate, 1 rejected"), "{:?}", cards(&harness));
}
