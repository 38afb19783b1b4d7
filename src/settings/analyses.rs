//! `[analyses]`: what the organisation can afford. A change needs a rebuild.

use serde::{Deserialize, Serialize};

use crate::model::{Capacities, CapacityError};

/// `[analyses]`: what the organisation can afford. A change needs a rebuild.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analyses {
    /// Touchpoints that can be afforded in a month, by kind of contact: `spoke:kind:channel=number`, separated by commas.
    pub capacity: String,
}

impl Analyses {
    /// The capacities.
    pub fn capacities(&self) -> Result<Capacities, CapacityError> {
        Capacities::parse_list(&self.capacity)
    }
}
