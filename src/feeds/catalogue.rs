//! `insight.catalogue`: a metric's definition in, its public shape out.

use std::marker::PhantomData;

use serde::Serialize;

use super::{encoder::FeedRecord, names::Names, notation::Notation, table::Feed};
use crate::model::CatalogueEntry;

/// The feed `insight.catalogue`. Key: the metric's id.
#[derive(Debug)]
pub enum Definitions {}

impl FeedRecord for Definitions {
    const FEED: Feed = Feed::Catalogue;
    type Record<'a> = CatalogueEntry<'a>;
    type Shape<'a, N: Notation> = CatalogueShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a CatalogueEntry<'a>, _: &Names) -> CatalogueShape<'a, N> {
        CatalogueShape {
            metric: record.metric,
            title: record.title,
            unit: record.unit,
            formula: record.formula,
            inclusion: record.inclusion,
            counted_at: record.counted_at,
            source: record.source,
            dimensions: &record.dimensions,
            version: i64::from(record.version),
            notation: PhantomData,
        }
    }
}

/// The public shape of a definition; its fields are documented in `schemas/catalogue.avsc`.
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
    /// A definition has no time in it, so that both notations are the same.
    #[serde(skip)]
    notation: PhantomData<N>,
}
