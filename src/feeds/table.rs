//! The table of feeds: one row per public topic, which topology, command line and documentation read.

/// What every feed's topic starts with.
pub const TOPIC_PREFIX: &str = "insight.";

/// A public topic of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feed {
    /// Insight records.
    Customers,
    /// The unified timeline.
    Touchpoints,
    /// Whom an identifier names.
    Identities,
    /// How that came about.
    IdentityJournal,
    /// What somebody should look at.
    Alerts,
    /// Metric values.
    Metrics,
    /// Journeys towards each goal.
    Journeys,
    /// What the steps of journeys contribute.
    Attribution,
    /// Experiences that go together with outcomes.
    Drivers,
    /// What to fix first.
    Priorities,
    /// Whether what was done about something moved a metric.
    Changes,
    /// What kinds of contact bring and take.
    Balance,
    /// A department's month.
    Scorecards,
    /// Metric definitions.
    Catalogue,
    /// What arrived from each department.
    Spokes,
    /// Dead letters.
    Rejected,
    /// Who saw personal data.
    Audit,
}

/// What becomes of old records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The newest record of each key stays; a tombstone deletes it.
    Compact,
    /// Records go when they are older than the topic's retention.
    Delete,
}

impl Cleanup {
    /// The value of Kafka's `cleanup.policy`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cleanup::Compact => "compact",
            Cleanup::Delete => "delete",
        }
    }
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Description {
    /// The topic's name after [`TOPIC_PREFIX`].
    pub suffix: &'static str,
    /// The topic's full name.
    pub topic: &'static str,
    /// The shape of its keys.
    pub key: &'static str,
    /// What becomes of old records.
    pub cleanup: Cleanup,
    /// The text of its Avro schema, `schemas/<suffix>.avsc`.
    pub schema: &'static str,
    /// Whether values are encoded with the schema. Values of `insight.rejected` are the source's own bytes.
    pub encoded: bool,
    /// CloudEvents `type`. The number changes with an incompatible schema only.
    pub event_type: &'static str,
    /// What the feed is for, in one sentence.
    pub purpose: &'static str,
}

macro_rules! describe {
    ($suffix:literal, $key:literal, $cleanup:ident, encoded: $encoded:literal, $purpose:literal) => {
        Description {
            suffix: $suffix,
            topic: concat!("insight.", $suffix),
            key: $key,
            cleanup: Cleanup::$cleanup,
            schema: include_str!(concat!("../../schemas/", $suffix, ".avsc")),
            encoded: $encoded,
            event_type: concat!("org.insight-hub.", $suffix, ".v1"),
            purpose: $purpose,
        }
    };
}

static CUSTOMERS: Description = describe!(
    "customers",
    "person",
    Compact,
    encoded: true,
    "What the company knows of one customer, joined from every department."
);
static TOUCHPOINTS: Description = describe!(
    "touchpoints",
    "person|spoke|id",
    Compact,
    encoded: true,
    "Every touchpoint on its person's timeline."
);
static IDENTITIES: Description = describe!(
    "identities",
    "public id of an identifier",
    Compact,
    encoded: true,
    "Whom each identifier names: a person with all identifiers and conflicts, or a redirect to one."
);
static IDENTITY_JOURNAL: Description = describe!(
    "identity-journal",
    "keyed hash of an identifier",
    Delete,
    encoded: true,
    "Every link, refusal, decision, redirect and erasure, with its cause."
);
static ALERTS: Description = describe!(
    "alerts",
    "alert id, or alert id|person",
    Compact,
    encoded: true,
    "What somebody should look at: opened by its cause, acknowledged by an operator, closed when the cause is over."
);
static METRICS: Description = describe!(
    "metrics",
    "metric|window|dimensions",
    Compact,
    encoded: true,
    "Company-wide customer-experience metrics by window and dimension."
);
static JOURNEYS: Description = describe!(
    "journeys",
    "journeys|window|goal and segment",
    Compact,
    encoded: true,
    "Journeys towards each goal: what followed what, most travelled paths, where they end, which steps go with the goal."
);
static ATTRIBUTION: Description = describe!(
    "attribution",
    "attribution|window|goal and segment",
    Compact,
    encoded: true,
    "What each step of the journeys to a goal is credited with: Markov, first, last, linear, position-based."
);
static DRIVERS: Description = describe!(
    "drivers",
    "drivers|window|outcome and segment",
    Compact,
    encoded: true,
    "Which experiences of customers go together with business outcomes: correlations with intervals, relative weights."
);
static PRIORITIES: Description = describe!(
    "priorities",
    "priorities|window|of",
    Compact,
    encoded: true,
    "What to fix first: subjects whose customers fare worse than others, by reach, drop and value at risk."
);
static CHANGES: Description = describe!(
    "changes",
    "change|day|by, dimensions and metric",
    Compact,
    encoded: true,
    "Whether what a department did about something moved a metric: before, after, the difference and its interval."
);
static BALANCE: Description = describe!(
    "balance",
    "balance|window",
    Compact,
    encoded: true,
    "Every kind of contact: what customers feel there, what it contributes to purchases, what it takes; where to invest and where to save."
);
static SCORECARDS: Description = describe!(
    "scorecards",
    "scorecards|window|spoke",
    Compact,
    encoded: true,
    "A department's month: what customers feel there, its part of purchases and of costs, cases, promises kept."
);
static CATALOGUE: Description = describe!(
    "catalogue",
    "metric, or parameters|window|model",
    Compact,
    encoded: true,
    "What each metric means: formula, inclusion, source, version; and, by month, the parameters of the models of buying."
);
static SPOKES: Description = describe!(
    "spokes",
    "spoke",
    Compact,
    encoded: true,
    "What arrived from each department, what was rejected and why, and how fresh it is."
);
static REJECTED: Description = describe!(
    "rejected",
    "topic|partition|offset",
    Delete,
    encoded: false,
    "Source records that could not be taken, unchanged, with the reason in headers."
);

static AUDIT: Description = describe!(
    "audit",
    "actor|time",
    Delete,
    encoded: true,
    "Who saw which personal data over the API: written before it is shown."
);

impl Feed {
    /// Every feed, in the order of the documentation.
    pub const ALL: [Feed; 17] = [
        Feed::Customers,
        Feed::Touchpoints,
        Feed::Identities,
        Feed::IdentityJournal,
        Feed::Alerts,
        Feed::Metrics,
        Feed::Journeys,
        Feed::Attribution,
        Feed::Drivers,
        Feed::Priorities,
        Feed::Changes,
        Feed::Balance,
        Feed::Scorecards,
        Feed::Catalogue,
        Feed::Spokes,
        Feed::Rejected,
        Feed::Audit,
    ];

    /// The feed's row.
    pub fn description(self) -> &'static Description {
        match self {
            Feed::Customers => &CUSTOMERS,
            Feed::Touchpoints => &TOUCHPOINTS,
            Feed::Identities => &IDENTITIES,
            Feed::IdentityJournal => &IDENTITY_JOURNAL,
            Feed::Alerts => &ALERTS,
            Feed::Metrics => &METRICS,
            Feed::Journeys => &JOURNEYS,
            Feed::Attribution => &ATTRIBUTION,
            Feed::Drivers => &DRIVERS,
            Feed::Priorities => &PRIORITIES,
            Feed::Changes => &CHANGES,
            Feed::Balance => &BALANCE,
            Feed::Scorecards => &SCORECARDS,
            Feed::Catalogue => &CATALOGUE,
            Feed::Spokes => &SPOKES,
            Feed::Rejected => &REJECTED,
            Feed::Audit => &AUDIT,
        }
    }

    /// The feed's topic.
    pub fn topic(self) -> &'static str {
        self.description().topic
    }

    /// The feed of a name, with or without [`TOPIC_PREFIX`].
    pub fn parse(name: &str) -> Option<Feed> {
        let suffix = name.strip_prefix(TOPIC_PREFIX).unwrap_or(name);
        Feed::ALL.into_iter().find(|feed| feed.description().suffix == suffix)
    }
}
