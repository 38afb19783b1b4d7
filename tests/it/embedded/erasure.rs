//! After an erasure no byte of the identifiers is left in any file of the hub, within the bound; departments' topics are theirs.

use std::time::{Duration, Instant};

use insight_hub::engine::log::{
    access::{Durability, NewRecord},
    commit_log::Policy,
};
use serde_json::{Value, json};

use super::process::{Running, command, records};
use crate::harness::{
    ann::{ANN, DAY_MS, by, event, history},
    kafka::free_port,
    remains::{self, Found},
    sweeper::Scratch,
};

const WITHIN: Duration = Duration::from_secs(120);
/// What the hub is given, and what a busy machine may be late.
const ERASED_WITHIN: Duration = Duration::from_secs(16);
const LATE: Duration = Duration::from_secs(8);

struct House {
    running: Running,
    settings: Vec<String>,
    home: Scratch,
}

impl House {
    fn new() -> House {
        let home = Scratch::new("erasure");
        let folder = home.path().join("spokes");
        std::fs::create_dir_all(&folder).unwrap();
        let mapping = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"touchpoint-json\"\n";
        std::fs::write(folder.join("shop.toml"), mapping).unwrap();
        let settings = vec![
            format!("spokes.directory={}", folder.display()),
            format!("topics.erased_within_seconds={}", ERASED_WITHIN.as_secs()),
            "topics.rejected_retention_hours=0".to_owned(),
            // With the API there is a view of the feeds, which has keys in clear.
            format!("serve.listen=127.0.0.1:{}", free_port()),
        ];
        let running = House::start(&home, &settings);
        House { running, settings, home }
    }

    fn start(home: &Scratch, settings: &[String]) -> Running {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Running::start("erasure", Some(&home.path().join("data")), &settings)
    }

    /// A stop writes the stores, and what is restored is written too.
    fn restart(&mut self) {
        self.running.hub.process.terminate(WITHIN);
        self.running = House::start(&self.home, &self.settings);
        self.running.connect();
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let (command, _) = command("command", Some(self.running.data()), &settings);
        let (status, output, errors) = command.args(arguments).run(WITHIN);
        assert!(status.success(), "{arguments:?}: {output}\n{errors}");
        output
    }

    fn fail(&self, arguments: &[&str], said: &str) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let (command, _) = command("command", Some(self.running.data()), &settings);
        let (status, _, errors) = command.args(arguments).run(WITHIN);
        assert!(status.code() == Some(1) && errors.contains(said), "{arguments:?}: {errors}");
    }

    fn append(&mut self, payloads: &[String]) {
        let access = self.running.connect();
        access.create_topic("shop.events", 2, Policy::Keep).unwrap();
        for (index, payload) in (0..).zip(payloads) {
            let record = NewRecord {
                partition: Some(index % 2),
                timestamp_ms: DAY_MS,
                key: None,
                value: Some(payload.as_bytes()),
                headers: &[],
            };
            access.append("shop.events", &[record], Durability::AsConfigured).unwrap();
        }
    }

    fn found(&self, sought: &[&str]) -> Found {
        remains::in_data_directory(self.running.data(), sought, &|topic| topic == "shop.events")
    }

    #[track_caller]
    fn until(&mut self, what: &str, is_so: &mut dyn FnMut(&mut House) -> bool) {
        let deadline = Instant::now() + WITHIN;
        while !is_so(self) {
            assert!(self.running.hub.process.is_running(), "{what}\n{}", self.running.hub.process.story());
            assert!(Instant::now() < deadline, "{what}\n{}", self.running.hub.process.story());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn no_byte_of_what_was_erased_is_left_in_any_file_within_the_bound() {
    let mut house = House::new();
    let [as_written, email, customer, phone, cookie, order, property, late] = ANN;
    house.append(&history());
    house.until("everything is there", &mut |house| {
        let access = house.running.connect();
        let count = |topic: &str| records(&access, topic).map_or(0, |records| records.len());
        count("insight.rejected") == 1
            && house.succeed(&["export", "touchpoints"]).lines().count() == 7
            && house.succeed(&["export", "customers"]).lines().count() == 2
    });
    let would = ["erase", &format!("customer_id:{customer}"), "--dry-run"];
    house.until("all five of Ann's are counted", &mut |house| house.succeed(&would).contains("5 touchpoints"));
    house.restart();

    // The search finds what is there: in each topic of the hub that has it, and in the stores.
    let before = house.found(&ANN);
    for topic in
        ["insight-hub-customers-changelog", "insight-hub-links-changelog", "insight.touchpoints", "insight.identities"]
    {
        for text in [email, customer, phone, cookie, order] {
            assert!(before.has(topic, text), "{text} is not found in {topic}: {before:?}");
        }
    }
    for topic in ["insight-hub-customers-repartition", "insight-hub-links-repartition", "insight.identity-journal"] {
        assert!(before.has(topic, email) && before.has(topic, cookie), "{topic}: {before:?}");
    }
    assert!(before.has("insight.rejected", email), "{before:?}");
    assert!(before.has("insight.touchpoints", property), "{before:?}");
    for text in [email, customer, phone, cookie, order, property] {
        assert!(before.has("stores/", text), "{text} is not found in the stores: {before:?}");
        assert!(before.has("view/", text), "{text} is not found in the view: {before:?}");
    }

    let told = house.succeed(&["erase", &format!("email:{email}"), "--yes"]);
    let asked = Instant::now();
    // What comes late of the time before goes too, with an identifier that nobody knew.
    house.until("it is erased", &mut |house| house.succeed(&["export", "touchpoints"]).lines().count() == 2);
    let confirmed = house.succeed(&["erase", &format!("email:{as_written}"), "--confirm", "-o", "json"]);
    let confirmed: Value = serde_json::from_str(&confirmed).unwrap();
    assert_eq!((&confirmed["identifiers"], &confirmed["touchpoints_left"]), (&json!(6), &json!(0)), "{confirmed}");
    house.fail(&["erase", "email:bob@example.org", "--confirm"], "no erasure of it is confirmed");
    house.append(&[event("9", 8, "page_viewed", by(json!({ "customer_id": customer, "cookie": late })))]);
    let mut left = house.found(&ANN);
    while !left.is_empty() && asked.elapsed() < ERASED_WITHIN + LATE {
        assert!(house.running.hub.process.is_running(), "{}", house.running.hub.process.story());
        std::thread::sleep(Duration::from_millis(500));
        left = house.found(&ANN);
    }
    assert!(left.is_empty(), "after {:?}: {left:?}\n{}", asked.elapsed(), house.running.hub.process.story());
    assert!(told.contains("insight.identity-journal"), "{told}");

    // Whoever was not erased is as before, in the feeds and in a hub that starts again from its files.
    assert_eq!(house.succeed(&["export", "customers"]).lines().count(), 1);
    assert!(house.succeed(&["customer", "email:bob@example.org"]).contains("bob"));
    house.restart();
    house.running.hub.process.terminate(WITHIN);
    house.succeed(&["state", "verify"]);
    assert!(house.found(&ANN).is_empty(), "{:?}", house.found(&ANN));
}
