//! Imports that are interrupted, anywhere and in any way: another start sends the rest, and the report is that of all.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::*;

const ROWS: usize = 40;

/// Some of them bad; one spans two lines.
fn orders() -> Vec<u8> {
    let mut text = HEADER.to_owned();
    for number in 0..ROWS {
        text += &match number {
            3 => "\"O-3\",2026-01-31T09:00:00Z,bought,\"C\n3\"\r\n".to_owned(),
            9 | 23 => format!("O-{number},never,bought,C1\n"),
            17 => "O-17\n".to_owned(),
            _ => order(number),
        };
    }
    text.into_bytes()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn ids(records: &[String]) -> BTreeSet<String> {
    records
        .iter()
        .map(|record| match serde_json::from_str::<Value>(record) {
            Ok(event) => event["order no"].to_string(),
            Err(_) => record.clone(),
        })
        .collect()
}

/// What an import that nobody interrupts leaves.
struct Whole {
    ids: BTreeSet<String>,
    tally: Value,
    rejects: String,
    calls: usize,
}

fn whole() -> Whole {
    let world = World::new("orders.csv", &orders());
    let (log, rejects) = (Log::default(), world.directory.path().join("bad.ndjson"));
    world.import(&["--rejects", &rejects.display().to_string()], &log);
    let calls = log.0.borrow().calls;
    assert_eq!(calls, ROWS + ROWS.div_ceil(6), "each row is sent, and each batch is flushed");
    Whole {
        ids: ids(&log.records()),
        tally: world.tally(),
        rejects: fs::read_to_string(rejects).expect("it was written"),
        calls,
    }
}

fn check_interrupted(name: &str, content: &[u8], whole: &Whole, trouble: Trouble) {
    let world = World::new(name, content);
    let rejects = world.directory.path().join("bad.ndjson");
    let words = ["--spoke", "shop", "-o", "json", "--rejects", &rejects.display().to_string()].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let first = Log::with(trouble);
    let interrupted =
        catch_unwind(AssertUnwindSafe(|| world.try_import(&words, &first, &StopToken::default(), small())));
    if let Ok((ended, _)) = &interrupted {
        let failure = ended.as_ref().expect_err("the log fails");
        assert!(failure.happened.contains("after line") && failure.next.contains("goes on after line"), "{failure}");
    }
    let flushed = first.0.borrow().flushes;
    let second = Log::default();
    let (ended, output) = world.try_import(&words, &second, &StopToken::default(), small());
    ended.expect("nothing is in the way any more");
    let report: Value = serde_json::from_str(&output).expect("one JSON object");
    assert_eq!(report["resumed_after_line"].is_null(), flushed == 0, "{report}");
    // There is a checkpoint behind each batch, and nothing before it comes again.
    assert_eq!(second.records().len(), ROWS.saturating_sub(6 * flushed));
    let all = [first.records(), second.records()].concat();
    assert_eq!(ids(&all), whole.ids);
    assert_eq!(world.tally(), whole.tally);
    assert_eq!(fs::read_to_string(&rejects).expect("it was written"), whole.rejects);
}

#[test]
fn an_interruption_anywhere_loses_no_row_and_counts_none_twice() {
    let whole = whole();
    assert_eq!(whole.tally["rows"], ROWS);
    // The one of two lines names nobody: its customer has a line break.
    assert_eq!(whole.tally["rejected"], 4);
    for call in 1..=whole.calls {
        check_interrupted("orders.csv", &orders(), &whole, Trouble::Fails(call));
        check_interrupted("orders.csv", &orders(), &whole, Trouble::Dies(call));
    }
    for call in (1..=whole.calls).step_by(7) {
        check_interrupted("orders.csv.gz", &packed(&orders()), &whole, Trouble::Dies(call));
    }
}

#[test]
fn one_that_is_interrupted_again_and_again_ends() {
    let whole = whole();
    let world = World::new("orders.csv", &orders());
    let mut all = Vec::new();
    for start in 0.. {
        let log = Log::with(Trouble::FailsEvery(11));
        let (ended, _) = world.try_import(&["--spoke", "shop"], &log, &StopToken::default(), small());
        all.extend(log.records());
        match ended {
            Ok(()) => break,
            Err(failure) => assert!(failure.happened.contains("the log is full"), "{failure}"),
        }
        assert!(start < ROWS, "it goes on at each start");
    }
    assert_eq!(ids(&all), whole.ids);
    assert_eq!(world.tally(), whole.tally);
}

#[test]
fn a_finished_import_is_not_done_twice_unless_asked_for() {
    let world = World::new("orders.csv", &orders());
    let first = world.import(&[], &Log::default());
    assert_eq!((&first["done"], &first["done_before"]), (&true.into(), &false.into()));

    let log = Log::default();
    let second = world.import(&[], &log);
    assert_eq!((&second["done"], &second["done_before"]), (&true.into(), &true.into()));
    assert_eq!(second["rejections"], first["rejections"]);
    assert_eq!(log.0.borrow().calls, 0);
    // It is known by what it holds, not by its name.
    let moved = world.directory.path().join("moved.csv");
    fs::copy(&world.file, &moved).expect("a writable directory");
    let world = World { file: moved, ..world };
    assert_eq!(world.import(&[], &log)["done_before"], true);

    let again = world.import(&["--again"], &log);
    assert_eq!((&again["done_before"], &again["rows"]), (&false.into(), &ROWS.into()));
    assert_eq!(log.records().len(), ROWS);
    assert_eq!(world.checkpoints().len(), 1);
}

#[test]
fn another_file_hub_topic_or_delimiter_is_another_import() {
    let mut world = World::new("orders.csv", &orders());
    world.import(&[], &Log::default());
    world.settings.hub.application_id = "other".into();
    assert_eq!(world.import(&[], &Log::default())["done_before"], false);
    world.settings.kafka.brokers = None;
    assert_eq!(world.import(&[], &Log::default())["done_before"], false);
    let mut more = orders();
    more.extend_from_slice(order(ROWS).as_bytes());
    fs::write(&world.file, more).expect("a writable directory");
    assert_eq!(world.import(&[], &Log::default())["rows"], ROWS + 1);
    assert_eq!(world.checkpoints().len(), 4);
}

#[test]
fn a_stop_ends_with_its_batch_and_says_how_to_go_on() {
    let world = World::new("orders.csv", &orders());
    let stop = StopToken::default();
    stop.request("SIGTERM");
    let log = Log::default();
    let (ended, output) = world.try_import(&["--spoke", "shop", "-o", "json"], &log, &stop, small());
    let failure = ended.expect_err("it is not complete");
    assert_eq!(failure.exit, Exit::Failure);
    assert!(failure.happened.contains("(SIGTERM)") && failure.next.contains("goes on there"), "{failure}");
    let report: Value = serde_json::from_str(&output).expect("one JSON object");
    assert_eq!((&report["done"], &report["rows"]), (&false.into(), &0.into()));
    assert_eq!(world.import(&[], &log)["rows"], ROWS);
}

#[test]
fn a_checkpoint_is_private_and_one_of_another_version_is_not_guessed_at() {
    let world = World::new("orders.csv", &orders());
    world.import(&[], &Log::default());
    let [checkpoint] = &world.checkpoints()[..] else { panic!("{:?}", world.checkpoints()) };
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(checkpoint), 0o600);
    assert_eq!(mode(checkpoint.parent().expect("a folder")), 0o700);
    for (text, problem) in
        [("{\"version\": 2}", "its version is 2"), ("{", "EOF"), ("{\"version\": 1}", "missing field")]
    {
        fs::write(checkpoint, text).expect("a writable directory");
        let failure = world.refused(&["--spoke", "shop"]);
        assert!(failure.happened.contains(problem) && failure.next.contains("--again"), "{failure}");
    }
    assert_eq!(world.import(&["--again"], &Log::default())["rows"], ROWS);
}

#[test]
fn two_imports_of_one_file_at_once_are_refused() {
    let world = World::new("orders.csv", &orders());
    let spokes = hub::spokes(&world.settings).expect("right mappings");
    let file = world.file.display().to_string();
    let cli = Cli::try_parse_from(["insight-hub", "import", &file, "--spoke", "shop"]).expect("right");
    let Command::Import(arguments) = &cli.command else { panic!("it is import") };
    let job = Job::new(&world.settings, &spokes, arguments).expect("right");
    let held = CheckpointFile::hold(&world.settings.hub.data_directory, &job.identity()).expect("it is free");
    assert!(world.refused(&["--spoke", "shop"]).happened.contains("another process"));
    drop(held);
    world.import(&[], &Log::default());
}

#[test]
fn a_file_of_rejects_with_something_else_is_left_alone() {
    let world = World::new("orders.csv", &orders());
    let other = world.directory.path().join("letters.txt");
    fs::write(&other, "Dear Ann").expect("a writable directory");
    let failure = world.refused(&["--spoke", "shop", "--rejects", &other.display().to_string()]);
    assert!(failure.happened.contains("letters.txt"), "{failure}");
    assert_eq!(fs::read_to_string(&other).expect("readable"), "Dear Ann");
}

#[test]
fn a_file_that_changes_or_breaks_meanwhile_is_named() {
    struct Growing(PathBuf);
    impl SpokeAppend for Growing {
        fn send_record(&mut self, _: &SpokeRecord<'_>) -> Result<(), LogError> {
            Ok(())
        }
        fn flush(&mut self) -> Result<(), LogError> {
            let mut file = fs::OpenOptions::new().append(true).open(&self.0).expect("writable");
            file.write_all(b" ").expect("writable");
            Ok(())
        }
    }
    let world = World::new("orders.csv", &orders());
    let spokes = hub::spokes(&world.settings).expect("right mappings");
    let file = world.file.display().to_string();
    let cli = Cli::try_parse_from(["insight-hub", "import", &file, "--spoke", "shop"]).expect("right");
    let Command::Import(arguments) = &cli.command else { panic!("it is import") };
    let job = Job::new(&world.settings, &spokes, arguments).expect("right");
    let mut connect = || Ok(Box::new(Growing(world.file.clone())) as Box<dyn SpokeAppend>);
    let failure = import(&job, &mut connect, &StopToken::default(), Pace::default(), &mut Vec::new());
    let failure = failure.expect_err("it changed");
    assert!(failure.happened.contains("changed while it was read"), "{failure}");

    let mut cut = packed(&orders());
    cut.truncate(cut.len() - 9);
    let world = World::new("orders.csv.gz", &cut);
    let log = Log::default();
    let (ended, _) = world.try_import(&["--spoke", "shop"], &log, &StopToken::default(), small());
    let failure = ended.expect_err("it is cut off");
    assert!(failure.happened.contains("orders.csv.gz, after line") && failure.next.contains("gzip -t"), "{failure}");
    // What came before was sent, and is known.
    assert_eq!(world.tally()["rows"], log.records().len());
}
