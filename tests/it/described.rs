//! The API against its own description: a hub with the demo company, which Schemathesis asks for every operation, with what the
//! description allows and with what it does not.
//!
//! `tests/api/check.py` says what is asked, and proves that it would see an answer that is other than described. `tests/run`
//! installs what the script stands on.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    http::ask,
    kafka::free_port,
    process::{Hub, Process},
    sweeper::Scratch,
};

const WITHIN: Duration = Duration::from_secs(240);
/// Enough that every list has something in it.
const TOUCHPOINTS: &str = "4000";
const ROLES: [&str; 5] = ["read:metrics", "read:customers", "review", "erase", "operate"];

/// The packages that the script stands on; `None` where `tests/run` could not install them, and has said and counted so.
fn packages() -> Option<PathBuf> {
    let set = std::env::var_os("INSIGHT_HUB_TEST_SCHEMATHESIS");
    if set.as_ref().is_some_and(|set| set == "none") {
        return None;
    }
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache/schemathesis");
    let packages = set.map_or_else(usual, PathBuf::from);
    assert!(
        packages.join("schemathesis").exists(),
        "Schemathesis is not in {}: run `tests/run` once, which installs it (or set INSIGHT_HUB_TEST_SCHEMATHESIS)",
        packages.display()
    );
    Some(packages)
}

#[test]
fn every_operation_answers_as_it_is_described_whatever_it_is_asked() {
    let Some(packages) = packages() else { return };
    let (home, port) = (Scratch::new("described"), free_port());
    let directory = home.path().join("company");
    let settings = [format!("serve.listen=127.0.0.1:{port}"), "serve.requests_per_second=100000".to_owned()];
    let settings = settings.iter().flat_map(|setting| ["--set", setting.as_str()]);
    let shown = directory.display().to_string();
    let story = ["--touchpoints", TOUCHPOINTS, "--pace", "0", "--listen", "127.0.0.1:0", "--directory", &shown];
    let mut hub = Hub::command("described").args(settings).args(["demo"]).args(story).spawn();
    let begun = Instant::now();
    let is_current =
        || ask(port, "GET", "/", &[]).is_some_and(|it| it.status == 200 && it.body.contains("Current: everything"));
    while !hub.process.stdout().contains("The story is told") || !is_current() {
        assert!(hub.process.is_running() && begun.elapsed() < WITHIN, "{}", hub.process.story());
        std::thread::sleep(Duration::from_millis(200));
    }
    let spokes = ask(port, "GET", "/api/v1/spokes", &[]).expect("an answer").items();
    let ingest: Vec<String> = spokes.iter().map(|it| format!("ingest:{}", it["spoke"].as_str().unwrap())).collect();
    assert!(!ingest.is_empty(), "the demo has departments");
    let data = format!("hub.data_directory={}", directory.join("data").display());
    let roles = ROLES.into_iter().chain(ingest.iter().map(String::as_str)).flat_map(|role| ["--role", role]);
    let made = Hub::command("token").args(["--set", &data, "token", "create", "test", "-o", "json"]).args(roles);
    let (status, output, errors) = made.run(WITHIN);
    assert!(status.success(), "{errors}");
    let made: Value = serde_json::from_str(&output).unwrap();
    eprintln!("the demo is there: {:.1?}", begun.elapsed());

    let begun = Instant::now();
    let mut script = Command::new("python3");
    script
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/check.py"))
        .args([&format!("http://127.0.0.1:{port}"), made["token"].as_str().unwrap()])
        .env("PYTHONPATH", &packages);
    let mut script = Process::spawn("check", &mut script, home.path());
    let status = script.wait_or_fail(WITHIN);
    eprintln!("asked: {:.1?}", begun.elapsed());
    assert!(status.success(), "{}\n{}", script.stdout(), script.stderr());
    assert!(script.stdout().contains("the API is as it is described"), "{}", script.stdout());
    assert!(hub.process.is_running(), "{}", hub.process.story());
    assert!(!hub.process.stderr().contains("panicked"), "{}", hub.process.story());
}
