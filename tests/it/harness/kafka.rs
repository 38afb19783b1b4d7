//! A real Kafka broker (KRaft) as a child process: own ports, own data, ended by its pid.
//!
//! States: `started ⇄ stopped`. `stop` (SIGTERM) and `kill` (SIGKILL) end it and keep its data, `restart` starts it again on
//! the same data and port. Dropping it kills it and removes the data.
//!
//! **Why a controller of its own.** A broker of Kafka 4.3.1 that was killed while a transaction was being committed, and that
//! starts again before a controller has noticed its death, believes at first that it still leads its partitions, resumes the
//! commit, then is told that nobody leads them, takes them for deleted, and marks the transaction complete *without writing its
//! markers*: what was committed stays hidden for ever behind a transaction that nobody knows. A cluster is safe, because
//! there the controller notices and another broker leads; a node that is its own controller runs into it at each such kill. So
//! a broker that tests may stop has a controller next to it which survives, and it starts again only after the controller's
//! session timeout. [`Broker::lost_transaction`] tells whether it happened all the same.

use super::process::{Process, Signal};
use super::sweeper::Scratch;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Any 16 bytes in base64; the same for every test broker, which lets none of them talk to a real cluster by mistake.
const CLUSTER_ID: &str = "aW5zaWdodC1odWItdGVzdA";
/// Three seconds on an idle machine. Two busy cores were seen to need ten times that.
const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// After this long without a sign of life the controller takes a broker for dead. Shorter, and a machine under load loses its
/// broker; longer, and each restart after a kill takes longer.
const SESSION_TIMEOUT: Duration = Duration::from_secs(9);
/// What the broker logs when it completes a transaction without its markers.
const LOST_TRANSACTION: &str = "while trying to send transaction markers";

/// Small where the defaults are made for clusters, otherwise a plain broker.
const PROPERTIES: &str = "\
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
    /// Whether it can be stopped and started again, which needs a second process.
    pub restartable: bool,
    /// Whether it has so much to do that what Java's second compiler spends on it comes back. In a few tests it does not: it would
    /// be a third of their CPU.
    pub busy: bool,
    /// Appended to the properties above; the last one of a name wins.
    pub properties: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        let busy = std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some();
        Self { heap_mb: 768, restartable: true, busy, properties: Vec::new() }
    }
}

pub struct Broker {
    port: u16,
    options: Options,
    process: Option<Process>,
    killed_at: Option<Instant>,
    controller: Option<Process>,
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
        let common = |name: &str| {
            format!(
                "{PROPERTIES}controller.quorum.voters=1@127.0.0.1:{controller_port}\nlog.dirs={}\n",
                scratch.path().join(name).display()
            )
        };
        let plain = format!("PLAINTEXT://127.0.0.1:{port}");
        let controlling = format!("CONTROLLER://127.0.0.1:{controller_port}");
        let mut properties = common("broker-data");
        if options.restartable {
            properties +=
                &format!("process.roles=broker\nnode.id=2\nlisteners={plain}\nadvertised.listeners={plain}\n");
            let session = format!("broker.session.timeout.ms={}\n", SESSION_TIMEOUT.as_millis());
            let controller = common("controller-data") + &session;
            let controller = controller + &format!("process.roles=controller\nnode.id=1\nlisteners={controlling}\n");
            std::fs::write(scratch.path().join("controller.properties"), controller)
                .expect("properties can be written");
            properties += "broker.heartbeat.interval.ms=500\n";
        } else {
            properties += "process.roles=broker,controller\nnode.id=1\nbroker.session.timeout.ms=60000\n";
            properties += &format!("listeners={plain},{controlling}\nadvertised.listeners={plain}\n");
        }
        for (name, value) in &options.properties {
            properties += &format!("{name}={value}\n");
        }
        std::fs::write(scratch.path().join("broker.properties"), properties).expect("properties can be written");

        let mut broker = Self { port, options, process: None, killed_at: None, controller: None, scratch };
        let names: &[&str] = if broker.options.restartable { &["controller", "broker"] } else { &["broker"] };
        let formats: Vec<Process> = names.iter().map(|name| broker.format(name)).collect();
        for mut format in formats {
            let status = format.wait_or_fail(START_WITHIN);
            assert!(status.success(), "the broker's storage was not formatted\n{}", format.story());
        }
        if broker.options.restartable {
            broker.controller = Some(broker.server("controller", &["-Xmx160m", "-XX:TieredStopAtLevel=1"]));
        }
        broker.launch();
        broker
    }

    /// One broker per test run, started by the first test that asks: for tests that keep to topics and groups of their own
    /// (see [`super::unique`]) and never stop it.
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(Options { restartable: false, ..Options::default() }))
    }

    /// Where its topics lie: a folder for each partition.
    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("broker-data")
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
        assert!(self.options.restartable, "the shared broker is not to be stopped");
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP_WITHIN);
        }
    }

    /// Hard: SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
            self.killed_at = Some(Instant::now());
        }
    }

    /// The line of the log that says that the broker (not the hub) has lost a transaction, see above: then what a test
    /// found says nothing about the hub, and it starts over with another broker.
    pub fn lost_transaction(&self) -> Option<String> {
        let log = std::fs::read_to_string(self.scratch.path().join("broker.err")).unwrap_or_default();
        log.lines().find(|line| line.contains(LOST_TRANSACTION) && line.contains("leader endpoint")).map(str::to_owned)
    }

    /// Freezes or wakes the whole broker.
    pub fn signal(&mut self, signal: Signal) {
        self.process.as_mut().expect("the broker is running").signal(signal);
    }

    /// Starts it again on the same data and port (after
    /// stopping it cleanly, if it still runs; after a kill, once the controller has noticed) and waits until it answers.
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
        if let Some(killed_at) = self.killed_at.take() {
            let noticed = SESSION_TIMEOUT + Duration::from_millis(1_500);
            std::thread::sleep(noticed.saturating_sub(killed_at.elapsed()));
        }
        let heap = format!("-Xmx{}m", self.options.heap_mb);
        let mut options = vec![heap.as_str(), "-Xms256m"];
        if !self.options.busy {
            options.push("-XX:TieredStopAtLevel=1");
        }
        self.process = Some(self.server("broker", &options));
    }

    fn server(&self, name: &str, options: &[&str]) -> Process {
        let properties = format!("{name}.properties");
        Process::spawn(name, java(self.scratch.path(), "kafka.Kafka", options).arg(properties), self.scratch.path())
    }

    fn format(&self, name: &str) -> Process {
        let options = ["-Xmx128m", "-XX:TieredStopAtLevel=1"];
        let mut command = java(self.scratch.path(), "kafka.tools.StorageTool", &options);
        command.args(["format", "-t", CLUSTER_ID, "-c"]).arg(format!("{name}.properties"));
        Process::spawn(&format!("format-{name}"), &mut command, self.scratch.path())
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
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Its `Process` shows the end of the log when the test fails.
        self.kill();
    }
}

/// A command that runs a class of Kafka's in a directory.
pub fn java(directory: &Path, class: &str, options: &[&str]) -> Command {
    let java = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let mut command = Command::new(java.filter(|path| path.exists()).unwrap_or_else(|| "java".into()));
    command
        .current_dir(directory)
        .args(options)
        // One or two cores are shared with the hub: parallel collectors only take turns.
        .arg("-XX:+UseSerialGC")
        .args(["-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.showDateTime=true"])
        .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
        // A line for each partition at each start would hide the line that matters.
        .arg("-Dorg.slf4j.simpleLogger.log.state.change.logger=warn")
        .arg("-Dorg.slf4j.simpleLogger.log.org.apache.kafka.coordinator=warn")
        .arg("-Dorg.slf4j.simpleLogger.log.kafka.coordinator.transaction.TransactionStateManager=warn")
        .arg("-Dorg.slf4j.simpleLogger.log.kafka.coordinator.transaction.TransactionCoordinator=warn")
        .arg("-cp")
        .arg(libraries().join("*"))
        .arg(class);
    command
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
