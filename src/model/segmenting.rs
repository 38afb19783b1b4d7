//! Segments by rule: what is known of a customer when a touchpoint comes, and who says which segment that is.

use super::{EventTime, Phase, Touchpoint};

/// What was known of a customer just before a touchpoint: nothing of the touchpoint itself, so that a segment is never made by
/// what is measured in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// Touchpoints.
    pub touchpoints: i64,
    /// When the first happened, and the newest; none before the first.
    pub seen: Option<(EventTime, EventTime)>,
    /// Where in the relationship.
    pub phase: Phase,
    /// Purchases that are not cancelled.
    pub orders: i64,
    /// Their amounts and renewals, in minor units of the configured currency.
    pub revenue: i64,
    /// Cases opened and not resolved.
    pub open_cases: i64,
    /// Deliveries with a promise that was kept, and that was not.
    pub deliveries: (i64, i64),
    /// The newest answers, by the word of their scale.
    pub scores: Vec<(&'static str, i64)>,
    /// The newest sentiment.
    pub sentiment: Option<i64>,
    /// The segment, by rule or as a department said.
    pub segment: Option<&'a str>,
    /// The newest region named.
    pub region: Option<&'a str>,
    /// The newest account named.
    pub account: Option<&'a str>,
}

/// Rules that put customers into segments. A pure function of touchpoint and what was known.
pub trait Segmenting: std::fmt::Debug + Send + Sync {
    /// The segment of the first rule that holds; `None`: none does, and the touchpoint's own counts.
    fn segment(&self, touchpoint: &Touchpoint<'_>, known: &Known<'_>) -> Option<&str>;

    /// The rules as they were written: other rules mean another segment.
    fn source(&self) -> &str;
}
