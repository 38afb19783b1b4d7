//! Files in; what is sent, reported and left to go on from out.

mod reading;
mod resuming;

use std::{cell::RefCell, fs, path::PathBuf, rc::Rc};

use clap::Parser as _;
use serde_json::Value;

use super::*;
use crate::{
    cli::{Cli, Command},
    engine::log::{
        LogError,
        outside::{SpokeRecord, Unfit},
    },
    ingest::{Mapped, NoHeaders, SourceRecord},
};

const SHOP: &str = r#"
spoke = "shop"
topic = "shop.events"
format = "json"
id = "order no"
occurred_at = { path = "at", format = "rfc3339" }
promised_at = { path = "promised", format = "epoch_s" }
kind = { path = "what", map = { bought = "order_placed" }, unmapped = "reject" }
amount = { value = "price", unit = "major", currency = "currency" }
cost = { value = "cents", unit = "minor", currency = { constant = "EUR" } }
score = { scale = { constant = "nps" }, value = "nps" }
sentiment = "mood"
effort = "effort"
identifiers = { customer_id = "customer", email = 'contact\.mail' }
"#;

const HEADER: &str = "order no,at,what,customer\n";

/// A data directory, the shop's mapping and a file to import.
struct World {
    directory: tempfile::TempDir,
    settings: Settings,
    file: PathBuf,
}

impl World {
    fn new(name: &str, content: &[u8]) -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut settings = Settings::default();
        settings.hub.data_directory = directory.path().join("data");
        settings.spokes.directory = directory.path().join("spokes");
        settings.kafka.brokers = Some("broker:9092".to_owned());
        fs::create_dir(&settings.spokes.directory).expect("a writable directory");
        let file = directory.path().join(name);
        fs::write(&file, content).expect("a writable directory");
        let world = World { directory, settings, file };
        world.spoke("shop", SHOP);
        world
    }

    fn spoke(&self, name: &str, mapping: &str) {
        let path = self.settings.spokes.directory.join(format!("{name}.toml"));
        fs::write(path, mapping).expect("a writable directory");
    }

    fn try_import(&self, extra: &[&str], log: &Log, stop: &StopToken, pace: Pace) -> (Result<(), Failure>, String) {
        let file = self.file.display().to_string();
        let words = ["insight-hub", "import", &file].into_iter().chain(extra.iter().copied());
        let cli = Cli::try_parse_from(words).expect("a right command line");
        let Command::Import(arguments) = &cli.command else { panic!("it is import") };
        let mut output = Vec::new();
        let spokes = hub::spokes(&self.settings).expect("right mappings");
        let ended = Job::new(&self.settings, &spokes, arguments)
            .and_then(|job| import(&job, &mut || Ok(Box::new(log.clone())), stop, pace, &mut output));
        (ended, String::from_utf8(output).expect("text"))
    }

    fn import(&self, extra: &[&str], log: &Log) -> Value {
        let extra = [&["--spoke", "shop", "-o", "json"], extra].concat();
        let (ended, output) = self.try_import(&extra, log, &StopToken::default(), small());
        ended.expect("it works");
        serde_json::from_str(&output).expect("one JSON object")
    }

    fn refused(&self, extra: &[&str]) -> Failure {
        let (ended, _) = self.try_import(extra, &Log::default(), &StopToken::default(), small());
        ended.expect_err("it cannot work")
    }

    /// The checkpoints that there are.
    fn checkpoints(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.settings.hub.data_directory.join("imports")) else { return Vec::new() };
        entries.map(|entry| entry.expect("readable").path()).collect()
    }

    fn tally(&self) -> Value {
        let [checkpoint] = &self.checkpoints()[..] else { panic!("one import: {:?}", self.checkpoints()) };
        let text = fs::read(checkpoint).expect("readable");
        serde_json::from_slice::<Value>(&text).expect("JSON")["tally"].clone()
    }
}

/// Six rows a batch, and a checkpoint after each.
fn small() -> Pace {
    Pace { batch_rows: 6, batch_bytes: 1 << 20, checkpoint_every: Duration::ZERO }
}

/// A log that remembers everything, and can fail.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Kept>>);

#[derive(Default)]
struct Kept {
    records: Vec<String>,
    flushes: usize,
    calls: usize,
    trouble: Option<Trouble>,
}

/// What happens at which call.
#[derive(Clone, Copy)]
enum Trouble {
    Fails(usize),
    FailsEvery(usize),
    Dies(usize),
}

impl Log {
    fn with(trouble: Trouble) -> Log {
        let log = Log::default();
        log.0.borrow_mut().trouble = Some(trouble);
        log
    }

    fn records(&self) -> Vec<String> {
        self.0.borrow().records.clone()
    }

    fn called(&self) -> Result<(), LogError> {
        let mut kept = self.0.borrow_mut();
        kept.calls += 1;
        let (calls, trouble) = (kept.calls, kept.trouble);
        drop(kept);
        match trouble {
            Some(Trouble::Dies(at)) if calls == at => panic!("the process dies at call {at}"),
            Some(Trouble::Fails(at)) if calls == at => Err(LogError::Stop("the log is full".into())),
            Some(Trouble::FailsEvery(at)) if calls.is_multiple_of(at) => Err(LogError::Stop("the log is full".into())),
            _ => Ok(()),
        }
    }
}

impl SpokeAppend for Log {
    fn send_record(&mut self, record: &SpokeRecord<'_>) -> Result<(), LogError> {
        self.called()?;
        assert_eq!((record.topic, record.key, record.headers.len()), ("shop.events", None, 0));
        assert!(record.timestamp_ms > 0);
        self.0.borrow_mut().records.push(String::from_utf8_lossy(record.payload.unwrap_or_default()).into_owned());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.called()?;
        self.0.borrow_mut().flushes += 1;
        Ok(())
    }
}

fn order(number: usize) -> String {
    format!("O-{number},2026-01-31T09:00:00Z,bought,C{}\n", number % 7)
}

#[test]
fn amounts_answers_and_times_may_be_text() {
    let world = World::new(
        "orders.csv",
        b"order no,at,promised,what,customer,contact.mail,price,currency,cents,nps,mood,effort\n\
          1,2026-01-31T09:00:00+01:00,1769850000.5,bought,C1,ann@x.org,-12.50,EUR,499, 9,-30,2\n\
          2,2026-01-31T09:00:00Z,,bought,,bob@x.org,1250,JPY,,,,\n",
    );
    let log = Log::default();
    let report = world.import(&[], &log);
    assert_eq!(report["accepted"], 2, "{report}");
    let spokes = hub::spokes(&world.settings).expect("right mappings");
    let spoke = spokes.of_topic("shop.events").expect("the shop");
    let mut seen = String::new();
    for payload in log.records() {
        let record = SourceRecord {
            topic: "shop.events",
            partition: 0,
            offset: 0,
            timestamp_ms: hub::now_ms(),
            key: None,
            payload: Some(payload.as_bytes()),
            headers: &NoHeaders,
        };
        spoke.map_json(&record, &mut |mapped| {
            let Mapped::Touchpoint(it) = mapped else { panic!("{mapped:?}") };
            let money =
                |money: Option<crate::model::Money>| money.map(|it| (it.minor, it.currency.as_str().to_owned()));
            let (amount, cost) = (money(it.amount), money(it.cost));
            let (promised, score) = (it.promised_at.map(|at| at.to_string()), it.score.map(|score| score.value));
            let persons: Vec<&str> = it.identifiers.iter().map(|it| it.value).collect();
            let (at, mood, effort) = (it.occurred_at, it.sentiment, it.effort);
            seen += &format!("{at} {promised:?} {persons:?} {amount:?} {cost:?} {score:?} {mood:?} {effort:?}\n");
        });
    }
    expect_test::expect![[r#"
        2026-01-31T08:00:00.000Z Some("2026-01-31T09:00:00.500Z") ["C1", "ann@x.org"] Some((-1250, "EUR")) Some((499, "EUR")) Some(9) Some(-30) Some(2)
        2026-01-31T09:00:00.000Z None ["bob@x.org"] Some((1250, "JPY")) None None None None
    "#]]
    .assert_eq(&seen);
}

#[test]
fn the_report_says_which_rows_are_bad_and_why() {
    let mut text = HEADER.to_owned();
    let mut expected = Vec::new();
    for number in 0..3_000 {
        let line = number + 2;
        if number % 100 != 50 {
            text += &order(number);
            continue;
        }
        let (bad, reason, field) = match number / 100 % 5 {
            0 => (format!("O-{number},yesterday,bought,C1\n"), "bad_timestamp", "at"),
            1 => (format!("O-{number},2026-01-31T09:00:00Z,juggled,C1\n"), "unknown_kind", "what"),
            2 => (format!("O-{number},2026-01-31T09:00:00Z,bought\n"), "wrong_field_count", ""),
            3 => (format!(",2026-01-31T09:00:00Z,bought,C{number}\n"), "missing_field", "order no"),
            _ => (format!("O-{number},2026-01-31T09:00:00Z,bought,unknown\n"), "no_usable_identifier", "customer"),
        };
        expected.push((line, reason, field, bad.trim_end().to_owned()));
        text += &bad;
    }
    let world = World::new("orders.csv", text.as_bytes());
    let rejects = world.directory.path().join("bad.ndjson");
    let log = Log::default();
    let report = world.import(&["--rejects", &rejects.display().to_string()], &log);
    assert_eq!(
        (&report["rows"], &report["accepted"], &report["rejected"], &report["not_sent"]),
        (&3_000.into(), &2_970.into(), &30.into(), &0.into())
    );
    // Rejected rows are sent too, for the hub to publish them.
    assert_eq!(log.records().len(), 3_000);
    assert!(log.records().contains(&"O-250,2026-01-31T09:00:00Z,bought".to_owned()));
    for (index, kind) in report["rejections"].as_array().expect("a list").iter().enumerate() {
        let of_kind: Vec<usize> = expected
            .iter()
            .filter(|(_, reason, field, _)| kind["reason"] == *reason && kind["field"] == *field)
            .map(|(line, ..)| *line)
            .collect();
        assert_eq!((kind["count"].as_u64(), of_kind.len()), (Some(6), 6), "{index}: {kind}");
        assert_eq!(kind["lines"], Value::from(of_kind[..5].to_vec()));
    }
    assert_eq!(report["rejections"].as_array().map(Vec::len), Some(5));
    assert_eq!(report["examples"].as_array().map(Vec::len), Some(5), "{report}");
    // Not one value of a row is in the report, and all of the rows are in the file that was asked for.
    let written: Vec<(usize, String, String, String)> = fs::read_to_string(&rejects)
        .expect("it was written")
        .lines()
        .map(|line| {
            let it: Value = serde_json::from_str(line).expect("JSON");
            let text = |key: &str| it[key].as_str().expect("text").to_owned();
            assert!(!text("message").is_empty());
            let line = usize::try_from(it["line"].as_u64().expect("a number")).expect("small");
            (line, text("reason"), text("field"), text("row"))
        })
        .collect();
    for (expected, written) in expected.iter().zip(&written) {
        assert_eq!((expected.0, expected.1, expected.2), (written.0, written.1.as_str(), written.2.as_str()));
        let row = &written.3;
        assert!(*row == expected.3 || serde_json::from_str::<Value>(row).is_ok(), "{row}");
    }
    assert_eq!(written.len(), expected.len());
}

/// A topic that takes no record of more than so many bytes.
struct Small(usize, Vec<usize>);

impl SpokeAppend for Small {
    fn send_record(&mut self, record: &SpokeRecord<'_>) -> Result<(), LogError> {
        self.1.push(record.payload.unwrap_or_default().len());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        unreachable!("an import asks which records fit")
    }

    fn flush_fitting(&mut self) -> Result<Vec<Unfit>, LogError> {
        let sizes = std::mem::take(&mut self.1);
        let unfit = sizes.iter().enumerate().filter(|(_, size)| **size > self.0);
        Ok(unfit.map(|(number, _)| Unfit { number, why: "too large".into() }).collect())
    }
}

#[test]
fn what_a_topic_does_not_take_is_among_the_rejects_in_full() {
    let note = "é".repeat(100);
    let row = |number: u32, note: &str| format!("O-{number},2026-01-31T09:00:00Z,bought,C1,{note}");
    let (large, longer) = (row(2, &note), row(4, &"y".repeat(200_000)));
    let text = format!("order no,at,what,customer,note\n{}\n{large}\n{}\n{longer}\n", row(1, "a"), row(3, "b"));
    let world = World::new("orders.csv", text.as_bytes());
    let rejects = world.directory.path().join("bad.ndjson");
    let spokes = hub::spokes(&world.settings).expect("right mappings");
    let [file, bad] = [&world.file, &rejects].map(|path| path.display().to_string());
    let cli =
        Cli::try_parse_from(["insight-hub", "import", &file, "--spoke", "shop", "--rejects", &bad]).expect("right");
    let Command::Import(arguments) = &cli.command else { panic!("it is import") };
    let job = Job::new(&world.settings, &spokes, arguments).expect("right");
    let mut connect = || Ok(Box::new(Small(200, Vec::new())) as Box<dyn SpokeAppend>);
    let failure =
        import(&job, &mut connect, &StopToken::default(), small(), &mut Vec::new()).expect_err("two are left");
    assert!(failure.happened.starts_with("2 of the rows"), "{failure}");
    let written = fs::read_to_string(&rejects).expect("it was written");
    let rows: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows.iter().map(|row| row["line"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(5)]);
    assert_eq!((&rows[0]["row"], &rows[0]["reason"]), (&large.into(), &"too_large".into()));
    assert!(rows[1]["row"] == longer && rows.iter().all(|row| row.get("truncated").is_none()));
}

#[test]
fn a_table_tells_people_the_same() {
    let text = format!("{HEADER}{}O-2,yesterday,bought,C1\nO-3\n", order(1));
    let world = World::new("orders.csv", text.as_bytes());
    let import = |log: &Log| {
        let (ended, output) = world.try_import(&["--spoke", "shop"], log, &StopToken::default(), small());
        ended.expect("it works");
        output.replace(&world.directory.path().display().to_string(), "…")
    };
    expect_test::expect![[r#"
         spoke  topic        rows  accepted  skipped  rejected  not sent
         shop   shop.events  3     1         0        2         0

         rejected because   field  count  lines
         bad_timestamp      at     1      3
         wrong_field_count         1      4

         line  field  for example
         3     at     occurred_at: it is no time between the years 1900 and 2200 in the form that the spoke is configured for (RFC 3339 text such as 2026-01-31T09:00:00Z, a number since 1970, or a local time); send it in that form.
         4            The row has 1 cells and the header 4; put a cell that has a delimiter or a quote in it in quotes.

        What was rejected is also on the feed of rejected records. Correct the rows, or the mapping, and import again (with --again, if the file is the same): what the hub has already counts once.
    "#]].assert_eq(&import(&Log::default()));
    let log = Log::default();
    let again = import(&log);
    assert!(again.starts_with("…/orders.csv was imported already as shop, and nothing was done now."), "{again}");
    assert!(again.contains("add --again") && log.records().is_empty(), "{again}");
}

#[test]
fn what_cannot_be_imported_is_refused_with_what_to_do() {
    let world = World::new("orders.csv", HEADER.as_bytes());
    let mapping = |name: &str, format: &str, rest: &str| {
        world.spoke(name, &format!("spoke = \"{name}\"\ntopic = \"{name}.events\"\nformat = \"{format}\"\n{rest}"));
    };
    let rest = "id = \"position\"\nkind = { constant = \"order_placed\" }\noccurred_at = { path = \"at\", format = \"rfc3339\" }\n\
                identifiers = { customer_id = \"who\" }\n";
    mapping("lines", "json", rest);
    mapping("sales", "touchpoint-avro", "");
    mapping("plain", "touchpoint-json", "");
    let file = world.file.display().to_string();
    for (words, happened, next) in [
        (&["--spoke", "absent"][..], "no spoke \"absent\"", "lines, plain, sales, shop"),
        (&["--spoke", "lines"], "would count twice", "id = \"content\""),
        (&["--spoke", "sales"], "Avro", "a spoke of their own"),
        (&["--spoke", "plain"], "objects inside of objects", "NDJSON"),
        (&["--spoke", "shop", "--format", "ndjson", "--delimiter", ";"], "--delimiter is for CSV", "leave it out"),
        (&["--spoke", "shop", "--rejects", &file], "is the file to import", "name another"),
    ] {
        let failure = world.refused(words);
        assert_eq!(failure.exit, Exit::Usage, "{failure}");
        assert!(failure.happened.contains(happened) && failure.next.contains(next), "{failure}");
    }
    let unnamed = World::new("orders", b"");
    assert!(unnamed.refused(&["--spoke", "shop"]).next.contains("--format csv"));
    let mut absent = World::new("orders.csv", b"");
    absent.file = absent.directory.path().join("absent.csv");
    assert!(absent.refused(&["--spoke", "shop"]).happened.contains("absent.csv cannot be read"));
    absent.file = absent.directory.path().to_owned();
    assert!(absent.refused(&["--spoke", "shop", "--format", "csv"]).happened.contains("is no file"));
}

#[test]
fn canonical_touchpoints_are_imported_from_lines() {
    let mut world = World::new("touchpoints.jsonl", b"");
    let line =
        r#"{"id":"1","kind":"order_placed","occurred_at":"2026-01-31T09:00:00Z","identifiers":{"email":"ann@x.org"}}"#;
    fs::write(&world.file, line).expect("a writable directory");
    world.settings.spokes.directory = world.directory.path().join("other");
    fs::create_dir(&world.settings.spokes.directory).expect("a writable directory");
    world.spoke("shop", "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"touchpoint-json\"\n");
    let log = Log::default();
    assert_eq!(world.import(&[], &log)["accepted"], 1);
    assert_eq!(log.records(), [line]);
}

/// `cargo test --release --lib cli::import::tests::timing -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: prints rows per second"]
fn timing() {
    struct Nowhere;
    impl SpokeAppend for Nowhere {
        fn send_record(&mut self, _: &SpokeRecord<'_>) -> Result<(), LogError> {
            Ok(())
        }
        fn flush(&mut self) -> Result<(), LogError> {
            Ok(())
        }
    }
    let rows = 1_000_000;
    let mut csv = "order no,at,what,customer,contact.mail,price,currency,region,subject\n".to_owned();
    let mut lines = String::new();
    for number in 0..rows {
        let (customer, price) = (number % 50_000, number % 1_000);
        csv += &format!(
            "O-{number},2026-01-31T09:00:00Z,bought,C{customer},c{customer}@example.org,{price}.50,EUR,north,\"a \"\"gift\"\", wrapped\"\n"
        );
        lines += &format!(
            r#"{{"order no":"O-{number}","at":"2026-01-31T09:00:00Z","what":"bought","customer":"C{customer}","contact.mail":"c{customer}@example.org","price":{price}.5,"currency":"EUR","region":"north","subject":"a gift"}}"#
        );
        lines.push('\n');
    }
    for (name, text) in [("orders.csv", csv), ("orders.ndjson", lines)] {
        let world = World::new(name, text.as_bytes());
        let file = world.file.display().to_string();
        let cli = Cli::try_parse_from(["insight-hub", "import", &file, "--spoke", "shop"]).expect("right");
        let Command::Import(arguments) = &cli.command else { panic!("it is import") };
        let spokes = hub::spokes(&world.settings).expect("right mappings");
        let job = Job::new(&world.settings, &spokes, arguments).expect("right");
        let began = std::time::Instant::now();
        let stop = StopToken::default();
        import(&job, &mut || Ok(Box::new(Nowhere)), &stop, Pace::default(), &mut Vec::new()).expect("it works");
        let seconds = began.elapsed().as_secs_f64();
        let (per_second, mebibytes) = (f64::from(rows) / seconds, text.len() as f64 / seconds / 1_048_576.0);
        println!("{name}: {rows} rows in {seconds:.2} s: {per_second:.0} rows/s, {mebibytes:.0} MiB/s");
        assert_eq!(world.tally()["accepted"], rows);
    }
}
