//! A broker that lets nobody in without TLS, a login and rights: what the hub needs of it, and what it says otherwise.

use std::{
    path::Path,
    process::{Command, ExitStatus},
    sync::OnceLock,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::Value;

use crate::harness::{
    kafka::{Broker, free_port, java},
    process::{Hub, HubCommand, Process},
    sweeper::Scratch,
};
use crate::world::SCHEMAS;

const CLUSTER_ID: &str = "aW5zaWdodC1odWItdGVzdA";
const START_WITHIN: Duration = Duration::from_secs(120);
/// How long a command may take on two busy cores.
const SAID_WITHIN: Duration = Duration::from_secs(90);
/// A clear message must come within seconds, also where the command itself does not give up yet.
const TOLD_WITHIN: Duration = Duration::from_secs(20);
const TOUCHPOINTS: usize = 400;

/// What the hub's user needs, as the example for an existing Kafka gives it: a line is a call of the ACL tool.
const ACLS: &str = include_str!("../../../deploy/examples/kafka/acls.sh");
/// What is said without each of them, in their order.
const SAID_WITHOUT: [&str; 5] = [
    "topic insight-hub-customers-repartition",
    "topic insight.customers",
    "this user may not see 4 of",
    "transactional id",
    "the group may not be joined",
];

/// The words of each call of the ACL tool, operations by their names alone, and what is said without it.
fn needed() -> [(Vec<&'static str>, &'static str); 5] {
    let mut calls = ACLS.lines().filter_map(|line| line.strip_prefix("acl "));
    let needed = SAID_WITHOUT.map(|said| {
        let call = calls.next().expect("a right for each");
        (call.split(' ').filter(|word| *word != "--operation").collect(), said)
    });
    assert_eq!(calls.next(), None, "nothing is said of it");
    needed
}

struct Secured {
    port: u16,
    /// Where clients show a certificate and no password.
    mutual_port: u16,
    scratch: Scratch,
    _process: Process,
}

/// Runs a program that must succeed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?} failed\n{said}");
    said.into_owned()
}

fn openssl(directory: &Path, arguments: &str) {
    run(Command::new("openssl").current_dir(directory).args(arguments.split(' ')));
}

/// An authority, the broker's certificate by it (for clients and, as the node's own client, for its controller), and that
/// of a client.
fn make_certificates(directory: &Path) {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(directory, &format!("req -x509 {KEY} -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem"));
    openssl(directory, &format!("req {KEY} -subj /CN=broker -keyout broker.key -out broker.csr"));
    let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
    std::fs::write(directory.join("extensions"), extensions).unwrap();
    let sign = "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions";
    openssl(directory, &format!("{sign} -days 2 -out broker.crt"));
    openssl(directory, &format!("{sign} -days -1 -out expired.crt"));
    openssl(directory, &format!("req {KEY} -subj /CN=mutual -keyout client.key -out client.csr"));
    openssl(directory, "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out client.crt");
    let parts = ["broker.key", "broker.crt", "ca.pem"].map(|name| std::fs::read(directory.join(name)).unwrap());
    std::fs::write(directory.join("broker.pem"), parts.concat()).unwrap();
}

impl Secured {
    /// One for all tests of this file.
    fn shared() -> &'static Secured {
        static SHARED: OnceLock<Secured> = OnceLock::new();
        SHARED.get_or_init(Secured::start)
    }

    fn start() -> Secured {
        let scratch = Scratch::new("secured");
        let directory = scratch.path();
        make_certificates(directory);
        let (port, mutual_port, controller) = (free_port(), free_port(), free_port());
        let at = directory.display();
        let login = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"admin\" password=\"admin-secret\";";
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=SASL_SSL://127.0.0.1:{port},MUTUAL://127.0.0.1:{mutual_port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=SASL_SSL://127.0.0.1:{port},MUTUAL://127.0.0.1:{mutual_port}\ncontroller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=SASL_SSL\n\
             listener.security.protocol.map=CONTROLLER:SSL,MUTUAL:SSL,SASL_SSL:SASL_SSL\n\
             listener.name.mutual.ssl.client.auth=required\nlistener.name.controller.ssl.client.auth=required\nlog.dirs={at}/data\n\
             sasl.enabled.mechanisms=SCRAM-SHA-512\nsasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login}\n\
             ssl.keystore.type=PEM\nssl.keystore.location={at}/broker.pem\n\
             ssl.truststore.type=PEM\nssl.truststore.location={at}/ca.pem\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:admin;User:CN=broker;User:CN=mutual\nallow.everyone.if.no.acl.found=false\n\
             auto.create.topics.enable=false\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\n\
             log.cleaner.dedupe.buffer.size=16777216\nlog.index.size.max.bytes=1048576\n"
        );
        std::fs::write(directory.join("server.properties"), properties).unwrap();
        let client = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={login}\n\
             ssl.truststore.type=PEM\nssl.truststore.location={at}/ca.pem\n"
        );
        std::fs::write(directory.join("admin.properties"), client).unwrap();
        let mut format = java(directory, "kafka.tools.StorageTool", &["-Xmx128m", "-XX:TieredStopAtLevel=1"]);
        format.args(["format", "-t", CLUSTER_ID, "-c", "server.properties"]);
        for user in ["admin", "hub", "looker", "keeper"] {
            format.args(["--add-scram", &format!("SCRAM-SHA-512=[name={user},password={user}-secret]")]);
        }
        run(&mut format);
        let mut server = java(directory, "kafka.Kafka", &["-Xmx512m"]);
        let process = Process::spawn("secured", server.arg("server.properties"), directory);
        let broker = Secured { port, mutual_port, scratch, _process: process };
        // Asked as a user would: until the administrator can make the hub's topics and the departments'.
        let began = Instant::now();
        loop {
            let (status, _, said) = broker.hub("admin").args(["topics", "plan"]).run(START_WITHIN);
            if status.success() {
                break;
            }
            assert!(began.elapsed() < START_WITHIN, "the broker does not answer\n{said}");
        }
        broker
    }

    fn config(&self, user: &str) -> String {
        let spokes = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/spokes");
        format!(
            "[hub]\ndata_directory = \"data\"\nperson_key_file = \"key\"\nworkers = 1\n\
             [kafka]\nbrokers = \"127.0.0.1:{}\"\nsecurity_protocol = \"sasl_ssl\"\n\
             sasl_mechanism = \"scram-sha-512\"\nusername = \"{user}\"\npassword_file = \"password\"\n\
             ca_file = \"{}\"\n[schemas]\ndirectory = \"{SCHEMAS}\"\n[spokes]\ndirectory = \"{}\"\n[http]\nlisten = \"127.0.0.1:{}\"\n",
            self.port,
            self.scratch.path().join("ca.pem").display(),
            spokes.display(),
            free_port(),
        )
    }

    /// A hub of a user, with its password in a file.
    fn hub(&self, user: &str) -> HubCommand {
        Hub::command(user)
            .file("hub.toml", &self.config(user))
            .file("password", &format!("{user}-secret"))
            .file("key", &"07".repeat(32))
            .args(["--config", "hub.toml"])
    }

    /// Runs the ACL tool for the hub's user: `--add` or `--remove`, and what follows in [`needed`].
    fn rights(&self, action: &str, words: &[&str]) {
        self.rights_of("hub", action, words);
    }

    /// The same for another user.
    fn rights_of(&self, user: &str, action: &str, words: &[&str]) {
        let principal = format!("User:{user}");
        let command = |words: &[&str]| {
            let options = ["-Xmx128m", "-XX:TieredStopAtLevel=1"];
            let mut acl = java(self.scratch.path(), "org.apache.kafka.tools.AclCommand", &options);
            acl.args(["--bootstrap-server", &format!("127.0.0.1:{}", self.port)]);
            acl.args(["--command-config", "admin.properties"]).args(words);
            acl
        };
        let mut acl = command(&[action, "--allow-principal", &principal]);
        if action == "--remove" {
            acl.arg("--force");
        }
        for word in words {
            if word.starts_with(|first: char| first.is_ascii_uppercase()) {
                acl.arg("--operation");
            }
            acl.arg(word);
        }
        run(&mut acl);
        // It is said before the broker goes by it.
        let resources = ["--topic", "--group", "--transactional-id"];
        let name = words.windows(2).rev().find(|two| resources.contains(&two[0])).map(|two| two[1]);
        let Some(name) = name.filter(|_| action == "--add") else { return };
        let began = Instant::now();
        while !run(&mut command(&["--list", "--principal", &principal])).contains(&format!("name={name},")) {
            assert!(began.elapsed() < SAID_WITHIN, "{words:?} were given and are not there");
        }
    }
}

/// What `check --connect` says of each thing, as (of, name, state), and how it ends.
fn look(hub: HubCommand) -> (Option<i32>, Vec<(String, String, String)>, String) {
    let began = Instant::now();
    let (status, document, said) = hub.args(["check", "--connect", "-o", "json"]).run(SAID_WITHIN);
    assert!(!said.contains("-secret") && !document.contains("-secret"), "a password was told:\n{said}\n{document}");
    let document: Value = serde_json::from_str(&document).unwrap_or_else(|error| panic!("{error}: {document}\n{said}"));
    let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    let found = document["connections"].as_array().unwrap().iter();
    let found = found.map(|it| {
        let (state, seen) = (text(it, "state"), text(it, "seen"));
        assert!(state != "missing" || !text(it, "next").is_empty(), "nothing to do about {it}");
        (text(it, "of"), text(it, "name"), if seen.starts_with("without ") { seen } else { state })
    });
    let found = found.collect();
    (status.code(), found, format!("{said}\n{document}\nafter {:?}", began.elapsed()))
}

/// Runs a hub that must say these words within seconds and end by itself; returns how, and what it said.
#[track_caller]
fn refused(hub: HubCommand, words: &[&str]) -> (ExitStatus, String) {
    let mut hub = hub.args(["run"]).spawn();
    let began = Instant::now();
    let (mut told_after, mut ended) = (None, None);
    while ended.is_none() {
        assert!(began.elapsed() < SAID_WITHIN, "it does not end\n{}", hub.process.story());
        std::thread::sleep(Duration::from_millis(20));
        ended = hub.process.status();
        let said = hub.process.stderr();
        if told_after.is_none() && words.iter().all(|word| said.contains(word)) {
            told_after = Some(began.elapsed());
        }
    }
    let said = hub.process.stderr();
    let status = ended.expect("the loop ends with it");
    assert!(!status.success(), "{said}");
    for secret in ["admin-secret", "hub-secret", "guessed-secret"] {
        assert!(!said.contains(secret), "a password was told:\n{said}");
    }
    for word in words {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
    assert!(told_after.is_some_and(|after| after < TOLD_WITHIN), "{words:?} were told after {told_after:?}\n{said}");
    (status, said)
}

#[track_caller]
fn check(hub: HubCommand, exit: i32, words: &[&str]) {
    let (status, said) = refused(hub, words);
    assert_eq!(status.code(), Some(exit), "{said}");
}

/// How many touchpoints the feed holds, read by the hub's own user.
fn published(broker: &Secured) -> usize {
    let (status, feed, said) = broker.hub("hub").args(["export", "touchpoints"]).run(SAID_WITHIN);
    assert!(status.success(), "{said}");
    feed.lines().count()
}

fn wait_for(broker: &Secured, hub: &mut Hub, touchpoints: usize) {
    let began = Instant::now();
    loop {
        assert!(hub.process.is_running(), "{}", hub.process.story());
        let found = published(broker);
        if found == touchpoints {
            return;
        }
        assert!(found < touchpoints && began.elapsed() < START_WITHIN, "{found} of {touchpoints} were published");
    }
}

/// Sends tickets that no company has.
fn import(broker: &Secured, tickets: usize) {
    let ticket = |number: usize| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"late-{number}\",\"type\":\"ticket.opened\",\"time\":\"2026-01-31T09:00:00Z\",\
             \"data\":{{\"ticket\":\"L-{number}\",\"requester\":{{\"number\":\"C{number}\"}}}}}}\n"
        )
    };
    let rows: String = (0..tickets).map(ticket).collect();
    let command = broker.hub("admin").file("rows.ndjson", &rows).args(["import", "rows.ndjson", "--spoke", "support"]);
    let (status, _, said) = command.run(SAID_WITHIN);
    assert!(status.success(), "{said}");
}

fn generate(broker: &Secured) {
    let company = ["--touchpoints", "400", "--customers", "20", "--duplicates", "0", "--invalid", "0"];
    let (status, _, said) =
        broker.hub("admin").args(["generate", "--to-topics", "--create-topics", "2"]).args(company).run(SAID_WITHIN);
    assert!(status.success(), "{said}");
}

#[test]
fn the_hub_needs_the_rights_that_the_readme_lists_and_names_the_one_that_is_missing() {
    let broker = Secured::shared();
    generate(broker);
    let (status, _, said) = broker.hub("admin").args(["topics", "apply"]).run(SAID_WITHIN);
    assert!(status.success(), "{said}");
    let rights = needed();
    for (words, said_without) in &rights {
        let (status, said) = refused(broker.hub("hub"), &[said_without]);
        assert_eq!(status.code(), Some(1), "systemd starts it again once the right is there\n{said}");
        let topics = "marketing.events, operations.events, sales.events, support.events";
        let grant = format!("grant this user Read and Describe on {topics}");
        assert_eq!(said.contains(&grant), said_without.contains("may not see"), "{said}");
        broker.rights("--add", words);
    }
    let mut hub = broker.hub("hub").args(["run"]).spawn();
    wait_for(broker, &mut hub, TOUCHPOINTS);

    // A right that is taken away while it works: it says so and ends; started again with the right, it has lost nothing.
    let (feeds, _) = &rights[1];
    let writing: Vec<&str> =
        feeds.iter().copied().filter(|word| !matches!(*word, "Read" | "Describe" | "DescribeConfigs")).collect();
    broker.rights("--remove", &writing);
    import(broker, 50);
    let status = hub.process.wait_or_fail(TOLD_WITHIN);
    let said = hub.process.stderr();
    assert_eq!(status.code(), Some(1), "systemd starts it again once the right is there\n{said}");
    let told = |line: &&str| {
        ["topic insight", "insight.", "may not be written", "grant Write"].iter().all(|word| line.contains(word))
    };
    assert!(said.lines().any(|line| told(&line)), "{said}");
    broker.rights("--add", feeds);
    hub.restart();
    wait_for(broker, &mut hub, TOUCHPOINTS + 50);
    // Beside the hub, whose group is there now, and which nobody fences.
    let (code, found, said) = look(broker.hub("hub"));
    let missing: Vec<_> = found.iter().filter(|(.., state)| state != "right").map(|it| it.1.as_str()).collect();
    assert_eq!((code, missing), (Some(0), vec!["transactional ids that begin with insight-hub"]), "{said}");
    assert!(hub.process.is_running(), "{}", hub.process.story());
    assert!(hub.process.terminate(SAID_WITHIN).success(), "{}", hub.process.story());
}

/// Where the records of the repartition topics begin now, all partitions together.
fn first_offsets(broker: &Secured, topic: &str) -> i64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", format!("127.0.0.1:{}", broker.port))
        .set("security.protocol", "sasl_ssl")
        .set("ssl.ca.location", broker.scratch.path().join("ca.pem").display().to_string())
        .set("sasl.mechanism", "SCRAM-SHA-512")
        .set("sasl.username", "admin")
        .set("sasl.password", "admin-secret")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), SAID_WITHIN).unwrap();
    let partitions = metadata.topics()[0].partitions().iter();
    partitions.map(|it| consumer.fetch_watermarks(topic, it.id(), SAID_WITHIN).unwrap().0).sum()
}

#[test]
fn what_may_not_be_deleted_is_told_within_seconds_and_deleted_once_it_may_be() {
    let broker = Secured::shared();
    generate(broker);
    let own = ["--set", "hub.application_id=keeping", "--set", "topics.prefix=kept."];
    let (status, _, said) = broker.hub("admin").args(["topics", "apply"]).args(own).run(SAID_WITHIN);
    assert!(status.success(), "{said}");
    let [(internal, _), (feeds, _), (spokes, _), (ids, _), (group, _)] = needed();
    let grant = |words: &[&str], but: &[&str]| {
        let words = words.iter().filter(|word| !but.contains(word)).map(|word| match *word {
            "insight-hub-" => "keeping-",
            "insight-hub" => "keeping",
            "insight." => "kept.",
            word => word,
        });
        broker.rights_of("keeper", "--add", &words.collect::<Vec<_>>());
    };
    for words in [&spokes, &ids, &group] {
        grant(words, &[]);
    }
    grant(&internal, &["Delete"]);
    grant(&feeds, &["DescribeConfigs"]);
    let mut hub = broker.hub("keeper").args(own).args(["run"]).spawn();
    let began = Instant::now();
    let mut told = |words: &[&str], within: Duration| {
        let is_told = |said: &str| said.lines().any(|line| words.iter().all(|word| line.contains(word)));
        while !is_told(&hub.process.stderr()) {
            assert!(hub.process.is_running() && began.elapsed() < within, "{words:?}\n{}", hub.process.story());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    told(&["DescribeConfigs on them", "kept.customers"], TOLD_WITHIN);
    // The first commit is awaited too.
    let topic = "keeping-customers-repartition";
    told(&["are not deleted", "grant Delete on the topic", topic], TOLD_WITHIN * 2);
    assert_eq!(first_offsets(broker, topic), 0);
    grant(&internal, &[]);
    told(&["are deleted again", topic], TOLD_WITHIN * 5);
    assert!(first_offsets(broker, topic) > 0);
    let said = hub.process.stderr();
    let of_topic = said.lines().filter(|line| line.contains("are not deleted") && line.contains(topic)).count();
    assert_eq!(of_topic, 1, "it is told once\n{said}");
    assert!(hub.process.terminate(SAID_WITHIN).success(), "{}", hub.process.story());
}

#[test]
fn a_login_or_certificate_that_does_not_hold_is_told_within_seconds() {
    let broker = Secured::shared();
    let set = |key: &str, value: &str| broker.hub("hub").args(["--set", &format!("kafka.{key}={value}")]);
    check(broker.hub("hub").file("password", "guessed-secret"), 4, &["refuses this client", "password file"]);
    check(set("username", "nobody"), 4, &["refuses this client", "kafka.username"]);
    // Another authority than the one that signed the broker's certificate.
    let other = Scratch::new("other-authority");
    make_certificates(other.path());
    check(set("ca_file", &other.path().join("ca.pem").display().to_string()), 4, &["is not trusted", "kafka.ca_file"]);
    // Another protocol than the port's. The library cannot tell it from a broker that is still starting, so the hub waits, and
    // says early what to look at.
    let speaking = |protocol: &str, left_out: &[&str], port: u16| {
        let config = broker
            .config("hub")
            .replace("sasl_ssl", protocol)
            .replace(&format!(":{}", broker.port), &format!(":{port}"));
        let lines = config.lines().filter(|line| left_out.iter().all(|key| !line.starts_with(key)));
        broker.hub("hub").file("hub.toml", &lines.map(|line| format!("{line}\n")).collect::<String>())
    };
    let login = ["sasl_mechanism", "username", "password_file"];
    let plain: u16 = Broker::shared().bootstrap().rsplit_once(':').unwrap().1.parse().unwrap();
    for hub in [
        speaking("sasl_plaintext", &["ca_file"], broker.port),
        speaking("plaintext", &[&login[..], &["ca_file"]].concat(), broker.port),
        speaking("ssl", &login, plain),
    ] {
        check(hub, 4, &["does not answer", "kafka.security_protocol"]);
    }
    // Whoever has the authority's old certificate.
    let port = free_port();
    let mut server = Command::new("openssl");
    server.current_dir(broker.scratch.path()).args(["s_server", "-quiet", "-accept", &port.to_string()]);
    server.args(["-cert", "expired.crt", "-key", "broker.key"]);
    let _server = Process::spawn("expired", &mut server, broker.scratch.path());
    check(set("brokers", &format!("127.0.0.1:{port}")), 4, &["is not trusted", "expired"]);
}

#[test]
fn a_certificate_of_its_own_lets_the_hub_in_and_nothing_else_does() {
    let broker = Secured::shared();
    let hub = |certificates: &Path, key: &str| {
        let file = |name: &str| certificates.join(name).display().to_string();
        let login = ["security_protocol", "sasl_mechanism", "username", "password_file", "brokers"];
        let config: String = broker
            .config("hub")
            .lines()
            .filter(|line| !login.iter().any(|word| line.starts_with(word)))
            .map(|line| format!("{line}\n"))
            .collect();
        let kafka = format!(
            "[kafka]\nbrokers = \"127.0.0.1:{}\"\nsecurity_protocol = \"ssl\"\n{key}certificate_file = \"{}\"\n\
             {key}key_file = \"{}\"\n",
            broker.mutual_port,
            file("client.crt"),
            file("client.key")
        );
        broker.hub("hub").file("hub.toml", &config.replace("[kafka]\n", &kafka))
    };
    let (status, plan, said) = hub(broker.scratch.path(), "").args(["topics", "plan"]).run(START_WITHIN);
    assert!(status.success() && plan.contains("insight.customers"), "{plan}\n{said}");
    let other = Scratch::new("other-clients");
    make_certificates(other.path());
    // By an authority that the broker does not know, and none at all.
    for (hub, what) in [(hub(other.path(), ""), "another's"), (hub(broker.scratch.path(), "# "), "none")] {
        let (status, said) = refused(hub, &["certificate_file"]);
        assert_eq!(status.code(), Some(4), "{what}: {said}");
    }
}

#[test]
fn a_look_names_each_right_and_topic_that_is_missing_and_changes_nothing() {
    let broker = Secured::shared();
    generate(broker);
    let (status, _, said) = broker.hub("admin").args(["topics", "apply"]).run(SAID_WITHIN);
    assert!(status.success(), "{said}");
    let state_of = |found: &[(String, String, String)], of: &str, name: &str| {
        let found = found.iter().find(|(it, named, _)| it == of && named == name);
        found.map_or_else(|| "not looked at".to_owned(), |(.., state)| state.clone())
    };

    // Who may do everything sees everything.
    let (code, found, said) = look(broker.hub("admin"));
    assert_eq!(code, Some(0), "{found:?}\n{said}");
    assert_eq!(state_of(&found, "topic", "sales.events"), "right");
    let unseen = found.iter().filter(|it| it.2 == "not seen").map(|it| it.1.as_str());
    // A group is there once a hub has run.
    let unseen: Vec<&str> = unseen.filter(|name| *name != "the group insight-hub").collect();
    assert_eq!(unseen, ["transactional ids that begin with insight-hub"]);

    // Topics that are not there.
    let (code, found, said) = look(broker.hub("admin").args(["--set", "topics.prefix=absent."]));
    assert_eq!((code, state_of(&found, "topic", "absent.metrics").as_str()), (Some(3), "missing"), "{said}");
    assert_eq!(state_of(&found, "rights", "absent.metrics"), "not seen");
    let (_, topics, _) =
        broker.hub("admin").args(["topics", "plan", "--set", "topics.prefix=absent.", "-o", "json"]).run(SAID_WITHIN);
    assert!(topics.contains("\"missing\""), "a look made them: {topics}");
    let is_sound = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
    for format in ["json", "jsonl"] {
        let (status, topics, said) = broker.hub("admin").args(["topics", "verify", "-o", format]).run(SAID_WITHIN);
        assert!(status.success() && topics.lines().count() > 0, "{said}");
        let sound = if format == "json" { is_sound(&topics) } else { topics.lines().all(is_sound) };
        assert!(sound, "{format}: {topics}");
    }

    // Who may do nothing.
    let (code, found, said) = look(broker.hub("looker"));
    assert_eq!(code, Some(1), "{said}");
    for (of, name, state) in &found {
        let expected = match (of.as_str(), name.as_str()) {
            ("broker", _) => "right",
            (_, "transactional ids that begin with insight-hub") => "not seen",
            _ => "missing",
        };
        assert_eq!(state, expected, "{of} {name}");
    }

    // Who lacks a few.
    let but = |words: &[&'static str], left_out: &str| -> Vec<&'static str> {
        words.iter().copied().filter(|word| *word != left_out).collect()
    };
    let [(internal, _), (feeds, _), _, (ids, _), _] = needed();
    let spokes = vec!["--topic", "sales.events", "--topic", "support.events", "Read", "Describe"];
    for words in [but(&internal, "Delete"), but(&feeds, "Write"), spokes, ids] {
        broker.rights_of("looker", "--add", &words);
    }
    broker.rights_of("looker", "--add", &["--topic", "operations.events", "--group", "insight-hub", "Describe"]);
    let (code, found, said) = look(broker.hub("looker"));
    assert_eq!(code, Some(1), "{said}");
    for (name, state) in [
        ("insight-hub-customers-repartition", "without Delete"),
        ("insight.metrics", "without Write"),
        ("sales.events", "right"),
        ("operations.events", "without Read"),
        ("marketing.events", "missing"),
    ] {
        assert_eq!(state_of(&found, "rights", name), state, "{name}: {found:?}");
    }
    // Of a department that sends over HTTP, the hub writes what it sent.
    let sending = || {
        let directory = broker.scratch.path().join("api-tokens.json");
        let place = format!("serve.tokens_file={}", directory.display());
        broker.hub("looker").args(["--set", "serve.listen=127.0.0.1:1", "--set", &place])
    };
    let (status, _, said) = sending().args(["token", "create", "shop", "--role", "ingest:sales"]).run(SAID_WITHIN);
    assert!(status.success(), "{said}");
    let (_, found, said) = look(sending());
    assert_eq!(state_of(&found, "rights", "sales.events"), "without Write", "{said}");
    assert_eq!(state_of(&found, "rights", "operations.events"), "without Read", "who sends otherwise: {said}");
    broker.rights_of("looker", "--add", &["--topic", "sales.events", "Write"]);
    let (_, found, said) = look(sending());
    assert_eq!(state_of(&found, "rights", "sales.events"), "right", "{said}");

    let (code, found, said) = look(broker.hub("hub").file("password", "guessed-secret"));
    assert_eq!((code, found[0].0.as_str(), found[0].2.as_str()), (Some(4), "broker", "missing"), "{said}");
    assert!(found.iter().skip(1).all(|it| it.2 == "not seen"), "{found:?}");
}
