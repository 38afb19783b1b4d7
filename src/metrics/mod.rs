//! Contributions in, metric values out: every customer-experience metric, as cells of signed integers.
//!
//! Read in this order:
//! - [`catalogue`]: what each metric means.
//! - [`values`]: from a cell's integers to published figures.
//! - `cells`: a cell, its key and its stored form; `cache`: those in use, and which of them changed.
//! - `ranking`: which values of a dimension have keys of their own, and which are published together.
//! - `publishing`: a cell that changed in, the values of its keys out.
//! - `families`: cells that an analysis looks at as a whole, the tables they add up to, and when it is published.
//! - `departments`: what other partitions tell of departments' months.
//! - `published`: what was published of an analysis, as families and fits store it.
//! - `fits`: the models of buying, fitted at each month's end from changes that add up.
//! - `levels`: metrics that are a level at a day's close (orders overdue): changes by day into cells.
//! - `watch`: weeks outside their usual range, and the alerts about them.
//! - `queue`: cells that wait for a day, by that day.
//! - `settling`: watermarks, and from which day on windows are still provisional.
//! - `rebuild`: a change of definition: cells emptied, filled again unseen, published once.
//! - [`spokes`]: what arrived from each department, counted beside the cells.
//! - [`stage`]: all of it together, as the engine drives it.
//!
//! Invariants: what the store holds for a cell is what was last published for it, and a cell is published in the commit that
//! changed it, except in the time of a rebuild; nothing here sees a clock; no result depends on what happens to be cached.

pub mod catalogue;
pub mod spokes;
pub mod stage;
pub mod values;

mod cache;
mod cells;
mod departments;
mod families;
mod fits;
mod levels;
mod published;
mod publishing;
mod queue;
mod ranking;
mod rebuild;
mod settling;
#[cfg(test)]
mod tests;
mod watch;

pub use crate::analyses::priorities::Stated;
pub use families::{Analysed, COMPARED_DAYS, Compared, Prioritised};
pub use spokes::Spokes;
pub use stage::{Effects, Metrics, MetricsError, Options, Turn};
