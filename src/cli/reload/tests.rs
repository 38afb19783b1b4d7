//! A configuration that changes on disk in, what a reload says and does out.

use std::path::Path;

use super::*;

const SPOKE: &str = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"touchpoint-json\"\n";

struct House {
    home: tempfile::TempDir,
    settings: Settings,
    files: Files,
    spokes: LiveSpokes,
    telemetry: Telemetry,
    schemas: Schemas,
}

impl House {
    fn new() -> House {
        House::with(&[])
    }

    /// With more keys; `HOME` in their values is its folder.
    fn with(more: &[(&str, &str)]) -> House {
        let home = tempfile::tempdir().expect("a directory");
        write(home.path(), "password", "s3cret");
        write(home.path(), "spokes/shop.toml", SPOKE);
        write(home.path(), "schemas/other.txt", "no schema");
        let settings = settings(home.path(), more);
        let (spokes, schemas) = candidate(&settings, None).expect("a configuration of this test");
        let files = Files::of(&settings);
        House { home, settings, files, spokes: LiveSpokes::new(spokes), telemetry: Telemetry::new(), schemas }
    }

    /// Reloads with more keys than at the start; what it says.
    fn reload(&mut self, more: &'static [(&str, &str)]) -> String {
        let home = self.home.path().to_owned();
        let read: Read = Box::new(move || load(&home, more));
        let House { settings, files, spokes, telemetry, .. } = self;
        let running = Running { settings, files, spokes, telemetry, tls: None };
        let Answer { outcome, changed, needs_restart, problem } = running.reload(&read, &mut self.schemas);
        let problem = problem.replace(&self.home.path().display().to_string(), "");
        format!("{}: {}{}{problem}", outcome.as_str(), changed.join(", "), needs_restart.join(", "))
    }

    fn write(&self, path: &str, content: &str) {
        write(self.home.path(), path, content);
    }

    fn fingerprints(&self) -> Vec<u64> {
        self.spokes.now().iter().map(crate::ingest::Spoke::fingerprint).collect()
    }

    fn figure(&self, name: &str) -> Option<f64> {
        let text = self.telemetry.render();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

fn write(home: &Path, path: &str, content: &str) {
    let path = home.join(path);
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
    std::fs::write(path, content).expect("a file");
}

fn load(home: &Path, more: &[(&str, &str)]) -> Result<Settings, Failure> {
    let text = |path: &str| home.join(path).display().to_string();
    let mut overrides =
        vec![("spokes.directory".to_owned(), text("spokes")), ("schemas.directory".to_owned(), text("schemas"))];
    let home = home.display().to_string();
    overrides.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.replace("HOME", &home))));
    Ok(Settings::load(None, &overrides, std::iter::empty())?)
}

fn settings(home: &Path, more: &[(&str, &str)]) -> Settings {
    load(home, more).expect("settings of this test")
}

#[test]
fn a_mapping_is_applied_and_the_same_again_changes_nothing() {
    let mut house = House::new();
    let before = house.fingerprints();
    assert_eq!(house.reload(&[]), "unchanged: ");
    assert_eq!(house.fingerprints(), before);
    let hash = house.figure("insight_hub_mappings_hash");
    house.write("spokes/shop.toml", &format!("{SPOKE}condition = \"kind != 'other'\"\n"));
    assert_eq!(house.reload(&[]), "applied: the mapping of shop");
    assert_ne!(house.fingerprints(), before);
    assert_ne!(house.figure("insight_hub_mappings_hash"), hash);
    assert_eq!(house.reload(&[]), "unchanged: ");
    house.write("spokes/shop.toml", SPOKE);
    assert_eq!(house.reload(&[]), "applied: the mapping of shop");
    assert_eq!((house.fingerprints(), house.figure("insight_hub_mappings_hash")), (before, hash));
    assert_eq!(house.figure("insight_hub_reloads_total{outcome=\"applied\"}"), Some(2.0));
    assert_eq!(house.figure("insight_hub_reloads_total{outcome=\"unchanged\"}"), Some(2.0));
}

#[test]
fn a_schema_that_is_put_there_is_applied() {
    let mut house = House::new();
    house.write("schemas/17.avsc", crate::wire::schemas::TOUCHPOINT_SCHEMA);
    assert_eq!(house.reload(&[]), "applied: the schemas");
    house.write("schemas/17.avsc", "{");
    assert!(house.reload(&[]).starts_with("invalid: 17.avsc: not an Avro schema"), "{}", house.reload(&[]));
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_is_applied() {
    let mut house = House::new();
    let before = house.fingerprints();
    house.write("spokes/shop.toml", &format!("{SPOKE}condition = \"kind != 'other'\"\n"));
    house.write("spokes/web.toml", &SPOKE.replace("shop", "web"));
    assert_eq!(
        house.reload(&[("commit.interval_ms", "50"), ("kafka.client.client.rack", "a"), ("topics.prefix", "cx.")]),
        "needs_restart: commit.interval_ms, kafka.client, topics.prefix, spoke web (new)"
    );
    house.write("spokes/web.toml", &SPOKE.replace("shop.events", "web.events"));
    let said = house.reload(&[]);
    assert!(said.starts_with("invalid: ") && said.contains("another file has this name"), "{said}");
    assert_eq!(house.fingerprints(), before);
    let (restarts, invalid) = ("{outcome=\"needs_restart\"}", "{outcome=\"invalid\"}");
    assert_eq!(house.figure(&format!("insight_hub_reloads_total{restarts}")), Some(1.0));
    assert!(house.figure(&format!("insight_hub_reloads_total{invalid}")) >= Some(1.0));
    assert_eq!(house.figure("insight_hub_mappings_loaded_timestamp_seconds"), Some(0.0), "nothing was applied");
}

/// A secret or a certificate that is replaced in its file is what the clients do not have.
#[test]
fn a_file_that_is_read_once_and_has_another_content_needs_a_restart() {
    const LOGIN: &[(&str, &str)] = &[
        ("kafka.brokers", "localhost:9092"),
        ("kafka.security_protocol", "sasl_ssl"),
        ("kafka.sasl_mechanism", "scram-sha-512"),
        ("kafka.username", "hub"),
        ("kafka.password_file", "HOME/password"),
    ];
    const ELSEWHERE: &[(&str, &str)] =
        &[LOGIN[0], LOGIN[1], LOGIN[2], LOGIN[3], ("kafka.password_file", "HOME/password-2")];
    let mut house = House::with(LOGIN);
    assert_eq!(house.reload(LOGIN), "unchanged: ");
    house.write("password", "an0ther");
    house.write("spokes/shop.toml", &format!("{SPOKE}condition = \"kind != 'other'\"\n"));
    let before = house.fingerprints();
    assert_eq!(house.reload(LOGIN), "needs_restart: kafka.password_file (its content)");
    assert_eq!(house.fingerprints(), before, "nothing is applied");
    house.write("password-2", "an0ther");
    assert_eq!(house.reload(ELSEWHERE), "needs_restart: kafka.password_file");
    house.write("password", "s3cret");
    assert_eq!(house.reload(LOGIN), "applied: the mapping of shop");
    std::fs::remove_file(house.home.path().join("password")).expect("a file");
    assert_eq!(house.reload(LOGIN), "needs_restart: kafka.password_file (its content)");
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_applied() {
    let mut house = House::new();
    let before = house.fingerprints();
    house.write("spokes/shop.toml", &format!("{SPOKE}condition = \"kind = 'other'\"\n"));
    let said = house.reload(&[]);
    assert!(
        said.starts_with("invalid: /spokes/shop.toml: spoke shop, line 4: condition: it is not readable"),
        "{said}"
    );
    let test = "[[tests]]\nsample = '{\"id\":\"secret\"}'\nexpect = { id = \"secret\" }\n";
    house.write("spokes/shop.toml", &format!("{SPOKE}{test}"));
    let said = house.reload(&[]);
    assert_eq!(said, "invalid: /spokes/shop.toml: test 1 of its own finds something else than it expects");
    let said = house.reload(&[("hub.time_zone", "Mars/Olympus")]);
    assert!(said.starts_with("invalid: ") && said.contains("time_zone"), "{said}");
    assert_eq!(house.fingerprints(), before);
}
