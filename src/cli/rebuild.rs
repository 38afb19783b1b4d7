//! `insight-hub rebuild`: refolds the kept touchpoints by the configured definition and switches over.

use std::io::Write;

use clap::Args;

use super::exit::{Exit, Failure};
use crate::settings::Settings;

/// Flags of `rebuild`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct RebuildArguments {
    /// Do it; without this, say what would be done
    #[arg(long)]
    pub yes: bool,
}

pub(super) fn execute(settings: &Settings, arguments: RebuildArguments, output: &mut dyn Write) -> Result<(), Failure> {
    super::require_brokers(settings)?;
    if !arguments.yes {
        writeln!(
            output,
            "This folds every kept touchpoint of {:?} again, by the configured definition (time zone {}, tolerances and \
             targets of [metrics]), and publishes what changed. All instances must be stopped first.",
            settings.hub.application_id, settings.hub.time_zone
        )?;
        output.flush()?;
        return Err(Failure::new(Exit::Usage, "nothing was done", "add --yes to do it"));
    }
    super::start_log(&settings.log.options())?;
    let person_key = settings.hub.person_key(&mut |warning| tracing::warn!("{warning}"))?;
    rebuild(settings, &person_key)
}

/// Refolds all state into the configured generation and switches over.
fn rebuild(settings: &Settings, person_key: &crate::model::PersonKey) -> Result<(), Failure> {
    let _ = (settings, person_key);
    Err(super::room_missing("rebuild state"))
}
