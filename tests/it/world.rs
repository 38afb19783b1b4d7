//! A test's company: the same source events for the hub (on any log) and for the oracle.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use insight_hub::{
    company::{Company, CompanyOptions, ORDER_SCHEMA, SalesFormat, SourceEvent},
    customers,
    engine::topics::ErasedWithin,
    feeds::{self, Feed},
    ingest::{self, LiveSpokes, Spoke, SpokeFile, SpokeSet, segments::Segments},
    links, metrics,
    model::{Calendar, EventTime, PersonKey, Segmenting},
    telemetry::Telemetry,
    topology::TopologyOptions,
    wire::{SchemaFolder, Schemas},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::oracle::{self, Feeds};

/// The key of person ids in every test.
pub const PERSON_KEY: [u8; 32] = [7; 32];

/// The events of a company, sales in Avro.
pub fn events(options: CompanyOptions) -> Vec<SourceEvent> {
    Company::new(CompanyOptions { sales: SalesFormat::Avro, ..options }).collect()
}

/// The folder with the schemas that the departments write with.
pub const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/schemas");

/// The schemas that the departments of `deploy/spokes` write with.
pub fn schemas() -> Arc<Schemas> {
    Arc::new(SchemaFolder::from_files([("order-event.avsc", ORDER_SCHEMA)]).unwrap().into())
}

/// The departments of `deploy/spokes`.
pub fn spokes() -> SpokeSet {
    spokes_and([])
}

/// The same with others.
pub fn spokes_and(others: impl IntoIterator<Item = Spoke>) -> SpokeSet {
    let schemas = schemas();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/spokes");
    let compiled = ["marketing", "operations", "sales", "support"].map(|name| {
        let text = std::fs::read_to_string(format!("{directory}/{name}.toml")).unwrap();
        let file = SpokeFile::parse(name, &text).unwrap();
        Spoke::compile(&file, ingest::Options::default(), &schemas).unwrap()
    });
    SpokeSet::new(compiled.into_iter().chain(others)).unwrap()
}

/// Partitions of each department's topic.
pub const SPOKE_PARTITIONS: i32 = 2;

/// The topology with the defaults that the oracle has too.
pub fn topology_options(application_id: &str, customers_partitions: i32) -> TopologyOptions {
    let spokes = spokes();
    TopologyOptions {
        application_id: application_id.into(),
        spoke_partitions: spokes.iter().map(|spoke| (spoke.topic().to_owned(), SPOKE_PARTITIONS)).collect(),
        spokes: Arc::new(LiveSpokes::new(spokes)),
        person_key: PersonKey(PERSON_KEY),
        calendar: Calendar::utc(),
        customers_partitions,
        metrics_partitions: 2,
        feed_partitions: 2,
        feed_prefix: "insight.".into(),
        feed_format: feeds::FeedFormat::Json,
        touchpoints_feed: true,
        names: insight_hub::feeds::Names::Clear,
        rejected_retention_ms: 604_800_000,
        erased_within: ErasedWithin::default(),
        allowed_disorder_ms: 86_400_000,
        customers: customers::Options { person_key: PersonKey(PERSON_KEY), ..customers::Options::default() },
        links: links::Rules::default(),
        metrics: metrics::Options::new(Calendar::utc(), customers_partitions.unsigned_abs()),
        telemetry: Telemetry::new(),
    }
}

/// What the feeds must hold.
pub fn truth(events: &[SourceEvent]) -> oracle::Expected {
    truth_under(events, oracle::Options::default())
}

/// The same under other definitions.
pub fn truth_under(events: &[SourceEvent], options: oracle::Options) -> oracle::Expected {
    let sources = events.iter().map(|event| oracle::Source {
        spoke: event.spoke,
        payload: &event.payload,
        timestamp_ms: event.timestamp_ms,
    });
    oracle::expected(sources, &oracle::Options { person_key: PERSON_KEY, ..options })
}

/// The newest value of each key of one feed: keys and values in the order written, `None` for a tombstone.
pub fn latest<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    records: impl IntoIterator<Item = (K, Option<V>)>,
) -> BTreeMap<String, Value> {
    let mut map = BTreeMap::new();
    for (key, value) in records {
        match value {
            Some(value) => map.insert(key.as_ref().to_vec(), value),
            None => map.remove(key.as_ref()),
        };
    }
    let text = |key| String::from_utf8(key).unwrap();
    map.into_iter().map(|(key, value)| (text(key), serde_json::from_slice(value.as_ref()).unwrap())).collect()
}

/// The feeds whose values are JSON that says of itself which publication of its key it is, or says nothing of it.
pub fn counted() -> impl Iterator<Item = Feed> {
    const OTHERS: [Feed; 3] = [Feed::IdentityJournal, Feed::Rejected, Feed::Audit];
    Feed::ALL.into_iter().filter(|feed| !OTHERS.contains(feed))
}

/// What a value says of its own publication.
#[derive(Deserialize)]
struct Counted {
    revision: Option<i64>,
}

/// A feed as a subscriber meets it: no publication is lost, none comes twice.
#[derive(Debug, Default)]
pub struct Publications(BTreeMap<Vec<u8>, i64>);

impl Publications {
    /// Takes the feed's next record. An error says what is wrong with it.
    pub fn meet(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let Some(value) = value else {
            // Revisions count publications since the last tombstone.
            self.0.remove(key);
            return Ok(());
        };
        let counted: Counted = serde_json::from_slice(value).expect("every value that is seen is whole");
        if let Some(revision) = counted.revision {
            let before = self.0.insert(key.to_vec(), revision).unwrap_or(0);
            let key = String::from_utf8_lossy(key);
            // Currencies share the revisions of their cell, and may come to it late.
            let shares = ["customer_value|", "acquisition_cost|"].iter().any(|metric| key.starts_with(metric));
            let is_next = if shares { revision > before } else { revision == before + 1 };
            if !is_next {
                return Err(format!("{key}: {revision} after {before}: a publication was lost, doubled or went back"));
            }
        }
        Ok(())
    }
}

/// Fails with the first differences.
pub fn assert_truth(expected: &Feeds, actual: &Feeds, what: &str) {
    let differences = oracle::compare(expected, actual);
    if !differences.is_empty() {
        let shown: Vec<String> = differences.iter().take(12).map(ToString::to_string).collect();
        panic!("{what}: {} differences\n{}", differences.len(), shown.join("\n"));
    }
}

/// A record as marketing sends it, about something that happened at a second.
pub fn of_marketing(key: &str, payload: &Value, second: i64) -> SourceEvent {
    SourceEvent {
        spoke: "marketing",
        key: key.as_bytes().to_vec(),
        payload: payload.to_string().into_bytes(),
        occurred_at: second * 1_000,
        timestamp_ms: second * 1_000,
        valid: true,
        rejection: None,
        duplicate: false,
    }
}

/// The segments of the oracle's rules.
pub fn segments() -> Arc<dyn Segmenting> {
    Arc::new(Segments::parse(oracle::segments::RULES).unwrap().unwrap())
}

/// What the order desk's Avro calls an order that is placed.
pub const PLACED: u8 = 4;
/// And one that is cancelled.
pub const CANCELLED: u8 = 5;

/// Where the order desk's Avro says the state: after the fingerprint of the schema and the id with its length doubled.
fn place_of_state(event: &SourceEvent) -> usize {
    11 + usize::from(event.payload[10]) / 2
}

/// The state in a record of the order desk that the hub takes: its number is doubled.
pub fn order_state(event: &SourceEvent) -> Option<u8> {
    let is_told = event.spoke == "sales" && event.valid && event.payload.starts_with(&[0xc3, 0x01]);
    is_told.then(|| event.payload[place_of_state(event)] / 2)
}

/// The orders of each buyer who has few of them, by what their events are keyed by. Of others the hub remembers the newest orders and
/// visits, and counts what it forgets as capped; the oracle forgets nothing.
fn orders_of_few(events: &[SourceEvent]) -> HashSet<Vec<u8>> {
    const FEW: usize = 30;
    let spokes = spokes();
    let sales = spokes.of_name("sales").unwrap();
    let mut orders: BTreeMap<String, HashSet<Vec<u8>>> = BTreeMap::new();
    for event in events.iter().filter(|event| order_state(event) == Some(PLACED)) {
        let record = ingest::SourceRecord {
            topic: sales.topic(),
            partition: 0,
            offset: 0,
            timestamp_ms: event.timestamp_ms,
            key: None,
            payload: Some(&event.payload),
            headers: &ingest::NoHeaders,
        };
        let mapped = sales.map(&record, &mut |mapped| {
            if let ingest::Mapped::Touchpoint(touchpoint) = mapped {
                orders.entry(touchpoint.home().value.to_owned()).or_default().insert(event.key.clone());
            }
        });
        mapped.unwrap();
    }
    orders.into_values().filter(|orders| orders.len() <= FEW).flatten().collect()
}

/// Lets two of three orders that are cancelled within days be cancelled five weeks later, as far as the company's time goes: in a later
/// month than that of the purchase, and often later than the one after it.
fn cancelled_late(events: Vec<SourceEvent>, options: &CompanyOptions) -> Vec<SourceEvent> {
    const LATER_MS: i64 = 35 * 86_400_000;
    const LATE_MS: i64 = 4 * 86_400_000;
    let of_few = orders_of_few(&events);
    let end_ms = (i64::from(options.start.0) + i64::from(options.days)) * 86_400_000;
    let is_late = |event: &SourceEvent| {
        order_state(event) == Some(CANCELLED)
            && event.key.last().is_some_and(|digit| digit % 3 > 0)
            && of_few.contains(&event.key)
            // By when it happened: a copy comes later, and must not stay what it is a copy of no more.
            && event.occurred_at + LATER_MS + LATE_MS < end_ms
    };
    let (late, mut events): (Vec<_>, Vec<_>) = events.into_iter().partition(is_late);
    for mut event in late {
        // Microseconds, doubled, in seven bits each, the lowest first.
        let at = place_of_state(&event) + 1;
        let length = 1 + event.payload[at..].iter().take_while(|byte| **byte >= 0x80).count();
        let bytes = &mut event.payload[at..at + length];
        let was = bytes.iter().rev().fold(0, |number, byte| number << 7 | i64::from(byte & 0x7f));
        assert_eq!(was / 2_000, event.occurred_at, "the order desk's schema is another");
        let mut is = was + 2_000 * LATER_MS;
        for byte in bytes {
            *byte = *byte & 0x80 | (is & 0x7f) as u8;
            is >>= 7;
        }
        assert_eq!(is, 0, "it takes no byte more");
        event.occurred_at += LATER_MS;
        event.timestamp_ms += LATER_MS;
        let place = events.iter().position(|other| other.timestamp_ms > event.timestamp_ms).unwrap_or(events.len());
        events.insert(place, event);
    }
    events
}

/// A company's events, of which some cancel an order weeks later, and among them what was done about something: for a region and for the
/// company.
pub fn events_with_changes(options: CompanyOptions) -> Vec<SourceEvent> {
    let (start_ms, days) = (i64::from(options.start.0) * 86_400_000, i64::from(options.days));
    let mut events = cancelled_late(events(options.clone()), &options);
    let changes =
        [(days / 3, json!({"site": "north"})), (days / 2, json!({"site": "south"})), (days * 2 / 3, json!({}))];
    for (number, (day, what)) in changes.into_iter().enumerate() {
        let at_ms = start_ms + day * 86_400_000 + 12 * 3_600_000;
        let local = EventTime(at_ms).to_string();
        let mut scan = json!({"scan": format!("done-{number}"), "what": "changed over", "tz": "UTC",
            "at": local.trim_end_matches('Z'), "change": format!("change-{number}")});
        scan.as_object_mut().unwrap().append(what.clone().as_object_mut().unwrap());
        let model = events.iter().find(|event| event.spoke == "operations").unwrap();
        let done = SourceEvent {
            key: format!("done-{number}").into_bytes(),
            payload: scan.to_string().into_bytes(),
            occurred_at: at_ms,
            timestamp_ms: at_ms,
            rejection: None,
            valid: true,
            duplicate: false,
            ..model.clone()
        };
        let place = events.iter().position(|event| event.timestamp_ms > at_ms).unwrap();
        events.insert(place, done);
    }
    events
}
