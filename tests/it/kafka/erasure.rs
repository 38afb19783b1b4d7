//! After an erasure no byte of the identifiers is left on the broker's disk, in any topic of the hub, or in the data directory of
//! an instance, within the bound, though nobody writes any more; departments' topics are theirs.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::house::{House, Instance};
use crate::harness::{
    ann::{ANN, by, event, history},
    kafka::{Broker, Options, free_port},
    reader::read_settled,
    remains::{self, Found},
    sweeper::Scratch,
    writer::{Message, Writer},
};

const WITHIN: Duration = Duration::from_secs(120);
/// What the hub is given, and what a busy machine may be late.
const ERASED_WITHIN: Duration = Duration::from_secs(48);
const LATE: Duration = Duration::from_secs(24);

/// Brokers clean seldom, and wait before they delete: here at once.
fn broker() -> Broker {
    let properties = [
        ("log.cleaner.backoff.ms", "300"),
        ("log.retention.check.interval.ms", "500"),
        ("log.initial.task.delay.ms", "500"),
        ("log.segment.delete.delay.ms", "500"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Broker::start_with(Options { restartable: false, properties, ..Options::default() })
}

/// What the broker's disk has, but for the topic of a department.
fn on_disk(broker: &Broker, spoke: &str) -> Found {
    let (mut found, folder) = (Found::default(), broker.data());
    for path in remains::files(&folder) {
        let place = path.strip_prefix(&folder).unwrap().display().to_string();
        // Indexes are megabytes of offsets and times.
        if !place.starts_with(spoke)
            && !place.ends_with("index")
            && let Ok(bytes) = std::fs::read(&path)
        {
            found.look(&place, &bytes, &ANN);
        }
    }
    found
}

fn kept_by(house: &House, instance: &str) -> Found {
    remains::in_data_directory(&house.data_of(instance), &ANN, &|_| false)
}

/// Which topics of the hub have any of it, as any client reads them.
fn in_topics(house: &House) -> Found {
    let feeds = ["customers", "touchpoints", "identities", "identity-journal", "metrics", "catalogue", "spokes"];
    let feeds = feeds.iter().chain(&["rejected", "commands"]).map(|feed| house.feed_topic(feed));
    let mut found = Found::default();
    for topic in feeds.chain(house.repartition_topics()).chain(house.changelog_topics()) {
        for record in read_settled(house.bootstrap(), &topic, WITHIN) {
            let headers = record.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]);
            let parts = [record.key.as_deref(), record.value.as_deref()].into_iter().flatten();
            parts.chain(headers).for_each(|bytes| found.look(&topic, bytes, &ANN));
        }
    }
    found
}

struct Hubs {
    house: House,
    spokes: String,
    topic: String,
    running: BTreeMap<&'static str, Instance>,
    _folder: Scratch,
}

impl Hubs {
    fn new(broker: &Broker) -> Hubs {
        let within = format!("topics.erased_within_seconds={}", ERASED_WITHIN.as_secs());
        let house = House::new(&broker.bootstrap(), "erasure").set(&within).set("topics.rejected_retention_hours=0");
        // Nothing is packed, so that whoever reads the broker's files reads what is in them.
        let house = house.set("topics.compression=none");
        let folder = Scratch::new("erasure-spokes");
        let topic = format!("{}.marketing", house.name);
        let mapping = format!("spoke = \"marketing\"\ntopic = \"{topic}\"\nformat = \"touchpoint-json\"\n");
        std::fs::write(Path::new(folder.path()).join("marketing.toml"), mapping).unwrap();
        let spokes = format!("spokes.directory={}", folder.path().display());
        Hubs { house, spokes, topic, running: BTreeMap::new(), _folder: folder }
    }

    fn start(&mut self, names: &[&'static str]) {
        for name in names {
            // With the API there is a view of the feeds, which has keys in clear.
            let listen = format!("serve.listen=127.0.0.1:{}", free_port());
            self.running.insert(name, self.house.start(name, &[&self.spokes, &listen], None));
        }
        for hub in self.running.values_mut() {
            hub.wait_until_tasks(WITHIN);
            hub.wait_until_ready(WITHIN);
        }
    }

    fn stop(&mut self) {
        for (name, mut hub) in std::mem::take(&mut self.running) {
            let status = hub.process().terminate(Duration::from_secs(30));
            assert_eq!(status.code(), Some(0), "{name}\n{}", hub.hub.process.story());
        }
    }

    fn write(&self, payloads: &[String]) {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let messages: Vec<Message> =
            (0..).zip(payloads).map(|(index, payload)| Message::new("key", payload).at(now_ms).to(index % 4)).collect();
        Writer::uncompressed(self.house.bootstrap()).write(&self.topic, &messages);
    }

    fn run(&self, arguments: &[&str]) -> String {
        let (status, output, errors) = self.house.command_line(arguments, &[&self.spokes]).run(WITHIN);
        assert!(status.success(), "{arguments:?}: {output}\n{errors}");
        output
    }

    fn story(&self) -> String {
        self.running.values().map(|hub| hub.hub.process.story()).collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    fn until_touchpoints(&self, count: usize) {
        let deadline = Instant::now() + WITHIN;
        while self.house.latest("touchpoints").len() != count {
            assert!(Instant::now() < deadline, "there are not {count} touchpoints\n{}", self.story());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn no_byte_of_what_was_erased_is_left_in_topics_and_on_disks_within_the_bound() {
    let broker = broker();
    let mut hubs = Hubs::new(&broker);
    hubs.start(&["a"]);
    let [_, email, customer, phone, cookie, order, property, late] = ANN;
    let first = history();
    // What lies between stages goes within seconds: it is looked for all the time.
    let (is_over, spoke) = (AtomicBool::new(false), hubs.topic.clone());
    let mut disk = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut found = Found::default();
            while !is_over.load(Ordering::Acquire) {
                found.add(on_disk(&broker, &spoke));
            }
            found
        });
        hubs.write(&first);
        hubs.until_touchpoints(7);
        is_over.store(true, Ordering::Release);
        looking.join().unwrap()
    });

    // The search finds what is there: in topics, on the broker's disk, and in the stores of both, of which one is of
    // somebody who has no longer all of the tasks.
    let topics = in_topics(&hubs.house);
    disk.add(on_disk(&broker, &hubs.topic));
    for topic in ["customers-changelog", "links-changelog", ".touchpoints", ".identities"] {
        for text in [email, customer, phone, cookie, order] {
            assert!(topics.has(topic, text) && disk.has(topic, text), "{text}, {topic}: {topics:?}\n{disk:?}");
        }
    }
    for topic in ["customers-repartition", "links-repartition", ".rejected", ".identity-journal"] {
        assert!(disk.has(topic, email), "{topic}: {disk:?}");
    }
    assert!(topics.has(".rejected", email) && topics.has(".touchpoints", property), "{topics:?}");
    hubs.stop();
    hubs.start(&["a", "b"]);
    let stored = kept_by(&hubs.house, "a");
    for text in [email, customer, phone, cookie, order, property] {
        assert!(stored.has("stores/", text), "{text}: {stored:?}");
        assert!(stored.has("view/", text), "{text}: {stored:?}");
    }

    let told = hubs.run(&["erase", &format!("email:{email}"), "--yes"]);
    assert!(told.contains("insight.identity-journal"), "{told}");
    let asked = Instant::now();
    hubs.until_touchpoints(2);
    hubs.write(&[event("9", 8, "page_viewed", by(json!({ "customer_id": customer, "cookie": late })))]);
    let confirmed: Value =
        serde_json::from_str(&hubs.run(&["erase", &format!("email:{email}"), "--confirm", "-o", "json"])).unwrap();
    assert_eq!((&confirmed["identifiers"], &confirmed["touchpoints_left"]), (&json!(6), &json!(0)), "{confirmed}");
    let left = || [on_disk(&broker, &hubs.topic), kept_by(&hubs.house, "a"), kept_by(&hubs.house, "b")];
    let mut found = left();
    while !found.iter().all(Found::is_empty) && asked.elapsed() < ERASED_WITHIN + LATE {
        std::thread::sleep(Duration::from_millis(500));
        found = left();
    }
    let story = || format!("{}\n{}", hubs.story(), broker.log_tail());
    assert!(found.iter().all(Found::is_empty), "after {:?}: {found:?}\n{}", asked.elapsed(), story());
    assert!(in_topics(&hubs.house).is_empty(), "{:?}", in_topics(&hubs.house));

    // Whoever was not erased is as before; hubs go on, from what they committed, also those that start anew.
    hubs.stop();
    hubs.start(&["b"]);
    hubs.write(&[event("10", 9, "page_viewed", by(json!({ "email": "bob@example.org" })))]);
    hubs.until_touchpoints(3);
    assert_eq!(hubs.house.latest("customers").len(), 1);
    hubs.stop();
    assert!(on_disk(&broker, &hubs.topic).is_empty());
}
