//! The README's guide, followed to the letter in an empty folder: a department that no code knows is plugged in without Kafka.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use insight_hub::engine::log::access::socket::Remote;

use crate::harness::process::{Hub, HubCommand};

const TITLE: &str = "## Plug in a department in ten minutes";
const WITHIN: Duration = Duration::from_secs(120);

/// The shell blocks of the guide, up to the part that needs Kafka.
fn blocks() -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let guide = readme.split(TITLE).nth(1).expect("the guide").split("\n## ").next().unwrap();
    let guide = guide.split("**With Kafka**").next().unwrap();
    guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Runs a block as a user would: (exit code, stdout, stderr).
fn shell(directory: &Path, block: &str) -> (Option<i32>, String, String) {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_insight-hub"));
    let path = std::env::join_paths(
        std::iter::once(program.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut command = Command::new("bash");
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("INSIGHT_HUB")) {
        command.env_remove(key);
    }
    let output = command.current_dir(directory).env("PATH", path.unwrap()).args(["-euc", block]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A user reads a sentence between two commands; the hub publishes meanwhile.
fn wait_until_published(directory: &Path) {
    let began = Instant::now();
    loop {
        let (code, output, errors) =
            shell(directory, "insight-hub tail touchpoints --from-beginning --until-end -o jsonl");
        if code == Some(0) && output.lines().count() >= 7 {
            return;
        }
        assert!(began.elapsed() < WITHIN, "{output}{errors}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Runs each command that shows things beside the hub, for programs.
fn every_result_is_one_document_or_lines(directory: &Path) {
    for command in [
        "check --connect",
        "check --spoke garage --sample garage.ndjson",
        "tail metrics --from-beginning --until-end",
        "tap garage --from-beginning --max 3",
        "rejected list",
        "rejected list --summary",
        "rejected show garage.events:0:0",
        "rejected replay --dry-run",
        "explain g-1 --arrivals",
        "customer customer_id:PK-1077",
        "alerts list",
        "priorities list",
        "identity conflicts",
        "identity show customer_id:PK-1077",
        "erase customer_id:PK-1077 --dry-run",
        "token create reader-FORMAT --role read:metrics",
        "token list",
        "export touchpoints",
        "import garage.ndjson --spoke garage",
        "backup copy-FORMAT",
        "restore copy-FORMAT --data-directory restored-FORMAT",
        "generate --to-files company-FORMAT --touchpoints 100",
        "state verify --data-directory restored-FORMAT",
    ] {
        for format in ["json", "jsonl"] {
            let command = command.replace("FORMAT", format);
            let (code, output, errors) = shell(directory, &format!("insight-hub {command} -o {format}"));
            // Which partition the bad event is in is chance; what cannot be taken makes a check of samples fail.
            let may_fail = command.starts_with("rejected show") || command.contains("--sample");
            assert!(code == Some(0) || may_fail && code == Some(1), "{command} -o {format}: {errors}");
            let is_sound =
                |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_object());
            if format == "json" {
                assert!(is_sound(&output) || may_fail && output.is_empty(), "{command}: {output}");
            } else {
                assert!(output.lines().all(is_sound), "{command}: {output}");
            }
        }
    }
}

#[test]
fn the_guide_works_to_the_letter() {
    let mut command: Option<HubCommand> = Some(Hub::command("guide").env("INSIGHT_HUB__HTTP__LISTEN", "127.0.0.1:0"));
    let directory = command.as_ref().unwrap().directory().to_owned();
    let mut hub: Option<Hub> = None;
    let mut seen = Vec::new();
    for block in blocks() {
        if block.trim() == "insight-hub run" {
            let running = hub.insert(command.take().expect("the hub is started once").args(["run"]).spawn());
            let began = Instant::now();
            while !matches!(Remote::connect(&directory.join("insight-hub-data")), Ok(Some(_))) {
                assert!(running.process.is_running() && began.elapsed() < WITHIN, "{}", running.process.story());
                thread::sleep(Duration::from_millis(50));
            }
            continue;
        }
        if block.contains("insight-hub customer") {
            wait_until_published(&directory);
        }
        let (code, output, errors) = shell(&directory, &block);
        let expected = if block.starts_with("insight-hub check ") { 1 } else { 0 };
        assert_eq!(code, Some(expected), "{block}\n{output}\n{errors}");
        seen.push(format!("{output}\n{errors}"));
    }
    let [_, drafted, _, checked, imported, looked] = seen.as_slice() else { panic!("other blocks: {}", seen.len()) };
    for (shown, words) in [
        (drafted, &["takes 7 of 8 records", "1 × bad_timestamp at at", "look at", "barrier.stuck"][..]),
        (checked, &["8 records: 7 touchpoints, 0 skipped, 1 rejected", "service_interrupted", "PK-1077"]),
        (imported, &["accepted", "bad_timestamp"]),
        (looked, &["bad_timestamp", "service_interrupted", "complaint_made", "subscription_started", "garage"]),
    ] {
        for word in words {
            assert!(shown.contains(word), "{word} in\n{shown}");
        }
    }
    let file = std::fs::read_to_string(directory.join("spokes/garage.toml")).unwrap();
    assert!(
        file.contains("zone = \"Europe/Amsterdam\"") && !file.contains("ann@") && !file.contains("Harbour"),
        "{file}"
    );
    // The draft's own test holds after it was mended, which is all that `check` without a sample tries.
    let (code, _, errors) = shell(&directory, "insight-hub check --connect");
    assert_eq!(code, Some(0), "{errors}");
    every_result_is_one_document_or_lines(&directory);
    let mut hub = hub.expect("the guide starts a hub");
    assert_eq!(hub.process.terminate(WITHIN).code(), Some(0), "{}", hub.process.story());
}
