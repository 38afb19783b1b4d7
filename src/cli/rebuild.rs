//! `insight-hub rebuild`: what to do after a change of definition. This version does not do it itself.

use std::io::Write;

use super::exit::{Exit, Failure};
use crate::settings::Settings;

/// What a person can do instead. It is what the command will do, by hand.
fn by_hand(settings: &Settings) -> String {
    let (application_id, prefix) = (&settings.hub.application_id, &settings.topics.prefix);
    format!(
        "\
This version cannot rebuild in place. A new hub that reads the same spokes folds everything again:

1. Make sure that the spokes' topics still hold every touchpoint that must count: the new hub reads them from their
   beginning, and what retention has removed is not folded again.
2. Stop all instances of {application_id:?} (SIGTERM; wait until they have ended).
3. Give the new definition a new hub.application_id, an empty hub.data_directory and a new topics.prefix (or delete the
   topics {prefix}* first: subscribers of a compacted topic would keep keys that the new definition does not write).
   Keep hub.person_key_file: another key names every person anew.
4. Start it: `insight-hub topics plan`, then `insight-hub run`. /health/ready and insight_hub_lag_records say how far
   it is; until it has caught up, its values are those of what it has read so far.
5. Point subscribers to the new feeds. Then delete the topics {application_id}-*, the old feeds and the consumer group
   {application_id:?}. Until then the way back is to start the old configuration again.
"
    )
}

pub(super) fn execute(settings: &Settings, output: &mut dyn Write) -> Result<(), Failure> {
    write!(output, "{}", by_hand(settings))?;
    output.flush()?;
    Err(Failure::new(
        Exit::Failure,
        "nothing was rebuilt: this version cannot do it in place",
        "follow the steps above",
    ))
}
