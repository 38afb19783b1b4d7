//! One record of each feed with every field filled: what the golden files show.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    analyses::{
        attribution::attribute,
        balance::{Balance, Contact, ContactKey, CostBasis, balance},
        buying::month::{BuyingCounts, BuyingFit},
        change::{Shape, compare},
        drivers::{Correlation, Moments, PairSums, Pairs},
        journeys::{JourneyLimits, JourneyTable},
        priorities::{Group, Judged, Priority, PriorityTable, SCORE_RANGE, Stated, Subject},
        ranking::Ranked,
        scorecards::{Effect, Promises, Scorecard},
        statistics::{Difference, Sums},
        tests::whole::WholeTable,
    },
    feeds::{
        AttributionRecord, AuditEntry, BalanceRecord, CatalogueRecord, ChangeRecord, DeadLetter, DriversRecord,
        JourneysRecord, ParametersRecord, PersonTouchpoint, PrioritiesRecord, ScorecardRecord,
    },
    model::{
        Accumulator, Acknowledgement, Alert, AlertCause, AlertId, AlertSeries, AlertState, AnalysisPlace, Brought,
        BuyingSummary, CatalogueEntry, Cause, Channel, CloseLimit, Conflict, Currency, Day, Decision, Dimension,
        DurationSummary, EventTime, Identifier, IdentifierType, IdentityState, Initiator, InsightRecord, JournalChange,
        JournalEntry, JourneyStep, KeyedIdentifier, Kind, Measure, MetricValue, Money, Named, Outcome, PathOutcome,
        Percentiles, PersonId, Phase, PurchaseElement, Reason, Refusal, RhythmSummary, Score, ScoreScale, ScoreSummary,
        SpokeAccount, SpokePartition, SpokeSchema, Status, Touchpoint, Uncertainty, Visibility, Window, WindowKind,
    },
};

const NINE_O_CLOCK: EventTime = EventTime(1_769_850_000_000);

fn counts(entries: &[(&str, i64)]) -> BTreeMap<String, i64> {
    entries.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

fn euro(minor: i64) -> Money {
    Money { minor, currency: Currency(*b"EUR") }
}

pub fn customer() -> InsightRecord {
    InsightRecord {
        person: PersonId([0xa5; 16]).to_string(),
        identifiers: BTreeMap::from([
            ("customer_id".into(), vec!["4711".into()]),
            ("email".into(), vec!["ann@example.org".into(), "änn@example.org".into()]),
        ]),
        first_seen: EventTime(NINE_O_CLOCK.0 - 86_400_000),
        last_seen: NINE_O_CLOCK,
        touchpoints: 7,
        touchpoints_by_spoke: counts(&[("sales", 3), ("support", 4)]),
        touchpoints_by_kind: counts(&[("case_opened", 2), ("case_replied", 2), ("order_placed", 2), ("other", 1)]),
        touchpoints_by_channel: counts(&[("email", 4), ("web", 2)]),
        phase: Phase::During,
        orders: 2,
        frequency: 1,
        revenue: counts(&[("EUR", 12_345)]),
        monetary_value: BTreeMap::from([("EUR".into(), 6_172.5)]),
        open_cases: 1,
        scores: BTreeMap::from([
            ("expectation:delivery".into(), summary(1, 6, 6.0)),
            ("nps".into(), summary(2, 9, 8.5)),
        ]),
        sentiment: Some(summary(3, -20, 10.0)),
        first_response_time: DurationSummary { n: 2, mean_seconds: Some(1_200.25) },
        resolution_time: DurationSummary { n: 0, mean_seconds: None },
        deliveries_on_time: 1,
        deliveries_late: 0,
        open_promises: 1,
        overdue_promises: 0,
        contacts_30_days: 5,
        journey: vec![
            JourneyStep { spoke: "support".into(), kind: Kind::CaseOpened, channel: Some(Channel::Email) },
            JourneyStep { spoke: "operations".into(), kind: Kind::OrderShipped, channel: None },
        ],
        segment: Some("consumer".into()),
        region: Some("north".into()),
        account: None,
        buying: Some(BuyingSummary {
            first_on: Day::from_civil(2025, 12, 3),
            last_on: Day::from_civil(2026, 1, 31),
            days: 3,
            repeat_paid_days: 2,
            repeat_paid: 8_345,
        }),
        rhythm: Some(RhythmSummary {
            days: 3,
            mean_gap_days: 29.5,
            limit_days: 44,
            lapses_on: Day::from_civil(2026, 3, 17),
            lapsed: false,
        }),
    }
}

fn summary(n: i64, last: i64, mean: f64) -> ScoreSummary {
    ScoreSummary { n, last, mean }
}

pub fn touchpoint() -> Touchpoint<'static> {
    Touchpoint {
        occurred_at: NINE_O_CLOCK,
        id: "o-1/\"ü\"",
        spoke: "sales",
        kind: Kind::OrderPlaced,
        label: Some("Order\tplaced"),
        identifiers: vec![
            Identifier { kind: IdentifierType::CustomerId, value: "4711" },
            Identifier { kind: IdentifierType::Email, value: "ann@example.org" },
            Identifier { kind: IdentifierType::Email, value: "änn@example.org" },
            Identifier { kind: IdentifierType::Order, value: "o-1" },
        ],
        channel: Some(Channel::Web),
        subject: None,
        product: Some("chair"),
        region: Some("north"),
        segment: Some("consumer"),
        campaign: None,
        content: None,
        account: None,
        amount: Some(euro(12_345)),
        cost: Some(euro(-5)),
        score: Some(Score { scale: ScoreScale::Expectation, value: 6, item: Some("delivery") }),
        promised_at: Some(EventTime(NINE_O_CLOCK.0 + 123)),
        initiator: Initiator::Customer,
        visibility: Visibility::Public,
        sentiment: Some(-100),
        referrer: Some(Identifier { kind: IdentifierType::Loyalty, value: "L-9" }),
        effort: Some(-3),
        properties: vec![("basket", "b1"), ("voucher", "")],
    }
}

pub fn on_timeline<'a>(touchpoint: &'a Touchpoint<'a>) -> PersonTouchpoint<'a> {
    PersonTouchpoint { person: PersonId(*b"0123456789abcdef"), touchpoint }
}

pub fn alert() -> Alert<'static> {
    Alert {
        id: AlertId([0xa1; 16]),
        cause: AlertCause::CaseUnanswered,
        state: AlertState::Acknowledged,
        owner: "support",
        person: Some(PersonId([0xa5; 16])),
        series: None,
        thing: Some(Identifier { kind: IdentifierType::Case, value: "T-1" }),
        since: Day(20_514),
        happened_at: Some(NINE_O_CLOCK),
        test: None,
        figures: BTreeMap::from([("target_hours", 24.0)]),
        acknowledged: Some(Acknowledgement { number: 3, at: NINE_O_CLOCK, by: "mo".into() }),
        revision: 2,
    }
}

pub fn alert_of_metric() -> Alert<'static> {
    let series = AlertSeries {
        metric: "average_order_value",
        currency: Currency::parse("EUR"),
        dimension: Dimension::Region,
        value: "north",
    };
    Alert {
        cause: AlertCause::MetricUnusual,
        state: AlertState::Open,
        owner: "company",
        person: None,
        series: Some((series, Some(Window::of(WindowKind::Week, Day::from_civil(2026, 3, 2))))),
        thing: None,
        happened_at: None,
        test: Some("outside the range of usual weeks"),
        figures: BTreeMap::from([("value", 20.0), ("usual_low", 71.25)]),
        acknowledged: None,
        ..alert()
    }
}

pub fn metric() -> MetricValue<'static> {
    MetricValue {
        metric: "first_response_time",
        unit: "seconds",
        window: Window::of(WindowKind::Week, Day::from_civil(2026, 1, 31)),
        dimension: Dimension::Region,
        dimension_value: "north",
        other_values: None,
        currency: Currency::parse("EUR"),
        n: 3,
        numerator: 4_500_000,
        denominator: 3,
        value: Some(1_500.0),
        uncertainty: Some(Uncertainty::StandardError(12.5)),
        percentiles: Some(Percentiles { p50: 1_200.0, p90: 2_000.125, p99: 1e21 }),
        details: BTreeMap::from([("share_late", 0.1)]),
        revision: 2,
        status: Status::Revised,
        definition_version: 1,
    }
}

pub fn definition() -> CatalogueRecord<'static> {
    CatalogueRecord::Metric(CatalogueEntry {
        metric: "nps",
        title: "Net Promoter Score",
        unit: "points",
        formula: "100 · (promoters − detractors) / answers",
        inclusion: "every answer on the nps scale",
        counted_at: "when it was answered",
        source: "Reichheld 2003",
        dimensions: vec!["company", "spoke"],
        version: 1,
    })
}

/// Sixty customers, of whom forty bought again; of ten of them it is not known for how much, and of one for nothing.
pub fn buying() -> BuyingFit {
    let mut counts = BuyingCounts::default();
    for number in 0..60 {
        let (repeats, first) = (number % 3, Day::from_civil(2025, 3, 20).plus(7 * (number as i32 % 7)));
        let element = PurchaseElement::History { repeats, first, weeks: repeats * (2 + number % 5) };
        counts.add(element, &Accumulator::count(1));
        if repeats > 0 && number < 45 {
            let total =
                if number == 1 { 0 } else { i64::from(repeats) * (2_000 + 37 * i64::from(number * number % 50)) };
            let (element, add) = PurchaseElement::of_spending(repeats, total);
            counts.add(element, &add);
        }
    }
    let mut fitting = counts.fitting(Day::from_civil(2025, 9, 14));
    let mut terms = usize::MAX;
    fitting.advance(&mut terms).expect("it goes on to the end").clone()
}

pub fn parameters(found: &BuyingFit) -> CatalogueRecord<'_> {
    let window = Window::of(WindowKind::Month, Day::from_civil(2026, 1, 31));
    let currency = Currency(*b"EUR");
    CatalogueRecord::Parameters(ParametersRecord { window, currency, found, revision: 2, status: Status::Final })
}

pub fn spoke_account() -> SpokeAccount {
    SpokeAccount {
        spoke: "sales".into(),
        records: 1_203,
        outcomes: BTreeMap::from([(Outcome::Accepted, 1_300), (Outcome::Rejected, 3), (Outcome::Duplicate, 12)]),
        rejections: BTreeMap::from([(Reason::UnknownSchema, 1), (Reason::BadTimestamp, 2)]),
        unmapped_kinds: BTreeMap::from([("Bestellung geändert".into(), 2), ("order.archived".into(), 7)]),
        unmapped_kinds_unnamed: 1,
        schemas: vec![
            SpokeSchema { schema: "fp:0123456789abcdef".into(), records: 200, last_arrived_at: None },
            SpokeSchema { schema: "id:17".into(), records: 1_000, last_arrived_at: Some(NINE_O_CLOCK) },
        ],
        schemas_unnamed: 3,
        first_arrived_at: Some(EventTime(NINE_O_CLOCK.0 - 86_400_000)),
        last_arrived_at: Some(NINE_O_CLOCK),
        newest_occurred_at: Some(EventTime(NINE_O_CLOCK.0 - 1_234)),
        partitions: vec![
            SpokePartition {
                topic: "sales.orders".into(),
                partition: 0,
                next_offset: 1_250,
                records: 1_200,
                last_arrived_at: Some(NINE_O_CLOCK),
                newest_occurred_at: Some(EventTime(NINE_O_CLOCK.0 - 1_234)),
            },
            SpokePartition {
                topic: "sales.orders".into(),
                partition: 1,
                next_offset: 3,
                records: 3,
                ..SpokePartition::default()
            },
        ],
        revision: 17,
    }
}

const ANN: Identifier<'static> = Identifier { kind: IdentifierType::CustomerId, value: "4711" };
const ADDRESS: Identifier<'static> = Identifier { kind: IdentifierType::Email, value: "änn@example.org" };
const COOKIE: Identifier<'static> = Identifier { kind: IdentifierType::Cookie, value: "c-17" };

fn known(identifier: Identifier<'static>) -> KeyedIdentifier<'static> {
    KeyedIdentifier { id: PersonId([0xa5; 16]), identifier }
}

pub fn identity() -> IdentityState<'static> {
    IdentityState::Person {
        identifiers: vec![known(ANN), known(ADDRESS)],
        identifiers_total: 3,
        conflicts: vec![
            Conflict {
                stronger: known(ADDRESS),
                weaker: known(COOKIE),
                rule: Refusal::Limit(IdentifierType::Cookie),
                decided: false,
            },
            Conflict { stronger: known(ANN), weaker: known(COOKIE), rule: Refusal::Never, decided: true },
        ],
        conflicts_total: 2,
        shared: true,
        close: vec![CloseLimit { kind: IdentifierType::Cookie, count: 81, limit: 100 }],
    }
}

pub fn redirect() -> IdentityState<'static> {
    IdentityState::Redirect { identifier: known(ADDRESS), person: PersonId([0xa5; 16]), strongest: known(ANN) }
}

/// One of each kind.
pub fn identity_changes() -> Vec<JournalEntry<'static>> {
    let one = Named { id: PersonId([0xa5; 16]), identifier: Some(ANN) };
    let other = Named { id: PersonId([0xb6; 16]), identifier: None };
    let rule = Refusal::Oversize;
    let (from, to) = (PersonId([1; 16]), PersonId([2; 16]));
    let changes = [
        JournalChange::Refused { one, other, rule, decided: true },
        JournalChange::Erased { identifier: from, at: NINE_O_CLOCK },
        JournalChange::Decided { one, other, decision: Some(Decision::Never) },
        JournalChange::Decided { one, other, decision: Some(Decision::Link) },
        JournalChange::Decided { one, other, decision: None },
        JournalChange::Unlinked { one, other },
        JournalChange::Lifted { one, other, rule, decided: false },
        JournalChange::Linked { one, other },
        JournalChange::Redirected { identifier: one, from, to },
    ];
    let causes = [Cause::Command { number: 7 }, Cause::Report { home: PersonId([0xc7; 16]) }].into_iter().cycle();
    let brought = |change: &JournalChange<'_>| {
        let is_new = matches!(change, JournalChange::Linked { .. });
        is_new.then_some(Brought { spoke: "sales", id: "17", occurred_at: NINE_O_CLOCK })
    };
    causes.zip(changes).map(|(cause, change)| JournalEntry { cause, brought: brought(&change), change }).collect()
}

pub fn dead_letter() -> DeadLetter<'static> {
    DeadLetter {
        topic: "sales.orders|v1",
        partition: 3,
        offset: 42,
        timestamp_ms: NINE_O_CLOCK.0,
        touchpoint: 1,
        spoke: "sales",
        reason: Reason::BadTimestamp,
        field: "occurred_at",
        message: "\"yesterday\" is no time; send RFC 3339 such as 2026-01-31T09:00:00Z",
        source_key: Some(b"4711"),
    }
}

/// Journeys with something in every list that is published.
pub fn journeys() -> WholeTable {
    let mut table = WholeTable::default();
    let minutes = |minutes: i64| Accumulator::observe_distribution(minutes * 60_000);
    for (steps, reached, lost) in [
        (&["marketing:ad_clicked:web", "sales:visit_made:store"][..], 30, 4),
        (&["marketing:message_clicked:email"][..], 10, 25),
        (&["support:case_opened:phone", "marketing:message_clicked:email", "support:case_opened:phone"][..], 1, 20),
        (&[][..], 3, 0),
    ] {
        table.add(steps, PathOutcome::Converted, &minutes(90), reached);
        table.add(steps, PathOutcome::Lost, &Accumulator::count(1), lost);
    }
    table
}

fn place() -> AnalysisPlace<'static> {
    AnalysisPlace {
        subject: "repurchase",
        window: Window::of(WindowKind::Month, Day::from_civil(2026, 1, 31)),
        dimension: Dimension::Segment,
        dimension_value: "gold",
    }
}

pub fn journeys_record(table: &JourneyTable, limit: usize) -> JourneysRecord<'_> {
    let limits = JourneyLimits { transitions: limit, paths: limit, ends: limit, critical: limit };
    JourneysRecord { place: place(), found: table.publish(limits), revision: 3, status: Status::Provisional }
}

pub fn attribution_record(table: &JourneyTable, limit: usize) -> AttributionRecord<'_> {
    let (conversions, found) = (table.ended().goal, attribute(table, limit));
    AttributionRecord { place: place(), conversions, found, revision: 3, status: Status::Final }
}

/// Forty persons with two experiences and the outcome that is published.
pub fn months() -> Moments {
    let mut moments = Moments::new(Measure::ALL.len());
    for number in 0..40_i64 {
        let mut values = [None; Measure::ALL.len()];
        values[Measure::Csat as usize] = Some(1_000 * (1 + number % 5));
        values[Measure::Contacts as usize] = Some(number % 7);
        values[Measure::Revenue as usize] = Some(500 * (number % 5) + 100 * (number % 3));
        moments.add(&values, 1);
    }
    moments
}

pub fn drivers_record(moments: &Moments) -> DriversRecord<'_> {
    let place = AnalysisPlace { subject: "revenue", ..place() };
    DriversRecord { place, outcome: Measure::Revenue, moments, revision: 2, status: Status::Revised }
}

/// A hundred persons: forty asked about deliveries and fare worse, three about invoices.
pub fn priorities() -> PriorityTable {
    let mut table = PriorityTable::default();
    let group = |number: i64, is_late: bool| Group {
        persons: 1,
        outcome_yes: i64::from(number % if is_late { 4 } else { 2 } == 0),
        outcome_known: 1,
        scores: Sums::of(&Accumulator::observe(if is_late { 1_000 } else { 3_000 } + number % 3 * 1_000)),
        revenue: 5_000 + 100 * (number % 7),
        ..Group::default()
    };
    for number in 0..100 {
        let is_late = number < 40;
        let group = group(number, is_late);
        table.add_everyone(group);
        let said = Group { efforts: 1, effort: 1 + number % 4, ..group };
        let mut about = |subject| table.add(Subject { spoke: "support", kind: "case_opened", subject }, said);
        if is_late {
            about("delivery");
        }
        if number >= 97 {
            about("invoice");
        }
    }
    table
}

/// Somebody has seen a late delivery.
pub fn seen() -> BTreeMap<AlertId, Acknowledgement> {
    let id = AlertId::of_priority("support", "case_opened", "delivery");
    BTreeMap::from([(id, Acknowledgement { number: 3, at: NINE_O_CLOCK, by: "mo".into() })])
}

pub fn priorities_record<'a>(
    table: &PriorityTable,
    found: &'a Ranked<Priority<'a>, Judged>,
    seen: &'a BTreeMap<AlertId, Acknowledgement>,
) -> PrioritiesRecord<'a> {
    let place = AnalysisPlace { subject: "persons", dimension: Dimension::Company, dimension_value: "", ..place() };
    PrioritiesRecord { place, everyone: table.everyone(), found, seen, revision: 4, status: Status::Final }
}

/// Deliveries on time in the south, before and after.
pub fn change_record() -> ChangeRecord<'static> {
    let window = Window::of(WindowKind::Day, Day::from_civil(2026, 5, 13));
    let cell = |n, a| Accumulator { n, a, ..Accumulator::default() };
    ChangeRecord {
        place: AnalysisPlace { subject: "operations", window, dimension: Dimension::Region, dimension_value: "south" },
        metric: "on_time",
        unit: "percent",
        days: 28,
        effort: Some(3),
        change: compare(&cell(80, 40), &cell(90, 81), Shape::Share).expect("enough of both"),
        revision: 5,
        status: Status::Provisional,
    }
}

/// Of 64 customers half were content and half bought again, of the same 24 both.
static FELT: LazyLock<Pairs> = LazyLock::new(|| {
    let mut felt = Pairs::default();
    let sums = PairSums { n: 64, first: 32, second: 32, first_squares: 32, second_squares: 32, products: 24 };
    felt.add((Measure::Csat as u8, Measure::BoughtAgain as u8), &sums);
    felt
});

/// Three kinds of contact, one with all that can be known of it.
pub fn contacts() -> Vec<Contact<'static>> {
    let all = Contact {
        key: ContactKey { spoke: "support", kind: "case_replied", channel: "phone" },
        touchpoints: 950,
        scores: Sums { n: 40, sum: 120, squares: 400 },
        sentiment: Sums { n: 30, sum: -330, squares: 90_000 },
        credit: 60.5,
        cost: 40_000,
        costs_left_out: 0,
        effort: 12,
        capacity: Some(1_000),
        pairs: Some(&FELT),
    };
    let nothing = Sums::default();
    let (scores, sentiment) = (Sums { n: 60, sum: 240, squares: 1_000 }, Sums { n: 31, sum: 310, squares: 9_000 });
    let web = ContactKey { spoke: "marketing", kind: "ad_clicked", channel: "web" };
    let store = ContactKey { spoke: "sales", kind: "visit_made", channel: "" };
    vec![
        all,
        Contact {
            key: web,
            scores,
            sentiment,
            credit: 10.0,
            cost: 60_000,
            costs_left_out: 7,
            effort: 0,
            capacity: None,
            pairs: None,
            ..all
        },
        Contact {
            key: store,
            scores: nothing,
            sentiment: nothing,
            touchpoints: 0,
            credit: 0.25,
            cost: 0,
            costs_left_out: 0,
            effort: 0,
            capacity: None,
            pairs: None,
        },
    ]
}

pub fn balance_of(contacts: &[Contact<'static>], limit: usize) -> Balance<'static> {
    balance(contacts, limit).expect("something is credited")
}

pub fn balance_record<'a>(balance: &'a Balance<'a>) -> BalanceRecord<'a> {
    let window = Window::of(WindowKind::Month, Day::from_civil(2026, 1, 31));
    BalanceRecord { window, currency: Currency(*b"EUR"), balance, revision: 4, status: Status::Final }
}

/// With the first of some priorities.
pub fn scorecard(table: &PriorityTable) -> Scorecard<'_> {
    let found = table.prioritise(&Stated::default(), SCORE_RANGE, 1).shown;
    let difference = Some(Difference { value: 500.0, low: 250.0, high: 750.0 });
    let (failed, others) = (Sums { n: 40, sum: 80_000, squares: 1 << 30 }, Sums { n: 29, sum: 29, squares: 29 });
    Scorecard {
        touchpoints: 1_200,
        cases: 90,
        scores: Sums { n: 40, sum: 120, squares: 400 },
        score: Some(Difference { value: -1.0, low: -1.5, high: -0.5 }),
        sentiments: Sums { n: 3, sum: -33, squares: 900 },
        sentiment: None,
        credit: 12.5,
        contribution: Some(0.25),
        cost_basis: CostBasis::Cost,
        cost: 0.5,
        net: Some(-0.25),
        promises: 30,
        kept: 27,
        open_promises: Promises { open: 6, overdue: 4 },
        priorities: (3..).zip(found).collect(),
        other_priorities: 2,
        cases_elsewhere: Effect { failed: others, others: failed, difference: None },
        scores_elsewhere: Effect { failed, others: Sums { n: 32, sum: 48_000, squares: 1 << 30 }, difference },
        drivers: vec![(Measure::Csat, Correlation { n: 64, r: 0.5, low: 0.25, high: 0.75 })],
        alerts: vec![(AlertCause::CaseUnanswered, 7), (AlertCause::MetricUnusual, 1)],
        arrived: [
            (Outcome::Accepted, 1_190),
            (Outcome::Skipped, 5),
            (Outcome::Duplicate, 8),
            (Outcome::Conflicting, 1),
        ]
        .into_iter()
        .chain([(Outcome::Rejected, 2), (Outcome::Late, 40), (Outcome::Capped, 3)])
        .collect(),
    }
}

pub fn scorecard_record<'a>(card: &'a Scorecard<'a>) -> ScorecardRecord<'a> {
    let place = AnalysisPlace { subject: "support", dimension: Dimension::Company, dimension_value: "", ..place() };
    ScorecardRecord { place, card, revision: 2, status: Status::Provisional }
}

pub fn audit_entry() -> AuditEntry {
    AuditEntry {
        actor: "3f2a9c0d1e4b5a67".to_owned(),
        at: EventTime(1_769_850_000_000),
        action: "read",
        operation: "get_customer_timeline",
        feed: None,
        person: Some(PersonId([0xab; 16])),
        command: None,
        records: 12,
    }
}
