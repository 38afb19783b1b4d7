//! The nouns that stages exchange: plain values in, plain values out; no IO, no clock, no randomness.

mod alert;
mod analysis;
mod arrival;
mod calendar;
mod command;
mod contact;
mod contribution;
mod currency;
mod department;
mod goal;
mod identifier;
mod identifier_form;
mod identifier_type;
mod identity;
mod insight;
mod key_value;
mod kind;
mod measure;
mod metric;
mod order;
mod purchases;
mod segmenting;
mod time;
mod touchpoint;

pub mod family;
pub mod keys;

pub use alert::{
    ACKNOWLEDGED_BY_CHARACTERS_MAX, Acknowledgement, Alert, AlertCause, AlertId, AlertKey, AlertMark, AlertSeries,
    AlertState,
};
pub use analysis::AnalysisPlace;
pub use arrival::{Arrivals, SpokeAccount, SpokePartition, SpokeSchema};
pub use calendar::{Calendar, CalendarError};
pub use command::{AlertName, COMMAND_ID_CHARACTERS_MAX, COMMAND_PAIRS_MAX, CommandRecord, Name, Order};
pub use contact::{Capacities, CapacityError, ContactElement, contact_touchpoint, parse_contact, push_contact};
pub use contribution::{Accumulator, CellKey, Contribution, Dimension, log_bucket, log_bucket_middle};
pub use department::{DepartmentElement, DepartmentNews};
pub use goal::{GOALS_MAX, Goal, GoalError, KnownGoal, PathOutcome, Reached};
pub use identifier::{Identifier, IdentifierType, PersonId, PersonKey, hexadecimal};
pub use identifier_form::{IdentifierRules, is_blocked};
pub use identifier_type::OWN_TYPES_MAX;
pub use identity::{
    Brought, Cause, CloseLimit, Conflict, Decision, IdentityState, JournalChange, JournalEntry, KeyedIdentifier, Named,
    Refusal,
};
pub use insight::{BuyingSummary, DurationSummary, InsightRecord, JourneyStep, Phase, RhythmSummary, ScoreSummary};
pub use key_value::{KeyValue, StoreError};
pub use kind::{Channel, Initiator, Kind, Visibility};
pub use measure::{GroupElement, Measure, PairElement};
pub use metric::{CatalogueEntry, MetricValue, Percentiles, Status, Uncertainty};
pub use order::{HASH_MARK, OrderError};
pub use purchases::PurchaseElement;
pub use segmenting::{
    AnswersPart, BuyingPart, DurationPart, Known, Record, RecordPlace, RhythmPart, Segmenting, StepPart,
};
pub use time::{Day, EventTime, Window, WindowKind};
pub use touchpoint::{Currency, Money, Outcome, Reason, Score, ScoreScale, Touchpoint};
