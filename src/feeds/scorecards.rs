//! `insight.scorecards`: a department's month in, its public shape out.

use serde::Serialize;

use super::{
    balance::FeelingShape,
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Notation, finite},
    table::Feed,
};
use crate::{
    analyses::scorecards::Scorecard,
    model::{AnalysisPlace, Status},
};

/// The feed `insight.scorecards`. Key: [`crate::model::keys::analysis`].
#[derive(Debug)]
pub enum Scorecards {}

/// What is published of a department's month.
#[derive(Clone, Copy, Debug)]
pub struct ScorecardRecord<'a> {
    /// What it is about; its subject is the spoke.
    pub place: AnalysisPlace<'a>,
    /// What was found.
    pub card: &'a Scorecard,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether the window can still change.
    pub status: Status,
}

impl FeedRecord for Scorecards {
    const FEED: Feed = Feed::Scorecards;
    type Record<'a> = ScorecardRecord<'a>;
    type Shape<'a, N: Notation> = ScorecardShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a ScorecardRecord<'a>, _: &Names) -> ScorecardShape<'a, N> {
        let card = record.card;
        ScorecardShape {
            spoke: record.place.subject,
            window: WindowShape::of(record.place.window),
            touchpoints: card.touchpoints,
            cases: card.cases,
            score: FeelingShape::of(card.scores, card.score),
            sentiment: FeelingShape::of(card.sentiments, card.sentiment),
            credited: finite(card.credit),
            contribution: card.contribution.and_then(finite),
            cost_basis: card.cost_basis.as_str(),
            cost_share: finite(card.cost),
            net: card.net.and_then(finite),
            promises: card.promises,
            kept: card.kept,
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
        }
    }
}

/// The public shape of a department's month; its fields are documented in `schemas/scorecards.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct ScorecardShape<'a, N> {
    spoke: &'a str,
    window: WindowShape<N>,
    touchpoints: i64,
    cases: i64,
    score: FeelingShape,
    sentiment: FeelingShape,
    credited: Option<f64>,
    contribution: Option<f64>,
    cost_basis: &'static str,
    cost_share: Option<f64>,
    net: Option<f64>,
    promises: i64,
    kept: i64,
    revision: i64,
    status: &'static str,
}
