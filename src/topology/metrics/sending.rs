//! What the metrics stage has to tell, as records of its feeds.

use crate::{
    analyses::{
        attribution::attribute,
        balance::Balance,
        buying::month::BuyingFit,
        drivers::Moments,
        journeys::{JourneyLimits, JourneyTable},
        scorecards::Scorecard,
    },
    engine::{
        log::{LogError, Output, Placement},
        stage::Outputs,
        topics::TopicIndex,
    },
    feeds::{
        self, AttributionRecord, BalanceRecord, CatalogueRecord, ChangeRecord, DriversRecord, Encoder, FeedFormat,
        FeedRecord, JourneysRecord, ParametersRecord, PrioritiesRecord, ScorecardRecord,
    },
    metrics::{Analysed, COMPARED_DAYS, Compared, Effects, Prioritised},
    model::{Alert, AlertId, AnalysisPlace, Currency, DepartmentNews, Measure, MetricValue, Status, keys},
    topology::{
        TopicMap,
        customers::{send_feed, send_tombstone},
        messages::told::{self, Told},
        sequence::Sequence,
    },
};

/// How much of each list is published of the journeys of a family.
const JOURNEY_LIMITS: JourneyLimits = JourneyLimits { transitions: 200, paths: 50, ends: 50, critical: 50 };

/// How many steps are published with what they are credited with.
const CREDITED_STEPS: usize = 200;

/// The partition of metrics that has the analyses: [`crate::model::CellKey::placement`].
const ANALYSES: i32 = 0;

/// The encoders of the feeds of analyses.
pub(super) struct Analyses {
    journeys: Encoder<feeds::Journeys>,
    attribution: Encoder<feeds::Attribution>,
    drivers: Encoder<feeds::Drivers>,
    priorities: Encoder<feeds::Priorities>,
    changes: Encoder<feeds::Changes>,
    balance: Encoder<feeds::Balance>,
    scorecards: Encoder<feeds::Scorecards>,
    /// That of costs.
    currency: Currency,
    parameters: Encoder<feeds::Definitions>,
}

impl Analyses {
    pub(super) fn new(format: FeedFormat, application_id: &str, currency: Currency) -> Analyses {
        Analyses {
            journeys: Encoder::new(format, application_id),
            attribution: Encoder::new(format, application_id),
            drivers: Encoder::new(format, application_id),
            priorities: Encoder::new(format, application_id),
            changes: Encoder::new(format, application_id),
            balance: Encoder::new(format, application_id),
            scorecards: Encoder::new(format, application_id),
            currency,
            parameters: Encoder::new(format, application_id),
        }
    }
}

/// Effects on their way; the first failure is kept for the caller, who cannot be told in between.
pub(super) struct Sending<'a, 'o> {
    pub(super) map: TopicMap,
    pub(super) values: &'a mut Encoder<feeds::Metrics>,
    pub(super) analyses: &'a mut Analyses,
    pub(super) alerts: &'a mut Encoder<feeds::Alerts>,
    /// Alerts that opened, and that are over.
    pub(super) alerted: &'a mut (u64, u64),
    /// Tells publications of alerts apart.
    pub(super) sequence: &'a mut Sequence,
    pub(super) outputs: &'a mut (dyn Outputs + 'o),
    pub(super) failure: Option<LogError>,
}

/// Sends a record that counts its own publications; `None`: a tombstone.
fn send<'r, F: FeedRecord>(
    outputs: &mut dyn Outputs,
    topic: TopicIndex,
    encoder: &mut Encoder<F>,
    key: &str,
    record: Option<&'r F::Record<'r>>,
    revision: u64,
) -> Result<(), LogError> {
    match record {
        Some(record) => {
            encoder.encode(record);
            send_feed(outputs, topic, encoder, key.as_bytes(), revision)
        }
        None => send_tombstone(outputs, topic, encoder, key.as_bytes(), revision),
    }
}

/// The revision of a publication; a tombstone has none.
fn revision_of(published: Option<(u64, Status)>) -> u64 {
    published.map_or(0, |(revision, _)| revision)
}

fn scorecard_record<'a>(
    place: AnalysisPlace<'a>,
    card: Option<&'a Scorecard<'a>>,
    published: Option<(u64, Status)>,
) -> Option<ScorecardRecord<'a>> {
    published.zip(card).map(|((revision, status), card)| ScorecardRecord { place, card, revision, status })
}

fn balance_record<'a>(
    place: AnalysisPlace<'a>,
    currency: Currency,
    balance: Option<&'a Balance<'a>>,
    published: Option<(u64, Status)>,
) -> Option<BalanceRecord<'a>> {
    published.zip(balance).map(|((revision, status), balance)| BalanceRecord {
        window: place.window,
        currency,
        balance,
        revision,
        status,
    })
}

fn change_record<'a>(
    place: AnalysisPlace<'a>,
    compared: &Compared,
    published: Option<(u64, Status)>,
) -> Option<ChangeRecord<'a>> {
    published.zip(compared.change).map(|((revision, status), change)| ChangeRecord {
        place,
        metric: compared.metric.id,
        unit: compared.metric.unit,
        days: COMPARED_DAYS,
        effort: compared.effort,
        change,
        revision,
        status,
    })
}

fn priorities_record<'a>(
    place: AnalysisPlace<'a>,
    Prioritised { everyone, found, seen }: Prioritised<'a>,
    (revision, status): (u64, Status),
) -> PrioritiesRecord<'a> {
    PrioritiesRecord { place, everyone, found, seen, revision, status }
}

/// What stands for a record. Made without revision and status, it stands for what the record says.
fn content_of<'r, F: FeedRecord>(encoder: &mut Encoder<F>, record: &'r F::Record<'r>) -> u64 {
    xxhash_rust::xxh3::xxh3_64(encoder.encode(record))
}

impl Sending<'_, '_> {
    fn note(&mut self, outcome: Result<(), LogError>) {
        if let Err(error) = outcome {
            self.failure.get_or_insert(error);
        }
    }

    fn journeys(&mut self, place: AnalysisPlace<'_>, table: &JourneyTable, published: Option<(u64, Status)>) {
        let (to, map) = (&mut *self.analyses, self.map);
        let key = keys::analysis("journeys", "goal", &place);
        let record = published.map(|(revision, status)| JourneysRecord {
            place,
            found: table.publish(JOURNEY_LIMITS),
            revision,
            status,
        });
        let sent =
            send(self.outputs, map.journeys_feed, &mut to.journeys, &key, record.as_ref(), revision_of(published))
                .and_then(|()| {
                    let key = keys::analysis("attribution", "goal", &place);
                    let record = published.map(|(revision, status)| AttributionRecord {
                        place,
                        conversions: table.ended().goal,
                        found: attribute(table, CREDITED_STEPS),
                        revision,
                        status,
                    });
                    let revision = revision_of(published);
                    send(self.outputs, map.attribution_feed, &mut to.attribution, &key, record.as_ref(), revision)
                });
        self.note(sent);
    }

    fn drivers(&mut self, place: AnalysisPlace<'_>, moments: &Moments, published: Option<(u64, Status)>) {
        for &outcome in Measure::OUTCOMES {
            let place = AnalysisPlace { subject: outcome.as_str(), ..place };
            let key = keys::analysis("drivers", "outcome", &place);
            let record =
                published.map(|(revision, status)| DriversRecord { place, outcome, moments, revision, status });
            let (to, revision) = (&mut self.analyses.drivers, revision_of(published));
            let sent = send(self.outputs, self.map.drivers_feed, to, &key, record.as_ref(), revision);
            self.note(sent);
        }
    }

    fn priorities(&mut self, place: AnalysisPlace<'_>, found: Prioritised<'_>, published: Option<(u64, Status)>) {
        let key = keys::analysis("priorities", "of", &place);
        let record = published.map(|published| priorities_record(place, found, published));
        let (to, revision) = (&mut self.analyses.priorities, revision_of(published));
        let sent = send(self.outputs, self.map.priorities_feed, to, &key, record.as_ref(), revision);
        self.note(sent);
    }

    fn scorecard(&mut self, place: AnalysisPlace<'_>, card: Option<&Scorecard<'_>>, published: Option<(u64, Status)>) {
        let key = keys::analysis("scorecards", "spoke", &place);
        let record = scorecard_record(place, card, published);
        let (to, revision) = (&mut self.analyses.scorecards, revision_of(published));
        let sent = send(self.outputs, self.map.scorecards_feed, to, &key, record.as_ref(), revision);
        self.note(sent);
    }

    fn balance(&mut self, place: AnalysisPlace<'_>, balance: Option<&Balance<'_>>, published: Option<(u64, Status)>) {
        let key = keys::analysis_of_company("balance", place.window);
        let record = balance_record(place, self.analyses.currency, balance, published);
        let (to, revision) = (&mut self.analyses.balance, revision_of(published));
        let sent = send(self.outputs, self.map.balance_feed, to, &key, record.as_ref(), revision);
        self.note(sent);
    }

    fn change(&mut self, place: AnalysisPlace<'_>, compared: &Compared, published: Option<(u64, Status)>) {
        let key = feeds::change_key(&place, compared.metric.id);
        let record = change_record(place, compared, published);
        let (to, revision) = (&mut self.analyses.changes, revision_of(published));
        let sent = send(self.outputs, self.map.changes_feed, to, &key, record.as_ref(), revision);
        self.note(sent);
    }

    fn buying(
        &mut self,
        place: AnalysisPlace<'_>,
        found: Option<(Currency, &BuyingFit)>,
        published: Option<(u64, Status)>,
    ) {
        let key = keys::analysis("parameters", "model", &place);
        let record = found.zip(published).map(|((currency, found), (revision, status))| {
            CatalogueRecord::Parameters(ParametersRecord { window: place.window, currency, found, revision, status })
        });
        let (to, revision) = (&mut self.analyses.parameters, revision_of(published));
        let sent = send(self.outputs, self.map.catalogue_feed, to, &key, record.as_ref(), revision);
        self.note(sent);
    }
}

impl Effects for Sending<'_, '_> {
    fn value(&mut self, key: &str, value: &MetricValue<'_>) {
        self.values.encode(value);
        // A value counts its own publications.
        let sent = send_feed(self.outputs, self.map.metrics_feed, self.values, key.as_bytes(), value.revision);
        self.note(sent);
    }

    fn tombstone(&mut self, key: &str) {
        let sent = send_tombstone(self.outputs, self.map.metrics_feed, self.values, key.as_bytes(), 0);
        self.note(sent);
    }

    fn analysis(&mut self, place: &AnalysisPlace<'_>, analysed: Analysed<'_>, published: Option<(u64, Status)>) {
        match analysed {
            Analysed::Journeys(table) => self.journeys(*place, table, published),
            Analysed::Drivers(moments) => self.drivers(*place, moments, published),
            Analysed::Priorities(found) => self.priorities(*place, found, published),
            Analysed::Change(compared) => self.change(*place, compared, published),
            Analysed::Scorecard(card) => self.scorecard(*place, card, published),
            Analysed::Balance(balance) => self.balance(*place, balance, published),
            Analysed::Buying(found) => self.buying(*place, found, published),
        }
    }

    fn content(&mut self, place: &AnalysisPlace<'_>, analysed: Analysed<'_>) -> Option<u64> {
        let (to, of_none) = (&mut *self.analyses, Some((0, Status::Provisional)));
        match analysed {
            Analysed::Change(compared) => {
                let record = change_record(*place, compared, of_none);
                record.map(|record| content_of(&mut to.changes, &record))
            }
            Analysed::Scorecard(card) => {
                let record = scorecard_record(*place, card, of_none);
                record.map(|record| content_of(&mut to.scorecards, &record))
            }
            Analysed::Balance(balance) => {
                let record = balance_record(*place, to.currency, balance, of_none);
                record.map(|record| content_of(&mut to.balance, &record))
            }
            Analysed::Priorities(found) => {
                let record = priorities_record(*place, found, (0, Status::Provisional));
                Some(content_of(&mut to.priorities, &record))
            }
            Analysed::Journeys(_) | Analysed::Drivers(_) | Analysed::Buying(_) => None,
        }
    }

    fn alert(&mut self, alert: &Alert<'_>) {
        self.alerts.encode(alert);
        let (topic, key) = (self.map.alerts_feed, alert.id.hexadecimal());
        let sent = send_feed(self.outputs, topic, self.alerts, &key, self.sequence.take());
        self.alerted.0 += u64::from(alert.revision == 1);
        self.note(sent);
    }

    fn tell(&mut self, news: DepartmentNews) {
        let mut record = Vec::new();
        told::encode(&Told::Department(news), &mut record);
        let sent = self.outputs.send(&Output {
            topic: self.map.metrics_repartition,
            placement: Placement::At(ANALYSES),
            key: &[],
            value: Some(&record),
            headers: &[],
            timestamp_ms: None,
        });
        self.note(sent);
    }

    fn alert_gone(&mut self, id: AlertId) {
        self.alerted.1 += 1;
        let number = self.sequence.take();
        let sent = send_tombstone(self.outputs, self.map.alerts_feed, self.alerts, &id.hexadecimal(), number);
        self.note(sent);
    }
}
