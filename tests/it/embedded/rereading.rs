//! `insight-hub rebuild --from-sources` on an embedded log: refused while a hub runs, killed in the middle, gone on with.

use std::{
    collections::BTreeMap,
    path::Path,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use insight_hub::engine::log::access::{Durability, LogAccess, NewRecord};
use serde_json::Value;

use super::process::{Running, command, feed, feeds, records};
use crate::harness::sweeper::Scratch;

const WITHIN: Duration = Duration::from_secs(120);
const EVENTS: u64 = 4_000;
const CUSTOMERS: u64 = 40;

fn mapping(home: &Path, rest: &str) {
    let text = format!(
        "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nkind = {{ constant = \"visit_made\" }}\n\
         occurred_at = {{ path = \"at\", format = \"epoch_ms\" }}\n{rest}\n"
    );
    std::fs::create_dir_all(home.join("spokes")).unwrap();
    std::fs::write(home.join("spokes/shop.toml"), text).unwrap();
}

const WRONG: &str = "id = \"n\"\nregion = { constant = \"nowhere\" }\nidentifiers = { customer_id = \"account\" }";
const RIGHT: &str =
    "id = \"key\"\ncondition = \"n % 4 != 0\"\nregion = \"place\"\nidentifiers = { customer_id = \"who\" }";

/// Two events of each key; of each tenth the first mapping finds no customer.
fn append(access: &Arc<dyn LogAccess>, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let account = if n % 10 == 0 { "null".to_owned() } else { format!("\"A{}\"", n % 7) };
        let payload = format!(
            r#"{{"n":{n},"key":"k{}","at":{},"who":"C{}","account":{account},"place":"P{}"}}"#,
            n / 2,
            1_770_000_000_000_u64 + n * 15_000,
            n / 2 % CUSTOMERS,
            n / 2 % 3
        );
        let record =
            NewRecord { timestamp_ms: 1_770_000_000_000, value: Some(payload.as_bytes()), ..NewRecord::default() };
        access.append("shop.events", &[record], Durability::AsConfigured).unwrap();
    }
}

/// Waits until so much was decided on, and all of it has come to its end.
fn wait_for_outcomes(running: &Running, at_least: u64) {
    let deadline = Instant::now() + WITHIN;
    while running.taken() < at_least {
        assert!(Instant::now() < deadline, "{}", running.taken());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Lags are told once a second: two that are told are of after the last outcome.
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1_200));
        while running.figure("insight_hub_lag_records") != Some(0.0) {
            assert!(Instant::now() < deadline, "{:?}", running.figure("insight_hub_lag_records"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn run(data: &Path, spokes: &str, fault: Option<&str>, arguments: &[&str]) -> (ExitStatus, String, String) {
    let (mut command, _) = command("rereading-command", Some(data), &[spokes, "commit.interval_ms=20"]);
    if let Some(fault) = fault {
        command = command.env("INSIGHT_HUB_TEST_FAULT", fault);
    }
    command.args(arguments).run(WITHIN)
}

/// `shop, reading N: …`
fn number_of_reading(output: &str) -> u32 {
    let number = output.split_once("shop, reading ").and_then(|(_, rest)| rest.split_once(':'));
    number.expect(output).0.parse().expect(output)
}

/// What must not change: accounts, data quality, dead letters.
fn arrived(access: &Arc<dyn LogAccess>) -> (BTreeMap<String, Value>, BTreeMap<String, Value>, usize) {
    let mut quality = feeds(access).unwrap().metrics;
    quality.retain(|key, _| key.starts_with("data_quality|"));
    for fields in quality.values_mut().filter_map(Value::as_object_mut) {
        fields.retain(|name, _| name != "status" && name != "revision");
    }
    (feed(access, "insight.spokes").unwrap(), quality, records(access, "insight.rejected").unwrap().len())
}

#[test]
fn a_second_reading_that_is_killed_goes_on_to_what_the_mapping_of_now_makes() {
    let home = Scratch::new("rereading-home");
    mapping(home.path(), WRONG);
    let spokes = format!("spokes.directory={}", home.path().join("spokes").display());
    let mut running = Running::start("rereading", None, &[&spokes]);
    let data = running.data().to_owned();
    let access = running.connect();
    append(&access, 0..EVENTS);
    wait_for_outcomes(&running, EVENTS);
    let command = ["rebuild", "--from-sources"];
    let (status, _, errors) = run(&data, &spokes, None, &command);
    assert!(status.code() == Some(1) && errors.contains("open elsewhere"), "{errors}");
    drop(access);
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
    let mut running = Running::start("rereading", Some(&data), &[&spokes]);
    let before = {
        let access = running.connect();
        let deadline = Instant::now() + WITHIN;
        // An account is published a moment after what it tells of.
        loop {
            let arrived = arrived(&access);
            if arrived.0["shop"]["records"] == EVENTS {
                break arrived;
            }
            assert!(Instant::now() < deadline, "{arrived:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    assert!(before.2 >= EVENTS as usize / 10, "those without an account are dead letters: {}", before.2);
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));

    mapping(home.path(), RIGHT);
    let (status, _, errors) = run(&data, &spokes, None, &["rebuild", "--from-sources", "--spoke", "shoe"]);
    assert!(status.code() == Some(2) && errors.contains("no spoke \"shoe\"; there are shop"), "{errors}");
    let (status, output, _) = run(&data, &spokes, None, &["rebuild"]);
    assert!(status.success() && output.contains("nothing to do"), "a mapping is no definition: {output}");
    let mut killed = 0;
    for commits in [2, 4, 3] {
        let (status, output, errors) = run(&data, &spokes, Some(&format!("after-commit:{commits}")), &command);
        assert!(status.code().is_none() || status.success(), "{output}{errors}");
        if status.success() {
            // The whole of it was read before it could be killed: what follows reads it once more.
            break;
        }
        killed += 1;
        if killed == 2 {
            let (status, output, errors) = run(&data, &spokes, None, &["run"]);
            assert_eq!(status.code(), Some(5), "{output}{errors}");
            assert!(errors.contains("insight-hub rebuild --from-sources"), "{errors}");
        }
    }
    assert!(killed >= 2, "it was ended in the middle {killed} times");
    let (status, output, errors) = run(&data, &spokes, None, &command);
    assert!(status.success(), "{output}{errors}");
    assert!(output.contains("touchpoints that it no longer makes were removed"), "{output}");
    assert!(output.contains("Start the hub with `insight-hub run`"), "{output}");
    // One that was killed after its last commit had read all of it, too.
    let reading = number_of_reading(&output);
    assert!((1..=3).contains(&reading), "{output}");

    // Everything that is published is what a new hub makes of the input.
    let (status, output, errors) = run(&data, &spokes, None, &["state", "verify", "--from-input"]);
    assert!(status.success() && output.contains(" 0 are not what"), "{output}{errors}");
    assert_eq!(output.matches("values are those of the input").count(), 4, "{output}");

    let mut running = Running::start("rereading", Some(&data), &[&spokes]);
    let access = running.connect();
    assert_eq!(arrived(&access), before, "nothing has arrived");
    append(&access, EVENTS..EVENTS + 100);
    wait_for_outcomes(&running, 100);
    drop(access);
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
    let (status, output, errors) = run(&data, &spokes, None, &["state", "verify", "--from-input"]);
    assert!(status.success(), "what comes afterwards competes with what was read again: {output}{errors}");
    // A store that was lost is restored with the readings in it.
    std::fs::remove_dir_all(data.join("stores")).unwrap();
    let (status, output, errors) = run(&data, &spokes, None, &command);
    assert!(status.success() && number_of_reading(&output) == reading + 1, "{output}{errors}");
    assert!(output.contains("; 0 touchpoints that it no longer makes"), "{output}");
    let (status, output, errors) = run(&data, &spokes, None, &["state", "verify", "--from-input"]);
    assert!(status.success(), "{output}{errors}");
}
