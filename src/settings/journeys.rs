//! `[journeys]`: what customers' journeys lead to. A change needs a rebuild.

use serde::{Deserialize, Serialize};

use crate::model::{Goal, GoalError};

/// `[journeys]`: what customers' journeys lead to. A change needs a rebuild.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journeys {
    /// The goals, separated by commas: known ones, and `name=kind`.
    pub goals: String,
    /// A journey ends without its goal after so many days without a touchpoint.
    pub expire_after_days: u16,
    /// The newest steps of a journey that count.
    pub steps_max: u8,
}

impl Default for Journeys {
    fn default() -> Self {
        Journeys {
            goals: "first_purchase, repurchase, resolution, renewal, referral".into(),
            expire_after_days: 30,
            steps_max: 16,
        }
    }
}

impl Journeys {
    /// The goals.
    pub fn goals(&self) -> Result<Vec<Goal>, GoalError> {
        Goal::parse_list(&self.goals)
    }
}
