//! A hub on Kafka has no socket: commands reach it in its data directory, and SIGHUP wherever it runs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::house::House;
use crate::harness::{
    kafka::Broker,
    process::Signal,
    sweeper::Scratch,
    writer::{Message, Writer},
};

const WITHIN: Duration = Duration::from_secs(120);
/// 2026-03-20T00:00:00Z.
const DAY_MS: i64 = 1_773_964_800_000;

fn mapping(folder: &Path, topic: &str, region: &str) {
    let mapping = format!(
        "spoke = \"marketing\"\ntopic = \"{topic}\"\nformat = \"json\"\nid = \"n\"\n\
         occurred_at = {{ path = \"when\", format = \"rfc3339\" }}\nkind = {{ constant = \"visit_made\" }}\n\
         identifiers = {{ customer_id = \"who\" }}\nregion = {{ constant = \"{region}\" }}\n"
    );
    std::fs::write(folder.join("marketing.toml"), mapping).unwrap();
}

#[test]
fn a_mapping_is_replaced_by_the_command_and_by_a_signal_without_a_rebalance() {
    let house = House::new(&Broker::shared().bootstrap(), "reload");
    let folder = Scratch::new("reload-spokes");
    let topic = format!("{}.marketing", house.name);
    let spokes = format!("spokes.directory={}", folder.path().display());
    mapping(folder.path(), &topic, "0");
    let mut hub = house.start("a", &[&spokes], None);
    let write = |round: i32| {
        let messages: Vec<Message> = (0..20)
            .map(|number| {
                let n = round * 20 + number;
                let payload = format!(r#"{{"n":{n},"when":"2026-03-10T10:00:00Z","who":"C{}"}}"#, n % 5);
                Message::new("key", payload).at(DAY_MS).to(n % 4)
            })
            .collect();
        Writer::new(house.bootstrap()).write(&topic, &messages);
    };
    write(0);
    hub.wait_until_figure("insight_hub_outcomes_total", 20.0, WITHIN);

    mapping(folder.path(), &topic, "1");
    let data = format!("hub.data_directory={}", house.data_of("a").display());
    let (status, output, errors) = house.command_line(&["reload"], &[&spokes, &data]).run(WITHIN);
    assert_eq!((status.code(), output.as_str()), (Some(0), "applied: the mapping of marketing\n"), "{errors}");
    write(1);
    hub.wait_until_figure("insight_hub_outcomes_total", 40.0, WITHIN);

    mapping(folder.path(), &topic, "2");
    hub.process().signal(Signal::Hangup);
    hub.wait_until_figure("insight_hub_reloads_total", 2.0, WITHIN);
    write(2);
    hub.wait_until_figure("insight_hub_outcomes_total", 60.0, WITHIN);
    // What was taken in is on its way to its person yet.
    let began = Instant::now();
    while house.latest("touchpoints").len() < 60 && began.elapsed() < WITHIN {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
    let touchpoints = house.feeds().touchpoints;
    assert_eq!(touchpoints.len(), 60);
    for touchpoint in touchpoints.values() {
        let n: i32 = touchpoint["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(touchpoint["region"].as_str(), Some((n / 20).to_string().as_str()), "{touchpoint}");
    }
}
