//! `insight.catalogue`: a metric's definition, or the parameters of a model, in; its public shape out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Notation, finite},
    table::Feed,
};
use crate::{
    analyses::{
        buying::{
            Convergence, Parameter,
            month::{BuyingFit, DEFINITION_VERSION, Fitted},
            purchases::PurchaseFit,
            spend::SpendFit,
        },
        statistics::OBSERVATIONS_MIN,
    },
    model::{CatalogueEntry, Currency, Status, Window},
};

/// The feed `insight.catalogue`. Key: the metric's id, or [`crate::model::keys::analysis`] of a set of parameters.
#[derive(Debug)]
pub enum Definitions {}

/// The parameters of the models of buying, as of the end of a month.
#[derive(Clone, Copy, Debug)]
pub struct ParametersRecord<'a> {
    /// The month.
    pub window: Window,
    /// The currency of amounts.
    pub currency: Currency,
    /// What was found.
    pub found: &'a BuyingFit,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether the month can still change.
    pub status: Status,
}

/// What the catalogue says under one key.
#[derive(Clone, Debug)]
pub enum CatalogueRecord<'a> {
    /// What a metric means.
    Metric(CatalogueEntry<'a>),
    /// What a model's parameters are.
    Parameters(ParametersRecord<'a>),
}

/// What the models of buying are, in the words of a definition.
static BUYING: CatalogueEntry<'static> = CatalogueEntry {
    metric: "buying",
    title: "How customers buy: BG/NBD and Gamma-Gamma",
    unit: "weeks",
    formula: "BG/NBD: with x days of purchase after the first, the last of them t and today T weeks after the first, L = \
              B(a, b+x)/B(a, b) · Γ(r+x)·α^r / (Γ(r)·(α+T)^(r+x)) + [x > 0] · B(a+1, b+x-1)/B(a, b) · Γ(r+x)·α^r / \
              (Γ(r)·(α+t)^(r+x)); P(alive) = 1 / (1 + [x > 0] · a/(b+x-1) · ((α+T)/(α+t))^(r+x)). Gamma-Gamma: \
              expected amount = p·(ν + x·m)/(p·x + q - 1) with the mean m of x paid days after the first. Fitted by maximum likelihood.",
    inclusion: "customers with a purchase that is not cancelled by the month's end; purchases of one day are one; time in days until the month's \
                last, in weeks from the first purchase to the last; amounts in the currency of analyses, known by classes of one percent. Assumed: purchases at random without seasons, \
                nobody comes back, amounts unrelated to how often somebody buys. Not to be concluded: that a customer has left, or anything \
                about who bought once",
    counted_at: "close of the month; every closed month of the newest twelve is fitted again when something before its end changes",
    source: "Fader, Hardie, Lee, Marketing Science 24 (2005); Fader, Hardie, The Gamma-Gamma model of monetary value (2013)",
    dimensions: Vec::new(),
    version: DEFINITION_VERSION,
};

/// What has to be shown with whatever is said of somebody who bought once.
pub const ONE_TIME_BUYER: &str = "of a one-time buyer the models know nothing: P(alive) is 1 whatever the silence, and the \
                                  expected amount is everybody's mean";

impl FeedRecord for Definitions {
    const FEED: Feed = Feed::Catalogue;
    type Record<'a> = CatalogueRecord<'a>;
    type Shape<'a, N: Notation> = CatalogueShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a CatalogueRecord<'a>, _: &Names) -> CatalogueShape<'a, N> {
        let (entry, parameters) = match record {
            CatalogueRecord::Metric(entry) => (entry, None),
            CatalogueRecord::Parameters(parameters) => (&BUYING, Some(parameters)),
        };
        CatalogueShape {
            metric: entry.metric,
            title: entry.title,
            unit: entry.unit,
            formula: entry.formula,
            inclusion: entry.inclusion,
            counted_at: entry.counted_at,
            source: entry.source,
            dimensions: &entry.dimensions,
            version: i64::from(entry.version),
            parameters: parameters.map(ParametersShape::of),
            revision: parameters.map(|parameters| i64::try_from(parameters.revision).unwrap_or(i64::MAX)),
            status: parameters.map(|parameters| parameters.status.as_str()),
        }
    }
}

/// The public shape of an entry; its fields are documented in `schemas/catalogue.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct CatalogueShape<'a, N> {
    metric: &'a str,
    title: &'a str,
    unit: &'a str,
    formula: &'a str,
    inclusion: &'a str,
    counted_at: &'a str,
    source: &'a str,
    dimensions: &'a [&'a str],
    version: i64,
    parameters: Option<ParametersShape<N>>,
    revision: Option<i64>,
    status: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename = "ParameterSet", bound(serialize = "N: Notation"))]
struct ParametersShape<N> {
    window: WindowShape<N>,
    currency: String,
    customers: i64,
    repeat_buyers: i64,
    n_min: i64,
    purchases: ModelShape,
    spend: ModelShape,
    caveat: &'static str,
}

#[derive(Serialize)]
#[serde(rename = "ModelFit")]
struct ModelShape {
    n: i64,
    left_out: i64,
    convergence: &'static str,
    log_likelihood: Option<f64>,
    frequency_correlation: Option<f64>,
    parameters: Vec<ParameterShape>,
}

#[derive(Serialize)]
#[serde(rename = "Parameter")]
struct ParameterShape {
    name: &'static str,
    unit: &'static str,
    value: Option<f64>,
    standard_error: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
}

impl ParameterShape {
    fn of(((name, unit), parameter): ((&'static str, &'static str), Parameter)) -> ParameterShape {
        ParameterShape {
            name,
            unit,
            value: finite(parameter.value),
            standard_error: parameter.standard_error.and_then(finite),
            interval_low: parameter.interval.and_then(|(low, _)| finite(low)),
            interval_high: parameter.interval.and_then(|(_, high)| finite(high)),
        }
    }
}

fn word(convergence: Option<Convergence>) -> &'static str {
    convergence.map_or("too_few", Convergence::as_str)
}

impl<N> ParametersShape<N> {
    fn of(record: &ParametersRecord<'_>) -> ParametersShape<N> {
        let found = record.found;
        ParametersShape {
            window: WindowShape::of(record.window),
            currency: record.currency.as_str().to_owned(),
            customers: found.customers,
            repeat_buyers: found.repeat_buyers,
            n_min: OBSERVATIONS_MIN,
            purchases: ModelShape::of_purchases(&found.purchases),
            spend: ModelShape::of_spend(&found.spend),
            caveat: ONE_TIME_BUYER,
        }
    }
}

impl ModelShape {
    fn of_purchases(fitted: &Fitted<PurchaseFit>) -> ModelShape {
        let fit = fitted.fit.as_ref();
        let names = [("r", ""), ("alpha", "weeks"), ("a", ""), ("b", "")];
        ModelShape {
            n: fitted.n,
            left_out: fitted.left_out,
            convergence: word(fit.map(|fit| fit.convergence)),
            log_likelihood: fit.and_then(|fit| finite(fit.log_likelihood)),
            frequency_correlation: None,
            parameters: fit
                .map(|fit| names.into_iter().zip(fit.parameters).map(ParameterShape::of).collect())
                .unwrap_or_default(),
        }
    }

    fn of_spend(fitted: &Fitted<SpendFit>) -> ModelShape {
        let fit = fitted.fit.as_ref();
        let names = [("p", ""), ("q", ""), ("nu", "minor_units")];
        ModelShape {
            n: fitted.n,
            left_out: fitted.left_out,
            convergence: word(fit.map(|fit| fit.convergence)),
            log_likelihood: fit.and_then(|fit| finite(fit.log_likelihood)),
            frequency_correlation: fit.and_then(|fit| fit.frequency_correlation).and_then(finite),
            parameters: fit
                .map(|fit| names.into_iter().zip(fit.parameters).map(ParameterShape::of).collect())
                .unwrap_or_default(),
        }
    }
}
