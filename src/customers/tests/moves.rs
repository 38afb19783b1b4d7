//! Homes and persons: touchpoints that belong to others, assignments, erasures, crashes: in the end as if all had been known
//! from the start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::world::{MONDAY, Message, OwnedIdentifier, Told, World, options, person_of, plain};
use crate::{
    customers::{
        Assignment, Contributions, Effects, FoldOptions, Head,
        alerts::alerts,
        contributions::Signed,
        fold::step,
        record::{NOTHING_CLOSED, render},
        store_keys,
    },
    model::*,
};

const NAMES: [Identifier<'static>; 5] = [
    Identifier { kind: IdentifierType::CustomerId, value: "ann" },
    Identifier { kind: IdentifierType::Email, value: "a@x" },
    Identifier { kind: IdentifierType::Phone, value: "49" },
    Identifier { kind: IdentifierType::Cookie, value: "c1" },
    Identifier { kind: IdentifierType::Order, value: "o1" },
];

fn at(hour: i64) -> EventTime {
    EventTime((i64::from(MONDAY.0) * 24 + hour) * 3_600_000)
}

fn pick<T: Copy + std::fmt::Debug>(values: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(values)
}

fn any_touchpoint() -> impl Strategy<Value = Touchpoint<'static>> {
    let kinds: &'static [Kind] = &[
        Kind::OrderPlaced,
        Kind::OrderCancelled,
        Kind::OrderDelivered,
        Kind::CaseOpened,
        Kind::CaseReplied,
        Kind::PageViewed,
        Kind::MessageSent,
    ];
    let ids: &'static [&'static str] = &["1", "2", "3", "4", "5", "6"];
    let spokes: &'static [&'static str] = &["sales", "web"];
    let who = prop::collection::btree_set(0..NAMES.len(), 1..4);
    (pick(kinds), pick(ids), pick(spokes), 0..200_i64, who, prop::option::of(100..103_i64)).prop_map(
        |(kind, id, spoke, hour, who, minor)| {
            let mut touchpoint = plain(kind, id, at(hour));
            touchpoint.spoke = spoke;
            touchpoint.identifiers = who.into_iter().map(|index| NAMES[index]).collect();
            touchpoint.amount = minor.map(|minor| Money { minor, currency: Currency(*b"EUR") });
            touchpoint
        },
    )
}

/// What a home is told from outside.
#[derive(Clone, Debug)]
enum Told1 {
    Touchpoint(usize),
    /// Homes and whose they are, all at once.
    Assign(Vec<(usize, usize)>),
    Erased(Vec<usize>, i64),
    /// From here on touchpoints of [`AGAIN`] are of the next reading …
    Reading,
    /// … which is over: what it has not met goes.
    Sweep,
}

/// The department whose topic is read again.
const AGAIN: &str = "sales";

#[derive(Clone, Copy, Debug)]
enum Then {
    Commit,
    RollBack,
    Restart,
    Restore,
}

fn any_run() -> impl Strategy<Value = (Vec<Touchpoint<'static>>, Vec<Told1>, Vec<(usize, Then)>)> {
    prop::collection::vec(any_touchpoint(), 1..24).prop_flat_map(|touchpoints| {
        let count = touchpoints.len();
        let told = prop_oneof![
            6 => (0..count).prop_map(Told1::Touchpoint),
            3 => prop::collection::vec((0..NAMES.len(), 0..NAMES.len()), 1..4).prop_map(Told1::Assign),
            1 => (prop::collection::vec(0..NAMES.len(), 1..3), 0..150_i64).prop_map(|(who, hour)| Told1::Erased(who, hour)),
        ];
        let then = prop_oneof![
            4 => Just(Then::Commit),
            1 => Just(Then::RollBack),
            1 => Just(Then::Restart),
            1 => Just(Then::Restore),
        ];
        let every: Vec<Told1> = (0..count).map(Told1::Touchpoint).collect();
        let all = prop::collection::vec(told, 0..60).prop_flat_map(move |mut all| {
            all.extend(every.clone());
            Just(all).prop_shuffle()
        });
        (Just(touchpoints), all, prop::collection::vec((1..6_usize, then), 40))
    })
}

/// What a task reads, in order.
#[derive(Clone, Debug)]
enum Input {
    Touchpoint(usize),
    Assign(PersonId, Assignment),
    Expect(PersonId, u64, u32),
    Erased(PersonId, Vec<(PersonId, EventTime)>),
    Reading,
    Sweep,
    Told(Message),
}

/// Partitions of the stage, each reading its log; outputs reach the logs when the sender commits.
struct Tasks {
    worlds: Vec<World>,
    logs: Vec<Vec<Input>>,
    read: Vec<usize>,
    /// Pairs that links holds.
    pairs: BTreeMap<(PersonId, PersonId, PersonId), EventTime>,
    /// Which reading each task has committed.
    readings: Vec<u32>,
    /// Whose links takes each home for.
    assigned: BTreeMap<PersonId, PersonId>,
}

impl Tasks {
    fn partition(&self, name: PersonId) -> usize {
        (name.placement() % self.worlds.len() as u64) as usize
    }

    fn send(&mut self, name: PersonId, input: Input) {
        let partition = self.partition(name);
        self.logs[partition].push(input);
    }

    /// As links tells them.
    fn assign(&mut self, homes: &[(usize, usize)], version: u64) {
        let mut changes: BTreeMap<PersonId, (PersonId, PersonId)> = BTreeMap::new();
        for &(home, person) in homes {
            let (home, person) = (person_of(NAMES[home]), person_of(NAMES[person]));
            let from = self.assigned.get(&home).copied().unwrap_or(home);
            changes.insert(home, (from, person));
        }
        let mut concerned: BTreeMap<PersonId, u32> = BTreeMap::new();
        for (home, (from, person)) in &changes {
            self.assigned.insert(*home, *person);
            *concerned.entry(*from).or_default() += 1;
            *concerned.entry(*person).or_default() += 1;
        }
        concerned.retain(|_, homes| *homes > 1);
        for (person, homes) in &concerned {
            self.send(*person, Input::Expect(*person, version, *homes));
        }
        for (home, (from, person)) in changes {
            let from = Some(from).filter(|from| concerned.contains_key(from));
            let assignment = Assignment { person, version, from, expects: concerned.contains_key(&person) };
            self.send(home, Input::Assign(home, assignment));
        }
    }

    /// A transaction of one task.
    fn step(&mut self, task: usize, records: usize, then: Then, touchpoints: &[Touchpoint<'static>]) {
        let from = self.read[task];
        let inputs: Vec<Input> = self.logs[task][from..].iter().take(records).cloned().collect();
        let world = &mut self.worlds[task];
        for input in &inputs {
            let (stage, store, told) = (&mut world.stage, &mut world.store, &mut world.told);
            match input {
                Input::Touchpoint(index) => {
                    world.batch(&[&touchpoints[*index]]);
                    Ok(())
                }
                Input::Assign(home, assignment) => stage.assign(*home, *assignment, store, told),
                Input::Expect(person, version, homes) => stage.expect(*person, *version, *homes, store),
                Input::Told(Message::Settled(person, home, version)) => stage.settled(*person, *home, *version, store),
                Input::Erased(home, what) => stage.erased(*home, what, store, told),
                Input::Told(Message::Put(person, home, items, more)) => {
                    let items: Vec<_> = items
                        .iter()
                        .map(|(content_hash, encoded)| crate::customers::Item {
                            content_hash: *content_hash,
                            encoded: encoded.into(),
                        })
                        .collect();
                    stage.put(*person, *home, &items, *more, store, told)
                }
                Input::Told(Message::Drop(person, home, more)) => {
                    stage.drop_fragment(*person, *home, *more, store, told)
                }
                Input::Told(Message::More(home)) => stage.go_on_moving(*home, store, told),
                Input::Reading => {
                    let number = stage.readings.of(AGAIN) + 1;
                    stage.readings.set(AGAIN, number);
                    Ok(())
                }
                Input::Sweep => {
                    let mut next = None;
                    loop {
                        next = stage.sweep(AGAIN, false, next, 3, store, told).expect("a map never fails").next;
                        if next.is_none() {
                            break Ok(());
                        }
                    }
                }
                Input::Told(Message::Pairs(..) | Message::Withdraw(..)) => unreachable!("links is told"),
            }
            .expect("a map never fails");
        }
        match then {
            Then::Commit => {
                let told = std::mem::take(&mut world.told.messages);
                world.commit();
                self.readings[task] = world.stage.readings.of(AGAIN);
                self.read[task] += inputs.len();
                for message in told {
                    match &message {
                        Message::Pairs(home, pairs) => {
                            let home = person_of(Identifier { kind: home.0, value: &home.1 });
                            for (a, b, at) in pairs {
                                let name = |it: &OwnedIdentifier| person_of(Identifier { kind: it.0, value: &it.1 });
                                let key = (home, name(a), name(b));
                                let known = self.pairs.entry(key).or_insert(*at);
                                *known = (*known).max(*at);
                            }
                        }
                        Message::Withdraw(home, pairs) => {
                            for (a, b, left) in pairs {
                                let known =
                                    self.pairs.get_mut(&(*home, *a, *b)).expect("what it takes back it has said");
                                match left {
                                    Some(left) => *known = (*known).min(*left),
                                    None => drop(self.pairs.remove(&(*home, *a, *b))),
                                }
                            }
                        }
                        Message::Put(name, ..)
                        | Message::Drop(name, ..)
                        | Message::Settled(name, ..)
                        | Message::More(name) => {
                            self.send(*name, Input::Told(message));
                        }
                    }
                }
            }
            Then::RollBack => world.roll_back(),
            Then::Restart => world.restart(),
            Then::Restore => world.restore(),
        }
        // As its owner tells it when it starts anew.
        self.worlds[task].stage.readings.clear();
        self.worlds[task].stage.readings.set(AGAIN, self.readings[task]);
    }
}

fn run(touchpoints: &[Touchpoint<'static>], told: &[Told1], steps: &[(usize, Then)], partitions: usize) -> Tasks {
    let mut tasks = Tasks {
        worlds: (0..partitions).map(|_| World::new(3)).collect(),
        logs: vec![Vec::new(); partitions],
        read: vec![0; partitions],
        pairs: BTreeMap::new(),
        readings: vec![0; partitions],
        assigned: BTreeMap::new(),
    };
    let mut outside: VecDeque<&Told1> = told.iter().collect();
    let mut steps = steps.iter().copied();
    let mut version = 0;
    let mut turn = 0;
    loop {
        let (records, then) = steps.next().unwrap_or((5, Then::Commit));
        for _ in 0..records {
            match outside.pop_front() {
                None => {}
                Some(Told1::Touchpoint(index)) => {
                    tasks.send(person_of(touchpoints[*index].home()), Input::Touchpoint(*index));
                }
                Some(Told1::Assign(homes)) => {
                    version += 1;
                    tasks.assign(homes, version);
                }
                Some(told @ (Told1::Reading | Told1::Sweep)) => {
                    let is_sweep = matches!(told, Told1::Sweep);
                    for log in &mut tasks.logs {
                        log.push(if is_sweep { Input::Sweep } else { Input::Reading });
                    }
                }
                Some(Told1::Erased(who, hour)) => {
                    let what: Vec<_> = who.iter().map(|&index| (person_of(NAMES[index]), at(*hour))).collect();
                    // Everybody is told, as if every home had reported each.
                    for name in NAMES {
                        tasks.send(person_of(name), Input::Erased(person_of(name), what.clone()));
                    }
                }
            }
        }
        turn += 1;
        tasks.step(turn % partitions, records, then, touchpoints);
        let is_idle = (0..partitions).all(|task| tasks.read[task] == tasks.logs[task].len());
        if outside.is_empty() && is_idle && steps.len() == 0 {
            return tasks;
        }
    }
}

/// What the feeds must hold: from the sets alone.
fn oracle(
    touchpoints: &[Touchpoint<'static>],
    told: &[Told1],
) -> (Told, BTreeMap<(PersonId, PersonId, PersonId), EventTime>) {
    let key = PersonKey([7; 32]);
    let mut erased: BTreeMap<PersonId, EventTime> = BTreeMap::new();
    let mut person_of_home: BTreeMap<PersonId, PersonId> = BTreeMap::new();
    for told in told {
        match told {
            Told1::Erased(who, hour) => {
                for &index in who {
                    let until = erased.entry(person_of(NAMES[index])).or_insert(at(*hour));
                    *until = (*until).max(at(*hour));
                }
            }
            Told1::Assign(homes) => {
                let of = |&(home, person): &(usize, usize)| (person_of(NAMES[home]), person_of(NAMES[person]));
                person_of_home.extend(homes.iter().map(of));
            }
            Told1::Touchpoint(_) | Told1::Reading | Told1::Sweep => {}
        }
    }
    let is_erased = |identifier: Identifier<'_>, at: EventTime| {
        erased.get(&person_of(identifier)).is_some_and(|until| *until >= at)
    };
    // home → (spoke, id) → the version with the smallest hash
    let mut kept: BTreeMap<(PersonId, &str, &str), (u128, Touchpoint<'static>)> = BTreeMap::new();
    let mut pairs = BTreeMap::new();
    for touchpoint in touchpoints {
        let (home, at) = (touchpoint.home(), touchpoint.occurred_at);
        if is_erased(home, at) {
            continue;
        }
        let mut encoded = Vec::new();
        touchpoint.encode_into(&mut encoded);
        let hash = Touchpoint::content_hash(&encoded);
        let mut stripped = touchpoint.clone();
        stripped.identifiers.retain(|identifier| !is_erased(*identifier, at));
        for a in &stripped.identifiers {
            for b in &stripped.identifiers {
                if a <= b && (*a == home || a.kind == IdentifierType::CustomerId) {
                    let last = pairs.entry((person_of(home), person_of(*a), person_of(*b))).or_insert(at);
                    *last = at.max(*last);
                }
            }
        }
        let person = person_of_home.get(&person_of(home)).copied().unwrap_or(person_of(home));
        let best = kept.entry((person, touchpoint.spoke, touchpoint.id)).or_insert((hash, stripped.clone()));
        if hash < best.0 {
            *best = (hash, stripped);
        }
    }
    let mut timelines: BTreeMap<PersonId, Vec<Touchpoint<'static>>> = BTreeMap::new();
    for ((person, ..), (_, touchpoint)) in kept {
        timelines.entry(person).or_default().push(touchpoint);
    }
    let mut told = Told::default();
    let options = FoldOptions::default();
    for (person, mut timeline) in timelines {
        timeline.sort_by_key(|it| it.timeline_key());
        let public = erased.get(&person).map_or(person, |until| key.reborn(person, *until));
        let mut head = Head::default();
        let mut contributions = Contributions::new(1_000_000);
        for touchpoint in &timeline {
            step(&mut head, touchpoint, &options, &mut Signed { contributions: &mut contributions, sign: 1 });
            told.touchpoint(public, touchpoint);
        }
        contributions.drain_sorted(|cell, add| told.contribution(cell, add));
        told.record(public, &render(public, &head, NOTHING_CLOSED));
    }
    (told, pairs)
}

/// What does not depend on the days that are closed: these worlds close them as touchpoints come.
fn timeless(record: &InsightRecord) -> InsightRecord {
    let rhythm = record.rhythm.map(|rhythm| RhythmSummary { lapsed: false, ..rhythm });
    InsightRecord { contacts_30_days: 0, overdue_promises: 0, rhythm, ..record.clone() }
}

fn check(touchpoints: &[Touchpoint<'static>], told: &[Told1], steps: &[(usize, Then)], partitions: usize) {
    check_left(touchpoints, touchpoints, told, steps, partitions);
}

/// `left`: the touchpoints that no reading after theirs has swept.
fn check_left(
    touchpoints: &[Touchpoint<'static>],
    left: &[Touchpoint<'static>],
    told: &[Told1],
    steps: &[(usize, Then)],
    partitions: usize,
) {
    let tasks = run(touchpoints, told, steps, partitions);
    let (expected, pairs) = oracle(left, told);
    let mut all = Told::default();
    for world in &tasks.worlds {
        all.records.extend(world.told.records.clone());
        all.touchpoints.extend(world.told.touchpoints.clone());
        all.alerts.extend(world.told.alerts.clone());
        for (key, cell) in &world.told.cells {
            all.cells.entry(key.clone()).or_default().add(cell, 1);
        }
    }
    all.cells.retain(|_, cell| !cell.is_zero());
    let records = |told: &Told| -> BTreeMap<_, _> {
        told.records.iter().map(|(person, record)| (*person, timeless(record))).collect()
    };
    let story = || {
        let shown = touchpoints.iter().enumerate().map(|(number, it)| {
            let mut encoded = Vec::new();
            it.encode_into(&mut encoded);
            let who: Vec<String> = it.identifiers.iter().map(|it| format!("{}:{}", it.kind, it.value)).collect();
            let hour = (it.occurred_at.0 - at(0).0) / 3_600_000;
            let hash = Touchpoint::content_hash(&encoded) >> 112;
            format!("{number}: {} {} {} at {hour} by {who:?} hash {hash:04x}\n", it.spoke, it.id, it.kind)
        });
        format!("{}{told:?} {steps:?} {partitions}", shown.collect::<String>())
    };
    let got: Vec<&String> = all.touchpoints.keys().collect();
    let want: Vec<&String> = expected.touchpoints.keys().collect();
    assert_eq!(got, want, "{}", story());
    assert_eq!(records(&all), records(&expected), "{}", story());
    assert_eq!(all.touchpoints, expected.touchpoints);
    assert_eq!(all.cells, expected.cells);
    // A rebuild gives ranks to what was kept before there were any.
    for world in &tasks.worlds {
        let mut old = world.copy();
        old.unrank();
        let day = store_keys::read_as_of(&world.store).expect("a map never fails").unwrap_or(MONDAY);
        old.count_anew(day);
        assert_eq!(old.told.cells, world.told.cells, "{}", story());
        let kept = |world: &World| -> Vec<_> {
            world.store.keys().filter(|key| b"tsoijg".contains(&key[0])).cloned().collect()
        };
        assert_eq!(kept(&old), kept(world), "{}", story());
        let entries = |world: &World| -> Vec<_> {
            world.store.iter().filter(|(key, _)| b"ijg".contains(&key[0])).map(|(_, entry)| entry.clone()).collect()
        };
        assert_eq!(entries(&old), entries(world), "{}", story());
    }
    // Links may hold pairs that an erasure took since; it forgets them by itself. None may be missing.
    for pair in pairs.keys() {
        assert!(tasks.pairs.contains_key(pair), "{pair:?} was never reported: {}", story());
    }
    if !told.iter().any(|told| matches!(told, Told1::Erased(..))) {
        for (pair, at) in &tasks.pairs {
            assert!(pairs.get(pair).is_some_and(|last| at <= last), "nothing says {pair:?} at {at:?}: {}", story());
        }
    }
    // Nobody waits for what does not come, and what is open is told.
    for world in &tasks.worlds {
        let mut open: BTreeSet<String> = BTreeSet::new();
        let as_of = store_keys::read_as_of(&world.store).expect("a map never fails");
        let closed_day = as_of.map_or(NOTHING_CLOSED, Day::previous);
        for (key, stored) in world.store.iter().filter(|(key, _)| key[0] == b'h') {
            let person = PersonId(key[1..].try_into().expect("a name"));
            let (envelope, encoded) = store_keys::Envelope::decode(stored).expect("an envelope");
            assert_eq!(envelope.unsettled, None, "{}", story());
            if !encoded.is_empty() {
                let until = envelope.ties.and_then(|ties| ties.erased_at(person));
                let public = until.map_or(person, |until| PersonKey([7; 32]).reborn(person, until));
                let head = Head::decode(encoded).expect("a head");
                let alerts = alerts(public, &head, closed_day, &options(3));
                open.extend(alerts.iter().map(|alert| alert.key().to_string()));
            }
        }
        let told: BTreeSet<String> = world.told.alerts.keys().cloned().collect();
        assert_eq!(told, open, "{}", story());
    }
    // Nothing is left over where nobody is.
    for world in &tasks.worlds {
        let mut of_people: BTreeSet<u8> = world.store.keys().map(|key| key[0]).collect();
        of_people.retain(|first| b"oxjg".contains(first));
        if world.told.records.is_empty() && !told.iter().any(|told| matches!(told, Told1::Assign(..))) {
            assert!(!of_people.contains(&b'j') && !of_people.contains(&b'g'));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 600, ..ProptestConfig::default() })]

    #[test]
    fn assignments_and_erasures_in_any_order_give_what_the_sets_say(
        (touchpoints, told, steps) in any_run(),
        partitions in 1..4_usize,
    ) {
        check(&touchpoints, &told, &steps, partitions);
    }
}

/// What comes before a reading and with it; the second's touchpoints are numbered after the first's.
fn two_readings(
    (mut touchpoints, mut told, mut steps): (Vec<Touchpoint<'static>>, Vec<Told1>, Vec<(usize, Then)>),
    (mut again, told_again, steps_again): (Vec<Touchpoint<'static>>, Vec<Told1>, Vec<(usize, Then)>),
    same: &[prop::sample::Index],
) -> (Vec<Touchpoint<'static>>, Vec<Touchpoint<'static>>, Vec<Told1>, Vec<(usize, Then)>) {
    // Most mappings change little: much of what was there is met again as it was.
    for (place, index) in same.iter().enumerate().take(again.len()) {
        again[place] = index.get(&touchpoints).clone();
    }
    again.iter_mut().for_each(|it| it.spoke = AGAIN);
    let first = touchpoints.len();
    let mut left: Vec<Touchpoint<'static>> = touchpoints.iter().filter(|it| it.spoke != AGAIN).cloned().collect();
    left.extend(again.iter().cloned());
    touchpoints.extend(again);
    told.push(Told1::Reading);
    told.extend(told_again.into_iter().map(|told| match told {
        Told1::Touchpoint(index) => Told1::Touchpoint(first + index),
        other => other,
    }));
    told.push(Told1::Sweep);
    steps.extend(steps_again);
    (touchpoints, left, told, steps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 600, ..ProptestConfig::default() })]

    #[test]
    fn after_a_second_reading_homes_persons_and_links_know_what_it_met_and_nothing_else(
        before in any_run(),
        again in any_run(),
        same in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        erases in any::<bool>(),
        partitions in 1..4_usize,
    ) {
        let (touchpoints, left, mut told, steps) = two_readings(before, again, &same);
        if !erases {
            told.retain(|told| !matches!(told, Told1::Erased(..)));
        }
        check_left(&touchpoints, &left, &told, &steps, partitions);
    }
}

#[test]
fn a_long_timeline_moves_in_chunks_and_comes_back() {
    let cookie = NAMES[3];
    let touchpoints: Vec<Touchpoint<'static>> = (0..700)
        .map(|number| {
            let mut touchpoint = plain(Kind::PageViewed, format!("v{number}").leak(), at(number));
            touchpoint.identifiers = vec![cookie];
            touchpoint
        })
        .collect();
    let mut told: Vec<Told1> = (0..700).map(Told1::Touchpoint).collect();
    told.insert(500, Told1::Assign(vec![(3, 0)]));
    check(&touchpoints, &told, &[], 2);
    told.insert(600, Told1::Assign(vec![(3, 1), (2, 1)]));
    check(&touchpoints, &told, &[], 2);
    told.push(Told1::Assign(vec![(3, 3), (2, 3)]));
    check(&touchpoints, &told, &[], 2);
}
