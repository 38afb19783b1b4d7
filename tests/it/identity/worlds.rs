//! Random worlds of a few people: what is seen and decided of them, whom an erasure takes, and what comes after it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Clerk, DEPARTMENTS, HOUR_MS, Id, Ordered, START_MS, Said, touch};
use crate::oracle::{IDENTIFIER_TYPES, Persons};

/// Fewer are not worth a run.
pub const JOINS_MIN: usize = 10;
pub const SPLITS_MIN: usize = 2;
/// The history is so long.
const HISTORY_HOURS: usize = 40 * 24;
const KINDS: [&str; 9] = [
    "page_viewed",
    "page_viewed",
    "order_placed",
    "order_placed",
    "message_sent",
    "case_opened",
    "order_delivered",
    "complaint_made",
    "follow_up_made",
];

/// A small deterministic source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }

    /// Commands keep their order: the first with an id counts.
    fn shuffle_events(&mut self, said: &mut [Said]) {
        for place in (1..said.len()).rev() {
            let other = self.roll(place + 1);
            if [place, other].into_iter().all(|place| matches!(said[place], Said::Event(_))) {
                said.swap(place, other);
            }
        }
    }
}

/// When erasures come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasing {
    /// The hub has taken in what was said before: whom they take is determined.
    AtRest,
    /// Whenever they are read: whom they take is chance.
    InRaces,
}

/// What is said, one part after the other, and what the decisions among it do.
pub struct World {
    pub parts: Vec<Vec<Said>>,
    /// Identifiers that are joined to a stronger one before anything is erased.
    pub joins: usize,
    /// Commands that part what would be one person without them, before anything is erased.
    pub splits: usize,
    /// Events with the department and number of another.
    pub retold: usize,
}

impl World {
    /// Worlds in which too little happens are thrown away.
    pub fn new(seed: u64, erasing: Erasing) -> World {
        World::of(seed, erasing, false)
    }

    /// Departments tell some of their events twice, with another content the second time: which counts is decided by a hash
    /// that the oracle does not know, so that such worlds can only be compared with each other.
    pub fn of_two_contents(seed: u64) -> World {
        World::of(seed, Erasing::AtRest, true)
    }

    fn of(seed: u64, erasing: Erasing, retells: bool) -> World {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..100 {
            let mut maker = Maker {
                dice,
                erasing,
                retells,
                clerk: Clerk::default(),
                numbers: [0; 2],
                retold: 0,
                commands: 0,
                known: Vec::new(),
            };
            let world = maker.make();
            if world.joins >= JOINS_MIN && world.splits >= SPLITS_MIN {
                return world;
            }
            dice = maker.dice;
        }
        panic!("seed {seed}: no world has enough in it");
    }
}

impl World {
    /// The same, each part told in another order.
    pub fn shuffled(&self, seed: u64) -> Vec<Vec<Said>> {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut parts = self.parts.clone();
        parts.iter_mut().for_each(|part| dice.shuffle_events(part));
        parts
    }
}

struct Maker {
    dice: Dice,
    erasing: Erasing,
    /// Whether departments tell an event once more, otherwise.
    retells: bool,
    clerk: Clerk,
    /// Events of each department.
    numbers: [usize; 2],
    /// How many of them have the number of another.
    retold: usize,
    commands: usize,
    /// Every identifier, as often as somebody has it.
    known: Vec<Id>,
}

impl Maker {
    fn make(&mut self) -> World {
        let history = self.history();
        self.clerk.hear(&history);
        let (joins, splits) = (joins(&self.clerk.persons()), self.splits());
        let mut parts = vec![history.clone()];
        for _ in 0..2 {
            let echo = self.echo();
            self.clerk.hear(&echo);
            parts.push(echo);
            let erasure = self.erasure(&history);
            self.clerk.hear(&erasure);
            parts.push(erasure);
            let after = self.aftermath(&history);
            self.clerk.hear(&after);
            parts.push(after);
        }
        World { parts, joins, splits, retold: self.retold }
    }

    fn event(&mut self, hour: i64, identifiers: &[Id]) -> Said {
        let kind = *self.dice.pick(&KINDS);
        let department = self.dice.roll(2);
        let mut number = self.numbers[department] + 1;
        if self.retells && number > 1 && self.dice.roll(4) == 0 {
            number = 1 + self.dice.roll(number - 1);
            self.retold += 1;
        } else {
            self.numbers[department] = number;
        }
        Said::Event(touch(DEPARTMENTS[department], number, hour, kind, identifiers))
    }

    fn command(&mut self, order: Ordered) -> Said {
        let at_ms = START_MS + self.dice.roll(60 * 24) as i64 * HOUR_MS;
        self.commands += 1;
        Said::Command { id: format!("c{}", self.commands), order, at_ms }
    }

    /// Some of what they have.
    fn carried(&mut self, of: &[Id], most: usize) -> Vec<Id> {
        let mut carried: Vec<Id> = (0..1 + self.dice.roll(most)).map(|_| self.dice.pick(of).clone()).collect();
        carried.sort();
        carried.dedup();
        carried
    }

    /// People of a few identifiers each, some of them shared or claimed by two; and what operators decide about them.
    fn history(&mut self) -> Vec<Said> {
        let people = 5 + self.dice.roll(4);
        let mut identifiers: Vec<Vec<Id>> = Vec::new();
        for person in 0..people {
            let mut own: Vec<Id> = Vec::new();
            for rank in [0, 1, 1, 2, 4, 6, 6, 7, 8, 8] {
                if self.dice.roll(3) > 0 {
                    let at = if rank == 1 { "@x.org" } else { "" };
                    own.push((rank, format!("{}{person}-{}{at}", &IDENTIFIER_TYPES[rank][..2], own.len())));
                }
            }
            own.push((6, format!("co{person}")));
            identifiers.push(own);
        }
        // A family's e-mail, a shop's tablet, a firm's number, a mistyped address.
        for shared in [(1, "family@x.org"), (5, "tablet"), (4, "of a firm"), (1, "tpyo@x.org")] {
            for own in &mut identifiers {
                if self.dice.roll(3) == 0 {
                    own.push((shared.0, shared.1.to_owned()));
                }
            }
        }
        self.known = identifiers.concat();
        let mut said = Vec::new();
        for _ in 0..80 {
            let own = self.dice.pick(&identifiers).clone();
            let carried = self.carried(&own, 3);
            let hour = self.dice.roll(HISTORY_HOURS) as i64;
            said.push(self.event(hour, &carried));
        }
        self.decide(&mut said);
        said
    }

    /// Decisions that mean something: who is one person is parted, who is linked is taken back. And some at random.
    fn decide(&mut self, said: &mut Vec<Said>) {
        let mut seen = Clerk::default();
        seen.hear(said);
        let groups: Vec<Vec<Id>> = groups(&seen.persons()).into_values().filter(|group| group.len() > 1).collect();
        if groups.len() < 2 {
            return;
        }
        let mut orders = Vec::new();
        for _ in 0..2 {
            // One side from the other, or only two of them.
            let group = self.dice.pick(&groups).clone();
            let cut = 1 + self.dice.roll(group.len() - 1);
            let (strong, weak) = group.split_at(cut);
            let all = strong.iter().flat_map(|one| weak.iter().map(|other| (one.clone(), other.clone())));
            let all: Vec<(Id, Id)> = all.collect();
            let pairs = if self.dice.roll(2) == 0 { vec![self.dice.pick(&all).clone()] } else { all };
            orders.push(self.command(Ordered::Never(pairs)));
        }
        let (one, other) = (self.dice.pick(&groups)[0].clone(), self.dice.pick(&groups)[0].clone());
        if one != other {
            let pairs = vec![(one.clone().min(other.clone()), one.max(other))];
            orders.push(self.command(Ordered::Link(pairs)));
            orders.push(self.command(Ordered::Undo(format!("c{}", self.commands))));
        }
        let known = self.known.clone();
        for _ in 0..self.dice.roll(6) {
            let order = self.random_order(&known, true);
            orders.extend(order.map(|order| self.command(order)));
        }
        let sightings = self.sightings(&orders, 0);
        said.extend(sightings);
        self.spread(said, orders);
    }

    fn random_order(&mut self, known: &[Id], may_link: bool) -> Option<Ordered> {
        if self.dice.roll(4) == 0 {
            return Some(Ordered::Undo(format!("c{}", 1 + self.dice.roll(self.commands.max(1)))));
        }
        let mut pairs = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let (one, other) = (self.dice.pick(known).clone(), self.dice.pick(known).clone());
            if one != other {
                pairs.push((one.clone().min(other.clone()), one.max(other)));
            }
        }
        pairs.sort();
        pairs.dedup();
        let links = self.dice.roll(2) == 0;
        match links && may_link {
            _ if pairs.is_empty() => None,
            true => Some(Ordered::Link(pairs)),
            false => Some(Ordered::Never(pairs)),
        }
    }

    /// Everybody whom a link names is seen: what nobody has seen has no value to be ordered by.
    fn sightings(&mut self, orders: &[Said], first_hour: i64) -> Vec<Said> {
        let mut linked: BTreeSet<Id> = BTreeSet::new();
        for said in orders {
            if let Said::Command { order: Ordered::Link(pairs), .. } = said {
                linked.extend(pairs.iter().flat_map(|(one, other)| [one.clone(), other.clone()]));
            }
        }
        (first_hour..).zip(linked).map(|(hour, id)| self.event(hour, &[id])).collect()
    }

    /// Puts commands between the events, in their order.
    fn spread(&mut self, said: &mut Vec<Said>, orders: Vec<Said>) {
        let mut places: Vec<usize> = orders.iter().map(|_| self.dice.roll(said.len() + 1)).collect();
        places.sort_unstable();
        for (place, order) in places.into_iter().zip(orders).rev() {
            said.insert(place, order);
        }
    }

    /// How many commands part what would be one person without them.
    fn splits(&self) -> usize {
        let persons = self.clerk.persons();
        let log = &self.clerk.orders;
        let parts = |number: usize, pairs: &[(Id, Id)]| {
            let without = self.clerk.persons_without(number);
            let are_one = |persons: &Persons, (one, other): &(Id, Id)| {
                persons.of.get(one).is_some_and(|person| persons.of.get(other) == Some(person))
            };
            pairs.iter().any(|pair| are_one(&without, pair) && !are_one(&persons, pair))
        };
        use crate::oracle::Order;
        let splits = log.iter().enumerate().filter(|(number, (_, order))| match order {
            Order::Never(pairs) => parts(*number, pairs),
            Order::Undo(earlier) => log
                .iter()
                .any(|(id, order)| id == earlier && matches!(order, Order::Link(pairs) if parts(*number, pairs))),
            _ => false,
        });
        splits.count()
    }

    /// The newest touchpoint of all says nothing new of anybody's identifiers.
    fn echo(&mut self) -> Vec<Said> {
        let newest = self.clerk.events.iter().map(|event| event.occurred_at).max().unwrap_or(START_MS);
        let homes: Vec<Id> = self.clerk.homes().into_iter().collect();
        let seen = self.dice.pick(&homes).clone();
        vec![self.event((newest - START_MS) / HOUR_MS + 1, &[seen])]
    }

    /// Somebody is erased who has touchpoints; what was read is read again around it.
    fn erasure(&mut self, history: &[Said]) -> Vec<Said> {
        let homes: Vec<Id> = self.clerk.homes().into_iter().collect();
        let named = self.dice.pick(&homes).clone();
        // At rest also of an instant before the newest touchpoint, which is taken nevertheless.
        let earliest = if self.erasing == Erasing::AtRest { 0 } else { 100 * 24 };
        let hour = earliest + self.dice.roll(50 * 24) as i64;
        self.commands += 1;
        let (id, at_ms) = (format!("c{}", self.commands), START_MS + hour * HOUR_MS);
        let mut said: Vec<Said> = (0..self.dice.roll(12)).map(|_| self.dice.pick(history).clone()).collect();
        self.spread(&mut said, vec![Said::Command { id, order: Ordered::Erase(named), at_ms }]);
        said
    }

    /// The whole history again, late events of who is erased, and who comes later by the same names.
    fn aftermath(&mut self, history: &[Said]) -> Vec<Said> {
        let (members, at) = self.clerk.last_erasure().expect("somebody was erased");
        let (members, until) = (members.iter().cloned().collect::<Vec<_>>(), (at - START_MS) / HOUR_MS);
        let mut names = self.known.clone();
        for _ in 0..4 {
            names.extend(members.iter().cloned());
        }
        let mut said = history.to_vec();
        for _ in 0..8 {
            let mut carried = self.carried(&names, 2);
            carried.push(self.dice.pick(&members).clone());
            carried.sort();
            carried.dedup();
            let hour = self.dice.roll(usize::try_from(until + 1).unwrap_or(1)) as i64;
            said.push(self.event(hour, &carried));
        }
        for _ in 0..12 {
            let carried = self.carried(&names, 3);
            let hour = until + 1 + self.dice.roll(10 * 24) as i64;
            said.push(self.event(hour, &carried));
        }
        let mut orders = Vec::new();
        for _ in 0..self.dice.roll(4) {
            // In a race an erasure may take a sighting.
            let order = self.random_order(&names, self.erasing == Erasing::AtRest);
            orders.extend(order.map(|order| self.command(order)));
        }
        let sightings = self.sightings(&orders, until + 1);
        said.extend(sightings);
        self.dice.shuffle_events(&mut said);
        self.spread(&mut said, orders);
        said
    }
}

fn groups(persons: &Persons) -> BTreeMap<&Id, Vec<Id>> {
    let mut groups: BTreeMap<&Id, Vec<Id>> = BTreeMap::new();
    for (member, strongest) in &persons.of {
        groups.entry(strongest).or_default().push(member.clone());
    }
    groups
}

fn joins(persons: &Persons) -> usize {
    persons.of.iter().filter(|(member, strongest)| member != strongest).count()
}
