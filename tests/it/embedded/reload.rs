//! A hub that reads its configuration again while it runs: by a command and by SIGHUP, applied whole or not at all.

use std::{
    collections::BTreeMap,
    path::Path,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use insight_hub::engine::log::access::{Durability, LogAccess, NewRecord};

use super::process::{Running, command, feeds};
use crate::harness::{process::Signal, sweeper::Scratch};

const WITHIN: Duration = Duration::from_secs(60);

fn mapping(home: &Path, region: &str) {
    let text = format!(
        "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nid = \"n\"\nkind = {{ constant = \"visit_made\" }}\n\
         occurred_at = {{ path = \"at\", format = \"epoch_ms\" }}\nidentifiers = {{ customer_id = \"who\" }}\n{region}\n"
    );
    std::fs::create_dir_all(home.join("spokes")).unwrap();
    std::fs::write(home.join("spokes/shop.toml"), text).unwrap();
}

fn reload(running: &Running, more: &[&str]) -> (ExitStatus, String, String) {
    let (command, _) = command("reload-command", Some(running.data()), more);
    command.args(["reload"]).run(WITHIN)
}

/// Appends ten records and waits until the hub has decided on them.
fn append(running: &Running, access: &Arc<dyn LogAccess>, from: u32) {
    for n in from..from + 10 {
        let payload = format!(r#"{{"n":{n},"at":{},"who":"C{}"}}"#, 1_770_000_000_000_u64 + u64::from(n), n % 3);
        let record =
            NewRecord { timestamp_ms: 1_770_000_000_000, value: Some(payload.as_bytes()), ..NewRecord::default() };
        access.append("shop.events", &[record], Durability::AsConfigured).unwrap();
    }
    let deadline = Instant::now() + WITHIN;
    while running.taken() < u64::from(from) + 10 {
        assert!(Instant::now() < deadline, "{} of {} are taken", running.taken(), from + 10);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait_for(running: &Running, figure: &str, value: f64) {
    let deadline = Instant::now() + WITHIN;
    while running.figure(figure) < Some(value) {
        assert!(Instant::now() < deadline, "{figure} is {:?} and not {value}", running.figure(figure));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_running_hub_takes_a_mapping_and_refuses_what_is_wrong_or_needs_a_restart() {
    let home = Scratch::new("reload-home");
    mapping(home.path(), "region = { constant = \"one\" }");
    let spokes = format!("spokes.directory={}", home.path().join("spokes").display());
    let mut running = Running::start("reload", None, &[&spokes]);
    let access = running.connect();
    append(&running, &access, 0);

    // Nothing changed, and then a mapping did.
    let (status, output, errors) = reload(&running, &[]);
    assert!(status.success() && output.starts_with("unchanged"), "{output}{errors}");
    mapping(home.path(), "region = { constant = \"two\" }");
    let (status, output, errors) = reload(&running, &[]);
    assert_eq!((status.code(), output.as_str()), (Some(0), "applied: the mapping of shop\n"), "{errors}");
    append(&running, &access, 10);

    // A signal does the same; what is skipped by a condition counts as skipped.
    mapping(home.path(), "region = { constant = \"three\" }\ncondition = \"n >= 25\"");
    running.hub.process.signal(Signal::Hangup);
    wait_for(&running, "insight_hub_reloads_total", 3.0);
    append(&running, &access, 20);
    let skipped = running.figure("insight_hub_outcomes_total{outcome=\"skipped\",spoke=\"shop\"}");
    assert_eq!(skipped, Some(5.0), "what the condition leaves out");
    let regions = |access: &Arc<dyn LogAccess>| -> BTreeMap<u32, String> {
        let touchpoint = |value: &serde_json::Value| {
            (value["id"].as_str().unwrap().parse().unwrap(), value["region"].as_str().unwrap().to_owned())
        };
        feeds(access).unwrap().touchpoints.values().map(touchpoint).collect()
    };
    let expected: BTreeMap<u32, String> = (0..30)
        .filter(|n| !(20..25).contains(n))
        .map(|n| (n, ["one", "two", "three"][n as usize / 10].to_owned()))
        .collect();
    let deadline = Instant::now() + WITHIN;
    while regions(&access) != expected {
        assert!(Instant::now() < deadline, "{:?}", regions(&access));
        std::thread::sleep(Duration::from_millis(50));
    }

    // Wrong, and nothing of it applied.
    let hash = running.figure("insight_hub_mappings_hash");
    mapping(home.path(), "region = { constant = \"four\" }\ncondition = \"n >= \"");
    let (status, _, errors) = reload(&running, &[]);
    assert!(status.code() == Some(2) && errors.contains("line 9: condition: it is not readable as CEL"), "{errors}");
    // A new spoke and a key of the configuration need a restart, and nothing is applied.
    mapping(home.path(), "region = { constant = \"four\" }");
    let web = "spoke = \"web\"\ntopic = \"web.events\"\nformat = \"touchpoint-json\"\n";
    std::fs::write(home.path().join("spokes/web.toml"), web).unwrap();
    let file = running.hub.directory().join("hub.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("workers = 2", "workers = 1")).unwrap();
    let (status, _, errors) = reload(&running, &[]);
    assert!(
        status.code() == Some(1) && errors.contains("this needs a restart: hub.workers, spoke web (new)"),
        "{errors}"
    );
    assert_eq!(running.figure("insight_hub_mappings_hash"), hash);
    append(&running, &access, 30);
    assert_eq!(running.figure("insight_hub_reloads_total"), Some(5.0));
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
    let story = running.hub.process.stderr();
    assert!(story.contains("a restart is needed") && story.contains("configuration applied"), "{story}");

    let (status, _, errors) = reload(&running, &[]);
    assert!(status.code() == Some(1) && errors.contains("no hub runs with the data directory"), "{errors}");
}
