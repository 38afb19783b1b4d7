//! One person behind many identifiers, on the whole hub in simulation: whatever the order, the faults and the operators'
//! decisions, as if everything had been known from the start.

use std::{collections::BTreeMap, sync::Arc};

use insight_hub::{
    company::SourceEvent,
    engine::log::{
        TopicPartition,
        sim::{Simulation, SimulationOptions, SourceRecord},
    },
    ingest::{self, LiveSpokes, Spoke, SpokeFile, SpokeSet},
    model::{CommandRecord, Identifier, IdentifierType, Name, Order, PersonKey},
    topology::{self, TopicMap, TopologyOptions},
    wire::Schemas,
};
use serde_json::{Value, json};

use crate::{
    oracle::{self, Decisions},
    simulation::{read, seeds, small_worker},
    world::{PERSON_KEY, SPOKE_PARTITIONS, assert_truth, topology_options, truth_under},
};

const TYPES: [&str; 10] =
    ["customer_id", "email", "phone", "loyalty", "device", "cookie", "anonymous", "order", "case", "contract"];
/// 2026-03-02T00:00:00Z.
const START_MS: i64 = 1_772_409_600_000;

/// One department that writes touchpoints as they are.
fn options(name: &str) -> TopologyOptions {
    let file = "spoke = \"operations\"\ntopic = \"operations.events\"\nformat = \"touchpoint-json\"\n";
    let file = SpokeFile::parse("operations", file).unwrap();
    let spoke = Spoke::compile(&file, ingest::Options::default(), &Arc::new(Schemas::default())).unwrap();
    TopologyOptions {
        spokes: Arc::new(LiveSpokes::new(SpokeSet::new([spoke]).unwrap())),
        spoke_partitions: BTreeMap::from([("operations.events".to_owned(), SPOKE_PARTITIONS)]),
        ..topology_options(name, 3)
    }
}

/// A small deterministic source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

type Id = (usize, String);

fn touch(number: usize, hour: i64, kind: &str, identifiers: &[Id]) -> SourceEvent {
    let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (rank, value) in identifiers {
        map.entry(TYPES[*rank]).or_default().push(value);
    }
    let at = START_MS + hour * 3_600_000;
    let mut payload = json!({ "id": format!("e{number}"), "kind": kind, "occurred_at": at, "identifiers": map });
    if kind == "order_placed" {
        payload["amount"] = json!({ "minor": 1_000 + number as i64, "currency": "EUR" });
    }
    SourceEvent {
        spoke: "operations",
        key: number.to_string().into_bytes(),
        payload: payload.to_string().into_bytes(),
        occurred_at: at,
        timestamp_ms: at,
        valid: true,
        rejection: None,
        duplicate: false,
    }
}

/// People of a few identifiers each, some of them shared or claimed by two; and what operators do about it.
fn world(seed: u64) -> (Vec<SourceEvent>, Vec<CommandRecord>, Decisions) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let people = 4 + dice.roll(5);
    let mut identifiers: Vec<Vec<Id>> = (0..people)
        .map(|person| {
            let mut own: Vec<Id> = Vec::new();
            for rank in [0, 1, 1, 2, 5, 5, 6, 7, 7] {
                if dice.roll(3) > 0 {
                    let at = if rank == 1 { "@x.org" } else { "" };
                    own.push((rank, format!("{}{person}-{}{at}", &TYPES[rank][..2], own.len())));
                }
            }
            own.push((5, format!("co{person}")));
            own
        })
        .collect();
    // A family's e-mail, a shop's tablet, a mistyped address.
    for shared in [(1, "family@x.org"), (4, "tablet"), (1, "tpyo@x.org")] {
        for own in &mut identifiers {
            if dice.roll(3) == 0 {
                own.push((shared.0, shared.1.to_owned()));
            }
        }
    }
    let kinds = ["page_viewed", "page_viewed", "order_placed", "message_sent", "case_opened", "order_delivered"];
    let events = (0..70)
        .map(|number| {
            let own = &identifiers[dice.roll(people)];
            let mut carried: Vec<Id> = (0..1 + dice.roll(3)).map(|_| own[dice.roll(own.len())].clone()).collect();
            carried.sort();
            carried.dedup();
            let (hour, kind) = (dice.roll(40 * 24) as i64, kinds[dice.roll(kinds.len())]);
            touch(number, hour, kind, &carried)
        })
        .collect();
    let (commands, decisions) = decide(&mut dice, &identifiers.concat());
    (events, commands, decisions)
}

fn name(id: &Id) -> Name {
    let kind = IdentifierType::parse(TYPES[id.0]).unwrap();
    Name { kind, id: PersonKey(PERSON_KEY).person(Identifier { kind, value: &id.1 }) }
}

/// Random commands, and what stands of them: an undo takes the command back that it names.
fn decide(dice: &mut Dice, known: &[Id]) -> (Vec<CommandRecord>, Decisions) {
    let mut commands = Vec::new();
    // By command: its pairs and whether they link; `None` once undone.
    let mut made: Vec<Option<(bool, Vec<(Id, Id)>)>> = Vec::new();
    for number in 0..2 + dice.roll(6) {
        let id = format!("c{number}");
        let undone = dice.roll(made.len().max(1));
        if number > 1 && dice.roll(4) == 0 && made[undone].is_some() {
            commands.push(CommandRecord { id, order: Order::Undo { undo: format!("c{undone}") } });
            made[undone] = None;
            made.push(None);
            continue;
        }
        let links = dice.roll(2) == 0;
        let mut pairs = Vec::new();
        for _ in 0..1 + dice.roll(3) {
            let (one, other) = (known[dice.roll(known.len())].clone(), known[dice.roll(known.len())].clone());
            if one != other {
                pairs.push((one.clone().min(other.clone()), one.max(other)));
            }
        }
        pairs.sort();
        pairs.dedup();
        if pairs.is_empty() {
            made.push(None);
            continue;
        }
        let named = pairs.iter().map(|(one, other)| (name(one), name(other))).collect();
        let order = if links { Order::Link { pairs: named } } else { Order::NeverLink { pairs: named } };
        commands.push(CommandRecord { id, order });
        made.push(Some((links, pairs)));
    }
    let mut last: BTreeMap<(Id, Id), (usize, bool)> = BTreeMap::new();
    for (number, (links, pairs)) in made.iter().enumerate().filter_map(|(number, it)| Some((number, it.as_ref()?))) {
        for pair in pairs {
            last.insert(pair.clone(), (number, *links));
        }
    }
    let mut links: Vec<_> = last.iter().filter(|(_, (_, links))| *links).collect();
    // In the order of their commands, within one by the keyed hashes of a pair, the smaller first.
    links.sort_by_key(|((one, other), (number, _))| {
        let (one, other) = (name(one).id, name(other).id);
        (*number, one.min(other), one.max(other))
    });
    let decisions = Decisions {
        links: links.into_iter().map(|(pair, _)| pair.clone()).collect(),
        nevers: last.iter().filter(|(_, (_, links))| !links).map(|(pair, _)| pair.clone()).collect(),
    };
    (commands, decisions)
}

fn records(
    events: &[SourceEvent],
    commands: &[CommandRecord],
    topology: &insight_hub::engine::stage::Topology,
    map: &TopicMap,
) -> Vec<SourceRecord> {
    let spoke = topology.topics.find("operations.events").unwrap();
    let event = |(index, event): (usize, &SourceEvent)| SourceRecord {
        to: TopicPartition { topic: spoke, partition: index as i32 % SPOKE_PARTITIONS },
        key: Some(event.key.clone()),
        value: event.payload.clone(),
        timestamp_ms: event.timestamp_ms,
    };
    let command = |command: &CommandRecord| SourceRecord {
        to: TopicPartition { topic: map.commands, partition: 0 },
        key: Some(command.id.clone().into_bytes()),
        value: command.encode(),
        timestamp_ms: START_MS,
    };
    events.iter().enumerate().map(event).chain(commands.iter().map(command)).collect()
}

/// Everybody whom a link names was seen: what nobody has seen has no value to be ordered by.
fn with_sightings(mut events: Vec<SourceEvent>, decisions: &Decisions) -> Vec<SourceEvent> {
    let mut seen: Vec<&Id> = decisions.links.iter().flat_map(|(one, other)| [one, other]).collect();
    seen.sort();
    seen.dedup();
    for (number, id) in seen.into_iter().enumerate() {
        events.push(touch(1_000 + number, number as i64, "page_viewed", std::slice::from_ref(id)));
    }
    events
}

fn run_seed(seed: u64) -> (u64, usize) {
    let (events, commands, decisions) = world(seed);
    let events = with_sightings(events, &decisions);
    let expected = truth_under(&events, oracle::Options { decisions, ..oracle::Options::default() });
    let options = options("identity");
    let (topology, map) = topology::topology(&options);
    let sources = records(&events, &commands, &topology, &map);
    let simulation_options = SimulationOptions { seed, instances_max: 3, faults: 12, worker: small_worker() };
    let mut simulation = Simulation::new(simulation_options, topology, sources);
    simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let feeds = read(&simulation.cluster().borrow(), &map);
    assert_truth(&expected.feeds, &feeds, &format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed})"));
    let person = |value: &&Value| value["person"] != Value::Null && value["identifiers_total"].as_u64() > Some(1);
    (commands.len() as u64, feeds.identities.values().filter(person).count())
}

#[test]
fn every_schedule_of_faults_and_decisions_gives_the_persons_of_the_oracle() {
    let first: u64 = std::env::var("INSIGHT_HUB_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let (mut commands, mut joined) = (0, 0);
    for seed in first..first + seeds(300, 3_000) {
        let (given, people) = run_seed(seed);
        commands += given;
        joined += people;
    }
    assert!(commands > 0 && joined > 0, "operators decided {commands} times, {joined} people had several identifiers");
}

#[test]
fn a_cookie_browses_then_buys_with_an_address_then_a_parcel_knows_only_the_order() {
    let cookie = (5, "c-1".to_owned());
    let address = (1, "ann@example.org".to_owned());
    let order = (7, "O-1".to_owned());
    let mut events: Vec<SourceEvent> =
        (0..7).map(|day| touch(day, day as i64 * 24, "page_viewed", std::slice::from_ref(&cookie))).collect();
    events.push(touch(7, 7 * 24, "order_placed", &[address.clone(), cookie.clone()]));
    events.push(touch(8, 7 * 24 + 1, "order_placed", &[address.clone(), order.clone()]));
    events.push(touch(9, 9 * 24, "order_delivered", std::slice::from_ref(&order)));
    let expected = truth_under(&events, oracle::Options::default());
    // The parcel first, and last.
    for reversed in [false, true] {
        if reversed {
            events.reverse();
        }
        let options = options("story");
        let (topology, map) = topology::topology(&options);
        let sources = records(&events, &[], &topology, &map);
        let simulation_options = SimulationOptions { seed: 5, instances_max: 1, faults: 0, worker: small_worker() };
        let mut simulation = Simulation::new(simulation_options, topology, sources);
        simulation.run(&mut |_| {}).unwrap();
        let feeds = read(&simulation.cluster().borrow(), &map);
        assert_truth(&expected.feeds, &feeds, if reversed { "the parcel first" } else { "the parcel last" });
        assert_eq!(feeds.customers.len(), 1, "one person");
        let record = feeds.customers.values().next().unwrap();
        assert_eq!(record["touchpoints"], 10);
        assert_eq!(record["touchpoints_by_kind"]["page_viewed"], 7, "the visits before are the customer's");
        assert_eq!(record["phase"], "during", "the first order has no number, and was not delivered");
        let of_spoke = |metric: &str, window: &str| {
            feeds.metrics.get(&format!("{metric}|{window}|")).map(|value| value["value"].clone())
        };
        assert_eq!(of_spoke("new_customers", "week:2026-W11"), Some(json!(1.0)), "once, in the week of the purchase");
        assert_eq!(of_spoke("new_customers", "week:2026-W10"), None);
    }
}
