//! The fold: one touchpoint into a person's head, and what that contributes to metrics.
//!
//! [`step`] derives [`Facts`] (what this touchpoint means at this point of the timeline) while it updates the head, and
//! hands them to each of the [`measures`]. A step sees only what is earlier in the timeline.

pub mod attention;
mod balance;
mod buyers;
pub mod buying;
mod cases;
pub mod contacts;
pub mod content;
pub mod departments;
mod expectations;
pub mod facts;
pub mod felt;
pub mod head;
pub mod journeys;
pub mod measures;
pub mod month;
mod orders;
mod past;
pub mod place;
pub mod seen;
pub(super) mod segments;
pub mod subjects;
mod visits;

pub use facts::Facts;
pub use head::Head;
pub use journeys::JourneyOptions;
pub use measures::contribute;
pub use place::{DimensionValue, Emit, Place, Silence};

use std::{collections::BTreeSet, sync::Arc};

use crate::model::{Calendar, Currency, Segmenting, Touchpoint};

/// What the meaning of a fold depends on besides the timeline.
#[derive(Clone, Debug)]
pub struct FoldOptions {
    /// Instants to days.
    pub calendar: Calendar,
    /// How much later than promised a delivery may be and still count as on time, in milliseconds.
    pub on_time_tolerance_ms: i64,
    /// How long a case may wait for an agent's first public reply before it counts as unanswered, in milliseconds.
    pub unanswered_target_ms: i64,
    /// The spokes whose costs are those of winning customers.
    pub acquisition_spokes: BTreeSet<String>,
    /// The currency of amounts that drivers are found from.
    pub currency: Currency,
    /// What journeys lead to, and how long they are.
    pub journeys: JourneyOptions,
    /// Messages in 30 days of which one more is too much.
    pub contact_cap: i64,
    /// The organisation's own segments.
    pub segments: Option<Arc<dyn Segmenting>>,
}

impl Default for FoldOptions {
    fn default() -> FoldOptions {
        FoldOptions {
            calendar: Calendar::utc(),
            on_time_tolerance_ms: 0,
            unanswered_target_ms: 86_400_000,
            acquisition_spokes: ["marketing", "sales"].map(str::to_owned).into(),
            currency: Currency(*b"EUR"),
            journeys: JourneyOptions::default(),
            contact_cap: 8,
            segments: None,
        }
    }
}

/// What a step says besides its contributions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stepped {
    /// Whether something was forgotten, or not remembered, because the head is full.
    pub capped: bool,
}

/// Folds the next touchpoint of the timeline into the head. The caller keeps the order: [`Head::is_before`].
pub fn step<E: Emit>(head: &mut Head, touchpoint: &Touchpoint<'_>, options: &FoldOptions, emit: &mut E) -> Stepped {
    let day = options.calendar.day(touchpoint.occurred_at);
    let segment = segments::segment(head, touchpoint, options);
    let place = Place::of_touchpoint(touchpoint, (head.phase(), segment), day, head.seen.windows(day));
    let facts = Facts::observe(head, touchpoint, &place, options);
    if E::LISTENS {
        measures::contribute(&facts, emit);
    }
    Stepped { capped: facts.capped }
}

/// Folds one touchpoint into two heads: of the timeline as it was, and as it is now. Where it does not mean the same in both
/// (after a change it soon does), `each` is given what it meant with -1 and what it means with 1, to be contributed. Returns
/// whether it meets a cap that it did not meet before.
pub fn step_both(
    [old, new]: [&mut Head; 2],
    touchpoint: &Touchpoint<'_>,
    options: &FoldOptions,
    each: &mut impl FnMut(&Facts<'_, '_>, i64),
) -> Stepped {
    let day = options.calendar.day(touchpoint.occurred_at);
    let windows = old.seen.windows(day);
    let [met_old, met_new] = [&*old, &*new].map(|head| (head.phase(), segments::segment(head, touchpoint, options)));
    let place = Place::of_touchpoint(touchpoint, met_old, day, windows);
    let other_place;
    let new_place = if met_old == met_new {
        &place
    } else {
        other_place = Place::of_touchpoint(touchpoint, met_new, day, windows);
        &other_place
    };
    let meant = Facts::observe(old, touchpoint, &place, options);
    let means = Facts::observe(new, touchpoint, new_place, options);
    if met_old != met_new || !meant.contributes_as(&means) {
        each(&meant, -1);
        each(&means, 1);
    }
    Stepped { capped: means.capped && !meant.capped }
}
