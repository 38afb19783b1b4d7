//! The pages' programs: taken out of their pages, started as a reader of the page would start them, and read line by line.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::same::Told;
use crate::harness::{process::Process, sweeper::Scratch};

pub const LANGUAGES: [&str; 4] = ["python", "java", "javascript", "rust"];
/// Makes a process of these tests the program of the page about Rust.
pub const AS_SUBSCRIBER: &str = "INSIGHT_HUB_TEST_AS_SUBSCRIBER";

/// Where `tests/run` has installed what the programs stand on.
const INSTALLED: &str = "INSIGHT_HUB_TEST_CLIENTS";
/// The languages that this machine cannot have, separated by spaces: `tests/run` has said and counted so.
const LEFT_OUT: &str = "INSIGHT_HUB_TEST_CLIENTS_LEFT_OUT";

pub fn is_left_out(language: &str) -> bool {
    env::var(LEFT_OUT).is_ok_and(|left_out| left_out.split_whitespace().any(|left_out| left_out == language))
}

pub fn are_all_left_out() -> bool {
    LANGUAGES.iter().all(|language| is_left_out(language))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a language's program stands on.
fn installed(language: &str) -> PathBuf {
    let folder = env::var_os(INSTALLED).map_or_else(|| root().join("target/test-cache/clients"), PathBuf::from);
    let folder = folder.join(language);
    assert!(
        folder.join("installed").exists(),
        "what a subscriber in {language} stands on is not in {}: run `tests/run` once, which installs it (or set \
         {INSTALLED}, or {LEFT_OUT})",
        folder.display()
    );
    folder
}

/// The text of a page.
pub fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(format!("deploy/docs/{name}.md"))).unwrap()
}

/// The one block of a page in a language.
pub fn block(page: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let mut blocks = page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let block = blocks.next().unwrap_or_else(|| panic!("no block of {language}"));
    assert!(blocks.next().is_none(), "two blocks of {language}");
    block
}

/// The words in backticks of a page's list item that begins so, up to its end.
pub fn words_of(page: &str, beginning: &str) -> Vec<String> {
    let item = page.split(beginning).nth(1).unwrap_or_else(|| panic!("no {beginning}"));
    let item = item.split("\n- ").next().unwrap().split("\n\n").next().unwrap();
    item.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A running program.
pub struct Program {
    language: &'static str,
    process: Process,
    _folder: Scratch,
}

impl Program {
    /// Starts a page's program.
    pub fn start(language: &'static str, settings: &BTreeMap<&str, String>) -> Program {
        let folder = Scratch::new(&format!("subscriber-{language}"));
        let text = page(&format!("subscribe-{language}"));
        let write = |name: &str, fence: &str| std::fs::write(folder.path().join(name), block(&text, fence)).unwrap();
        let mut command = match language {
            "python" => {
                write("subscribe.py", "python");
                let mut command = Command::new("python3");
                command.arg("subscribe.py").env("PYTHONPATH", installed(language));
                command
            }
            "java" => {
                write("Subscribe.java", "java");
                let mut command = Command::new("java");
                // For a program that lives for seconds.
                command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]);
                command.arg("-cp").arg(installed(language).join("lib/*")).arg("Subscribe.java");
                command
            }
            "javascript" => {
                write("subscribe.mjs", "js");
                let modules = installed(language).join("node_modules");
                std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
                let mut command = Command::new(node());
                command.arg("subscribe.mjs");
                command
            }
            _ => {
                assert_eq!(block(&text, "rust"), include_str!("subscribe.rs"), "the page's program is another");
                // Two threads, so that what the test harness prints of itself stands on lines of its own.
                let mut command = Command::new(env::current_exe().unwrap());
                command.args(["--exact", "clients::the_subscriber_in_rust", "--nocapture", "--test-threads=2"]);
                command.env(AS_SUBSCRIBER, "1");
                command
            }
        };
        command.current_dir(folder.path()).envs(settings);
        let process = Process::spawn(language, &mut command, folder.path());
        Program { language, process, _folder: folder }
    }

    /// Waits until it has printed so many records, a moment more for what it should not print, and ends it.
    #[track_caller]
    pub fn read(mut self, count: usize, within: Duration) -> Vec<Told> {
        let begun = Instant::now();
        let lines = |process: &Process| -> Vec<String> {
            process.stdout().lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect()
        };
        let printed = |process: &Process| format!("\n{}", process.stdout()).matches("\n{").count();
        // The last line may be half written.
        while printed(&self.process) < count || !self.process.stdout().ends_with('\n') {
            let story = || self.process.story();
            assert!(begun.elapsed() < within, "{}: {} of {count}\n{}", self.language, printed(&self.process), story());
            if !self.process.is_running() {
                panic!("{} has ended\n{}", self.language, self.process.story());
            }
            thread::sleep(Duration::from_millis(100));
        }
        assert!(self.process.is_running(), "{} has ended\n{}", self.language, self.process.story());
        self.process.kill();
        lines(&self.process).iter().map(|line| Told::parse(line)).collect()
    }
}

/// The one that `tests/run` fetched where the machine's is too old; otherwise the machine's.
fn node() -> OsString {
    let fetched = installed("javascript").join("node/bin/node");
    if fetched.exists() { fetched.into_os_string() } else { "node".into() }
}

/// The program that adds windows up, on lines of a subscriber.
pub fn roll_up(arguments: &[&str], lines: &str) -> Value {
    let folder = Scratch::new("roll-up");
    std::fs::write(folder.path().join("roll_up.py"), block(&page("subscribe"), "python")).unwrap();
    let mut command = Command::new("python3");
    command.current_dir(folder.path()).arg("roll_up.py").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The pages name what is pinned and tested.
#[test]
fn the_pages_name_the_versions_that_are_tested() {
    let pinned = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let line = |page: &str, beginning: &str| {
        page.lines().find(|line| line.starts_with(beginning)).unwrap_or_else(|| panic!("no {beginning}")).to_owned()
    };
    let python = line(&page("subscribe-python"), "python3 -m pip install ");
    let requirements = pinned("tests/clients/python.txt");
    for package in python.split_whitespace().filter(|word| word.contains("==")) {
        assert!(requirements.lines().any(|line| line.starts_with(&format!("{package} "))), "{package}");
    }
    let javascript = line(&page("subscribe-javascript"), "npm install ");
    let lock: Value = serde_json::from_str(&pinned("tests/clients/package-lock.json")).unwrap();
    let mut count = 0;
    for package in javascript.split_whitespace().filter(|word| word.contains('@')) {
        let (name, version) = package.rsplit_once('@').unwrap();
        assert_eq!(lock["packages"][format!("node_modules/{name}")]["version"], version, "{name}");
        count += 1;
    }
    assert_eq!((python.matches("==").count(), count), (2, 2));
    let own: toml::Table = toml::from_str(&pinned("Cargo.toml")).unwrap();
    let shown: toml::Table = toml::from_str(&block(&page("subscribe-rust"), "toml")).unwrap();
    let version = |table: &toml::Table, name: &str| {
        let entry = &table["dependencies"][name];
        entry.as_str().or_else(|| entry["version"].as_str()).unwrap().to_owned()
    };
    for name in shown["dependencies"].as_table().unwrap().keys() {
        assert_eq!(version(&shown, name), version(&own, name), "{name}");
    }
}

#[test]
fn the_value_that_the_page_shows_is_one_that_the_schema_has() {
    let shown: serde_json::Map<String, Value> = serde_json::from_str(&block(&page("subscribe"), "json")).unwrap();
    let schema = std::fs::read_to_string(root().join("schemas/metrics.avsc")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let fields: BTreeSet<&str> =
        schema["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(shown.keys().map(String::as_str).collect::<BTreeSet<_>>(), fields);
}
