//! Settings as tables: a file, an environment and flags in; a value or an error's text out.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use super::*;
use crate::model::IdentifierRules;

const EXAMPLE: &str = include_str!("../../deploy/insight-hub.toml");

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

/// Loads settings from a file's text, an environment and flags.
fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("hub.toml");
    fs::write(&path, file).expect("a writable directory");
    Settings::load(Some(&path), &pairs(flags), pairs(environment).into_iter())
}

/// The text of the error, with the temporary path of the file replaced.
fn refusal(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let text = load(file, environment, flags).expect_err("a refused configuration").to_string();
    let words: Vec<&str> = text.split(' ').map(|word| if word.contains("hub.toml") { "FILE" } else { word }).collect();
    words.join(" ")
}

#[test]
fn without_any_source_the_defaults_hold_and_are_valid() {
    let settings = Settings::load(None, &[], std::iter::empty()).expect("defaults are valid");
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.validate(), Ok(()));
    assert!(settings.hub.worker_threads() >= 1);
}

#[test]
fn later_sources_win() {
    let file = "[commit]\ninterval_ms = 200\n[log]\nlevel = \"warn\"\n[topics]\nfeed_format = \"avro\"\n";
    let environment = &[
        ("INSIGHT_HUB__COMMIT__INTERVAL_MS", "300"),
        ("INSIGHT_HUB__LOG__LEVEL", "debug"),
        ("INSIGHT_HUB__TOPICS__TOUCHPOINTS_FEED", "false"),
        ("PATH", "/bin"),
    ];
    let settings = load(file, environment, &[("commit.interval_ms", "400")]).expect("a valid configuration");
    assert_eq!(settings.commit.interval_ms, 400);
    assert_eq!(settings.log.level, "debug");
    assert_eq!(settings.topics.feed_format, FeedFormat::Avro);
    assert!(!settings.topics.touchpoints_feed);
    assert_eq!(settings.time, Time::default());
}

#[test]
fn client_properties_come_from_every_source_and_go_to_the_right_role() {
    let file = "[kafka]\nbrokers = \"a:1,b:2\"\n[kafka.client]\nqueued.min.messages = 1000\n\"linger.ms\" = 5\n";
    let environment = &[("INSIGHT_HUB__KAFKA__CLIENT__SOCKET_KEEPALIVE_ENABLE", "true")];
    let settings = load(file, environment, &[("kafka.client.linger.ms", "7")]).expect("a valid configuration");
    let of_role = |role| {
        let properties = settings.kafka.client_properties(role, &mut |_| ()).expect("no secrets");
        let text: Vec<String> = properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.join(" ")
    };
    let connection = "bootstrap.servers=a:1,b:2 security.protocol=plaintext";
    assert_eq!(
        of_role(ClientRole::Consumer),
        format!("{connection} queued.min.messages=1000 socket.keepalive.enable=true")
    );
    assert_eq!(of_role(ClientRole::Producer), format!("{connection} linger.ms=7 socket.keepalive.enable=true"));
}

#[test]
fn every_mistake_is_named_with_its_key_and_source() {
    let table: &[(&str, &[(&str, &str)], &[(&str, &str)], &str)] = &[
        (
            "[commit]\nintervall_ms = 1\n",
            &[],
            &[],
            "unknown key `commit.intervall_ms` in FILE did you mean `commit.interval_ms`?",
        ),
        ("[comit]\ninterval_ms = 1\n", &[], &[], "unknown key `comit` in FILE did you mean `commit`?"),
        ("[hub]\nbrokers = \"a:1\"\n", &[], &[], "unknown key `hub.brokers` in FILE did you mean `kafka.brokers`?"),
        ("brokers = \"a:1\"\n", &[], &[], "unknown key `brokers` in FILE did you mean `kafka.brokers`?"),
        (
            "",
            &[("INSIGHT_HUB__KAFKA__BROKRES", "a:1")],
            &[],
            "unknown key `kafka.brokres` in environment variable INSIGHT_HUB__KAFKA__BROKRES; did you mean \
             `kafka.brokers`?",
        ),
        ("", &[], &[("http.listn", "x")], "unknown key `http.listn` in the command line; did you mean `http.listen`?"),
        ("[zebra]\n", &[], &[], "unknown key `zebra` in FILE"),
        ("hub = 3\n", &[], &[], "`hub` in FILE is a section: write [hub] and its keys below"),
        ("[commit]\ninterval_ms = 1.5\n", &[], &[], "`commit.interval_ms` in FILE must be a whole number"),
        ("[commit]\ninterval_ms = \"5\"\n", &[], &[], "`commit.interval_ms` in FILE must be a whole number"),
        ("[hub]\ninstance_id = 3\n", &[], &[], "`hub.instance_id` in FILE must be a text in quotes"),
        (
            "",
            &[("INSIGHT_HUB__COMMIT__INTERVAL_MS", "soon")],
            &[],
            "`commit.interval_ms` in environment variable INSIGHT_HUB__COMMIT__INTERVAL_MS: \"soon\" is not a whole \
             number",
        ),
        (
            "",
            &[],
            &[("topics.touchpoints_feed", "off")],
            "`topics.touchpoints_feed` in the command line: \"off\" is not true or false",
        ),
        (
            "[topics]\nfeed_format = \"xml\"\n",
            &[],
            &[],
            "`topics.feed_format` in FILE \"xml\" is not one of json, avro, avro-registry",
        ),
        ("[http]\nlisten = \"localhost\"\n", &[], &[], "`http.listen` in FILE invalid socket address syntax"),
        (
            "[hub]\ntime_zone = \"Europe/Atlantis\"\n",
            &[],
            &[],
            "`hub.time_zone` in FILE time zone \"Europe/Atlantis\" is not in the IANA database; use a name such as \
             \"UTC\" or \"Europe/Berlin\"",
        ),
        (
            "[kafka]\nbrokers = \"kafka\"\n",
            &[],
            &[],
            "`kafka.brokers` in FILE \"kafka\" is not host:port; separate several with commas",
        ),
        (
            "[kafka]\nmessage_timeout_ms = 20000\n",
            &[],
            &[],
            "`kafka.message_timeout_ms` in FILE must be between 100 and kafka.transaction_timeout_ms = 10000: a record \
             must fail before its transaction does",
        ),
        (
            "[topics]\nerased_within_seconds = 604800\n",
            &[],
            &[],
            "`topics.rejected_retention_hours`: must be at most 84, half of topics.erased_within_seconds: dead letters hold \
             records in full, and what is erased must be gone from them too; 0 is as long as that allows",
        ),
        (
            "[topics]\nerased_within_seconds = 7\n",
            &[],
            &[],
            "`topics.erased_within_seconds` in FILE must be at least 8",
        ),
        (
            "",
            &[],
            &[("commit.interval_ms", "6000")],
            "`commit.interval_ms` in the command line: must be between 1 and 5000, half of \
             kafka.transaction_timeout_ms: a commit needs time of its own",
        ),
        (
            "[kafka]\nsecurity_protocol = \"sasl_ssl\"\nusername = \"hub\"\npassword_file = \"p\"\n",
            &[],
            &[],
            "`kafka.sasl_mechanism`: is needed with kafka.security_protocol = \"sasl_ssl\"; set it",
        ),
        (
            "[kafka]\nca_file = \"ca.pem\"\n",
            &[],
            &[],
            "`kafka.ca_file` in FILE has no effect with kafka.security_protocol = \"plaintext\"; use ssl or sasl_ssl, \
             or remove it",
        ),
        (
            "[kafka]\nreplication_factor = 1\nmin_insync_replicas = 2\n",
            &[],
            &[],
            "`kafka.min_insync_replicas` in FILE 2 replicas in sync can never be had with kafka.replication_factor = 1",
        ),
        (
            "[kafka.client]\nplugin.library.paths = \"evil.so\"\n",
            &[],
            &[],
            "`kafka.client.plugin.library.paths`: not passed through: it would load code into the hub",
        ),
        (
            "",
            &[],
            &[("kafka.client.sasl.kerberos.kinit.cmd", "sh")],
            "`kafka.client.sasl.kerberos.kinit.cmd`: not passed through: it would run a command of the system",
        ),
        (
            "[kafka.client]\nisolation.level = \"read_uncommitted\"\n",
            &[],
            &[],
            "`kafka.client.isolation.level`: not passed through: exactly-once stands on it, so the hub sets it",
        ),
    ];
    for (file, environment, flags, expected) in table {
        let given = refusal(file, environment, flags);
        assert_eq!(&given, expected, "for file {file:?}, environment {environment:?}, flags {flags:?}");
    }
}

#[test]
fn an_unknown_client_property_is_answered_with_the_list_and_a_suggestion() {
    let text = refusal("[kafka.client]\nfetch.min.byte = 1\n", &[], &[]);
    assert!(text.contains("socket.keepalive.enable"), "{text}");
    assert!(text.ends_with("did you mean `fetch.min.bytes`?"), "{text}");
}

#[test]
fn a_missing_or_broken_file_is_an_error() {
    let missing = Settings::load(Some("/nowhere/hub.toml".as_ref()), &[], std::iter::empty());
    assert!(matches!(missing, Err(SettingsError::Unreadable { .. })), "{missing:?}");
    let broken = load("[hub\n", &[], &[]);
    assert!(matches!(broken, Err(SettingsError::Syntax { .. })), "{broken:?}");
    // The line may have a secret that belongs in a file.
    let text = refusal("[kafka]\nusername = \"hub\"\npassword = \"s3cret\n", &[], &[]);
    assert!(text.contains("line 3") && text.contains("not valid TOML") && !text.contains("s3cret"), "{text}");
}

#[test]
fn no_variable_is_interpolated() {
    let settings = load("[kafka]\nbrokers = \"${HOME}:9092\"\n", &[("HOME", "leak")], &[]).expect("a host is a text");
    assert_eq!(settings.kafka.brokers.as_deref(), Some("${HOME}:9092"));
}

#[test]
fn secrets_are_read_from_files_with_clear_errors() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str, mode: u32| -> PathBuf {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a writable directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
        path
    };
    let read = |path: Option<PathBuf>| {
        let hub = Hub { person_key_file: path, ..Hub::default() };
        let mut warnings = Vec::new();
        let key = hub.person_key(&mut |warning| warnings.push(warning));
        (key.map(|key| key.0).map_err(|error| error.to_string()), warnings)
    };
    let digits = "0f".repeat(32);
    let (key, warnings) = read(Some(write("good.key", &format!("{digits}\n"), 0o600)));
    assert_eq!(key, Ok([0x0f; 32]));
    assert!(warnings.is_empty());
    let (key, warnings) = read(Some(write("open.key", &digits, 0o644)));
    assert!(key.is_ok());
    assert!(warnings[0].contains("mode 644"), "{warnings:?}");
    for (name, text, expected) in [
        ("short.key", "0f0f", "has 4 characters; it must hold exactly 64 hexadecimal digits (256 bits)"),
        ("words.key", &"zz".repeat(32), "it must hold exactly 64 hexadecimal digits"),
        ("empty.key", "\n", "is empty"),
        ("large.key", &"0".repeat(5_000), "is larger than 4096 bytes"),
    ] {
        let (key, _) = read(Some(write(name, text, 0o600)));
        let error = key.expect_err("a refused key");
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("zz") && !error.contains("0f0f"), "no content in errors: {error}");
    }
    let (key, _) = read(Some(directory.path().join("absent.key")));
    assert!(key.expect_err("no file").contains("cannot be read"));
    // The secret in place of its file.
    let (key, _) = read(Some(PathBuf::from(&digits)));
    let error = key.expect_err("no file");
    assert!(error.contains("not the secret") && !error.contains("0f0f"), "{error}");
    let (key, _) = read(None);
    assert!(key.expect_err("no key").contains("openssl rand -hex 32"));
    let kafka = Kafka { password_file: Some(write("password", "s3cret\n", 0o600)), ..Kafka::default() };
    let password = kafka.password(&mut |_| ()).expect("a readable file").expect("a configured file");
    assert_eq!(password.expose(), "s3cret");
    assert_eq!(format!("{password:?}"), "Secret(…)");
}

/// The example's lines with every commented-out `key = value` brought to life.
fn example_with_every_key() -> String {
    let is_key = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ") && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.'))
    };
    let revive = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(revive).collect::<Vec<String>>().join("\n")
}

#[test]
fn what_differs_is_named_by_its_key_and_without_its_value() {
    let plain = Settings::default();
    assert_eq!(plain.differences(&plain), [""; 0]);
    let overrides = [("topics.prefix", "cx."), ("hub.person_key_file", "/secret"), ("kafka.client.client.rack", "a")];
    let other = load("", &[], &overrides).expect("valid settings");
    let named = ["hub.person_key_file", "kafka.client", "topics.prefix"];
    assert_eq!(
        (plain.differences(&other), other.differences(&plain)),
        (named.map(str::to_owned).to_vec(), named.map(str::to_owned).to_vec())
    );
}

#[test]
fn the_example_shows_every_key_and_no_other_with_its_default() {
    let tree: toml::Table = toml::from_str(&example_with_every_key()).expect("the example is TOML");
    let mut shown = BTreeSet::new();
    for (section, keys) in &tree {
        for key in keys.as_table().expect("sections are tables").keys() {
            shown.insert(format!("{section}.{key}"));
        }
    }
    let known: BTreeSet<String> = Settings::keys().into_iter().map(|(key, _)| key).collect();
    assert_eq!(shown, known);
    let as_it_is = load(EXAMPLE, &[], &[]).expect("the example is valid");
    assert_eq!(as_it_is, Settings::default(), "what is not commented out is the default");
    let tree: toml::Table = toml::from_str(EXAMPLE).expect("the example is TOML");
    for (key, default) in Settings::keys() {
        let (section, name) = key.split_once('.').expect("section.key");
        assert_eq!(
            tree[section].get(name).is_some(),
            !default.is_null(),
            "{key}: commented out exactly when it has no default"
        );
    }
}

#[test]
fn with_every_key_alive_only_the_login_and_two_places_of_keys_contradict_the_example() {
    let text = example_with_every_key().replace("\"plaintext\"", "\"sasl_ssl\"").replace("jwks_file = ", "# ");
    let settings = load(&text, &[], &[]).expect("every example value is valid");
    assert_eq!(settings.kafka.sasl_mechanism, Some(SaslMechanism::ScramSha512));
    assert_eq!(settings.kafka.client["socket.keepalive.enable"], "true");
}

#[test]
fn types_of_ones_own_are_named_with_their_limits() {
    let file = "[identity]\ntypes = \" tax_number = 1,member_card , badge=0,\"\nunique = \"customer_id, badge\"\n";
    let identity = load(file, &[], &[]).expect("a valid configuration").identity;
    let types: Vec<(&str, u32)> =
        identity.own_types().expect("names").into_iter().map(|(kind, limit)| (kind.as_str(), limit)).collect();
    assert_eq!(types, [("badge", 0), ("member_card", 5), ("tax_number", 1)]);
    let rules = identity.rules().expect("rules");
    let all = "customer_id, email, phone, loyalty, badge, member_card, tax_number, device, cookie, anonymous, order, case or contract";
    assert_eq!(rules.listed(), all);
    assert_eq!(rules.kind("tax_number").map(|kind| kind.as_str()), Some("tax_number"));
    assert_eq!(IdentifierRules::default().kind("tax_number"), None, "another hub has others");
    let many = |count: u32| (0..count).map(|number| format!("own{number}")).collect::<Vec<_>>().join(",");
    for (types, problem) in [
        ("Tax".to_owned(), "\"Tax\": a type has up to 32 small letters, digits and underscores, a letter first"),
        ("email".to_owned(), "\"email\": every hub knows this type"),
        ("case=3".to_owned(), "\"case\": every hub knows this type"),
        ("reborn".to_owned(), "\"reborn\": this word is taken"),
        ("tax=many".to_owned(), "\"tax=many\" does not end with a whole number"),
        ("tax=-1".to_owned(), "\"tax=-1\" does not end with a whole number"),
        ("badge, badge=2".to_owned(), "\"badge\" is there twice"),
        (many(9), "there are more than 8"),
    ] {
        let said = refusal(&format!("[identity]\ntypes = \"{types}\"\n"), &[], &[]);
        assert!(said.starts_with("`identity.types`") && said.contains(problem), "{types}: {said}");
    }
    assert!(load(&format!("[identity]\ntypes = \"{}\"\n", many(8)), &[], &[]).is_ok());
    let said = refusal("[identity]\ntypes = \"badge\"\nunique = \"member_card\"\n", &[], &[]);
    assert!(said.contains("customer_id, email, phone, loyalty, badge, device, cookie, anonymous"), "{said}");
    let blocked = "[identity]\ntypes = \"badge\"\nblocked = \"badge:lost\"\n";
    let rules = load(blocked, &[], &[]).expect("a valid configuration").identity.rules().expect("rules");
    let badge = rules.kind("badge").expect("its type");
    assert_eq!((rules.normalize(badge, "Lost"), rules.normalize(badge, " B7 ").as_deref()), (None, Some("B7")));
}
