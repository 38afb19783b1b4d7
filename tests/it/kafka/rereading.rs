//! Departments' topics read again on a real broker: refused while a hub runs, killed in the middle and gone on with; what
//! retention has removed is kept and said.

use std::{path::Path, time::Duration};

use insight_hub::company::SPOKES;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

use super::house::{House, but_alerts, company};
use crate::{
    harness::{kafka::Broker, sweeper::Scratch},
    world::{assert_truth, events, truth},
};

const WITHIN: Duration = Duration::from_secs(120);
/// What is wrong with the first mappings.
const WRONG: [(&str, &str, &str); 4] = [
    ("marketing", "customer_id = \"profile.customer\"\n", ""),
    ("marketing", "EmailOpened = \"message_opened\"", "EmailOpened = \"ad_clicked\""),
    ("support", "id = \"id\"", "id = \"data.ticket\""),
    ("support", "condition = \"!has(data.spam) || !data.spam\"", "condition = \"type != 'ticket.rated'\""),
];

/// The departments' mappings in a folder, with mistakes or without.
fn mappings(house: &House, folder: &Path, wrong: bool) {
    for spoke in SPOKES {
        let path = format!("{}/deploy/spokes/{spoke}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let mut text =
            text.replace(&format!("topic = \"{spoke}.events\""), &format!("topic = \"{}.{spoke}\"", house.name));
        for (_, from, to) in WRONG.iter().filter(|(of, ..)| *of == spoke && wrong) {
            assert!(text.contains(from), "{spoke} has {from}");
            text = text.replacen(from, to, 1);
        }
        std::fs::write(folder.join(format!("{spoke}.toml")), text).unwrap();
    }
}

#[test]
fn a_second_reading_that_is_killed_goes_on_to_the_feeds_of_the_mappings_of_now() {
    let events = events(company(8, 300, 3_000));
    let (first, second) = events.split_at(events.len() / 4 * 3);
    let house = House::new(&Broker::shared().bootstrap(), "rereading");
    let folder = Scratch::new("rereading-spokes");
    let spokes = format!("spokes.directory={}", folder.path().display());
    mappings(&house, folder.path(), true);
    house.write(first);
    let mut hub = house.start("a", &[&spokes], None);
    hub.wait_until_figure("insight_hub_spoke_records_total", first.len() as f64, WITHIN);
    // What is left to do would be done first, and the second reading not have begun when it is killed.
    hub.wait_until_nothing_lags(WITHIN);
    mappings(&house, folder.path(), false);
    // While the hub runs, it says who is in the way.
    let mut refused = house.reread("b", &[&spokes], &[], None);
    assert_eq!(refused.process.wait_or_fail(WITHIN).code(), Some(1), "{}", refused.process.story());
    assert!(refused.process.stderr().contains("stop all of them"), "{}", refused.process.story());
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));

    let mut killed = house.reread("a", &[&spokes], &[], Some("after-commit:4"));
    let status = killed.process.wait_or_fail(WITHIN);
    assert_eq!(status.code(), None, "it ended by itself\n{}", killed.process.story());
    let mut run = house.start("a", &[&spokes], None);
    assert_eq!(run.process().wait_or_fail(WITHIN).code(), Some(5), "{}", run.process().story());
    assert!(run.process().stderr().contains("rebuild --from-sources"), "{}", run.process().story());

    let mut reread = house.reread("a", &[&spokes], &[], None);
    let status = reread.process.wait_or_fail(WITHIN);
    assert_eq!(status.code(), Some(0), "{}", reread.process.story());
    let output = reread.process.stdout();
    assert!(output.contains("support, reading 1:") && output.contains("were removed"), "{output}");
    assert_truth(&but_alerts(truth(first).feeds), &but_alerts(house.feeds()), "the command has done all of it");
    let mut hubs = [house.start("a", &[&spokes], None)];
    house.write(second);
    // Dead letters are those of the mappings that wrote them, so only the feeds are the truth.
    house.assert_feeds_become(&truth(&events).feeds, &mut hubs, WITHIN);
    assert_eq!(hubs[0].process().terminate(Duration::from_secs(20)).code(), Some(0));

    // Retention takes the beginning of a department's topic: what was made of it stays, and that is said.
    let topic = format!("{}.support", house.name);
    remove_below(house.bootstrap(), &topic, 0, 20);
    let mut reread = house.reread("a", &[&spokes], &["--spoke", "support"], None);
    assert_eq!(reread.process.wait_or_fail(WITHIN).code(), Some(0), "{}", reread.process.story());
    let output = reread.process.stdout();
    assert!(output.contains("20 offsets at the beginning of its topic are gone"), "{output}");
    assert!(!output.contains("marketing"), "{output}");
    assert!(reread.process.stderr().contains("not met again are kept"), "{}", reread.process.story());
    let (expected, found) = (but_alerts(truth(&events).feeds), but_alerts(house.feeds()));
    assert_truth(&expected, &found, "what is kept and what was read again are the truth");
    let mut forgetting = house.reread("a", &[&spokes], &["--spoke", "support", "--forget-unread"], None);
    assert_eq!(forgetting.process.wait_or_fail(WITHIN).code(), Some(0), "{}", forgetting.process.story());
    let output = forgetting.process.stdout();
    assert!(output.contains("support, reading 3:") && !output.contains("; 0 touchpoints"), "{output}");
    let known = house.feeds().touchpoints.len();
    assert!(known < truth(&events).feeds.touchpoints.len(), "{known} touchpoints are left");
}

fn remove_below(bootstrap: &str, topic: &str, partition: i32, offset: i64) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
}
