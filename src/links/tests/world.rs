//! A links stage over a plain map, beside a clerk who keeps what came in sets and asks the oracle after each step.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    journal::Reader,
    oracle::{self, Name, Numbers, Order, Truth},
    watched::Watched,
};
use crate::{
    links::{
        Assigned, Command, Counted, Effects, IdentityState, JournalChange, JournalEntry, Links, ReportedPair, Rules,
        Target,
        store_keys::{self, Counters, Evidence, Fate, NO_LEVEL, Node},
    },
    model::{EventTime, Identifier, IdentifierType, KeyValue, PersonId, PersonKey},
};

pub const KEY: PersonKey = PersonKey([7; 32]);

pub fn identifier(name: &Name) -> Identifier<'_> {
    Identifier { kind: name.0, value: &name.1 }
}

pub fn id(name: &Name) -> PersonId {
    KEY.person(identifier(name))
}

/// `email:ann@x.org`
pub fn name(text: &str) -> Name {
    let (kind, value) = text.split_once(':').expect("type:value");
    (IdentifierType::parse(kind).expect("a type of identifier"), value.to_owned())
}

fn show(identifier: Identifier<'_>) -> String {
    format!("{}:{}", identifier.kind, identifier.value)
}

fn shown(name: &Name) -> String {
    show(identifier(name))
}

pub fn rules(numbers: &Numbers) -> Rules {
    let mut rules = Rules::without_limits().with_own_types(&numbers.own);
    for (kind, limit) in &numbers.limits {
        rules = rules.with_limit(*kind, Some(u32::try_from(*limit).expect("a small limit")));
    }
    for kind in &numbers.unique {
        rules = rules.with_unique(*kind);
    }
    rules.with_shared_above(numbers.shared_above).with_component_max(numbers.component_max)
}

/// The numbers of the default rules.
pub fn usual() -> Numbers {
    use IdentifierType::{Anonymous, Cookie, CustomerId, Device, Email, Loyalty, Phone};
    Numbers {
        unique: vec![CustomerId],
        limits: [(Email, 5), (Phone, 5), (Loyalty, 5), (Device, 5), (Cookie, 100), (Anonymous, 100)].into(),
        shared_above: Rules::default().shared_above(),
        component_max: 1_000,
        own: Vec::new(),
    }
}

/// What came out of the stage.
#[derive(Default)]
pub struct Recorded {
    /// Whose each home believes to be.
    pub told: BTreeMap<PersonId, PersonId>,
    versions: BTreeMap<PersonId, u64>,
    pub assigned: usize,
    /// Homes that are still to be told, by person and version.
    expected: BTreeMap<(PersonId, u64), u32>,
    pub erased: Vec<(PersonId, Vec<(PersonId, EventTime)>)>,
    pub feed: BTreeMap<PersonId, String>,
    pub published: usize,
    pub journal: Vec<String>,
    /// Pairs that link or are refused as evidence since the last report, and what brought them, by the journal.
    pub brought: Vec<((PersonId, PersonId), Option<(String, EventTime)>)>,
    pub reader: Reader,
    pub counted: Vec<Counted>,
}

impl Effects for Recorded {
    fn expect(&mut self, person: PersonId, version: u64, homes: u32) {
        let is_told = |((_, other), homes): (&(PersonId, u64), &u32)| *other == version || *homes == 0;
        assert!(homes > 1 && self.expected.iter().all(is_told), "every home of the version before was told");
        self.expected.retain(|(_, other), _| *other == version);
        self.expected.insert((person, version), homes);
    }

    fn assign(&mut self, home: PersonId, assigned: Assigned) {
        let Assigned { from, from_expects, person, expects, version } = assigned;
        assert_eq!(self.told.get(&home).copied().unwrap_or(home), from, "it leaves whose it was");
        for (who, expects) in [(from, from_expects), (person, expects)] {
            let homes = self.expected.get_mut(&(who, version));
            assert_eq!(homes.is_some(), expects, "who expects a home is told so");
            homes.into_iter().for_each(|homes| *homes -= 1);
        }
        assert!(self.versions.insert(home, version).is_none_or(|before| before < version), "versions grow");
        assert_ne!(self.told.insert(home, person).unwrap_or(home), person, "only what changes is told");
        self.assigned += 1;
    }

    fn erased(&mut self, home: PersonId, erased: &[(PersonId, EventTime)]) {
        self.erased.push((home, erased.to_vec()));
    }

    fn identity(&mut self, key: PersonId, state: &IdentityState<'_>) {
        self.published += 1;
        let text = match state {
            IdentityState::Gone => {
                self.feed.remove(&key);
                return;
            }
            IdentityState::Redirect { identifier, person, strongest } => {
                format!("{} → {person} {}", show(identifier.identifier), show(strongest.identifier))
            }
            IdentityState::Person { identifiers, identifiers_total, conflicts, conflicts_total, shared, close } => {
                let identifiers: Vec<String> = identifiers.iter().map(|known| show(known.identifier)).collect();
                let mut conflicts: Vec<String> = conflicts
                    .iter()
                    .map(|it| {
                        format!(
                            "{}+{} {}{}",
                            show(it.stronger.identifier),
                            show(it.weaker.identifier),
                            it.rule,
                            by(it.decided)
                        )
                    })
                    .collect();
                conflicts.sort();
                let close = close.iter().map(|it| format!("{} of {} {}", it.count, it.limit, it.kind)).collect();
                person_text(&identifiers, *identifiers_total, &conflicts, *conflicts_total, *shared, close)
            }
        };
        self.feed.insert(key, text);
    }

    fn journal(&mut self, entry: &JournalEntry<'_>) {
        self.reader.read(entry);
        match &entry.change {
            JournalChange::Linked { one, other } | JournalChange::Refused { one, other, decided: false, .. } => {
                let brought = entry.brought.map(|it| (it.id.to_owned(), it.occurred_at));
                self.brought.push(((one.id.min(other.id), one.id.max(other.id)), brought));
            }
            _ => assert_eq!(entry.brought, None, "{entry:?}"),
        }
        let name = |named: &crate::links::Named<'_>| named.identifier.map_or_else(|| "?".to_owned(), show);
        self.journal.push(match &entry.change {
            JournalChange::Erased { .. } => "erased".to_owned(),
            JournalChange::Decided { one, other, decision } => {
                format!("decided {} {} {decision:?}", name(one), name(other))
            }
            JournalChange::Unlinked { one, other } => format!("unlinked {} {}", name(one), name(other)),
            JournalChange::Lifted { one, other, rule, decided } => {
                format!("lifted {} {} {rule}{}", name(one), name(other), by(*decided))
            }
            JournalChange::Linked { one, other } => format!("linked {} {}", name(one), name(other)),
            JournalChange::Refused { one, other, rule, decided } => {
                format!("refused {} {} {rule}{}", name(one), name(other), by(*decided))
            }
            JournalChange::Redirected { identifier, .. } => format!("redirected {}", name(identifier)),
        });
    }

    fn counted(&mut self, event: Counted) {
        self.counted.push(event);
    }
}

fn by(decided: bool) -> &'static str {
    if decided { " (decided)" } else { "" }
}

fn person_text(
    identifiers: &[String],
    total: u64,
    conflicts: &[String],
    conflicts_total: u64,
    shared: bool,
    close: Vec<String>,
) -> String {
    format!(
        "{}/{total} [{}]/{conflicts_total}{}{}",
        identifiers.join(" "),
        conflicts.join(", "),
        if shared { " shared" } else { "" },
        close.iter().map(|it| format!(" close to {it}")).collect::<String>(),
    )
}

/// The limits of which a person has four fifths or more, strongest type first.
fn close_to_limits(group: &BTreeSet<&Name>, numbers: &Numbers) -> Vec<String> {
    let mut close = Vec::new();
    for (kind, limit) in numbers.limits.iter().filter(|(kind, limit)| **limit > 1 && !numbers.unique.contains(kind)) {
        let count = group.iter().filter(|name| name.0 == *kind).count();
        if 5 * count >= 4 * limit {
            close.push(format!("{count} of {limit} {kind}"));
        }
    }
    close
}

/// What came, in sets.
#[derive(Clone, Default)]
pub struct Clerk {
    /// (home, stronger, weaker) → time.
    pub evidence: BTreeMap<(Name, Name, Name), i64>,
    pub orders: Vec<(String, Order)>,
    ids: BTreeSet<String>,
    pub erased: BTreeMap<Name, i64>,
}

impl Clerk {
    pub fn pairs(&self) -> BTreeSet<(Name, Name)> {
        self.evidence.keys().map(|(_, one, other)| (one.clone(), other.clone())).collect()
    }

    fn public(&self, name: &Name) -> PersonId {
        self.erased.get(name).map_or(id(name), |at| KEY.reborn(id(name), EventTime(*at)))
    }

    /// Whose each published identifier is, the person by its public id.
    pub fn published(&self, truth: &Truth) -> BTreeMap<PersonId, PersonId> {
        let seen: BTreeSet<Name> = self.pairs().into_iter().flat_map(|(one, other)| [one, other]).collect();
        let is_of_somebody = |person: &Name| truth.persons.iter().any(|(name, of)| of == person && seen.contains(name));
        let published = truth.persons.iter().filter(|(_, person)| is_of_somebody(person));
        published.map(|(name, person)| (id(name), self.public(person))).collect()
    }

    /// The feed of identities as a function of all that came.
    fn feed(&self, truth: &Truth, numbers: &Numbers) -> BTreeMap<PersonId, String> {
        let seen: BTreeSet<Name> = self.pairs().into_iter().flat_map(|(one, other)| [one, other]).collect();
        let mut groups: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
        for (name, person) in &truth.persons {
            groups.entry(person).or_default().insert(name);
        }
        let mut feed = BTreeMap::new();
        for (person, group) in groups.iter().filter(|(_, group)| group.iter().any(|name| seen.contains(*name))) {
            let identifiers: Vec<String> = group.iter().map(|name| shown(name)).collect();
            let mut conflicts: Vec<String> = truth
                .refused
                .iter()
                .filter(|((one, other), ..)| group.contains(one) || group.contains(other))
                .map(|((one, other), rule, decided)| format!("{}+{} {rule}{}", shown(one), shown(other), by(*decided)))
                .collect();
            conflicts.sort();
            let shared = truth.shared.contains(*person);
            let (total, conflicts_total) = (identifiers.len() as u64, conflicts.len() as u64);
            for name in group {
                let text = if name == person {
                    let close = close_to_limits(group, numbers);
                    person_text(&identifiers, total, &conflicts, conflicts_total, shared, close)
                } else {
                    format!("{} → {} {}", shown(name), self.public(person), shown(person))
                };
                feed.insert(self.public(name), text);
            }
        }
        feed
    }
}

pub struct World {
    pub links: Links,
    pub numbers: Numbers,
    pub store: Watched,
    pub out: Recorded,
    pub clerk: Clerk,
    commands: u64,
}

impl World {
    pub fn new(numbers: Numbers) -> World {
        World {
            links: Links::new(rules(&numbers), KEY),
            numbers,
            store: Watched::default(),
            out: Recorded::default(),
            clerk: Clerk::default(),
            commands: 0,
        }
    }

    pub fn truth(&self) -> Truth {
        oracle::truth(&self.clerk.pairs(), &self.clerk.orders, &self.numbers)
    }

    /// A home reports pairs.
    pub fn report(&mut self, home: &Name, pairs: &[((Name, Name), i64)]) {
        let mut answer = BTreeMap::new();
        let known = |(one, other): &(Name, Name)| (id(one).min(id(other)), id(one).max(id(other)));
        let reported: BTreeSet<(Name, Name)> =
            pairs.iter().map(|((one, other), _)| oracle::in_order(one, other)).collect();
        let is_reported = |one: &Name, other: &Name| reported.iter().any(|(a, b)| a == one && b == other);
        let before = self.clerk.evidence.keys().filter(|(_, one, other)| is_reported(one, other));
        let before: BTreeSet<_> = before.map(|(_, one, other)| known(&(one.clone(), other.clone()))).collect();
        for ((one, other), at) in pairs {
            let (one, other) = oracle::in_order(one, other);
            let mut bad = false;
            for name in [home, &one, &other] {
                if let Some(erased) = self.clerk.erased.get(name) {
                    answer.insert(id(name), EventTime(*erased));
                    bad |= at <= erased;
                }
            }
            if !bad {
                let known = self.clerk.evidence.entry((home.clone(), one, other)).or_insert(*at);
                *known = (*known).max(*at);
            }
        }
        let expected: Vec<_> =
            (!answer.is_empty()).then(|| (id(home), answer.into_iter().collect())).into_iter().collect();
        let ids: Vec<String> = pairs.iter().map(|(_, at)| format!("{home:?} at {at}")).collect();
        let mut reported: Vec<ReportedPair<'_>> = Vec::new();
        for (((one, other), at), brought) in pairs.iter().zip(&ids) {
            // Some are reported again after an erasure, by no touchpoint that comes.
            let by = (at % 7 != 0).then_some(("web", brought.as_str()));
            reported.push((identifier(one), identifier(other), EventTime(*at), by));
        }
        self.out.erased.clear();
        self.out.brought.clear();
        self.links.pairs(identifier(home), &reported, &mut self.store, &mut self.out).expect("a map does not fail");
        assert_eq!(self.out.erased, expected, "the answer");
        for (pair, brought) in &self.out.brought {
            let of_report = pairs.iter().zip(&ids).filter(|((other, at), _)| known(other) == *pair && at % 7 != 0);
            let could: Vec<_> = of_report.map(|((_, at), id)| (id.clone(), EventTime(*at))).collect();
            match brought {
                Some(brought) => assert!(!before.contains(pair) && could.contains(brought), "{brought:?}: {could:?}"),
                None => {
                    let again = pairs.iter().any(|(other, at)| known(other) == *pair && at % 7 == 0);
                    assert!(before.contains(pair) || again || could.is_empty(), "{pair:?} was brought by {could:?}");
                }
            }
        }
    }

    /// A home takes pairs back, or the times at which it saw them.
    pub fn withdraw(&mut self, home: &Name, pairs: &[((Name, Name), Option<i64>)]) {
        let mut told = Vec::new();
        for ((one, other), left) in pairs {
            let (one, other) = oracle::in_order(one, other);
            told.push((id(&one), id(&other), left.map(EventTime)));
            let key = (home.clone(), one, other);
            match (self.clerk.evidence.get_mut(&key), left) {
                (Some(at), Some(left)) => *at = (*at).min(*left),
                (Some(_), None) => drop(self.clerk.evidence.remove(&key)),
                (None, _) => {}
            }
        }
        self.links.withdraw(id(home), &told, &mut self.store, &mut self.out).expect("a map does not fail");
    }

    /// What a touchpoint with these identifiers makes its home report.
    pub fn touch(&mut self, names: &[&str], at: i64) {
        let names: BTreeSet<Name> = names.iter().map(|text| name(text)).collect();
        let home = names.first().expect("an identifier").clone();
        let mut pairs: BTreeSet<(Name, Name)> = names.iter().map(|name| (home.clone(), name.clone())).collect();
        for unique in names.iter().filter(|name| self.numbers.unique.contains(&name.0)) {
            pairs.extend(names.iter().filter(|name| *name != unique).map(|name| oracle::in_order(unique, name)));
        }
        let pairs: Vec<_> = pairs.into_iter().map(|pair| (pair, at)).collect();
        self.report(&home, &pairs);
    }

    /// An operator decides.
    pub fn order(&mut self, command_id: &str, order: Order) {
        // What nobody has seen has no value to be ordered by, and the oracle knows only values.
        if let Order::Link(pairs) = &order {
            for name in pairs.iter().flat_map(|(one, other)| [one, other]) {
                if !self.clerk.evidence.keys().any(|(_, one, other)| one == name || other == name) {
                    self.report(name, &[((name.clone(), name.clone()), i64::MAX / 2)]);
                }
            }
        }
        let targets = |pairs: &[(Name, Name)]| -> Vec<(Target, Target)> {
            let target = |name: &Name| Target { kind: name.0, id: id(name) };
            pairs.iter().map(|(one, other)| (target(one), target(other))).collect()
        };
        let (pairs, undone) = match &order {
            Order::Link(pairs) | Order::Never(pairs) => (targets(pairs), String::new()),
            Order::Undo(undone) => (Vec::new(), undone.clone()),
        };
        let command = match order {
            Order::Link(_) => Command::Link(&pairs),
            Order::Never(_) => Command::NeverLink(&pairs),
            Order::Undo(_) => Command::Undo(&undone),
        };
        if self.clerk.ids.insert(command_id.to_owned()) {
            self.clerk.orders.push((command_id.to_owned(), order));
        }
        self.command(command_id, &command, 0);
    }

    pub fn command(&mut self, command_id: &str, command: &Command<'_>, at: i64) {
        self.commands += 1;
        self.links
            .command(self.commands, command_id, command, EventTime(at), &mut self.store, &mut self.out)
            .expect("a map does not fail");
    }

    /// An operator erases.
    pub fn erase(&mut self, command_id: &str, erased: &Name, at: i64) {
        let mut expected: BTreeMap<PersonId, BTreeMap<PersonId, EventTime>> = BTreeMap::new();
        if self.clerk.ids.insert(command_id.to_owned()) {
            let persons = self.truth().persons;
            let person = persons.get(erased).unwrap_or(erased);
            let members: BTreeSet<Name> = persons
                .iter()
                .filter(|(_, other)| *other == person)
                .map(|(name, _)| name.clone())
                .chain([erased.clone()])
                .collect();
            let clerk = &mut self.clerk;
            for member in &members {
                let known = clerk.erased.entry(member.clone()).or_insert(at);
                *known = (*known).max(at);
            }
            let mut tell = |home: &Name, what: &Name| {
                expected.entry(id(home)).or_default().insert(id(what), EventTime(clerk.erased[what]));
            };
            for member in &members {
                tell(member, member);
            }
            for (home, one, other) in clerk.evidence.keys() {
                for member in members.iter().filter(|member| [home, one, other].contains(member)) {
                    tell(home, member);
                }
            }
            clerk.evidence.retain(|(home, one, other), seen| {
                *seen > at || ![home, one, other].into_iter().any(|name| members.contains(name))
            });
            for (_, order) in &mut clerk.orders {
                if let Order::Link(pairs) | Order::Never(pairs) = order {
                    pairs.retain(|(one, other)| !members.contains(one) && !members.contains(other));
                }
            }
        }
        self.out.erased.clear();
        self.command(command_id, &Command::Erase(id(erased)), at);
        // Who loses all of its own up to then loses the names in it.
        for (home, what) in &mut expected {
            if let Some(own) = what.get(home).copied() {
                what.retain(|name, at| name == home || *at > own);
            }
        }
        let expected: Vec<_> = expected.into_iter().map(|(home, what)| (home, what.into_iter().collect())).collect();
        assert_eq!(self.out.erased, expected, "who is told of the erasure");
    }

    pub fn publish(&mut self) {
        self.links.publish(&mut self.store, &mut self.out).expect("a map does not fail");
    }

    /// The person of an identifier, by its strongest.
    pub fn person(&self, text: &str) -> String {
        let person = self.node(&name(text)).map_or(id(&name(text)), |node| node.person);
        let bytes = &self.store[&store_keys::node(person)];
        let node = Node::decode(person, bytes, &self.links.rules).expect("a node");
        format!("{}:{}", node.kind, node.value)
    }

    pub fn node(&self, name: &Name) -> Option<Node> {
        let bytes = KeyValue::get(&self.store, &store_keys::node(id(name))).expect("a map does not fail")?;
        Some(Node::decode(id(name), &bytes, &self.links.rules).expect("a node"))
    }

    /// Compares all that the stage holds and told with what the oracle says of all that came.
    pub fn check(&mut self) {
        let truth = self.truth();
        self.out.reader.check(&self.clerk, &truth);
        let nodes: BTreeMap<PersonId, Node> = self
            .entries(b'n')
            .map(|(key, value)| {
                let [id] = store_keys::parse_ids::<1>(key).expect("a key");
                (id, Node::decode(id, value, &self.links.rules).expect("a node"))
            })
            .collect();
        let mut persons = BTreeMap::new();
        let mut shared = BTreeSet::new();
        let mut levels = BTreeMap::new();
        for (id, node) in &nodes {
            let name = (node.kind, node.value.to_string());
            if !truth.persons.contains_key(&name) {
                assert!(
                    !node.published && node.person == *id && !node.shared,
                    "{name:?} is not known any more: {node:?}"
                );
                continue;
            }
            let person = &nodes[&node.person];
            if node.shared {
                shared.insert(name.clone());
            }
            if node.oversize_from != NO_LEVEL {
                levels.insert(name.clone(), node.oversize_from);
            }
            persons.insert(name, (person.kind, person.value.to_string()));
        }
        assert_eq!(persons, truth.persons, "persons");
        assert_eq!(shared, truth.shared, "shared");
        assert_eq!(levels, truth.levels, "oversize levels");
        self.check_pairs(&truth, &nodes);
        for (home, ..) in self.clerk.evidence.keys() {
            assert_eq!(
                self.out.told.get(&id(home)).copied().unwrap_or(id(home)),
                // One that nothing is known of any more, not even by itself, is itself.
                id(truth.persons.get(home).unwrap_or(home)),
                "{home:?} knows"
            );
        }
    }

    fn check_pairs(&self, truth: &Truth, nodes: &BTreeMap<PersonId, Node>) {
        let rules = &self.links.rules;
        let full_name = |id: &PersonId| (nodes[id].kind, nodes[id].value.to_string());
        let mut refused = BTreeSet::new();
        let mut ends: BTreeMap<PersonId, u32> = BTreeMap::new();
        let mut pairs = BTreeSet::new();
        for (key, value) in self.entries(b'e') {
            let from = PersonId(key[1..17].try_into().expect("16 bytes"));
            let (rank, other) = store_keys::parse_pair(key).expect("a key");
            assert_eq!(rank, rules.rank(nodes[&other].kind));
            let evidence = Evidence::decode(value, rules).expect("a pair");
            let (one, another) = (full_name(&from), full_name(&other));
            assert_eq!(matches!(evidence, Evidence::Stronger { .. }), one < another);
            if evidence.fate().refusal().is_some() {
                *ends.entry(from).or_default() += 1;
            }
            if one > another {
                let mirrored = store_keys::pair(other, rules.rank(one.0), from);
                assert_eq!(Evidence::decode(&self.store[&mirrored], rules).expect("a pair").fate(), evidence.fate());
                continue;
            }
            let usable = !truth.shared.contains(&one) && !truth.shared.contains(&another);
            assert_eq!(evidence.fate() == Fate::Unused, !usable, "{one:?} {another:?}");
            if evidence.fate() == Fate::Joined {
                assert_eq!(truth.persons[&one], truth.persons[&another]);
            }
            pairs.insert((one.clone(), another.clone()));
            refused.extend(evidence.fate().refusal().map(|rule| ((one, another), rule.to_string(), false)));
        }
        let known: BTreeSet<_> = self.clerk.pairs().into_iter().filter(|(one, other)| one != other).collect();
        assert_eq!(pairs, known, "pairs");
        let expected: BTreeSet<_> = truth.refused.iter().filter(|(.., decided)| !decided).cloned().collect();
        assert_eq!(refused, expected, "refused pairs");
        for (id, node) in nodes {
            if node.refused > 0 || node.decided {
                assert!(nodes[&node.person].contested, "the person of {node:?}");
            }
            assert_eq!(node.refused, ends.get(id).copied().unwrap_or_default(), "refused pairs of {node:?}");
        }
        let mut members: BTreeMap<PersonId, BTreeSet<PersonId>> = BTreeMap::new();
        for (key, _) in self.entries(b'm') {
            let [_, member] = store_keys::parse_ids::<2>(&[&key[..17], &key[18..]].concat()).expect("a key");
            members.entry(PersonId(key[1..17].try_into().expect("16 bytes"))).or_default().insert(member);
        }
        let mut groups: BTreeMap<PersonId, BTreeSet<PersonId>> = BTreeMap::new();
        for (id, node) in nodes {
            groups.entry(node.person).or_default().insert(*id);
        }
        for (person, group) in &groups {
            assert_eq!(nodes[person].members as usize, group.len(), "members of {:?}", nodes[person]);
        }
        groups.retain(|_, group| group.len() > 1);
        assert_eq!(members, groups, "the index of members");
        let counters = (*self.store).get(store_keys::COUNTERS).map(|bytes| Counters::decode(bytes).expect("counters"));
        let counters = counters.unwrap_or_default();
        assert_eq!((counters.identifiers, counters.pairs), (nodes.len() as u64, pairs.len() as u64), "counters");
    }

    /// Compares the feed of identities, after a publication.
    pub fn check_feed(&self) {
        assert_eq!(self.out.feed, self.clerk.feed(&self.truth(), &self.numbers), "the feed of identities");
    }

    /// No byte of what is erased and was not seen again is left.
    pub fn check_erased(&self) {
        let seen: BTreeSet<Name> = self.clerk.pairs().into_iter().flat_map(|(one, other)| [one, other]).collect();
        let decided = format!("{:?}", self.clerk.orders);
        for (name, _) in self.clerk.erased.iter().filter(|(name, _)| !seen.contains(*name)) {
            if decided.contains(&name.1) {
                continue;
            }
            for (key, value) in &*self.store {
                let holds = |bytes: &[u8]| bytes.windows(name.1.len()).any(|window| window == name.1.as_bytes());
                assert!(!holds(key) && !holds(value), "{name:?} is left in {key:?}");
            }
        }
    }

    fn entries(&self, first: u8) -> impl Iterator<Item = (&Vec<u8>, &Bytes)> {
        self.store.range(vec![first]..vec![first + 1])
    }
}
