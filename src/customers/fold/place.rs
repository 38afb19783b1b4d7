//! Where a contribution goes: a day and the dimension values of the touchpoint that caused it.

use std::{borrow::Borrow, cell::Cell};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use smallvec::SmallVec;

use crate::model::{Accumulator, Currency, Day, Dimension, Phase, Touchpoint, Window, WindowKind};

/// One value of one dimension, with its hash so that nobody has to hash it twice.
#[derive(Clone, Debug)]
pub struct DimensionValue<'a> {
    /// Which dimension.
    pub dimension: Dimension,
    /// Its value; empty for the company.
    pub value: &'a str,
    /// XXH3-64 of the value seeded with the dimension: part of the internal format (heads keep it).
    pub hash: u64,
    /// The index that the combiner of this commit gave it: a place lives for one step and meets one combiner.
    pub(in crate::customers) interned: Cell<Option<u32>>,
}

impl<'a> DimensionValue<'a> {
    /// A value of a dimension.
    pub fn new(dimension: Dimension, value: &'a str) -> DimensionValue<'a> {
        DimensionValue {
            dimension,
            value,
            hash: xxhash_rust::xxh3::xxh3_64_with_seed(value.as_bytes(), dimension as u64),
            interned: Cell::new(None),
        }
    }
}

/// A day and its windows, with the company and every dimension value that applies.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The day, in the configured time zone.
    pub day: Day,
    /// The day's windows: day, week, month.
    pub windows: [Window; 3],
    /// The company first, then the present dimensions.
    pub values: SmallVec<[DimensionValue<'a>; 10]>,
}

/// The windows of a day: day, week, month.
pub fn windows_of(day: Day) -> [Window; 3] {
    WindowKind::ALL.map(|kind| Window::of(kind, day))
}

impl<'a> Place<'a> {
    /// The place of a touchpoint that meets a person in a phase and a segment.
    pub fn of_touchpoint(
        touchpoint: &'a Touchpoint<'a>,
        (phase, segment): (Phase, Option<&'a str>),
        day: Day,
        windows: [Window; 3],
    ) -> Place<'a> {
        let mut values = SmallVec::new();
        values.push(DimensionValue::new(Dimension::Company, ""));
        values.push(DimensionValue::new(Dimension::Spoke, touchpoint.spoke));
        let optional = [
            (Dimension::Channel, touchpoint.channel.map(|channel| channel.as_str())),
            (Dimension::Segment, segment),
            (Dimension::Region, touchpoint.region),
            (Dimension::Product, touchpoint.product),
            (Dimension::Subject, touchpoint.subject),
            (Dimension::Campaign, touchpoint.campaign),
            (Dimension::Account, touchpoint.account),
        ];
        for (dimension, value) in optional {
            if let Some(value) = value {
                values.push(DimensionValue::new(dimension, value));
            }
        }
        values.push(DimensionValue::new(Dimension::Phase, phase.as_str()));
        Place { day, windows, values }
    }

    /// The segment, if there is one.
    pub fn segment(&self) -> Option<&'a str> {
        self.values.iter().find(|value| value.dimension == Dimension::Segment).map(|value| value.value)
    }

    /// One value of one dimension, and nothing else, on the same day.
    pub fn of_value(&self, dimension: Dimension, value: &'a str) -> Place<'a> {
        let mut values = SmallVec::new();
        values.push(DimensionValue::new(dimension, value));
        Place { day: self.day, windows: self.windows, values }
    }

    /// The same dimension values on another day.
    pub fn on_day(mut self, day: Day) -> Place<'a> {
        self.day = day;
        self.windows = windows_of(day);
        self
    }
}

/// The dimension values of a touchpoint as a head keeps them: for contributions that may have to be taken back, or that
/// end on a later day. Pairs of (dimension, value) in postcard; of a whole place without the company, which always applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptDimensions(Box<[u8]>);

impl Serialize for KeptDimensions {
    // As one piece: a sequence would be written byte by byte.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeptDimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeptDimensions, D::Error> {
        Ok(KeptDimensions(deserializer.deserialize_bytes(Blob)?.into()))
    }
}

/// Reads bytes in one piece, borrowed from what is decoded.
pub(super) struct Blob;

impl<'de> Visitor<'de> for Blob {
    type Value = &'de [u8];

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> Result<&'de [u8], E> {
        Ok(bytes)
    }
}

impl KeptDimensions {
    /// Keeps the dimension values of a place.
    pub fn of(place: &Place<'_>) -> KeptDimensions {
        KeptDimensions::of_values(&place.values[1..])
    }

    /// Keeps these values.
    pub fn of_values<'a>(values: impl IntoIterator<Item = impl Borrow<DimensionValue<'a>>>) -> KeptDimensions {
        let mut bytes = Vec::with_capacity(128);
        for value in values {
            let value = value.borrow();
            postcard::to_io(&(value.dimension, value.value), &mut bytes).expect("a vector takes every byte");
        }
        KeptDimensions(bytes.into_boxed_slice())
    }

    /// The values that are kept.
    pub fn values(&self) -> impl Iterator<Item = DimensionValue<'_>> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let ((dimension, value), left) = postcard::take_from_bytes::<(Dimension, &str)>(rest).ok()?;
            rest = left;
            Some(DimensionValue::new(dimension, value))
        })
    }

    /// How many bytes it takes to store them.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The department of the touchpoint.
    pub fn spoke(&self) -> &str {
        // The first value after the company's: see `Place::of_touchpoint`.
        match postcard::take_from_bytes::<(Dimension, &str)>(&self.0) {
            Ok(((Dimension::Spoke, spoke), _)) => spoke,
            _ => "",
        }
    }

    /// The place of these values on a day.
    pub fn on(&self, day: Day) -> Place<'_> {
        let mut values = SmallVec::new();
        values.push(DimensionValue::new(Dimension::Company, ""));
        values.extend(self.values());
        Place { day, windows: windows_of(day), values }
    }
}

/// A place as a head keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPlace {
    /// The day.
    pub day: Day,
    /// The dimension values.
    pub dimensions: KeptDimensions,
}

impl KeptPlace {
    /// Keeps a place.
    pub fn of(place: &Place<'_>) -> KeptPlace {
        KeptPlace { day: place.day, dimensions: KeptDimensions::of(place) }
    }

    /// The place.
    pub fn place(&self) -> Place<'_> {
        self.dimensions.on(self.day)
    }
}

/// Takes what a step of the fold contributes.
pub trait Emit {
    /// Whether anybody listens: the measures are skipped if not.
    const LISTENS: bool = true;

    /// Adds `times` × `add` to one cell.
    fn cell(
        &mut self,
        metric: u8,
        currency: Option<Currency>,
        window: Window,
        value: &DimensionValue<'_>,
        add: &Accumulator,
        times: i64,
    );

    /// Adds `n` observations, and nothing else, to one cell without a currency.
    fn count(&mut self, metric: u8, window: Window, value: &DimensionValue<'_>, n: i64) {
        self.cell(metric, None, window, value, &Accumulator::count(n), 1);
    }

    /// Adds `times` × `add` to every window and dimension value of a place.
    fn everywhere(&mut self, metric: u8, currency: Option<Currency>, place: &Place<'_>, add: &Accumulator, times: i64) {
        for value in &place.values {
            for &window in &place.windows {
                self.cell(metric, currency, window, value, add, times);
            }
        }
    }

    /// Adds `n` observations to every window and dimension value of a place.
    fn count_everywhere(&mut self, metric: u8, place: &Place<'_>, n: i64) {
        for value in &place.values {
            for &window in &place.windows {
                self.count(metric, window, value, n);
            }
        }
    }

    /// Changes a level by `n` from the place's day on, for every dimension value.
    fn level(&mut self, metric: u8, place: &Place<'_>, n: i64) {
        for value in &place.values {
            self.count(metric, place.windows[0], value, n);
        }
    }
}

/// Nobody listens: for folding up to where a difference begins.
#[derive(Clone, Copy, Debug)]
pub struct Silence;

impl Emit for Silence {
    const LISTENS: bool = false;

    fn cell(&mut self, _: u8, _: Option<Currency>, _: Window, _: &DimensionValue<'_>, _: &Accumulator, _: i64) {}
}
