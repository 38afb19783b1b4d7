//! The README's guide, followed to the letter in an empty folder: a department that no code knows is plugged in without Kafka.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use insight_hub::engine::log::access::socket::Remote;

use crate::harness::{
    kafka::{Broker, java},
    process::{Hub, HubCommand},
    unique,
};

const TITLE: &str = "## Plug in a department in ten minutes";
const WITHIN: Duration = Duration::from_secs(120);

/// The shell blocks of the guide, up to the part that needs Kafka, and those of that part.
fn blocks() -> (Vec<String>, Vec<String>) {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let guide = readme.split(TITLE).nth(1).expect("the guide").split("\n## ").next().unwrap();
    let (without, with) = guide.split_once("**With Kafka**").expect("a part that needs Kafka");
    (blocks_of(without), blocks_of(with))
}

fn blocks_of(guide: &str) -> Vec<String> {
    guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Runs a block as a user would: (exit code, stdout, stderr).
fn shell(directory: &Path, block: &str) -> (Option<i32>, String, String) {
    shell_with(directory, block, &[])
}

/// A terminal: what a block exports is there for its next one, and in no other terminal.
struct Terminal<'a> {
    directory: &'a Path,
    name: &'static str,
    /// What this test has in each, so that it is alone on its broker.
    own: &'a [(&'a str, &'a str)],
}

impl Terminal<'_> {
    fn run(&self, block: &str) -> (Option<i32>, String, String) {
        let state = format!("terminal-{}.env", self.name);
        let block = format!("[ ! -e {state} ] || . ./{state}\n{block}\nexport -p > {state}");
        shell_with(self.directory, &block, self.own)
    }

    /// What was exported for the hub.
    fn exported(&self) -> Vec<(String, String)> {
        let (code, output, errors) = self.run("env");
        assert_eq!(code, Some(0), "{errors}");
        let pairs = output.lines().filter_map(|line| line.split_once('='));
        pairs
            .filter(|(key, _)| key.starts_with("INSIGHT_HUB"))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

/// The same with more in the environment.
fn shell_with(directory: &Path, block: &str, environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_insight-hub"));
    let path = std::env::join_paths(
        [program.parent().unwrap().to_owned(), directory.join("bin")]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut command = Command::new("bash");
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("INSIGHT_HUB")) {
        command.env_remove(key);
    }
    let output = command
        .current_dir(directory)
        .envs(environment.iter().copied())
        .env("PATH", path.unwrap())
        .args(["-euc", block])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A user reads a sentence between two commands; the hub publishes meanwhile.
fn wait_until_published(directory: &Path, touchpoints: usize) {
    let began = Instant::now();
    loop {
        let (code, output, errors) =
            shell(directory, "insight-hub tail touchpoints --from-beginning --until-end -o jsonl");
        if code == Some(0) && output.lines().count() >= touchpoints {
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

/// Starts a hub, and waits until commands reach it.
fn start(command: HubCommand) -> Hub {
    let mut hub = command.args(["run"]).spawn();
    let began = Instant::now();
    while !matches!(Remote::connect(&hub.directory().join("insight-hub-data")), Ok(Some(_))) {
        assert!(hub.process.is_running() && began.elapsed() < WITHIN, "{}", hub.process.story());
        thread::sleep(Duration::from_millis(50));
    }
    hub
}

#[test]
fn the_guide_works_to_the_letter() {
    let mut command: Option<HubCommand> = Some(Hub::command("guide").env("INSIGHT_HUB__HTTP__LISTEN", "127.0.0.1:0"));
    let directory = command.as_ref().unwrap().directory().to_owned();
    let mut hub: Option<Hub> = None;
    let mut seen = Vec::new();
    for block in blocks().0 {
        if block.trim() == "insight-hub run" {
            hub = Some(start(command.take().expect("the hub is started once")));
            continue;
        }
        if block.contains("insight-hub customer") {
            wait_until_published(&directory, 7);
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

/// A library's lending desk in its own language: what is done at once is a list in one record, and no word of it says to the
/// hub what it is.
const LENDING: &str = r#"{"fej":{"jel":"K-1","mikor":1772528400000},"olvaso":{"jegy":"OJ-77"},"tetelek":[{"sor":1,"mit":"kolcsonzes"},{"sor":2,"mit":"hosszabbitas"}]}
{"fej":{"jel":"K-2","mikor":1772532000000},"olvaso":{"jegy":"OJ-78"},"tetelek":[{"sor":1,"mit":"panasz"}]}
{"fej":{"jel":"K-3","mikor":1772535600000},"olvaso":{"jegy":"OJ-77"},"tetelek":[{"sor":1,"mit":"kolcsonzes","dij":{"ertek":"1 250,00","penznem":"HUF"}}]}
{"fej":{"jel":"K-4","mikor":"tegnap"},"olvaso":{"jegy":"OJ-79"},"tetelek":[{"sor":1,"mit":"kolcsonzes"}]}
"#;
const LENDING_WORDS: [&str; 12] =
    ["fej", "jel", "mikor", "olvaso", "jegy", "tetelek", "sor", "mit", "dij", "ertek", "kolcsonzes", "panasz"];
/// What a person who knows the desk puts where the draft says LOOK, and the list that it says nothing reads.
const EDIT: &str = r#"sed -i \
 -e 's/^id = .*/id = "fej.jel"\neach = { path = "tetelek", key = [".sor"] }/' \
 -e 's/^occurred_at = .*/occurred_at = { path = "fej.mikor", format = "epoch_ms" }/' \
 -e 's/^kind = .*/kind = { path = ".mit", map = { kolcsonzes = "order_placed", hosszabbitas = "subscription_renewed", panasz = "complaint_made" } }/' \
 -e 's/^customer_id = .*/customer_id = "olvaso.jegy"/' spokes/konyvtar.toml
sed -i '/^kind = /a amount = { value = ".dij.ertek", unit = "major", decimal = ",", currency = ".dij.penznem" }' spokes/konyvtar.toml"#;

fn sources(directory: &Path) -> String {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files.map(|path| if path.is_dir() { sources(&path) } else { std::fs::read_to_string(&path).unwrap() }).collect()
}

#[test]
fn a_department_whose_words_nobody_knows_is_plugged_in_by_what_the_draft_asks() {
    let known = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ingest/sketch"));
    for word in LENDING_WORDS {
        assert!(!known.contains(&format!("\"{word}\"")), "{word} is known");
    }
    let command = Hub::command("lending").env("INSIGHT_HUB__HTTP__LISTEN", "127.0.0.1:0");
    let command = command.file("lending.ndjson", LENDING);
    let directory = command.directory().to_owned();
    let run = |line: &str, expected: i32, words: &[&str]| {
        let (code, output, errors) = shell(&directory, line);
        assert_eq!(code, Some(expected), "{line}\n{output}\n{errors}");
        for word in words {
            assert!(output.contains(word) || errors.contains(word), "{word} in\n{output}\n{errors}");
        }
    };
    let asks = ["no time was found", "no place with few different words", "nothing says who an event is about"];
    run("insight-hub spoke new --from lending.ndjson --spoke konyvtar -o spokes/konyvtar.toml", 1, &asks);
    let draft = std::fs::read_to_string(directory.join("spokes/konyvtar.toml")).unwrap();
    for words in ["Lists of objects: tetelek", "Nothing reads these places: fej.mikor"] {
        assert!(draft.contains(words), "{draft}");
    }
    run(EDIT, 0, &[]);
    let checked = ["4 touchpoints, 0 skipped, 1 rejected", "line 4: rejected, bad_timestamp", "125000", "HUF", "K-1#2"];
    run("insight-hub check --spoke konyvtar --sample lending.ndjson", 1, &checked);
    let mut hub = start(command);
    run("insight-hub import lending.ndjson --spoke konyvtar", 0, &["accepted", "bad_timestamp"]);
    wait_until_published(&directory, 4);
    run("insight-hub tap konyvtar --from-beginning --until-end", 0, &["subscription_renewed", "K-1#2"]);
    run("insight-hub rejected list", 0, &["konyvtar", "bad_timestamp"]);
    run("insight-hub customer customer_id:OJ-77", 0, &["order_placed", "subscription_renewed"]);
    assert_eq!(hub.process.terminate(WITHIN).code(), Some(0), "{}", hub.process.story());
}

/// The part that needs Kafka, on the tests' broker, each block in the terminal in which a reader has it: addresses and names of the
/// hub's topics are those of this test, and nothing else is another.
#[test]
fn the_guide_holds_on_kafka() {
    let bootstrap = Broker::shared().bootstrap();
    let name = unique("guide");
    let prefix = format!("{name}.");
    let own = [("INSIGHT_HUB__HUB__APPLICATION_ID", name.as_str()), ("INSIGHT_HUB__TOPICS__PREFIX", prefix.as_str())];
    let command = Hub::command("guide-kafka").env("INSIGHT_HUB__HTTP__LISTEN", "127.0.0.1:0");
    let path = &command.directory().to_owned();
    let first = Terminal { directory: path, name: "first", own: &own };
    let other = Terminal { name: "other", ..first };
    let (drafting, with_kafka) = blocks();
    for block in &drafting[..3] {
        let (code, output, errors) = first.run(block);
        assert_eq!(code, Some(0), "{block}\n{output}\n{errors}");
    }
    let [block, running] = with_kafka.as_slice() else { panic!("{} blocks", with_kafka.len()) };
    // Kafka's own tool, as its package has it.
    let tool = java(path, "org.apache.kafka.tools.TopicCommand", &["-Xmx128m", "-XX:TieredStopAtLevel=1"]);
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
    let words: Vec<String> = std::iter::once(tool.get_program()).chain(tool.get_args()).map(quoted).collect();
    std::fs::create_dir_all(path.join("bin")).unwrap();
    std::fs::write(path.join("bin/kafka-topics.sh"), format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "))).unwrap();
    assert_eq!(shell(path, "chmod +x bin/kafka-topics.sh").0, Some(0));
    let block = block.replace("localhost:9092", &bootstrap);
    let (code, output, errors) = first.run(&block);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    assert!(output.contains("garage.events") && output.contains(&format!("{prefix}customers")), "{output}\n{errors}");
    // The steps after it: the hub has what its own terminal has, and nothing of the first one.
    let before = running.strip_suffix("insight-hub run\n").expect("a block that ends with the hub");
    let (code, output, errors) = other.run(before);
    assert_eq!(code, Some(0), "{output}\n{errors}");
    let exported = other.exported();
    let command = exported.iter().fold(command, |command, (key, value)| command.env(key, value));
    let mut hub = command.args(["run"]).spawn();
    let [.., import, look] = drafting.as_slice() else { panic!("{} blocks", drafting.len()) };
    let (code, output, errors) = first.run(import);
    assert!(code == Some(0) && output.contains("bad_timestamp"), "{output}\n{errors}");
    let began = Instant::now();
    loop {
        let (code, output, errors) = first.run(look);
        let words = ["complaint_made", "service_interrupted", "bad_timestamp"];
        if code == Some(0) && words.iter().all(|word| output.contains(word)) {
            break;
        }
        assert!(hub.process.is_running() && began.elapsed() < WITHIN, "{output}{errors}{}", hub.process.story());
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(hub.process.terminate(WITHIN).code(), Some(0), "{}", hub.process.story());

    // Of a department whose topic is not there, it is named.
    let absent = format!("{prefix}absent");
    let renamed = format!("sed -i 's/garage.events/{absent}/' spokes/garage.toml\ninsight-hub check --connect");
    let (code, output, errors) = first.run(&renamed);
    assert!(code == Some(3) && (output + &errors).contains(&absent), "{errors}");
}
