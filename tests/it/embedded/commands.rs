//! The commands that a small company uses, beside a running hub and without one.

use std::{
    collections::BTreeMap,
    process::ExitStatus,
    time::{Duration, Instant},
};

use insight_hub::{company::CompanyOptions, hub as library, settings::Settings};
use serde_json::Value;

use super::process::{Departments, Running, command};
use crate::{
    accounts::assert_accounts,
    harness::{process::Hub, sweeper::Scratch},
    world::{SCHEMAS, events, truth},
};

const WITHIN: Duration = Duration::from_secs(120);

/// Runs a command on the data directory of a hub.
fn run(running: &Running, arguments: &[&str]) -> (ExitStatus, String, String) {
    let (command, _) = command("command", Some(running.data()), &[]);
    command.args(arguments).run(WITHIN)
}

#[track_caller]
fn succeed(running: &Running, arguments: &[&str]) -> String {
    let (status, output, errors) = run(running, arguments);
    assert!(status.success(), "{arguments:?}: {output}\n{errors}");
    output
}

/// The departments' accounts, once they have everything that was counted: they may come a moment after the other feeds.
fn accounts(running: &Running) -> BTreeMap<String, Value> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let exported = succeed(running, &["export", "spokes"]);
        let rows = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let accounts: BTreeMap<_, _> =
            rows.map(|row| (row["key"].as_str().unwrap().to_owned(), row["value"].clone())).collect();
        let outcomes = |account: &Value| -> f64 {
            account["outcomes"].as_object().unwrap().values().map(|count| count.as_f64().unwrap()).sum()
        };
        let counted = running.figure("insight_hub_outcomes_total");
        if counted == Some(accounts.values().map(outcomes).sum()) {
            return accounts;
        }
        assert!(Instant::now() < deadline, "{counted:?} outcomes were counted, not those of {accounts:?}");
    }
}

#[test]
fn a_small_company_can_look_export_back_up_and_verify() {
    let events = events(CompanyOptions { seed: 3, customers: 100, touchpoints: 2_000, ..CompanyOptions::default() });
    let expected = truth(&events);
    let mut running = Running::start("commands", None, &[]);
    assert_eq!(Departments::default().append(&running.connect(), &events), Ok(()));
    running.assert_becomes(&expected, WITHIN);

    // Beside the running hub.
    let tail = succeed(&running, &["tail", "customers", "--from-beginning", "--until-end", "-o", "jsonl"]);
    assert!(tail.lines().count() >= expected.feeds.customers.len());
    let exported = succeed(&running, &["export", "metrics"]);
    let rows: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let promised = rows.iter().filter(|row| !row["key"].as_str().unwrap().starts_with("data_quality|"));
    let known = expected.feeds.metrics.keys().filter(|key| !key.starts_with("data_quality|"));
    assert_eq!(promised.count(), known.count());
    assert_accounts(&events, &accounts(&running), "exported");
    let table = succeed(&running, &["tail", "spokes", "--from-beginning", "--until-end"]);
    assert!(table.contains("last arrived") && table.contains("marketing"), "{table}");
    let (person, record) =
        expected.feeds.customers.iter().max_by_key(|(_, record)| record["touchpoints"].as_i64().unwrap()).unwrap();
    let number = record["identifiers"]["customer_id"][0].as_str().unwrap();
    let customer = succeed(&running, &["customer", &format!("customer_id:{number}"), "-o", "json", "--last", "100000"]);
    let customer: Value = serde_json::from_str(customer.trim()).unwrap();
    assert_eq!(customer["person"].as_str(), Some(person.as_str()));
    assert_eq!(customer["timeline"].as_array().unwrap().len() as i64, record["touchpoints"].as_i64().unwrap());
    let counts = customer.to_string();
    assert!(counts.contains("new_customers 1") || record["orders"] == 0, "{counts}");
    let (status, _, errors) = run(&running, &["customer", "customer_id:nobody"]);
    assert!(status.code() == Some(1) && errors.contains("nobody is known"), "{errors}");
    let backup = running.data().with_file_name("backup");
    let backup = backup.to_str().unwrap();
    succeed(&running, &["token", "create", "reader", "--role", "read:metrics"]);
    succeed(&running, &["backup", backup]);
    let (status, _, errors) = run(&running, &["state", "verify"]);
    assert!(status.code() == Some(1) && errors.contains("open elsewhere"), "one at a time: {errors}");
    let (status, _, errors) = run(&running, &["backup", backup]);
    assert!(status.code() == Some(2) && errors.contains("not empty"), "{errors}");
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));

    // Without it. Its API is nobody's meanwhile: what was sent to it would be gone afterwards, though it was acknowledged.
    let api = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("serve.listen={}", api.local_addr().unwrap());
    let verified = succeed(&running, &["state", "verify", "--from-input", "--set", &listen]);
    assert!(verified.contains("every checksum holds") && verified.contains(" 0 are not what"), "{verified}");
    assert_eq!(verified.matches("values are those of the input").count(), 4, "{verified}");

    // What is not all there is no backup.
    let broken = running.data().with_file_name("broken");
    let copied = std::process::Command::new("cp").arg("-r").args([backup, broken.to_str().unwrap()]).status().unwrap();
    assert!(copied.success());
    let log = std::fs::read_dir(broken.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let segment = log.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    std::fs::File::options().write(true).open(&segment).unwrap().set_len(100).unwrap();
    let place = format!("hub.data_directory={}", running.data().with_file_name("nothing").display());
    let (status, _, errors) = run(&running, &["restore", broken.to_str().unwrap(), "--set", &place]);
    assert!(status.code() == Some(1) && errors.contains("no whole backup"), "{errors}");

    // What a backup makes is the same hub.
    let restored = running.data().with_file_name("restored");
    let place = format!("hub.data_directory={}", restored.display());
    succeed(&running, &["restore", backup, "--set", &place]);
    let verified = succeed(&running, &["state", "verify", "--set", &place]);
    assert!(verified.contains(" 0 are not what"), "{verified}");
    let (status, _, errors) = run(&running, &["run", "--set", &place, "--set", "serve.listen=127.0.0.1:0"]);
    assert!(status.code() == Some(2) && errors.contains("there were some"), "tokens are not in it: {errors}");
    let again = succeed(&running, &["export", "metrics", "--set", &place]);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&again), sorted(&exported));
}

#[test]
fn rows_of_a_file_are_counted_once_however_often_it_is_imported() {
    let mut csv = "number,when,what,who\n".to_owned();
    for row in 0..1_000 {
        let when = if row % 100 == 7 { "soon".to_owned() } else { format!("2026-03-{:02}T10:00:00Z", row % 28 + 1) };
        csv.push_str(&format!("{row},{when},order,C{:03}\n", row % 50));
    }
    let spoke = "spoke = \"shop\"\ntopic = \"shop.orders\"\nformat = \"json\"\nid = \"number\"\n\
        occurred_at = { path = \"when\", format = \"rfc3339\" }\n[kind]\npath = \"what\"\n\
        [kind.map]\norder = \"order_placed\"\n[identifiers]\ncustomer_id = \"who\"\n";
    let home = Scratch::new("import-home");
    let (data, file, spokes) = (home.path().join("data"), home.path().join("orders.csv"), home.path().join("spokes"));
    std::fs::create_dir(&spokes).unwrap();
    std::fs::write(spokes.join("shop.toml"), spoke).unwrap();
    std::fs::write(&file, &csv).unwrap();
    let spokes = format!("spokes.directory={}", spokes.display());
    let import = |more: &[&str]| {
        let (command, _) = command("import", Some(&data), &[&spokes]);
        command.args(["import", file.to_str().unwrap(), "--spoke", "shop"]).args(more).run(WITHIN)
    };
    let (status, report, errors) = import(&[]);
    assert!(status.success(), "{report}\n{errors}");
    // 10 rows have no time: it says how many, of which field, and which lines (the header is line 1).
    for told in ["1000", "990", "10", "when", "9, 109, 209, 309, 409"] {
        assert!(report.contains(told), "{told} in {report}");
    }
    let (status, report, _) = import(&[]);
    assert!(status.success() && report.contains("--again"), "it is done, and says so: {report}");
    let (status, _, errors) = import(&["--again"]);
    assert!(status.success(), "{errors}");

    let mut running = Running::start("imported", Some(&data), &[&spokes]);
    let deadline = std::time::Instant::now() + WITHIN;
    let known = loop {
        let feeds = super::process::feeds(&running.connect());
        let known = feeds.map_or(0, |feeds| {
            feeds.customers.values().map(|record| record["touchpoints"].as_i64().unwrap_or(0)).sum::<i64>()
        });
        if running.taken() >= 2_000 && known >= 990 || std::time::Instant::now() > deadline {
            break known;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(known, 990, "imported twice, counted once\n{}", running.hub.process.story());
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
}

#[test]
fn a_program_does_not_take_the_hub_of_another_for_its_own() {
    let home = Scratch::new("library-home");
    let spokes = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/spokes");
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let settings = || {
        let data = home.path().join("data");
        let overrides = [
            set("hub.data_directory", data.to_str().unwrap()),
            set("spokes.directory", spokes),
            set("schemas.directory", SCHEMAS),
            set("http.listen", "127.0.0.1:0"),
        ];
        Settings::load(None, &overrides, std::iter::empty()).unwrap()
    };
    let first = library::Hub::open(settings()).unwrap();
    let refused = library::Hub::open(settings()).err().expect("the log is the first one's");
    assert!(refused.to_string().contains("open elsewhere"), "{refused}");
    first.stop().unwrap();
    library::Hub::open(settings()).expect("it is free").stop().unwrap();
}

#[test]
fn the_demo_ends_by_itself_and_goes_on_where_it_was() {
    let demo = |directory: &str, count: &str| {
        let command = Hub::command("demo");
        command.args([
            "demo",
            "--directory",
            directory,
            "--once",
            count,
            "--touchpoints",
            "3000",
            "--listen",
            "127.0.0.1:0",
        ])
    };
    let home = Scratch::new("demo-home");
    let directory = home.path().join("company");
    let directory = directory.to_str().unwrap();
    let mut orders = Vec::new();
    for _ in 0..2 {
        let (status, output, errors) = demo(directory, "1000").run(WITHIN);
        assert!(status.success(), "{output}\n{errors}");
        assert!(output.lines().take(3).any(|line| line.contains("made-up shop")), "{output}");
        let mut lines = output.lines().filter(|line| !line.contains(directory));
        assert!(lines.all(|line| line.chars().count() <= 80), "{output}");
        for shown in ["the whole company", "orders", "NPS", "one customer:"] {
            assert!(output.contains(shown), "{shown} in {output}");
        }
        let row = output.lines().find(|line| line.starts_with("orders")).unwrap().to_owned();
        orders.push(row);
    }
    assert_ne!(orders[0], orders[1], "the second run went on with the story");
    let (status, output, _) = demo(directory, "1").run(WITHIN);
    assert!(status.success() && output.contains("goes on where it was"), "{output}");
}
