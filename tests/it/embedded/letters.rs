//! Dead letters of a hub as a process: a wrong mapping, mended, and a replay that makes good what was rejected, once.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use insight_hub::engine::log::{
    access::{Durability, LogAccess, NewRecord},
    commit_log::Policy,
};
use serde_json::Value;

use super::process::{Running, command, feeds};
use crate::{
    harness::sweeper::Scratch,
    oracle::{Feeds, compare},
};

const WITHIN: Duration = Duration::from_secs(120);
/// 2026-03-20T00:00:00Z.
const DAY_MS: i64 = 1_773_964_800_000;
const EVENTS: i64 = 60;

/// The folder of three departments: with ids of their own, of their content, and of their position.
fn spokes(folder: &Path, kinds: &str) {
    std::fs::create_dir_all(folder).unwrap();
    for (spoke, id) in [("shop", "number"), ("web", "content"), ("desk", "position")] {
        let mapping = format!(
            "spoke = \"{spoke}\"\ntopic = \"{spoke}.events\"\nformat = \"json\"\nid = \"{id}\"\n\
             occurred_at = {{ path = \"when\", format = \"rfc3339\" }}\n\
             kind = {{ path = \"what\", map = {{ {kinds} }}, unmapped = \"reject\" }}\n\
             identifiers = {{ customer_id = \"who\" }}\n"
        );
        std::fs::write(folder.join(format!("{spoke}.toml")), mapping).unwrap();
    }
}

const WRONG: &str = "order = \"order_placed\"";
const RIGHT: &str = "order = \"order_placed\", look = \"page_viewed\"";

/// A house with its folder of spokes.
struct House {
    data: PathBuf,
    spokes: String,
    folder: PathBuf,
    _home: Scratch,
}

impl House {
    fn new(name: &str, kinds: &str) -> House {
        let home = Scratch::new(name);
        let folder = home.path().join("spokes");
        spokes(&folder, kinds);
        let spokes = format!("spokes.directory={}", folder.display());
        House { data: home.path().join("data"), spokes, folder, _home: home }
    }

    fn start(&self, name: &str) -> Running {
        Running::start(name, Some(&self.data), &[&self.spokes])
    }

    fn run(&self, arguments: &[&str]) -> (ExitStatus, String, String) {
        let (command, _) = command("command", Some(&self.data), &[&self.spokes]);
        command.args(arguments).run(WITHIN)
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> String {
        let (status, output, errors) = self.run(arguments);
        assert!(status.success(), "{arguments:?}: {output}\n{errors}");
        output
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.succeed(arguments);
        serde_json::from_str(output.trim()).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{output}"))
    }
}

/// Orders, looks, and of both some that no mapping takes: without a time, or long after their own record.
fn event(number: i64) -> String {
    let what = if number % 3 == 0 { "order" } else { "look" };
    let when = match number % 20 {
        7 => "soon".to_owned(),
        13 => "2026-04-20T10:00:00Z".to_owned(),
        _ => format!("2026-03-{:02}T{:02}:00:00Z", 1 + number % 19, number % 24),
    };
    format!(r#"{{"number":"N-{number}","what":"{what}","when":"{when}","who":"C{:02}"}}"#, number % 7)
}

fn append(access: &Arc<dyn LogAccess>, spoke: &str, numbers: impl Iterator<Item = i64>) -> usize {
    let topic = format!("{spoke}.events");
    access.create_topic(&topic, 2, Policy::Keep).unwrap();
    let events: Vec<String> = numbers.map(event).collect();
    let record = |(index, payload): (u32, &String)| {
        let header: (&str, Option<&[u8]>) = ("trace", Some(b"17"));
        let records = [NewRecord {
            partition: Some(index % 2),
            timestamp_ms: DAY_MS,
            key: Some(b"key"),
            value: Some(payload.as_bytes()),
            headers: &[header],
        }];
        access.append(&topic, &records, Durability::AsConfigured).unwrap();
    };
    (0..).zip(&events).for_each(record);
    events.len()
}

fn append_all(access: &Arc<dyn LogAccess>) -> usize {
    ["shop", "web", "desk"].iter().map(|spoke| append(access, spoke, 0..EVENTS)).sum()
}

/// Waits until a hub that runs since `start` has taken so many records.
fn wait_for(running: &mut Running, records: usize) -> Arc<dyn LogAccess> {
    let deadline = Instant::now() + WITHIN;
    let access = running.connect();
    while running.taken() < records as u64 {
        assert!(Instant::now() < deadline, "{records} records are not taken\n{}", running.hub.process.story());
        thread::sleep(Duration::from_millis(100));
    }
    access
}

fn assert_becomes(running: &mut Running, expected: &Feeds) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let actual = feeds(&running.connect()).unwrap();
        let differences = compare(expected, &actual);
        if differences.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            let shown: Vec<String> = differences.iter().take(12).map(ToString::to_string).collect();
            panic!("{} differences\n{}\n{}", differences.len(), shown.join("\n"), running.hub.process.story());
        }
        thread::sleep(Duration::from_millis(300));
    }
}

/// What the feeds hold when nothing moves any more.
fn settled(running: &mut Running) -> Feeds {
    let access = running.connect();
    let (mut newest, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(2_500) {
        let now = access.status().unwrap().newest;
        if std::mem::replace(&mut newest, now) != now {
            since = Instant::now();
        }
        thread::sleep(Duration::from_millis(100));
    }
    feeds(&access).unwrap()
}

#[test]
fn a_replay_after_mending_makes_the_feeds_those_of_a_hub_without_the_defect() {
    // What it must become.
    let sound = House::new("letters-sound", RIGHT);
    let mut running = sound.start("sound");
    let mut records = append_all(&running.connect());
    records += append(&running.connect(), "shop", 30..EVENTS);
    wait_for(&mut running, records);
    let expected = settled(&mut running);
    assert!(expected.touchpoints.len() > 100, "{}", expected.touchpoints.len());
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));

    let house = House::new("letters", WRONG);
    let mut running = house.start("wrong");
    let sent = append_all(&running.connect());
    wait_for(&mut running, sent);
    let list = house.json(&["rejected", "list", "-o", "json"]);
    let count = |list: &Value, spoke: &str, reason: &str| {
        let rows = list["summary"].as_array().unwrap();
        let found = rows.iter().find(|row| row["spoke"] == spoke && row["reason"] == reason);
        found.map_or(0, |row| row["count"].as_u64().unwrap())
    };
    // Two of three are looks; the bad orders have their own reason.
    for spoke in ["shop", "web", "desk"] {
        assert_eq!(count(&list, spoke, "unknown_kind"), 40, "{list}");
        assert_eq!(count(&list, spoke, "bad_timestamp"), 1, "{list}");
    }
    let orders = house.json(&["rejected", "list", "--spoke", "web", "--reason", "bad_timestamp", "-o", "json"]);
    let position = orders["letters"][0]["position"].as_str().unwrap().to_owned();
    let shown = house.json(&["rejected", "show", &position, "-o", "json"]);
    assert_eq!(
        (&shown["record"]["key_text"], &shown["record"]["headers"][0]["name"]),
        (&"key".into(), &"trace".into())
    );
    assert_eq!(shown["record"]["value_text"], event(27));
    assert_eq!(shown["letters"][0]["timestamp"], "2026-03-20T00:00:00.000Z");
    let explained = house.json(&["explain", "N-4", "--spoke", "shop", "-o", "json"]);
    assert_eq!(explained["answer"], "it was rejected", "{explained}");
    assert_eq!(explained["rejected"][0]["reason"], "unknown_kind");
    let before = house.json(&["rejected", "replay", "--dry-run", "-o", "json"]);
    assert!(before["summary"].to_string().contains("still rejected") && before["records_sent"] == 0, "{before}");
    assert_eq!(house.json(&["rejected", "replay", "-o", "json"])["records_sent"], 0, "nothing is mended yet");
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));

    // Mended. A dry run, while nothing runs, says what there is to gain.
    spokes(&house.folder, RIGHT);
    let gain = house.json(&["rejected", "replay", "--dry-run", "-o", "json"]);
    let accepted = |report: &Value| -> u64 {
        let rows = report["summary"].as_array().unwrap();
        rows.iter().filter(|row| row["result"] == "accepted").map(|row| row["count"].as_u64().unwrap()).sum()
    };
    // Of 40 looks each, 2 have no time and 2 lie too far after their own record.
    assert_eq!((accepted(&gain), &gain["records_sent"]), (108, &0.into()), "{}", gain["summary"]);
    assert!(gain["summary"].to_string().contains("still rejected: too_far_in_future"), "{}", gain["summary"]);
    let explained = house.json(&["explain", "N-4", "--spoke", "shop", "-o", "json"]);
    assert!(explained["answer"].as_str().unwrap().contains("rejected replay"), "{explained}");

    let mut running = house.start("right");
    // Meanwhile a department has sent half of its events again by itself.
    let again = append(&running.connect(), "shop", 30..EVENTS);
    wait_for(&mut running, again);
    assert_eq!(house.json(&["rejected", "replay", "--spoke", "web", "-o", "json"])["records_sent"], 36);
    assert_eq!(house.json(&["rejected", "replay", "-o", "json"])["records_sent"], 108);
    wait_for(&mut running, again + 36 + 108);
    assert_becomes(&mut running, &expected);
    // And all over again.
    assert_eq!(house.json(&["rejected", "replay", "-o", "json"])["records_sent"], 108);
    wait_for(&mut running, again + 36 + 108 + 108);
    let settled = settled(&mut running);
    let differences = compare(&expected, &settled);
    assert!(differences.is_empty(), "{:?}", differences.iter().map(ToString::to_string).collect::<Vec<_>>());
    let after = house.json(&["rejected", "list", "-o", "json"]);
    assert_eq!(
        after["letters"].as_array().unwrap().len(),
        list["letters"].as_array().unwrap().len() + 3,
        "a replay makes no dead letters; what was sent again made those of its bad events"
    );

    let explained = house.json(&["explain", "N-4", "--spoke", "shop", "--arrivals", "-o", "json"]);
    assert!(explained["answer"].as_str().unwrap().starts_with("it counts now"), "{explained}");
    let arrivals: Vec<&str> =
        explained["arrivals"].as_array().unwrap().iter().map(|arrival| arrival["is"].as_str().unwrap()).collect();
    assert_eq!(arrivals, ["the one that counts", "a duplicate", "a duplicate"]);
    let table = house.succeed(&["explain", "N-4"]);
    assert!(table.contains("what cannot be known") && table.contains("order_placed") || table.contains("page_viewed"));
    let unknown = house.json(&["explain", "N-4000", "-o", "json"]);
    assert_eq!(unknown["answer"], "nothing is known of it");
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
}

#[test]
fn a_tap_shows_what_comes_and_what_it_becomes_and_hides_who_it_is() {
    let house = House::new("tap", WRONG);
    let mut running = house.start("tapped");
    append(&running.connect(), "shop", 0..EVENTS);
    let lines = |more: &[&str]| -> Vec<Value> {
        let output = house.succeed(&[&["tap", "shop", "--from-beginning", "-o", "jsonl"][..], more].concat());
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines(&["--until-end"]);
    assert_eq!(all.len(), EVENTS as usize);
    let is = |word: &str| all.iter().filter(|line| line["becomes"][0]["outcome"] == word).count();
    // Of 20 orders one has no time (27) and one lies too far ahead (33).
    assert_eq!((is("accepted"), is("rejected")), (18, 42));
    let text = Value::from(all.clone()).to_string();
    assert!(text.contains("***") && !text.contains("C0") && !text.contains("value_text"), "nobody is named");
    assert_eq!(lines(&["--max", "3"]).len(), 3, "it ends by itself beside the running hub");
    let text = Value::from(lines(&["--max", "60", "--unmasked"])).to_string();
    assert!(text.contains("\"customer_id\":[\"C0") && text.contains("value_text"), "who asks sees it");
    // Live: what comes from now on, and nothing of before.
    let (command, _) = command("tapping", Some(&house.data), &[&house.spokes]);
    let mut tap = command.args(["tap", "shop", "--max", "3", "-o", "jsonl"]).spawn();
    let (access, deadline, mut next) = (running.connect(), Instant::now() + WITHIN, EVENTS);
    while tap.process.is_running() {
        assert!(Instant::now() < deadline, "nothing comes\n{}", tap.process.story());
        append(&access, "shop", next..next + 2);
        next += 2;
        thread::sleep(Duration::from_millis(100));
    }
    let told: Vec<Value> = tap.process.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 3, "{}", tap.process.story());
    // Of before, each of two partitions has half.
    let offset = |line: &Value| line["position"].as_str()?.rsplit('|').next()?.parse::<i64>().ok();
    assert!(told.iter().all(|line| offset(line) >= Some(EVENTS / 2)), "{told:?}");
    let (status, _, errors) = house.run(&["tap", "shops"]);
    assert!(status.code() == Some(2) && errors.contains("desk, shop, web"), "{errors}");
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
    let (status, _, errors) = house.run(&["tap", "shop"]);
    assert!(status.code() == Some(1) && errors.contains("--until-end"), "nothing would ever come: {errors}");
    let table = house.succeed(&["tap", "shop", "--from-beginning", "--until-end"]);
    assert!(table.contains("unknown_kind") && table.contains("order_placed") && !table.contains("C0"), "{table}");
}

#[test]
fn a_list_of_contacts_becomes_touchpoints_and_few_copies_of_a_record_that_is_mostly_bad() {
    let house = House::new("lists", RIGHT);
    let mapping = "spoke = \"parcels\"\ntopic = \"parcels.events\"\nformat = \"json\"\nid = \"shipment\"\neach = \"list\"\n\
                   occurred_at = { path = \".at\", format = \"rfc3339\" }\nkind = { constant = \"order_shipped\" }\n\
                   identifiers = { customer_id = \"who\", order = \".order\" }\n";
    std::fs::write(house.folder.join("parcels.toml"), mapping).unwrap();
    let element = |number: usize| match number % 5 {
        0 => format!(r#"{{"at":"2026-03-01T10:00:00Z","order":"O-{number}"}}"#),
        _ => r#"{"at":"soon"}"#.to_owned(),
    };
    let list: Vec<String> = (0..15).map(element).collect();
    let payload = format!(r#"{{"shipment":"S1","who":"C1","list":[{}]}}"#, list.join(","));

    let mut running = house.start("lists");
    let access = running.connect();
    let record =
        NewRecord { partition: None, timestamp_ms: DAY_MS, key: None, value: Some(payload.as_bytes()), headers: &[] };
    access.append("parcels.events", &[record], Durability::AsConfigured).unwrap();
    wait_for(&mut running, 15);
    settled(&mut running);

    let touchpoints = house.succeed(&["export", "touchpoints"]);
    let ids: Vec<String> = touchpoints
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["value"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3, "{touchpoints}");
    assert!(ids.iter().all(|id| id.starts_with("S1#")), "{ids:?}");
    let list = house.json(&["rejected", "list", "-o", "json"]);
    assert_eq!(list["letters"].as_array().unwrap().len(), 8, "each letter holds the whole record: {list}");
    assert_eq!(running.hub.process.terminate(WITHIN).code(), Some(0));
}

#[test]
fn a_record_that_is_too_long_for_a_letter_goes_back_whole_from_its_topic() {
    let house = House::new("long-letters", WRONG);
    let mut running = house.start("long");
    let access = running.connect();
    access.create_topic("shop.events", 2, Policy::Keep).unwrap();
    let log = "é".repeat(510_000);
    let payload = format!(r#"{{"log":"{log}","number":"N-1","what":"look","when":"2026-03-01T10:00:00Z","who":"C1"}}"#);
    let value = Some(payload.as_bytes());
    let records = [NewRecord { partition: Some(1), timestamp_ms: DAY_MS, key: Some(b"key"), value, headers: &[] }];
    access.append("shop.events", &records, Durability::AsConfigured).unwrap();
    wait_for(&mut running, 1);
    settled(&mut running);
    let shown = house.json(&["rejected", "show", "shop.events:1:0", "-o", "json"]);
    assert_eq!(shown["letters"][0]["cut"]["whole_bytes"], payload.len(), "{}", shown["letters"]);
    let kept = shown["record"]["value_text"].as_str().unwrap();
    assert!(kept.len() <= 65_536 && kept.len() > 65_530 && payload.starts_with(kept), "{}", kept.len());
    let explained = house.json(&["explain", "shop.events-1-0", "-o", "json"]);
    assert!(explained["rejected"][0].to_string().contains("too long for a dead letter"), "{explained}");
    assert_eq!(running.hub.process.terminate(WITHIN).code(), Some(0));

    spokes(&house.folder, RIGHT);
    let gain = house.json(&["rejected", "replay", "--dry-run", "-o", "json"]);
    assert_eq!((&gain["letters"][0]["result"], &gain["records_sent"]), (&"accepted".into(), &0.into()), "{gain}");
    let mut running = house.start("mended");
    running.connect();
    assert_eq!(house.json(&["rejected", "replay", "-o", "json"])["records_sent"], 1);
    wait_for(&mut running, 1);
    settled(&mut running);
    let touchpoints = house.succeed(&["export", "touchpoints"]);
    assert!(touchpoints.contains("\"N-1\""), "{touchpoints}");
    let list = house.json(&["rejected", "list", "-o", "json"]);
    assert_eq!(list["letters"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(running.hub.process.terminate(WITHIN).code(), Some(0));
}
