//! A real Kafka broker (KRaft, one node) as a child process: own ports, own data, ended by its pid.
//!
//! States: `started ⇄ stopped`. `stop` (SIGTERM) and `kill` (SIGKILL) end it and keep its data, `restart` starts it again on
//! the same data and port. Dropping it kills it and removes the data.

use super::process::{Process, Signal};
use super::sweeper::Scratch;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Any 16 bytes in base64; the same for every test broker, which lets none of them talk to a real cluster by mistake.
const CLUSTER_ID: &str = "aW5zaWdodC1odWItdGVzdA";
/// Three seconds on an idle machine. Two busy cores were seen to need ten times that.
const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Small where the defaults are made for clusters, otherwise a plain broker.
const PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
log.index.size.max.bytes=1048576
";

pub struct Options {
    pub heap_mb: u32,
    /// Appended to the properties above; the last one of a name wins.
    pub properties: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { heap_mb: 768, properties: Vec::new() }
    }
}

pub struct Broker {
    port: u16,
    options: Options,
    process: Option<Process>,
    scratch: Scratch,
}

impl Broker {
    /// A broker of one's own, for tests that stop or restart it.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub fn start_with(options: Options) -> Self {
        let scratch = Scratch::new("broker");
        let port = free_port();
        let controller_port = free_port();
        let mut properties = format!(
            "{PROPERTIES}\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
             log.dirs={}\n",
            scratch.path().join("data").display()
        );
        for (name, value) in &options.properties {
            properties.push_str(&format!("{name}={value}\n"));
        }
        std::fs::write(scratch.path().join("server.properties"), properties).expect("properties can be written");
        let mut broker = Self { port, options, process: None, scratch };
        let mut format = Process::spawn(
            "format",
            broker.java("kafka.tools.StorageTool", &["-Xmx128m", "-XX:TieredStopAtLevel=1"]).args([
                "format",
                "-t",
                CLUSTER_ID,
                "-c",
                "server.properties",
            ]),
            broker.scratch.path(),
        );
        let status = format.wait_or_fail(START_WITHIN);
        assert!(status.success(), "the broker's storage was not formatted\n{}", format.story());
        broker.launch();
        broker
    }

    /// One broker per test run, started by the first test that asks: for tests that keep to topics and groups of their own
    /// (see [`super::unique`]) and never stop it.
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `host:port`, the same over restarts.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the broker is running").pid()
    }

    /// Clean: SIGTERM, logs flushed and closed.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP_WITHIN);
        }
    }

    /// Hard: SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Freezes or wakes the whole broker.
    pub fn signal(&mut self, signal: Signal) {
        self.process.as_mut().expect("the broker is running").signal(signal);
    }

    /// Starts it again on the same data and port (after stopping it cleanly, if it still runs) and waits until it answers.
    pub fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// Starts it again without waiting: for tests in which the hub must wait.
    pub fn restart_unawaited(&mut self) {
        self.stop();
        self.spawn();
    }

    /// The end of the broker's log.
    pub fn log_tail(&self) -> String {
        super::tail(&self.scratch.path().join("broker.err"), 60)
    }

    fn launch(&mut self) {
        self.spawn();
        self.wait_until_it_answers();
    }

    fn spawn(&mut self) {
        let heap = format!("-Xmx{}m", self.options.heap_mb);
        let mut command = self.java("kafka.Kafka", &[&heap, "-Xms256m"]);
        self.process = Some(Process::spawn("broker", command.arg("server.properties"), self.scratch.path()));
    }

    fn wait_until_it_answers(&mut self) {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "200")
            .set("log_level", "0")
            .create()
            .expect("a client can be made");
        let start = Instant::now();
        loop {
            let process = self.process.as_mut().expect("the broker was started");
            assert!(process.is_running(), "the broker ended while starting\n{}", process.story());
            let answer = client.fetch_metadata(None, Duration::from_millis(500));
            // A topic without a leader is not there yet: its log is still being recovered.
            let ready = answer.is_ok_and(|metadata| {
                !metadata.brokers().is_empty()
                    && metadata.topics().iter().all(|topic| topic.partitions().iter().all(|p| p.leader() >= 0))
            });
            if ready {
                return;
            }
            assert!(start.elapsed() < START_WITHIN, "the broker does not answer\n{}", process.story());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn java(&self, class: &str, options: &[&str]) -> Command {
        let java = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
        let mut command = Command::new(java.filter(|path| path.exists()).unwrap_or_else(|| "java".into()));
        command
            .current_dir(self.scratch.path())
            .args(options)
            // One or two cores are shared with the hub: parallel collectors only take turns.
            .arg("-XX:+UseSerialGC")
            .args(["-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.showDateTime=true"])
            .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
            .arg("-cp")
            .arg(libraries().join("*"))
            .arg(class);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the broker's log:\n{}\n---", self.log_tail());
        }
    }
}

/// The folder of Kafka's jars, which `tests/run` fetches.
fn libraries() -> PathBuf {
    let folder = std::env::var_os("INSIGHT_HUB_TEST_KAFKA_LIBS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-cache/kafka/libs"), PathBuf::from);
    let complete = std::fs::read_dir(&folder)
        .is_ok_and(|jars| jars.flatten().any(|jar| jar.file_name().to_string_lossy().starts_with("kafka_2.13-")));
    assert!(
        complete,
        "there is no Kafka in {}: run `tests/run` once, which fetches it (or set INSIGHT_HUB_TEST_KAFKA_LIBS)",
        folder.display()
    );
    folder
}

/// A loopback port that nobody listens on.
///
/// Below the range from which the system hands out ports to outgoing connections (32768 and up): while a broker is down
/// its clients keep connecting to its port, and one of them could be given that very port as its own, connect to itself
/// and keep the broker from coming back.
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // Runs next to each other start at different places; a prime step keeps them apart.
        let index = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + index % COUNT).expect("the range is below 65536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
