//! A change of definition on a real broker: refused by `run`, rebuilt in place, killed in the middle and gone on with.

use std::time::Duration;

use super::house::{House, but_alerts, company};
use crate::{
    harness::kafka::Broker,
    oracle::Options,
    world::{assert_truth, events, truth, truth_under},
};

#[test]
fn a_rebuild_that_is_killed_goes_on_to_the_feeds_of_the_new_definition() {
    let within = Duration::from_secs(120);
    let events = events(company(8, 300, 3_000));
    let (first, second) = events.split_at(events.len() / 4 * 3);
    let house = House::new(&Broker::shared().bootstrap(), "rebuild");
    house.write(first);
    let mut hubs = [house.start("a", &[], None)];
    house.assert_becomes(&truth(first), &mut hubs, within);
    assert_eq!(hubs[0].process().terminate(Duration::from_secs(20)).code(), Some(0));

    let new = ["hub.time_zone=Pacific/Auckland", "metrics.on_time_tolerance_seconds=7200"];
    let options =
        || Options { time_zone: "Pacific/Auckland".into(), on_time_tolerance_ms: 7_200_000, ..Options::default() };
    let refuses = |why: &str| {
        let mut hub = house.start("a", &new, None);
        assert_eq!(hub.process().wait_or_fail(within).code(), Some(5), "{why}\n{}", hub.process().story());
        assert!(hub.process().stderr().contains("insight-hub rebuild"), "{}", hub.process().story());
    };
    refuses("another definition");

    let mut killed = house.rebuild("a", &new, Some("after-commit:2"));
    let status = killed.process.wait_or_fail(within);
    assert_eq!(status.code(), None, "it ended by itself\n{}", killed.process.story());
    refuses("a rebuild that is not complete");

    let mut rebuild = house.rebuild("a", &new, None);
    let status = rebuild.process.wait_or_fail(within);
    assert_eq!(status.code(), Some(0), "{}", rebuild.process.story());
    assert!(rebuild.process.stdout().contains("rebuilt:"), "{}", rebuild.process.story());
    assert_truth(&but_alerts(truth_under(first, options()).feeds), &but_alerts(house.feeds()), "rebuilt");

    // The same definition again has nothing to do.
    let mut again = house.rebuild("a", &new, None);
    assert_eq!(again.process.wait_or_fail(within).code(), Some(0), "{}", again.process.story());
    assert!(again.process.stdout().contains("nothing to do"), "{}", again.process.story());

    house.write(second);
    let mut hubs = [house.start("a", &new, None)];
    let expected = truth_under(&events, options());
    house.assert_becomes(&expected, &mut hubs, within);
    // While the hub runs, a rebuild says who is in the way.
    let mut refused = house.rebuild("b", &new, None);
    assert_eq!(refused.process.wait_or_fail(within).code(), Some(1), "{}", refused.process.story());
    assert!(refused.process.stderr().contains("stop all of them"), "{}", refused.process.story());
    house.assert_becomes(&expected, &mut hubs, within);
    assert_eq!(hubs[0].process().terminate(Duration::from_secs(20)).code(), Some(0));
}
