//! A stage with a plain map for a store, and a small language for touchpoints.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    customers::{
        Customers, Effects, Incoming, Item, Options, SeenPair, WithdrawnPair,
        record::render,
        store_keys::{self, PERSON_PREFIX},
    },
    metrics::catalogue::index,
    model::*,
};

/// The Monday that stories start on: 2026-03-02.
pub const MONDAY: Day = Day(20_514);

pub const METRICS: [(u8, &str); 35] = [
    (index::NPS, "nps"),
    (index::CSAT, "csat"),
    (index::CES, "ces"),
    (index::SENTIMENT, "sentiment"),
    (index::PROMISE_GAP, "promise_gap"),
    (index::ON_TIME, "on_time"),
    (index::OVERDUE, "overdue"),
    (index::FIRST_RESPONSE_TIME, "first_response_time"),
    (index::UNANSWERED, "unanswered"),
    (index::RESOLUTION_TIME, "resolution_time"),
    (index::NEW_CUSTOMERS, "new_customers"),
    (index::REVENUE, "revenue"),
    (index::ORDERS, "orders"),
    (index::AVERAGE_ORDER_VALUE, "average_order_value"),
    (index::RETURN_RATE, "return_rate"),
    (index::CONTACT_RATE, "contact_rate"),
    (index::REACH, "reach"),
    (index::RETENTION, "retention"),
    (index::ADVOCACY, "advocacy"),
    (index::ACQUISITION_COST, "acquisition_cost"),
    (index::CUSTOMER_VALUE, "customer_value"),
    (index::EXPECTATION_GAP, "expectation_gap"),
    (index::FULL_RESOLUTION_TIME, "full_resolution_time"),
    (index::FIRST_CONTACT_RESOLUTION, "first_contact_resolution"),
    (index::FOLLOW_UP_TIME, "follow_up_time"),
    (index::REPURCHASE_30, "repurchase_30"),
    (index::REPURCHASE_60, "repurchase_60"),
    (index::REPURCHASE_90, "repurchase_90"),
    (index::REFERRAL, "referral"),
    (index::WORD_OF_MOUTH, "word_of_mouth"),
    (index::MARGIN, "margin"),
    (index::CONVERSION, "conversion"),
    (index::CONTACT_PRESSURE, "contact_pressure"),
    (index::CHURN, "churn"),
    (index::CONTENT_CREDIBILITY, "content_credibility"),
];

pub fn person_of(identifier: Identifier<'_>) -> PersonId {
    PersonKey([7; 32]).person(identifier)
}

/// What a home tells others.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    Pairs(OwnedIdentifier, Vec<(OwnedIdentifier, OwnedIdentifier, EventTime)>),
    Withdraw(PersonId, Vec<WithdrawnPair>),
    /// The last: whether more follows.
    Put(PersonId, PersonId, Vec<(u128, Vec<u8>)>, bool),
    Drop(PersonId, PersonId, bool),
    Settled(PersonId, PersonId, u64),
    More(PersonId),
}

pub type OwnedIdentifier = (IdentifierType, String);

pub fn owned(identifier: Identifier<'_>) -> OwnedIdentifier {
    (identifier.kind, identifier.value.to_owned())
}

/// What the stage said since the last commit, and, kept apart, until then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub cells: BTreeMap<String, Accumulator>,
    pub records: BTreeMap<PersonId, InsightRecord>,
    pub touchpoints: BTreeMap<String, Vec<u8>>,
    pub outcomes: Vec<(String, Outcome)>,
    /// What is open, by key.
    pub alerts: BTreeMap<String, String>,
    /// Every publication of an alert, in order.
    pub alert_log: Vec<String>,
    /// What homes, persons and links are told, in order.
    pub messages: Vec<Message>,
    last_cell: Option<String>,
}

impl Effects for Told {
    fn touchpoint(&mut self, person: PersonId, touchpoint: &Touchpoint<'_>) {
        let mut encoded = Vec::new();
        touchpoint.encode_into(&mut encoded);
        self.touchpoints.insert(keys::touchpoint(person, touchpoint.spoke, touchpoint.id), encoded);
    }

    fn record(&mut self, person: PersonId, record: &InsightRecord) {
        self.records.insert(person, record.clone());
    }

    fn touchpoint_gone(&mut self, person: PersonId, spoke: &str, id: &str) {
        self.touchpoints.remove(&keys::touchpoint(person, spoke, id)).expect("only what was published goes");
    }

    fn record_gone(&mut self, person: PersonId) {
        self.records.remove(&person).expect("only what was published goes");
    }

    fn alert(&mut self, alert: &Alert<'_>) {
        self.alert_log.push(format!("{} {} {}", alert.cause, alert.state, alert.revision));
        self.alerts.insert(alert.key().to_string(), shown(alert));
    }

    fn alert_gone(&mut self, key: &AlertKey, _: AlertCause) {
        self.alerts.remove(&key.to_string()).expect("only what was published goes");
    }

    fn erased(&mut self, _: &str) {}

    fn pairs(&mut self, home: Identifier<'_>, pairs: &[SeenPair<'_>]) {
        let pairs = pairs.iter().map(|&(a, b, at, _)| (owned(a), owned(b), at)).collect();
        self.messages.push(Message::Pairs(owned(home), pairs));
    }

    fn withdraw(&mut self, home: PersonId, pairs: &[WithdrawnPair]) {
        self.messages.push(Message::Withdraw(home, pairs.to_vec()));
    }

    fn put(&mut self, person: PersonId, home: PersonId, items: &[Item<'_>], _: bool, more: bool) {
        let items = items.iter().map(|item| (item.content_hash, item.encoded.to_vec())).collect();
        self.messages.push(Message::Put(person, home, items, more));
    }

    fn drop_fragment(&mut self, person: PersonId, home: PersonId, more: bool) {
        self.messages.push(Message::Drop(person, home, more));
    }

    fn settled(&mut self, person: PersonId, home: PersonId, version: u64) {
        self.messages.push(Message::Settled(person, home, version));
    }

    fn more(&mut self, home: PersonId) {
        self.messages.push(Message::More(home));
    }

    fn outcome(&mut self, spoke: &str, outcome: Outcome) {
        self.outcomes.push((spoke.to_owned(), outcome));
    }

    fn contribution(&mut self, cell: CellKey<'_>, add: &Accumulator) {
        assert!(!add.is_zero(), "nothing is not contributed");
        if let Some((family, element)) = family::parse_cell_value(cell.value).filter(|_| cell.is_of_family()) {
            let in_words = |parts: &str| parts.replace(family::PART_SEPARATOR, " ");
            let name = match cell.metric {
                family::JOURNEYS => "journeys",
                family::PRIORITIES => "priorities",
                family::BALANCE => "balance",
                family::SCORECARDS => "scorecards",
                family::CHANGES => "changes",
                _ => "months",
            };
            let key = format!("{name} {} {} {}", cell.window, in_words(family), in_words(element));
            let sum = self.cells.entry(key.clone()).or_default();
            sum.add(add, 1);
            if sum.is_zero() {
                self.cells.remove(&key);
            }
            return;
        }
        let name = METRICS.iter().find(|&&(metric, _)| metric == cell.metric).expect("a metric of the fold").1;
        let currency = cell.currency.map(|currency| format!(" {}", currency.as_str())).unwrap_or_default();
        let value = if cell.dimension == Dimension::Company { String::new() } else { format!("={}", cell.value) };
        let key = format!("{name} {} {}{value}{currency}", cell.window, cell.dimension);
        let sum = self.cells.entry(key.clone()).or_default();
        sum.add(add, 1);
        if sum.is_zero() {
            self.cells.remove(&key);
        }
    }
}

/// An alert in words; its id left out.
fn shown(alert: &Alert<'_>) -> String {
    let thing = alert.thing.map(|thing| format!(" {}:{}", thing.kind, thing.value)).unwrap_or_default();
    let figures: String = alert.figures.iter().map(|(name, figure)| format!(", {name} {figure}")).collect();
    let seen = alert.acknowledged.as_ref().map(|it| format!(" by {}", it.by)).unwrap_or_default();
    let since = alert.since.0 - MONDAY.0;
    format!("{}{thing} of {} since {since}d {}{seen}{figures}", alert.cause, alert.owner, alert.state)
}

/// One partition: the stage, its store, and both as they were at the last commit.
pub struct World {
    pub stage: Customers,
    pub store: BTreeMap<Vec<u8>, Bytes>,
    pub told: Told,
    committed_store: BTreeMap<Vec<u8>, Bytes>,
    committed_told: Told,
    heads_max: usize,
    /// What the watermark of their source is as touchpoints come.
    pub after: Option<EventTime>,
}

impl World {
    pub fn new(heads_max: usize) -> World {
        World {
            stage: Customers::new(options(heads_max)),
            store: BTreeMap::new(),
            told: Told::default(),
            committed_store: BTreeMap::new(),
            committed_told: Told::default(),
            heads_max,
            after: None,
        }
    }

    /// Another one in the same state, as of the last commit.
    pub fn copy(&self) -> World {
        let mut copy = World::new(self.heads_max);
        copy.store = self.store.clone();
        copy.told = self.told.clone();
        copy.committed_store = self.committed_store.clone();
        copy.committed_told = self.committed_told.clone();
        copy
    }

    pub fn batch(&mut self, touchpoints: &[&Touchpoint<'_>]) {
        let encoded: Vec<Vec<u8>> = touchpoints
            .iter()
            .map(|touchpoint| {
                let mut bytes = Vec::new();
                touchpoint.encode_into(&mut bytes);
                bytes
            })
            .collect();
        let batch: Vec<Incoming<'_>> = encoded
            .iter()
            .map(|encoded| {
                let touchpoint = Touchpoint::decode(encoded).expect("just encoded");
                Incoming { person: person_of(touchpoint.home()), encoded, after: self.after }
            })
            .collect();
        let days = touchpoints.iter().map(|touchpoint| Calendar::utc().day(touchpoint.occurred_at));
        if let Some(day) = days.max() {
            self.advance(day);
        }
        self.stage.touchpoints(&batch, &mut self.store, &mut self.told).expect("a map never fails");
    }

    pub fn advance(&mut self, day: Day) {
        self.stage.advance(day, &self.store).expect("a map never fails");
    }

    pub fn fire(&mut self, max: usize) -> bool {
        self.stage.fire_timers(&mut self.store, max).expect("a map never fails")
    }

    pub fn before_commit(&mut self) {
        self.stage.before_commit(&mut self.store, &mut self.told).expect("a map never fails");
    }

    pub fn commit(&mut self) {
        while self.fire(2) {}
        self.before_commit();
        self.stage.committed();
        self.committed_store = self.store.clone();
        self.committed_told = self.told.clone();
    }

    pub fn roll_back(&mut self) {
        self.store = self.committed_store.clone();
        self.told = self.committed_told.clone();
        self.stage.rolled_back();
    }

    /// A crash: nothing but the store is left.
    pub fn restart(&mut self) {
        self.roll_back();
        self.stage = Customers::new(options(self.heads_max));
    }

    /// A crash that took the disk too: the store is restored from the changelog.
    pub fn restore(&mut self) {
        self.restart();
        let mut store = BTreeMap::new();
        for (key, value) in &self.committed_store {
            if !matches!(key[0], b'i' | b'j' | b'g' | b'w' | b'a' | b'y') {
                store.insert(key.clone(), value.clone());
                store_keys::restored(key, Some(value), &mut store).expect("a map never fails");
            }
        }
        assert_eq!(store, self.committed_store, "what is derived can be derived from the changelog");
        self.store = store;
    }

    /// A crash after which the store is as a version of before ranks wrote it, but for heads, which a rebuild does not read.
    pub fn unrank(&mut self) {
        let ranked = std::mem::take(&mut self.committed_store);
        for (mut key, mut value) in ranked {
            match key[0] {
                b't' | b's' | b'o' => drop(key.remove(PERSON_PREFIX + 8)),
                b'i' | b'j' | b'g' => value = [&value[..8], &value[9..]].concat().into(),
                _ => {}
            }
            self.committed_store.insert(key, value);
        }
        self.restart();
    }

    /// What a rebuild does, one person at a time; what was counted before is forgotten.
    pub fn count_anew(&mut self, day: Day) {
        self.told.cells.clear();
        self.stage.begin_refold(Some(day));
        let mut from = None;
        loop {
            from = self.stage.refold(from, 1, &mut self.store).expect("a map never fails").next;
            self.commit();
            if from.is_none() {
                break;
            }
        }
    }

    pub fn head(&self, person: PersonId) -> crate::customers::Head {
        let stored = &self.store[&store_keys::head(person)];
        let (_, encoded) = store_keys::Envelope::decode(stored).expect("an envelope");
        crate::customers::Head::decode(encoded).expect("a head")
    }

    pub fn rendered(&self, person: PersonId, closed: Day) -> InsightRecord {
        render(person, &self.head(person), closed)
    }

    /// Cells and records as lines.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, cell) in &self.told.cells {
            let mut line = format!("{key}: n {}", cell.n);
            for (name, value) in [("a", cell.a), ("b", cell.b), ("sum", cell.sum)] {
                if value != 0 {
                    line.push_str(&format!(", {name} {value}"));
                }
            }
            if key.starts_with("acquisition_cost ") || key.starts_with("customer_value ") {
                for (currency, sum) in cell.sums_of_money() {
                    line.push_str(&format!(", {sum} {}", currency.as_str()));
                }
            }
            lines.push(line);
        }
        for record in self.told.records.values() {
            // `InsightRecord { a: …, b: { … } }`, split at the commas of its own level.
            let text = format!("{record:?}");
            let mut depth = 0;
            let inner = &text[text.find('{').expect("a struct") + 2..text.len() - 2];
            let fields = inner.split(|character| {
                depth += i32::from("{[(".contains(character)) - i32::from("}])".contains(character));
                depth == 0 && character == ','
            });
            lines.extend(fields.map(|field| format!("record.{}", field.trim())));
        }
        lines
    }
}

pub fn options(heads_max: usize) -> Options {
    Options { heads_max, cells_max: 1_000_000, person_key: PersonKey([7; 32]), ..Options::default() }
}

/// A value of the store without the counts of publications of alerts: they are history.
pub fn without_revision(key: &[u8], value: &[u8]) -> Vec<u8> {
    if key[0] != b'h' {
        return value.to_vec();
    }
    let (mut envelope, head) = store_keys::Envelope::decode(value).expect("an envelope");
    envelope.alerts.iter_mut().flat_map(|alerts| &mut alerts.published).for_each(|alert| alert.revision = 0);
    let mut value = Vec::new();
    envelope.encode_into(&mut value);
    value.extend_from_slice(head);
    value
}

/// A touchpoint with nothing but the required.
pub fn plain(kind: Kind, id: &'static str, at: EventTime) -> Touchpoint<'static> {
    Touchpoint {
        occurred_at: at,
        id,
        spoke: "sales",
        kind,
        label: None,
        identifiers: Vec::new(),
        channel: None,
        subject: None,
        product: None,
        region: None,
        segment: None,
        campaign: None,
        content: None,
        account: None,
        amount: None,
        cost: None,
        score: None,
        promised_at: None,
        initiator: kind.default_initiator(),
        visibility: Visibility::Public,
        sentiment: None,
        referrer: None,
        effort: None,
        properties: Vec::new(),
    }
}

/// `2d09:30` or `09:30`: so many days after the Monday.
pub fn time(text: &str) -> EventTime {
    let (days, time) = text.split_once('d').unwrap_or(("0", text));
    let (hours, minutes) = time.split_once(':').expect("hh:mm");
    let number = |text: &str| text.parse::<i64>().expect("a number");
    EventTime(((i64::from(MONDAY.0) + number(days)) * 24 + number(hours)) * 3_600_000 + number(minutes) * 60_000)
}

/// `1999EUR`.
fn money(text: &str) -> Money {
    let (minor, currency) = text.split_at(text.len() - 3);
    Money { minor: minor.parse().expect("minor units"), currency: Currency::parse(currency).expect("a currency") }
}

/// `SPOKE KIND [THING] [#ID] [by TYPE:VALUE] [for 100EUR] [cost 5EUR] [promised TIME] [nps 9] [perception 5 of speed]
/// [sentiment -30] [effort 3] [region X] [subject X] [referrer bob] … at TIME`
pub fn touchpoint(line: &str, number: usize) -> Touchpoint<'static> {
    let line: &'static str = line.to_owned().leak();
    let mut words = line.split_whitespace();
    let spoke = words.next().expect("a spoke");
    let kind = Kind::parse(words.next().expect("a kind")).expect("a known kind");
    let mut touchpoint = plain(kind, format!("e{number:03}").leak(), EventTime(0));
    touchpoint.spoke = spoke;
    let thing = match kind.as_str().split('_').next() {
        Some("case") => IdentifierType::Case,
        Some("subscription") => IdentifierType::Contract,
        _ => IdentifierType::Order,
    };
    let mut person = Identifier { kind: IdentifierType::CustomerId, value: "ann" };
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value");
        match word {
            "at" => touchpoint.occurred_at = time(value()),
            "promised" => touchpoint.promised_at = Some(time(value())),
            "by" => {
                let (kind, value) = value().split_once(':').expect("type:value");
                person = Identifier { kind: IdentifierType::parse(kind).expect("a type"), value };
            }
            "for" => touchpoint.amount = Some(money(value())),
            "cost" => touchpoint.cost = Some(money(value())),
            "of" => touchpoint.score.as_mut().expect("an answer before its item").item = Some(value()),
            "referrer" => {
                touchpoint.referrer = Some(Identifier { kind: IdentifierType::CustomerId, value: value() });
            }
            "subject" => touchpoint.subject = Some(value()),
            "nps" | "csat" | "ces" | "review" | "expectation" | "perception" => {
                touchpoint.score = Some(Score {
                    scale: ScoreScale::parse(word).expect("a scale"),
                    value: value().parse().expect("an answer"),
                    item: None,
                });
            }
            "sentiment" => touchpoint.sentiment = Some(value().parse().expect("a sentiment")),
            "effort" => touchpoint.effort = Some(value().parse().expect("an effort")),
            "region" => touchpoint.region = Some(value()),
            "segment" => touchpoint.segment = Some(value()),
            "campaign" => touchpoint.campaign = Some(value()),
            "channel" => touchpoint.channel = Channel::parse(value()),
            "agent" | "bot" | "customer" | "system" => {
                touchpoint.initiator = Initiator::parse(word).expect("an initiator");
            }
            "internal" => touchpoint.visibility = Visibility::Internal,
            _ => match word.strip_prefix('#') {
                Some(id) => touchpoint.id = id,
                None => touchpoint.identifiers.push(Identifier { kind: thing, value: word }),
            },
        }
    }
    touchpoint.identifiers.insert(0, person);
    touchpoint.identifiers.sort_unstable();
    touchpoint
}

/// Arrivals in their order, one batch each, then one commit; `closed 5d` lets days close up to that one. Shows the lines
/// of cells and records that start with one of `show`.
pub fn check_customers(arrivals: &[&str], show: &[&str], expected: expect_test::Expect) {
    let mut world = World::new(10);
    for (number, line) in arrivals.iter().enumerate() {
        if let Some(days) = line.strip_prefix("closed ") {
            let days = days.trim_end_matches('d').parse::<i32>().expect("days");
            world.advance(MONDAY.plus(days + 1));
            world.commit();
        } else {
            world.batch(&[&touchpoint(line, number)]);
        }
    }
    world.commit();
    let shown: Vec<String> =
        world.lines().into_iter().filter(|line| show.iter().any(|prefix| line.starts_with(prefix))).collect();
    expected.assert_eq(&shown.join("\n"));
}
