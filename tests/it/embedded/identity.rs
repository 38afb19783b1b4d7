//! Who is one person, at the command line beside a running hub: look, split, take back, link, erase.

use std::{
    path::Path,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use insight_hub::engine::log::{
    access::{Durability, LogAccess, NewRecord},
    commit_log::Policy,
};
use serde_json::{Value, json};

use super::process::{Running, command};
use crate::harness::sweeper::Scratch;

const WITHIN: Duration = Duration::from_secs(120);
/// 2026-03-20T00:00:00Z.
pub(super) const DAY_MS: i64 = 1_773_964_800_000;

pub(super) struct House {
    running: Running,
    settings: Vec<String>,
    home: Scratch,
}

impl House {
    fn new() -> House {
        House::with("identity", &[])
    }

    /// A hub with some settings of its own.
    pub(super) fn with(name: &str, settings: &[&str]) -> House {
        House::on(name, None, settings)
    }

    /// The same on a data directory that is there already.
    pub(super) fn on(name: &str, data: Option<&Path>, settings: &[&str]) -> House {
        let home = Scratch::new(name);
        let folder = home.path().join("spokes");
        std::fs::create_dir_all(&folder).unwrap();
        let mapping = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"touchpoint-json\"\n";
        std::fs::write(folder.join("shop.toml"), mapping).unwrap();
        let spokes = format!("spokes.directory={}", folder.display());
        let mut settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        settings.push(spokes);
        let of_all: Vec<&str> = settings.iter().map(String::as_str).collect();
        let own = home.path().join("data");
        let running = Running::start(name, Some(data.unwrap_or(&own)), &of_all);
        House { running, settings, home }
    }

    pub(super) fn path(&self) -> &Path {
        self.home.path()
    }

    /// Kills the hub and starts it again.
    pub(super) fn restart(&mut self) {
        self.running.hub.restart();
    }

    /// Ends the hub; says where its data lie.
    pub(super) fn stop(&mut self) -> std::path::PathBuf {
        self.running.hub.process.terminate(WITHIN);
        self.running.data().to_owned()
    }

    /// Fails, with what it said, if the hub has ended.
    pub(super) fn assert_runs(&mut self) {
        let process = &mut self.running.hub.process;
        assert!(process.is_running(), "the hub has ended\n{}", process.story());
    }

    /// The log, when the hub has opened it.
    pub(super) fn access(&mut self) -> Arc<dyn LogAccess> {
        self.running.connect()
    }

    /// What it has written to its log so far.
    pub(super) fn log(&self) -> String {
        self.running.hub.process.stderr()
    }

    /// What it tells Prometheus.
    pub(super) fn metrics(&self) -> String {
        self.running.metrics().expect("it answers")
    }

    /// Resident memory of the hub, the largest so far.
    pub(super) fn peak_memory_kib(&self) -> u64 {
        self.running.hub.process.peak_memory_kib().expect("it runs")
    }

    /// What it tells supervisors.
    pub(super) fn ready(&self) -> Value {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.running.port)).unwrap();
        let request = b"GET /health/ready HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n";
        std::io::Write::write_all(&mut stream, request).unwrap();
        let answer = std::io::read_to_string(stream).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub(super) fn run(&self, arguments: &[&str]) -> (ExitStatus, String, String) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let (command, _) = command("command", Some(self.running.data()), &settings);
        command.args(arguments).run(WITHIN)
    }

    #[track_caller]
    pub(super) fn succeed(&self, arguments: &[&str]) -> String {
        let (status, output, errors) = self.run(arguments);
        assert!(status.success(), "{arguments:?}: {output}\n{errors}");
        output
    }

    pub(super) fn append(&mut self, timestamp_ms: i64, events: &[Value]) {
        let access = self.running.connect();
        access.create_topic("shop.events", 2, Policy::Keep).unwrap();
        for (index, event) in (0..).zip(events) {
            let payload = event.to_string();
            let record = NewRecord {
                partition: Some(index % 2),
                timestamp_ms,
                key: Some(b"key"),
                value: Some(payload.as_bytes()),
                headers: &[],
            };
            access.append("shop.events", &[record], Durability::AsConfigured).unwrap();
        }
    }

    /// Whom an identifier names, once that is as it should be; `None`: nobody.
    #[track_caller]
    pub(super) fn becomes(&self, identifier: &str, is_right: &dyn Fn(Option<&Value>) -> bool) -> Option<Value> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let (status, output, errors) = self.run(&["identity", "show", identifier, "-o", "json"]);
            let shown: Option<Value> = status.success().then(|| serde_json::from_str(output.trim()).unwrap());
            if is_right(shown.as_ref()) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{identifier} is {shown:?}\n{errors}");
        }
    }

    /// The record of the one customer that an identifier or an id leads to, once it has so many touchpoints: records follow
    /// identities a moment later.
    #[track_caller]
    pub(super) fn customer(&self, identifier: &str, touchpoints: u64) -> Value {
        let deadline = Instant::now() + WITHIN;
        loop {
            let (_, output, errors) = self.run(&["customer", identifier, "-o", "json"]);
            let customer: Value = serde_json::from_str(output.trim()).unwrap_or_default();
            if customer["record"]["touchpoints"] == touchpoints {
                return customer;
            }
            assert!(Instant::now() < deadline, "{identifier}: {output}\n{errors}");
        }
    }

    #[track_caller]
    pub(super) fn has(&self, identifier: &str, identifiers: u64) -> String {
        let total = |shown: Option<&Value>| shown.map(|it| it["identifiers_total"].as_u64().unwrap());
        let shown = self.becomes(identifier, &|shown| total(shown) == Some(identifiers));
        shown.unwrap()["person"].as_str().unwrap().to_owned()
    }
}

pub(super) fn event(id: &str, day: i64, kind: &str, identifiers: Value) -> Value {
    json!({ "id": id, "kind": kind, "occurred_at": DAY_MS - (30 - day) * 86_400_000, "identifiers": identifiers })
}

#[test]
fn an_operator_looks_splits_takes_back_links_and_erases() {
    let mut house = House::new();
    house.append(
        DAY_MS,
        &[
            event("1", 1, "page_viewed", json!({ "cookie": "c-1" })),
            event("2", 2, "page_viewed", json!({ "cookie": "c-1" })),
            event("3", 3, "order_placed", json!({ "email": "Ann@Example.org", "cookie": "c-1" })),
            event("4", 4, "order_placed", json!({ "email": "ann@example.org", "order": "O-1" })),
            event("5", 5, "order_delivered", json!({ "order": "O-1" })),
            event("6", 6, "page_viewed", json!({ "email": "bob@example.org", "cookie": "c-2" })),
        ],
    );
    let ann = house.has("cookie:c-1", 3);
    assert_eq!(house.has("order:O-1", 3), ann, "the parcel finds its customer");
    let bob = house.has("email:bob@example.org", 2);
    let customer = house.customer("cookie:c-1", 5);
    assert_eq!(customer["person"].as_str(), Some(ann.as_str()));
    let table = house.succeed(&["identity", "show", "order:O-1"]);
    assert!(table.contains(&ann) && table.contains("ann@example.org") && table.contains("redirect"), "{table}");
    assert!(house.succeed(&["identity", "conflicts"]).contains("no conflicts"));

    // A split, and what it refuses.
    house.succeed(&["identity", "split", "cookie:c-1", "--from", "email:ann@example.org", "--id", "s-1"]);
    let cookie = house.has("cookie:c-1", 1);
    assert_ne!(cookie, ann);
    let conflicts = house.succeed(&["identity", "conflicts", "-o", "json"]);
    assert!(conflicts.contains("never_link") && conflicts.contains(&cookie), "{conflicts}");
    house.succeed(&["identity", "undo", "s-1"]);
    assert_eq!(house.has("cookie:c-1", 3), ann);

    // A name that nobody has seen yet may be the strongest that a person has: everything of them is found all the same.
    house.succeed(&["identity", "link", "email:bob@example.org", "customer_id:C-9", "--id", "l-1"]);
    let linked = house.has("email:bob@example.org", 3);
    assert_ne!(linked, bob);
    house.customer(&linked, 1);
    let kept: Value = serde_json::from_str(&house.succeed(&["export-person", "email:bob@example.org"])).unwrap();
    assert_eq!(kept["touchpoints"].as_array().map(Vec::len), Some(1), "{kept}");
    house.succeed(&["identity", "undo", "l-1"]);
    assert_eq!(house.has("email:bob@example.org", 2), bob);
    // Also where somebody of that name was erased before.
    house.append(DAY_MS, &[event("9", 9, "page_viewed", json!({ "customer_id": "C-9" }))]);
    house.has("customer_id:C-9", 1);
    house.succeed(&["erase", "customer_id:C-9", "--yes"]);
    house.becomes("customer_id:C-9", &|shown| shown.is_none());
    house.succeed(&["identity", "link", "email:bob@example.org", "customer_id:C-9", "--id", "l-2"]);
    let reborn = house.has("email:bob@example.org", 3);
    assert!(reborn != linked && reborn != bob, "{reborn}");
    house.customer(&reborn, 1);
    let kept: Value = serde_json::from_str(&house.succeed(&["export-person", "email:bob@example.org"])).unwrap();
    assert_eq!(kept["touchpoints"].as_array().map(Vec::len), Some(1), "{kept}");
    house.succeed(&["identity", "undo", "l-2"]);
    assert_eq!(house.has("email:bob@example.org", 2), bob);

    // Two who are one, as only somebody who knows them can say.
    house.succeed(&["identity", "link", "email:ann@example.org", "email:bob@example.org"]);
    house.has("cookie:c-2", 5);
    let (old, new) = if house.has("email:ann@example.org", 5) == ann { (bob, ann) } else { (ann, bob) };
    let moved = house.customer(&old, 6);
    assert_eq!(moved["person"].as_str(), Some(new.as_str()), "an id that is no longer in use finds the person");

    // An erasure is looked at, then made; what comes late of the time before is gone too, and who comes later is somebody else.
    let (status, _, errors) = house.run(&["erase", "email:bob@example.org"]);
    assert!(status.code() == Some(2) && errors.contains("--dry-run"), "{errors}");
    let would = house.succeed(&["erase", "email:bob@example.org", "--dry-run"]);
    assert!(would.contains("5 identifiers and 6 touchpoints would be erased"), "{would}");
    house.succeed(&["erase", "email:bob@example.org", "--yes"]);
    for identifier in ["email:bob@example.org", "email:ann@example.org", "cookie:c-1", "cookie:c-2", "order:O-1"] {
        house.becomes(identifier, &|shown| shown.is_none());
    }
    for feed in ["customers", "touchpoints", "identities"] {
        let deadline = Instant::now() + WITHIN;
        while !house.succeed(&["export", feed]).trim().is_empty() {
            assert!(Instant::now() < deadline, "{feed} has something left");
        }
    }
    house.append(DAY_MS, &[event("7", 7, "page_viewed", json!({ "email": "ann@example.org" }))]);
    let mut later = event("8", 8, "page_viewed", json!({ "email": "ann@example.org" }));
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    later["occurred_at"] = json!(now_ms);
    house.append(now_ms, &[later]);
    let reborn = house.has("email:ann@example.org", 1);
    assert!(reborn != new && reborn != old, "an identifier that is used again names somebody else");
    // What came late of the time before is not there.
    house.customer(&reborn, 1);
}
