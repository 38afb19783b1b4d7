//! Whatever is killed, frozen or restarted: the feeds hold what the oracle says, during and after.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

use super::house::{Dice, House, Instance, SESSION_TIMEOUT, TRANSACTION_TIMEOUT, company};
use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    engine::observer::KillPoint,
};

use crate::{
    harness::{
        kafka::{Broker, Options},
        process::Signal,
    },
    oracle::Expected,
    world::{events_with_changes, truth},
};

const WITHIN: Duration = Duration::from_secs(240);
/// So many alerts are open when the first instance is killed, at least.
const ALERTS_BEFORE_KILLS: usize = 10;
/// As little as may be left unflushed, so that stores are flushed often.
const FLUSH_OFTEN: &str = "memory.unflushed_bytes=1048576";

fn full() -> bool {
    std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some()
}

/// A company's events, and what the feeds must hold of them: something each, or that it was killed would show in none of it.
fn told(options: CompanyOptions) -> (Vec<SourceEvent>, Expected) {
    let events = events_with_changes(options);
    let expected = truth(&events);
    expected.feeds.assert_each_speaks("faults on Kafka");
    (events, expected)
}

/// Starts an instance; a static one keeps its place in the group over a restart, the others cause rebalances.
fn start(house: &House, name: &'static str, crash: Option<&str>) -> Instance {
    if name == "a" { house.start(name, &["hub.instance_id=a"], crash) } else { house.start(name, &[], crash) }
}

#[test]
fn kills_at_random_and_at_every_named_point_change_nothing() {
    let kills = if full() { 60 } else { 15 };
    let (events, expected) = told(company(3, 1_500, 1_000 * kills as u64));
    let house = House::new(&Broker::shared().bootstrap(), "kills").set(FLUSH_OFTEN);
    let mut hubs: Vec<Instance> = ["a", "b"].map(|name| start(&house, name, None)).into();
    let subscriber = house.subscribe();
    // Alerts have been told before anything dies, or none could be told twice.
    let (told, events) = events.split_at(events.len() / 3);
    house.write(told);
    house.wait_until_told("alerts", ALERTS_BEFORE_KILLS, &mut hubs, WITHIN);
    let mut dice = Dice(17);
    let mut killed: BTreeMap<&str, u64> = BTreeMap::new();
    // Each named point in turn, and between them any moment. What was not reached is tried again, a few times.
    let mut orders: VecDeque<Option<KillPoint>> =
        (0..kills).map(|round| Some(KillPoint::ALL[(round % (KillPoint::ALL.len() + 1)).checked_sub(1)?])).collect();
    let mut spare = kills / 3;
    let mut slices = events.chunks(events.len().div_ceil(kills + spare));
    let mut round = 0;
    while let Some(order) = orders.pop_front() {
        let began = Instant::now();
        // Some of it is under way when it happens, and some comes afterwards.
        let slice = slices.next().unwrap_or_default();
        let (before, after) = slice.split_at(slice.len() / 2);
        house.write(before);
        let victim = victim(&hubs, order, round);
        let name = hubs[victim].name;
        match order {
            None => std::thread::sleep(Duration::from_millis(dice.below(1_500))),
            // Something must be there that its store does not have.
            Some(KillPoint::MidRestore) => wait_for_commits(&hubs[victim], Duration::from_secs(5)),
            Some(_) => {}
        }
        hubs[victim].process().kill();
        let what = match order {
            None => {
                house.write(after);
                "any moment"
            }
            Some(point) => {
                // It starts over with the order to die there.
                let joins = matches!(point, KillPoint::BeforeFlush | KillPoint::AfterFlush | KillPoint::MidRevoke);
                let passing = if joins || point == KillPoint::MidRestore { 1 } else { 1 + dice.below(4) };
                let microseconds = if point == KillPoint::DuringCommit { 1 + dice.below(4_000) } else { 0 };
                let planned = format!("{}:{passing}:{microseconds}", point.as_str());
                hubs[victim] = start(&house, name, Some(&planned));
                hubs[victim].await_tasks_or_end(Duration::from_secs(30));
                house.write(after);
                // One that joins makes the others give something up, which flushes their stores.
                let joining = joins.then(|| start(&house, "c", None));
                let ended = hubs[victim].process().wait(Duration::from_secs(20));
                if let Some(mut joining) = joining {
                    joining.process().kill();
                }
                match ended {
                    Some(status) if status.code().is_none() => point.as_str(),
                    Some(status) => panic!("{name} ended with {status}\n{}", hubs[victim].process().story()),
                    None => {
                        hubs[victim].process().kill();
                        if spare > 0 {
                            spare -= 1;
                            orders.push_back(order);
                        }
                        "point not reached"
                    }
                }
            }
        };
        *killed.entry(what).or_default() += 1;
        hubs[victim] = start(&house, name, None);
        let wanted = order.map_or("", KillPoint::as_str);
        println!("kill {round}: {name}, {what} {wanted}, {:.1} s", began.elapsed().as_secs_f64());
        round += 1;
    }
    slices.for_each(|slice| house.write(slice));
    house.assert_becomes(&expected, &mut hubs, WITHIN);
    let seen = subscriber.end();
    println!("{round} kills: {killed:?}; {seen} records seen while it happened");
    for point in KillPoint::ALL {
        assert!(killed.contains_key(point.as_str()), "nothing was killed at {}: {killed:?}", point.as_str());
    }
    let reached: u64 = killed.iter().filter(|(what, _)| **what != "point not reached").map(|(_, count)| count).sum();
    assert!(reached >= kills as u64, "{reached} kills where they were to be: {killed:?}");
}

/// Who is to die: each in turn, but only one that keeps something can die while it restores or flushes it.
fn victim(hubs: &[Instance], order: Option<KillPoint>, round: usize) -> usize {
    let keeps = |hub: &Instance| {
        let of = |stage: &str| hub.labelled_figure("insight_hub_tasks", &format!("stage=\"{stage}\"")).unwrap_or(0.0);
        of("customers") + of("metrics") > 0.0
    };
    match order {
        // The first comes back to what it had; what the second had goes to others.
        Some(KillPoint::BeforeFlush | KillPoint::AfterFlush | KillPoint::MidRestore) => usize::from(!keeps(&hubs[0])),
        _ => round % hubs.len(),
    }
}

/// Waits until it has committed a little more, but not for ever: it may have nothing to do.
fn wait_for_commits(hub: &Instance, within: Duration) {
    let commits = || hub.figure("insight_hub_commits_total").unwrap_or(0.0);
    let (before, start) = (commits(), Instant::now());
    while commits() < before + 3.0 && start.elapsed() < within {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_zombie_is_fenced() {
    let (events, expected) = told(company(4, 500, 6_000));
    let thirds: Vec<_> = events.chunks(events.len().div_ceil(3)).collect();
    let house = House::new(&Broker::shared().bootstrap(), "zombie");
    let mut hubs: Vec<Instance> = ["b", "c"].map(|name| start(&house, name, None)).into();
    for hub in &mut hubs {
        hub.wait_until_tasks(Duration::from_secs(60));
    }
    let subscriber = house.subscribe();
    house.write(thirds[0]);
    // Frozen in the middle of its work.
    hubs[0].wait_until_figure("insight_hub_commits_total", 3.0, Duration::from_secs(60));
    hubs[0].process().signal(Signal::Stop);
    let frozen = Instant::now();
    house.write(thirds[1]);
    // The other has taken over when it has read what was written since: only then has the session timeout passed.
    house.wait_until_read(&mut hubs, WITHIN);
    assert!(frozen.elapsed() > SESSION_TIMEOUT / 2, "the tasks of a frozen process cannot have gone yet");
    hubs[0].process().signal(Signal::Continue);
    house.write(thirds[2]);
    house.assert_becomes(&expected, &mut hubs, WITHIN);
    println!("{} records seen while it happened", subscriber.end());
    let lost = hubs[0].process().stderr();
    assert!(hubs[0].figure("insight_hub_rebalances_total").is_some_and(|count| count > 1.0), "it learnt of it\n{lost}");
    for hub in &mut hubs {
        assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
    }
}

#[test]
fn broker_restarts_change_nothing() {
    let (events, expected) = told(company(5, 500, 8_000));
    for attempt in 1.. {
        match restart_brokers(&events, &expected) {
            Ok(seen) => {
                println!("attempt {attempt}: equal; {seen} records seen while it happened");
                break;
            }
            Err(line) => {
                assert!(attempt < 8, "the broker loses transactions again and again: {line}");
                println!("attempt {attempt}: the broker lost a transaction, once more: {line}");
            }
        }
    }
}

/// Returns how many records were seen while it happened. An error is the broker's, see [`Broker::lost_transaction`].
fn restart_brokers(events: &[SourceEvent], expected: &Expected) -> Result<usize, String> {
    let quarters: Vec<_> = events.chunks(events.len().div_ceil(4)).collect();
    let mut broker = Broker::start();
    let house = House::new(&broker.bootstrap(), "broker");
    house.write(quarters[0]);
    broker.stop();
    // Started while there is no broker: they wait for one. A broker that dies while a static member joins may have given
    // its place to the join that nobody heard of.
    let mut hubs = ["a", "b"].map(|name| start(&house, name, None));
    broker.restart();
    let subscriber = house.subscribe();
    wait_until_commits(&mut hubs, 2.0, &broker)?;
    house.write(quarters[1]);
    broker.stop();
    broker.restart();
    let before = commits(&hubs);
    house.write(quarters[2]);
    wait_until_commits(&mut hubs, before + 2.0, &broker)?;
    broker.kill();
    broker.restart();
    let before = commits(&hubs);
    house.write(quarters[3]);
    wait_until_commits(&mut hubs, before + 2.0, &broker)?;
    // What the broker lost may show only now: then it is the broker that is wrong.
    let found = catch_unwind(AssertUnwindSafe(|| {
        house.assert_becomes(expected, &mut hubs, WITHIN);
        subscriber.end()
    }));
    let seen = match (found, broker.lost_transaction()) {
        (Ok(seen), _) => seen,
        (Err(_), Some(line)) => return Err(line),
        (Err(panic), None) => resume_unwind(panic),
    };
    for hub in &mut hubs {
        assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
        let lines = hub.process().stderr().lines().filter(|line| line.contains(" WARN ")).count();
        assert!(lines < 100, "{lines} warnings: each is to be said once\n{}", hub.process().stderr());
    }
    Ok(seen)
}

/// Transactions that the hubs have committed together.
fn commits(hubs: &[Instance]) -> f64 {
    hubs.iter().filter_map(|hub| hub.figure("insight_hub_commits_total")).sum()
}

/// Waits until the hubs together have committed so many transactions, or until the broker is found to be at fault.
fn wait_until_commits(hubs: &mut [Instance], at_least: f64, broker: &Broker) -> Result<(), String> {
    let start = Instant::now();
    while commits(hubs) < at_least {
        if let Some(line) = broker.lost_transaction() {
            return Err(line);
        }
        for hub in hubs.iter_mut() {
            assert!(hub.process().is_running(), "it has ended\n{}", hub.process().story());
        }
        assert!(start.elapsed() < WITHIN, "no commits\n{}", hubs[0].process().story());
        std::thread::sleep(Duration::from_millis(50));
    }
    broker.lost_transaction().map_or(Ok(()), Err)
}

/// A broker that does not answer for longer than a transaction may take: nobody knows what became of the commit that was
/// asked for.
#[test]
fn commits_without_an_answer_change_nothing() {
    let freezes: u64 = if full() { 8 } else { 2 };
    let (events, expected) = told(company(7, 1_000, 10_000 * freezes));
    // Its own controller, which freezes with it and therefore never takes it for dead.
    let mut broker = Broker::start_with(Options { restartable: false, ..Options::default() });
    let house = House::new(&broker.bootstrap(), "frozen");
    let held = tempfile::tempdir().unwrap();
    let held = held.path().join("held");
    let order = |dice: &mut Dice| format!("during-commit:{}:hold={}", 1 + dice.below(4), held.display());
    let mut dice = Dice(23);
    let mut slices = events.chunks(events.len().div_ceil(freezes as usize));
    // What is to be in the commit is there before the one who commits it.
    house.write(slices.next().unwrap());
    let mut hubs = [start(&house, "a", Some(&order(&mut dice))), start(&house, "b", None)];
    let subscriber = house.subscribe();
    for round in 1..=freezes {
        let waiting = Instant::now();
        while !held.exists() {
            assert!(waiting.elapsed() < WITHIN, "no commit was asked for\n{}", hubs[0].process().story());
            std::thread::sleep(Duration::from_millis(2));
        }
        // The records are with the broker by then: what has no answer is the commit, not one of them.
        std::thread::sleep(Duration::from_millis(300));
        broker.signal(Signal::Stop);
        std::fs::remove_file(&held).unwrap();
        // Two tries of a call, and more.
        std::thread::sleep(TRANSACTION_TIMEOUT + Duration::from_secs(8));
        broker.signal(Signal::Continue);
        let (name, label) = ("insight_hub_transactions_aborted_total", "reason=\"ambiguous\"");
        hubs[0].wait_until_labelled_figure(name, label, 1.0, Duration::from_secs(60));
        let said = hubs[0].process().stderr();
        let is_it = |line: &str| line.contains(label) && line.contains("committing:");
        assert!(said.lines().any(is_it), "the commit itself had its answer\n{said}");
        if round < freezes {
            assert_eq!(hubs[0].process().terminate(Duration::from_secs(20)).code(), Some(0));
            house.write(slices.next().unwrap());
            hubs[0] = start(&house, "a", Some(&order(&mut dice)));
        }
    }
    house.assert_becomes(&expected, &mut hubs, WITHIN);
    println!("{freezes} commits without an answer; {} records seen while it happened", subscriber.end());
}
