//! What an analysis is about.

use super::{contribution::Dimension, time::Window};

/// What an analysis is about: a goal or an outcome in a window, of the company or of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnalysisPlace<'a> {
    /// The goal or outcome.
    pub subject: &'a str,
    /// The window.
    pub window: Window,
    /// The company or the segment.
    pub dimension: Dimension,
    /// Which one; empty for the company.
    pub dimension_value: &'a str,
}
