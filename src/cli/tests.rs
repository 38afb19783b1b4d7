//! Command lines in; what they mean out.

use super::*;

fn parse(line: &str) -> Result<Cli, String> {
    let words = std::iter::once("insight-hub").chain(line.split_whitespace());
    help::parse(words).map_err(|error| error.to_string())
}

#[test]
fn the_definition_is_sound() {
    definition().debug_assert();
}

#[test]
fn the_help_names_every_subcommand_and_exit_code() {
    let help = definition().render_long_help().to_string();
    for word in
        ["run", "check", "topics", "tail", "generate", "import", "rebuild", "Exit codes", "INSIGHT_HUB__SECTION__KEY"]
    {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
fn flags_become_settings_and_win_over_set() {
    let cli = parse("run --set http.listen=127.0.0.1:1 --set commit.interval_ms=50 --brokers k:9092 --workers 2 --listen 127.0.0.1:0")
        .expect("a right command line");
    let settings = Settings::load(None, &cli.overrides(), std::iter::empty()).expect("right settings");
    assert_eq!(settings.kafka.brokers.as_deref(), Some("k:9092"));
    assert_eq!(settings.hub.workers, 2);
    assert_eq!(settings.http.listen.port(), 0);
    assert_eq!(settings.commit.interval_ms, 50);
}

#[test]
fn sources_may_stand_before_or_after_the_subcommand() {
    let before = parse("--config hub.toml --brokers k:1 topics plan").expect("right");
    let after = parse("topics plan --config hub.toml --brokers k:1").expect("right");
    assert_eq!(before, after);
}

#[test]
fn every_command_of_the_readme_kind_parses() {
    for line in [
        "run",
        "check -o json",
        "check --spoke support --sample samples.ndjson",
        "check --connect -o jsonl",
        "spoke new --from sample.csv --spoke garage --topic garage.events --zone Europe/Amsterdam --delimiter ; -o garage.toml",
        "completions zsh",
        "man",
        "man target/man",
        "topics plan",
        "topics apply -o table",
        "topics verify -o json",
        "tail metrics --from-beginning --until-end -o json",
        "tail insight.customers",
        "generate --seed 7 --customers 10 --touchpoints 100 --duplicates 0.01 --late 0.05 --invalid 0.01 --shuffle \
         --to-files out",
        "generate --to-topics --brokers k:9092",
        "generate --to-topics --create-topics 4 --brokers k:9092",
        "import orders.csv --spoke sales",
        "import orders.txt --spoke sales --format csv --delimiter ; --rejects bad.ndjson --again -o json",
        "import orders.tsv.gz --spoke sales --delimiter \\t",
        "demo --once 1000 --directory company",
        "export metrics --to metrics.csv --format csv",
        "export metrics -o json",
        "customer email:ann@example.org --last 5 -o json",
        "rejected list",
        "rejected list --spoke sales --reason bad_timestamp --since 7d --until 2026-01-31 --summary -o jsonl",
        "rejected show sales.events:0:42 -o json",
        "rejected replay --dry-run -o jsonl",
        "rejected replay --spoke sales --spoke support --since 2026-01-31T09:00:00Z",
        "explain O-4711 --spoke sales --arrivals -o json",
        "tap sales --from-beginning --until-end --max 10 --unmasked -o json",
        "token create reports --role read:metrics --role ingest:sales --days 90 -o json",
        "token list -o jsonl",
        "token revoke 0123456789abcdef",
        "backup copy",
        "restore copy --set hub.data_directory=data",
        "state verify --from-input",
        "rebuild",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
    }
}

/// What shows no things: it makes files, is watched, or does one thing and says so.
const SHOW_NOTHING: [&str; 18] = [
    "topics asyncapi",
    "alerts acknowledge",
    "priorities acknowledge",
    "demo",
    "run",
    "reload",
    "rebuild",
    "spoke new",
    "completions",
    "man",
    "help",
    "export",
    "export-person",
    "identity link",
    "identity never-link",
    "identity split",
    "identity undo",
    "token revoke",
];

/// Every command by its words, those inside of others too.
fn commands(of: &clap::Command, before: &str) -> Vec<(String, clap::Command)> {
    of.get_subcommands()
        .flat_map(|command| {
            let name = format!("{before}{}", command.get_name());
            let inner = commands(command, &format!("{name} "));
            if inner.is_empty() { vec![(name, command.clone())] } else { inner }
        })
        .collect()
}

#[test]
fn whatever_shows_things_shows_them_in_three_ways() {
    let commands = commands(&definition(), "");
    assert!(commands.iter().any(|(name, _)| name == "topics plan") && commands.len() > 20, "{commands:?}");
    for (name, command) in &commands {
        if SHOW_NOTHING.contains(&name.as_str()) {
            continue;
        }
        let output = command.get_arguments().find(|argument| argument.get_id() == "output");
        let output = output.unwrap_or_else(|| panic!("{name} has no --output"));
        let values: Vec<String> =
            output.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        assert_eq!(
            (output.get_short(), values),
            (Some('o'), ["table", "json", "jsonl"].map(str::to_owned).into()),
            "{name}"
        );
    }
    // A feed as a file: a table of a million rows helps nobody, and a spreadsheet wants CSV.
    let (_, export) = commands.iter().find(|(name, _)| name == "export").expect("it is a command");
    let format = export.get_arguments().find(|argument| argument.get_long() == Some("output")).expect("a flag");
    let values: Vec<String> = format.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    assert_eq!((format.get_short(), values), (Some('o'), ["jsonl", "json", "csv"].map(str::to_owned).into()));
}

#[test]
fn wrong_command_lines_are_refused() {
    for (line, expected) in [
        ("run --set interval=3", "section.key=value"),
        ("run --workers many", "invalid digit"),
        ("tail", "<FEED>"),
        ("rejected", "list"),
        ("rejected list --reason late", "must be one of"),
        ("rejected replay --since yesterday", "so long ago"),
        ("tap", "<SPOKE>"),
        ("explain", "<ID>"),
        ("generate", "--to-files"),
        ("generate --to-topics --to-files out", "cannot be used with"),
        ("generate --to-files out --create-topics 2", "--to-topics"),
        ("generate --to-topics --late 1.5", "from 0 to 1"),
        ("generate --to-topics --customers 0", "0 is not in"),
        ("import orders.csv", "--spoke"),
        ("import --spoke sales", "<FILE>"),
        ("import orders.csv --spoke sales --delimiter ;;", "one ASCII character"),
        ("import orders.csv --spoke sales --format xlsx", "csv, ndjson"),
        ("serve", "unrecognized subcommand"),
        ("spoke new", "--from"),
        ("completions", "<SHELL>"),
        ("check --connect --sample x", "cannot be used with"),
        ("topics repair", "unrecognized subcommand"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn commands_that_connect_say_how_to_name_a_broker() {
    for line in ["topics verify", "topics plan"] {
        let cli = parse(line).expect("a right command line");
        let failure = cli.execute(&Settings::default(), &mut Vec::new()).expect_err("no brokers");
        assert_eq!(failure.exit, Exit::Usage, "{line}");
        let text = failure.to_string();
        assert!(text.contains("without brokers") && text.contains("--brokers HOST:PORT"), "{text}");
    }
}

#[test]
fn shares_that_exceed_everything_are_refused() {
    let cli = parse("generate --to-files out --late 0.6 --invalid 0.6").expect("each is a share");
    let failure = cli.execute(&Settings::default(), &mut Vec::new()).expect_err("more than everything");
    assert_eq!(failure.exit, Exit::Usage);
}

#[test]
fn commands_of_the_embedded_log_say_when_there_are_brokers() {
    let mut settings = Settings::default();
    settings.kafka.brokers = Some("localhost:9092".into());
    for line in ["backup somewhere", "restore somewhere", "state verify"] {
        let mut output = Vec::new();
        let failure = parse(line).expect("right").execute(&settings, &mut output).expect_err("there are brokers");
        assert_eq!(failure.exit, Exit::Usage, "{line}");
        assert!(failure.happened.contains("its own log") && output.is_empty(), "{failure}");
    }
}

#[test]
fn reading_where_no_hub_has_run_makes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut settings = Settings::default();
    settings.hub.data_directory = directory.path().join("nothing");
    for line in ["tail metrics", "export metrics", "customer customer_id:C1", "rejected list", "rejected show t:0:1"] {
        let failure = parse(line).expect("right").execute(&settings, &mut Vec::new()).expect_err("there is nothing");
        assert!(failure.happened.contains("no hub has run"), "{line}: {failure}");
        assert!(!settings.hub.data_directory.exists(), "{line}");
    }
}
