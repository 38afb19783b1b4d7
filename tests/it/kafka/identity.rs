//! Who is one person, on a broker: three processes that are killed while departments write, and an operator decides and
//! erases at the command line. In the end the feeds are the oracle's, and the journal says whom an erasure took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use insight_hub::company::SourceEvent;
use serde_json::{Value, json};

use super::house::{Dice, House, Instance, company};
use crate::{
    harness::{kafka::Broker, reader::read_settled},
    identity::{Clerk, Id, Ordered, Said, shown},
    world::{events, of_marketing},
};

const WITHIN: Duration = Duration::from_secs(240);
const NAMES: [&str; 3] = ["a", "b", "c"];

/// How many times somebody is killed.
fn kills() -> usize {
    if std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some() { 40 } else { 14 }
}

/// An operator's command, given as an operator gives it.
#[track_caller]
fn order(house: &House, id: &str, order: &Ordered) {
    let mut arguments: Vec<String> = Vec::new();
    let mut say = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
    match order {
        Ordered::Link(pairs) => say(&["identity", "link", &shown(&pairs[0].0), &shown(&pairs[0].1), "--id", id]),
        Ordered::Never(pairs) if pairs.len() == 1 => {
            say(&["identity", "never-link", &shown(&pairs[0].0), &shown(&pairs[0].1), "--id", id]);
        }
        Ordered::Never(pairs) => {
            let sides: [Vec<String>; 2] = [
                pairs.iter().map(|(one, _)| shown(one)).collect(),
                pairs.iter().map(|(_, other)| shown(other)).collect(),
            ];
            say(&["identity", "split"]);
            sides[0].iter().for_each(|one| say(&[one]));
            say(&["--from"]);
            sides[1].iter().for_each(|other| say(&[other]));
            say(&["--id", id]);
        }
        Ordered::Undo(earlier) => say(&["identity", "undo", earlier, "--id", id]),
        Ordered::Erase(identifier) => say(&["erase", &shown(identifier), "--yes"]),
        Ordered::Acknowledge(alert, by) => say(&["alerts", "acknowledge", alert, "--by", by]),
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (status, output, errors) = house.command_line(&arguments, &[]).run(WITHIN);
    assert!(status.success(), "{arguments:?}: {output}\n{errors}");
}

/// What is ordered, one in each round: links, never-links, splits, some of them taken back, and two erasures.
fn orders(clerk: &Clerk) -> Vec<(String, Ordered)> {
    let mut people: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
    for (member, strongest) in clerk.persons().of {
        people.entry(strongest).or_default().push(member);
    }
    let mut people = people.into_values().filter(|members| members.len() >= 3 && members.len() < 20);
    let mut next = || people.next().expect("a company has enough people");
    let (link, taken_back) = ([next(), next()], [next(), next()]);
    let (never, split, split_taken_back) = (next(), next(), next());
    let [erased, also_erased] = [next(), next()];
    let two = |[one, other]: &[Vec<Id>; 2]| vec![(one[0].clone(), other[0].clone())];
    let cut = |members: &[Id]| {
        let (one, other) = members.split_at(1);
        other.iter().map(|other| (one[0].clone(), other.clone())).collect::<Vec<_>>()
    };
    let orders = [
        Ordered::Link(two(&link)),
        Ordered::Link(two(&taken_back)),
        Ordered::Never(vec![(never[0].clone(), never[1].clone())]),
        Ordered::Never(cut(&split)),
        Ordered::Undo("o1".to_owned()),
        Ordered::Never(cut(&split_taken_back)),
        // Of the one whom a link has made larger, too.
        Ordered::Erase(link[1][0].clone()),
        Ordered::Undo("o5".to_owned()),
        Ordered::Erase(erased[1].clone()),
        Ordered::Erase(also_erased[0].clone()),
    ];
    orders.into_iter().enumerate().map(|(number, order)| (format!("o{number}"), order)).collect()
}

fn journal(house: &House) -> Vec<Value> {
    let lines = read_settled(house.bootstrap(), &house.feed_topic("identity-journal"), Duration::from_secs(60));
    lines.into_iter().map(|line| serde_json::from_slice(&line.value.unwrap()).unwrap()).collect()
}

/// What comes of the erased afterwards: late, and by whoever has their names next.
fn afterwards(lines: &[Value], clerk: &Clerk) -> Vec<SourceEvent> {
    let erased = clerk.erased();
    assert!(erased.len() >= 6, "{} identifiers were erased", erased.len());
    let until = erased.values().max().copied().unwrap();
    assert_eq!(lines.iter().filter(|line| line["change"] == "erased").count(), erased.len(), "once each");
    let mut events = Vec::new();
    // As marketing says it, which knows people by three types.
    let fields = ["customer", "mail", "", "", "", "cookie"];
    for (number, ((rank, value), at)) in erased.iter().enumerate() {
        let Some(field) = fields.get(*rank).filter(|field| !field.is_empty()) else { continue };
        for (what, second) in [("late", at / 1_000 - 86_400), ("new", until / 1_000 + 60)] {
            let profile = json!({ *field: value });
            let payload =
                json!({ "id": format!("{what}-{number}"), "event": "PageViewed", "ts": second, "profile": profile });
            events.push(of_marketing(value, &payload, second));
        }
    }
    assert!(events.len() >= 12, "{} events come afterwards", events.len());
    events
}

struct Killer<'a> {
    house: &'a House,
    hubs: Vec<Instance>,
    dice: Dice,
    killed: usize,
}

impl Killer<'_> {
    /// One is killed at any moment of what happens, and starts again after it.
    fn while_killed(&mut self, happens: impl FnOnce()) {
        std::thread::sleep(Duration::from_millis(self.dice.below(800)));
        let victim = self.killed % self.hubs.len();
        let name = self.hubs[victim].name;
        self.hubs[victim].process().kill();
        happens();
        self.hubs[victim] = self.house.start(name, &[], None);
        self.killed += 1;
    }
}

#[test]
fn three_processes_that_are_killed_give_the_persons_of_the_oracle_whatever_operators_order() {
    let events: Vec<SourceEvent> = events(company(11, 120, 2_400));
    let mut all = Clerk::default();
    let history: Vec<Said> = events.iter().cloned().map(Said::Event).collect();
    all.hear(&history);
    let orders = orders(&all);
    let house = House::new(&Broker::shared().bootstrap(), "identity").set("metrics.contact_cap=1");
    let hubs: Vec<Instance> = NAMES.iter().map(|name| house.start(name, &[], None)).collect();
    let mut killer = Killer { house: &house, hubs, dice: Dice(29), killed: 0 };
    let rounds = kills() - 2;
    let mut said: Vec<Said> = Vec::new();
    let mut slices = events.chunks(events.len().div_ceil(rounds));
    let mut pending = orders.iter();
    for round in 0..rounds {
        let slice = slices.next().unwrap_or_default();
        let (before, after) = slice.split_at(slice.len() / 2);
        house.write(before);
        // What is named has been seen by most, not by all: the rest is still to come.
        let due = (round > 1).then(|| pending.next()).flatten();
        killer.while_killed(|| {
            house.write(after);
            if let Some((id, ordered)) = due {
                order(&house, id, ordered);
                said.push(Said::Command { id: id.clone(), order: ordered.clone(), at_ms: 0 });
            }
        });
    }
    assert_eq!(pending.count(), 0, "everything was ordered");
    // Whom the erasures took is known once they are read; then the whole history comes again, late events and new ones.
    house.wait_until_read(&mut killer.hubs, WITHIN);
    let all: Vec<Said> = history.iter().cloned().chain(said.iter().cloned()).collect();
    let lines = journal(&house);
    let more = afterwards(&lines, &Clerk::hear_of_races(&all, &lines));
    let began = Instant::now();
    killer.while_killed(|| house.write(&events));
    killer.while_killed(|| house.write(&more));
    let all: Vec<Said> = all.into_iter().chain(events.iter().chain(&more).cloned().map(Said::Event)).collect();
    let clerk = Clerk::hear_of_races(&all, &lines);
    let expected = clerk.truth();
    assert!(expected.erased > 20, "{} touchpoints are erased", expected.erased);
    house.assert_becomes(&expected, &mut killer.hubs, WITHIN);
    println!(
        "{} kills, {} commands, {} identifiers erased, {} touchpoints erased, {} people; the last part took {:.1} s",
        killer.killed,
        said.len(),
        clerk.erased().len(),
        expected.erased,
        expected.feeds.customers.len(),
        began.elapsed().as_secs_f64()
    );
    assert_eq!(journal(&house).iter().filter(|line| line["change"] == "erased").count(), clerk.erased().len());
    let is_known = |(_, value): &Id| {
        let mut states = expected.feeds.identities.values();
        states.any(|state| state["identifier"]["value"] == value.as_str())
    };
    assert!(
        clerk.erased().keys().filter(|identifier| is_known(identifier)).count() >= 6,
        "whoever came later is somebody"
    );
    for hub in &mut killer.hubs {
        hub.wait_until_ready(WITHIN);
        assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
    }
}
