//! One application on a broker: topics, group, processes and data directories that no other test shares.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use insight_hub::company::{CompanyOptions, SPOKES, SourceEvent};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use serde_json::Value;

use crate::{
    harness::{
        kafka::free_port,
        process::{Hub, HubCommand, Process},
        reader::{Follower, Record, compact, partitions, read_settled},
        sweeper::Scratch,
        unique,
        writer::{Message, Writer, create_topics},
    },
    oracle::{self, Expected, Feeds},
    world::{PERSON_KEY, Publications, SCHEMAS, counted},
};

/// Partitions of each department's topic.
const SPOKE_PARTITIONS: i32 = 4;
const ASK: Duration = Duration::from_secs(5);
/// How long a hub that has read everything may take to finish what it has begun (timers, days that close, alerts of history,
/// which come once every source counts as silent).
const FINISH_WITHIN: Duration = Duration::from_secs(60);
/// A worker that is not heard of for so long loses its tasks.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(4);
/// A transaction that is open for so long is aborted; a commit without an answer for so long is given up.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(6);
/// A source without a touchpoint for so long counts as silent: alerts of history are told then.
const SILENT_SECONDS: u32 = 3;

/// One company with all the troubles that the issue asks for.
pub fn company(seed: u64, customers: u32, touchpoints: u64) -> CompanyOptions {
    CompanyOptions {
        seed,
        customers,
        touchpoints,
        duplicates_per_million: 10_000,
        invalid_per_million: 10_000,
        late_per_million: 50_000,
        shuffled: true,
        ..CompanyOptions::default()
    }
}

/// A small generator of its own, so that a run can be repeated.
pub struct Dice(pub u64);

impl Dice {
    /// The next number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// One running process of the application.
pub struct Instance {
    pub name: &'static str,
    pub hub: Hub,
    port: u16,
}

impl Instance {
    pub fn process(&mut self) -> &mut Process {
        &mut self.hub.process
    }

    /// The sum of a figure over its labels; `None` while the process does not answer.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.labelled_figure(name, "")
    }

    /// The same of the samples that have a label.
    pub fn labelled_figure(&self, name: &str, label: &str) -> Option<f64> {
        let text = get(self.port, "/metrics")?;
        let samples = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')))
            .filter(|line| line.contains(label));
        Some(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Waits until a figure is at least so much.
    #[track_caller]
    pub fn wait_until_figure(&mut self, name: &str, at_least: f64, within: Duration) {
        self.wait_until_labelled_figure(name, "", at_least, within);
    }

    /// The same of the samples with a label.
    #[track_caller]
    pub fn wait_until_labelled_figure(&mut self, name: &str, label: &str, at_least: f64, within: Duration) {
        let start = Instant::now();
        while self.labelled_figure(name, label).is_none_or(|figure| figure < at_least) {
            assert!(self.hub.process.is_running(), "{} has ended\n{}", self.name, self.hub.process.story());
            let story = || self.hub.process.story();
            assert!(start.elapsed() < within, "{}: {name} {label} stays below {at_least}\n{}", self.name, story());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until nothing waits for it: lags are told once a second, so two that are told are of what it took before.
    #[track_caller]
    pub fn wait_until_nothing_lags(&mut self, within: Duration) {
        let start = Instant::now();
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(1_200));
            while self.figure("insight_hub_lag_records") != Some(0.0) {
                let (lag, is_running) = (self.figure("insight_hub_lag_records"), self.hub.process.is_running());
                assert!(is_running && start.elapsed() < within, "lag {lag:?}\n{}", self.hub.process.story());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Waits until it owns tasks, whatever their state.
    #[track_caller]
    pub fn wait_until_tasks(&mut self, within: Duration) {
        self.wait_until_figure("insight_hub_tasks", 1.0, within);
    }

    /// The same for one that may end before, as it was ordered to.
    pub fn await_tasks_or_end(&mut self, within: Duration) {
        let start = Instant::now();
        let has_tasks = |it: &Instance| it.figure("insight_hub_tasks").is_some_and(|tasks| tasks >= 1.0);
        while self.hub.process.is_running() && !has_tasks(self) && start.elapsed() < within {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it is ready, which is when everything it owns is restored.
    #[track_caller]
    pub fn wait_until_ready(&mut self, within: Duration) {
        let start = Instant::now();
        while get(self.port, "/health/ready").is_none() {
            assert!(self.hub.process.is_running(), "{} has ended\n{}", self.name, self.hub.process.story());
            assert!(start.elapsed() < within, "{} is not ready\n{}", self.name, self.hub.process.story());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The body of a successful answer.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(ASK)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

/// The feeds without alerts, and without the counts of open ones that scorecards show: what holds as soon as everything was read.
/// Those of history come once every source counts as silent.
pub fn but_alerts(mut feeds: Feeds) -> Feeds {
    feeds.alerts.clear();
    for card in feeds.scorecards.values_mut().filter_map(Value::as_object_mut) {
        card.remove("open_alerts");
    }
    feeds
}

/// One application on a broker.
pub struct House {
    bootstrap: String,
    pub name: String,
    /// Further lines of the configuration: `section.key=value`.
    settings: Vec<String>,
    /// Data directories of its instances, which outlive their processes.
    data: Scratch,
    group: BaseConsumer,
    uncommitted: BaseConsumer,
    /// How many source records were written.
    written: Cell<usize>,
}

impl House {
    /// With the departments' topics.
    pub fn new(bootstrap: &str, what: &str) -> House {
        let name = unique(what);
        let topics: Vec<String> = SPOKES.iter().map(|spoke| format!("{name}.{spoke}")).collect();
        let topics: Vec<(&str, i32)> = topics.iter().map(|topic| (topic.as_str(), SPOKE_PARTITIONS)).collect();
        // The company's year may be long ago.
        create_topics(bootstrap, &topics, &[("retention.ms", "-1")]);
        let consumer = |isolation: &str| {
            ClientConfig::new()
                .set("bootstrap.servers", bootstrap)
                .set("group.id", &name)
                .set("enable.auto.commit", "false")
                .set("enable.partition.eof", "true")
                .set("isolation.level", isolation)
                // Whether anything is left is asked again and again: an empty answer must come at once.
                .set("fetch.wait.max.ms", "10")
                .set("auto.offset.reset", "error")
                .set("reconnect.backoff.max.ms", "500")
                .set("log_level", "2")
                .create()
                .expect("a consumer can be made")
        };
        let (group, uncommitted) = (consumer("read_committed"), consumer("read_uncommitted"));
        let data = Scratch::new(what);
        House {
            bootstrap: bootstrap.to_owned(),
            name,
            settings: Vec::new(),
            data,
            group,
            uncommitted,
            written: Cell::new(0),
        }
    }

    /// With another setting, for instances that are started from now on.
    pub fn set(mut self, setting: &str) -> House {
        self.settings.push(setting.to_owned());
        self
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Starts a process on its own data directory, which a process of that name may have left behind.
    pub fn start(&self, instance: &'static str, extra: &[&str], crash: Option<&str>) -> Instance {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let command = self.command(instance, &["run", "--listen", &listen], extra, crash);
        Instance { name: instance, hub: command.spawn(), port }
    }

    /// Starts a rebuild on the data directory of an instance.
    pub fn rebuild(&self, instance: &'static str, extra: &[&str], crash: Option<&str>) -> Hub {
        self.command(instance, &["rebuild"], extra, crash).spawn()
    }

    /// Starts a second reading of departments' topics on the data directory of an instance.
    pub fn reread(&self, instance: &'static str, extra: &[&str], more: &[&str], crash: Option<&str>) -> Hub {
        let arguments = [&["rebuild", "--from-sources"], more].concat();
        self.command(instance, &arguments, extra, crash).spawn()
    }

    /// A command beside its instances.
    pub fn command_line(&self, arguments: &[&str], extra: &[&str]) -> HubCommand {
        self.command("command", arguments, extra, None)
    }

    fn command(&self, instance: &str, arguments: &[&str], extra: &[&str], crash: Option<&str>) -> HubCommand {
        let hexadecimal: String = PERSON_KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = &self.name;
        let config = format!(
            "[hub]\napplication_id = \"{name}\"\ndata_directory = \"{data}\"\nworkers = 1\nperson_key_file = \"person.key\"\n\
             [time]\nidle_partition_seconds = {SILENT_SECONDS}\n[kafka]\nsession_timeout_ms = {session}\ntransaction_timeout_ms = {transaction}\nmessage_timeout_ms = {message}\n\
             [topics]\nprefix = \"{name}.\"\ncustomers_partitions = 4\nmetrics_partitions = 2\nfeed_partitions = 2\n\
             [spokes]\ndirectory = \"spokes\"\n[schemas]\ndirectory = \"{SCHEMAS}\"\n",
            data = self.data.path().join(instance).display(),
            session = SESSION_TIMEOUT.as_millis(),
            transaction = TRANSACTION_TIMEOUT.as_millis(),
            message = TRANSACTION_TIMEOUT.as_millis() - 1_000,
        );
        let mut command = Hub::command(&format!("hub-{instance}")).file("hub.toml", &config);
        command = command.file("person.key", &hexadecimal);
        for spoke in SPOKES {
            let path = format!("{}/deploy/spokes/{spoke}.toml", env!("CARGO_MANIFEST_DIR"));
            let mapping = std::fs::read_to_string(path).unwrap();
            let (before, after) = (format!("topic = \"{spoke}.events\""), format!("topic = \"{name}.{spoke}\""));
            assert!(mapping.contains(&before));
            command = command.file(&format!("spokes/{spoke}.toml"), &mapping.replace(&before, &after));
        }
        command = command.args(["--config", "hub.toml", "--brokers", &self.bootstrap]).args(arguments);
        for setting in self.settings.iter().map(String::as_str).chain(extra.iter().copied()) {
            command = command.args(["--set", setting]);
        }
        if let Some(crash) = crash {
            command = command.env("INSIGHT_HUB_TEST_FAULT", crash);
        }
        command
    }

    /// Where an instance has its data.
    pub fn data_of(&self, instance: &str) -> std::path::PathBuf {
        self.data.path().join(instance)
    }

    /// What an instance had on disk is gone.
    pub fn lose_disk(&self, instance: &str) {
        std::fs::remove_dir_all(self.data.path().join(instance)).expect("the data directory can be removed");
    }

    /// Writes events to their departments' topics, their partitions in turn: the order of arrival means nothing.
    pub fn write(&self, events: &[SourceEvent]) {
        self.write_by(&Writer::new(&self.bootstrap), events);
    }

    /// The same by a writer of one's own.
    pub fn write_by(&self, writer: &Writer, events: &[SourceEvent]) {
        self.written.set(self.written.get() + events.len());
        for spoke in SPOKES {
            let of_spoke = events.iter().filter(|event| event.spoke == spoke).enumerate();
            let messages: Vec<Message> = of_spoke
                .map(|(index, event)| {
                    let partition = i32::try_from(index).unwrap() % SPOKE_PARTITIONS;
                    Message::new(&event.key, &event.payload).at(event.timestamp_ms).to(partition)
                })
                .collect();
            writer.write(&format!("{}.{spoke}", self.name), &messages);
        }
    }

    fn spoke_topics(&self) -> Vec<String> {
        SPOKES.iter().map(|spoke| format!("{}.{spoke}", self.name)).collect()
    }

    pub fn repartition_topics(&self) -> Vec<String> {
        ["customers", "links", "metrics"].iter().map(|stage| format!("{}-{stage}-repartition", self.name)).collect()
    }

    pub fn changelog_topics(&self) -> Vec<String> {
        ["customers", "links", "metrics"].iter().map(|stage| format!("{}-{stage}-changelog", self.name)).collect()
    }

    pub fn feed_topic(&self, feed: &str) -> String {
        format!("{}.{feed}", self.name)
    }

    /// Whether the group has committed all that is in its input topics, stable to the end. An error is "not yet": the
    /// broker may be away.
    pub fn has_read_everything(&self) -> bool {
        let commands = [self.feed_topic("commands")];
        let mut topics = self.spoke_topics().into_iter().chain(commands).chain(self.repartition_topics());
        topics.all(|topic| self.has_read(&topic).unwrap_or(false))
    }

    fn has_read(&self, topic: &str) -> Result<bool, KafkaError> {
        let metadata = self.group.fetch_metadata(Some(topic), ASK)?;
        let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if count == 0 {
            return Ok(false);
        }
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition(topic, i32::try_from(partition).unwrap());
        }
        let committed = self.group.committed_offsets(list, ASK)?;
        let mut unread = TopicPartitionList::new();
        for element in committed.elements() {
            let partition = element.partition();
            let (low, high) = self.uncommitted.fetch_watermarks(topic, partition, ASK)?;
            let (_, stable) = self.group.fetch_watermarks(topic, partition, ASK)?;
            if stable != high {
                return Ok(false);
            }
            match element.offset() {
                Offset::Offset(offset) if offset >= high => {}
                // Control records take offsets, so only reading tells whether anything is left.
                Offset::Offset(offset) => {
                    unread.add_partition_offset(topic, partition, Offset::Offset(offset.max(low)))?
                }
                _ if low == high => {}
                _ => return Ok(false),
            }
        }
        self.nothing_after(&unread)
    }

    fn nothing_after(&self, positions: &TopicPartitionList) -> Result<bool, KafkaError> {
        if positions.count() == 0 {
            return Ok(true);
        }
        self.group.assign(positions)?;
        let mut ends = 0;
        let start = Instant::now();
        let outcome = loop {
            match self.group.poll(Duration::from_millis(100)) {
                Some(Ok(_)) => break Ok(false),
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => break Err(error),
                None => {}
            }
            if ends == positions.count() {
                break Ok(true);
            }
            if start.elapsed() > ASK {
                break Ok(false);
            }
        };
        self.group.unassign()?;
        outcome
    }

    /// Waits until everything was read. Every process given must keep running.
    #[track_caller]
    pub fn wait_until_read(&self, instances: &mut [Instance], within: Duration) {
        let start = Instant::now();
        while !self.has_read_everything() {
            for instance in instances.iter_mut() {
                let process = &mut instance.hub.process;
                assert!(process.is_running(), "{} has ended by itself\n{}", instance.name, process.story());
            }
            assert!(start.elapsed() < within, "{}: not everything was read within {within:?}", self.name);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until everything was read and the feeds are equal to the truth, alerts too, and fails with the differences when they
    /// do not become so.
    #[track_caller]
    pub fn assert_becomes(&self, expected: &Expected, instances: &mut [Instance], within: Duration) {
        self.assert_feeds_become(&expected.feeds, instances, within);
        let rejected = self.rejected();
        if rejected != expected.rejected {
            // A source record that is there twice is rejected twice.
            let count = |topic: &String| read_settled(&self.bootstrap, topic, Duration::from_secs(60)).len();
            let there: usize = self.spoke_topics().iter().map(count).sum();
            let written = self.written.get();
            eprintln!("{}: {written} source records were written, {there} are there", self.name);
        }
        assert_eq!(rejected, expected.rejected, "{}: rejected by spoke and reason", self.name);
    }

    /// The same of the feeds alone.
    #[track_caller]
    pub fn assert_feeds_become(&self, expected: &Feeds, instances: &mut [Instance], within: Duration) {
        self.wait_until_read(instances, within);
        let start = Instant::now();
        loop {
            let differences = oracle::compare(expected, &self.feeds());
            if differences.is_empty() {
                break;
            }
            if start.elapsed() > FINISH_WITHIN {
                let shown: Vec<String> = differences.iter().take(12).map(ToString::to_string).collect();
                panic!("{}: {} differences\n{}", self.name, differences.len(), shown.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(500));
            self.wait_until_read(instances, within);
        }
    }

    /// Waits until a feed says something under so many keys. Every process given must keep running.
    #[track_caller]
    pub fn wait_until_told(&self, feed: &str, keys: usize, instances: &mut [Instance], within: Duration) {
        let start = Instant::now();
        loop {
            self.wait_until_read(instances, within);
            let told = self.latest(feed).len();
            if told >= keys {
                break;
            }
            assert!(start.elapsed() < within, "{}: {feed} has {told} keys, not {keys}, after {within:?}", self.name);
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The newest value of each key of one feed.
    pub fn latest(&self, feed: &str) -> BTreeMap<String, Value> {
        let records = read_settled(&self.bootstrap, &self.feed_topic(feed), Duration::from_secs(60));
        state_of(&records)
    }

    /// The compacted state of the feeds, as an independent reader sees it.
    pub fn feeds(&self) -> Feeds {
        Feeds {
            customers: self.latest("customers"),
            touchpoints: self.latest("touchpoints"),
            identities: self.latest("identities"),
            alerts: self.latest("alerts"),
            metrics: self.latest("metrics"),
            journeys: self.latest("journeys"),
            attribution: self.latest("attribution"),
            drivers: self.latest("drivers"),
            priorities: self.latest("priorities"),
            changes: self.latest("changes"),
            balance: self.latest("balance"),
            parameters: crate::oracle::parameters(self.latest("catalogue")),
            scorecards: self.latest("scorecards"),
        }
    }

    /// Rejections by spoke and reason.
    pub fn rejected(&self) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for record in read_settled(&self.bootstrap, &self.feed_topic("rejected"), Duration::from_secs(60)) {
            let header = |name: &str| {
                let value = record.header(&format!("__streams.errors.{name}"));
                String::from_utf8(value.expect("a dead letter says why").to_vec()).unwrap()
            };
            *counts.entry((header("spoke"), header("reason"))).or_default() += 1;
        }
        counts
    }

    /// Reads the feeds from now on, as a subscriber would; waits until the hub has made them.
    pub fn subscribe(&self) -> Subscriber {
        let followers = counted().map(|feed| {
            let topic = self.feed_topic(feed.topic().strip_prefix("insight.").unwrap());
            partitions(&self.bootstrap, &topic);
            let mut offsets: BTreeMap<i32, i64> = BTreeMap::new();
            let mut publications = Publications::default();
            let follower = Follower::start(&self.bootstrap, &topic, move |record| {
                let before = offsets.insert(record.partition, record.offset);
                assert!(before.is_none_or(|before| before < record.offset), "offsets go backwards: {record:?}");
                let met = publications.meet(record.key.as_deref().unwrap(), record.value.as_deref());
                met.unwrap_or_else(|why| panic!("{why}"));
            });
            (topic, follower)
        });
        Subscriber { bootstrap: self.bootstrap.clone(), followers: followers.collect() }
    }
}

/// The newest value of each key.
fn state_of(records: &[Record]) -> BTreeMap<String, Value> {
    let parse = |(key, record): (Vec<u8>, Record)| {
        let value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        (String::from_utf8(key).unwrap(), value)
    };
    compact(records).into_iter().map(parse).collect()
}

/// Who reads the feeds while they are written.
pub struct Subscriber {
    bootstrap: String,
    followers: Vec<(String, Follower)>,
}

impl Subscriber {
    /// What it has seen in the end must be what a reader finds who comes afterwards. Returns how many records it saw.
    pub fn end(self) -> usize {
        let mut seen = 0;
        for (topic, follower) in self.followers {
            let expected = read_settled(&self.bootstrap, &topic, Duration::from_secs(60));
            let deadline = Instant::now() + Duration::from_secs(60);
            while follower.count() < expected.len() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(50));
            }
            let mut followed = follower.stop();
            followed.sort_by_key(|record| (record.partition, record.offset));
            assert_eq!(followed.len(), expected.len(), "{topic}: records seen during and after");
            assert!(followed == expected, "{topic}: what was seen during is not what is there after");
            seen += followed.len();
        }
        seen
    }
}
