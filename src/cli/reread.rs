//! `insight-hub rebuild --from-sources`: departments' topics are read again through the mappings of now.
//!
//! What arrived was counted when it arrived, so that accounts and `data_quality` stay as they are, and no dead letter is
//! written; what could not be taken is counted here, by reason.

use std::{io::Write, sync::Arc};

use super::{
    exit::{Exit, Failure},
    hub,
    rebuild::RebuildArguments,
};
use crate::{
    engine::{log::kafka::Admin, stage::Topology},
    topology::{
        self, Again, TopologyOptions,
        readings::{Reported, RereadProgress},
    },
};

pub(super) use crate::topology::readings::Rereading;

/// Refuses departments that there are not.
pub(super) fn check(arguments: &RebuildArguments, options: &TopologyOptions) -> Result<(), Failure> {
    let spokes = options.spokes.now();
    let known: Vec<&str> = spokes.iter().map(|spoke| spoke.name()).collect();
    match arguments.spoke.iter().find(|spoke| !known.contains(&spoke.as_str())) {
        None => Ok(()),
        Some(spoke) => Err(Failure::new(
            Exit::Usage,
            format!("there is no spoke {spoke:?}; there are {}", known.join(", ")),
            "name one of them with --spoke, or leave it out to read all again; nothing was changed",
        )),
    }
}

/// What is to be run.
pub(super) fn plan(
    arguments: &RebuildArguments,
    options: &TopologyOptions,
    prepared: &Topology,
    admin: Option<&Admin>,
) -> Result<(Topology, Arc<Rereading>), Failure> {
    let mut again = Vec::new();
    for spoke in options.spokes.now().iter() {
        if !arguments.spoke.is_empty() && !arguments.spoke.iter().any(|name| name == spoke.name()) {
            continue;
        }
        // A log of our own keeps every record of a department until it is old enough.
        let is_compacted = admin.map_or(Ok(Some(false)), |admin| admin.is_compacted(spoke.topic()));
        let is_compacted = is_compacted.map_err(|error| hub::log_failure(&error))?;
        if is_compacted.is_none() {
            tracing::warn!(
                topic = spoke.topic(),
                "whether the topic is compacted may not be asked (DescribeConfigs is not granted): it is taken as if it were, and \
                 touchpoints that are not met again are kept"
            );
        }
        again.push(Again { spoke: spoke.name().to_owned(), is_compacted: is_compacted.unwrap_or(true) });
    }
    Ok(topology::rereading(options, prepared, &again, arguments.forget_unread))
}

/// How far it is.
pub(super) fn describe(progress: &RereadProgress) -> String {
    let RereadProgress { read, to_read, over, customers_partitions, .. } = progress;
    if read < to_read {
        format!("{read} of {to_read} offsets of departments' topics were read again")
    } else {
        format!("{read} offsets were read again; {over} of {customers_partitions} customers partitions are done")
    }
}

/// What came of it; what was kept because it may only be gone is also a warning in the log.
pub(super) fn report(rereading: &Rereading, output: &mut dyn Write) -> Result<(), Failure> {
    for (spoke, reported) in rereading.report() {
        writeln!(output, "{}", of_spoke(&spoke, &reported))?;
        let Reported { swept, .. } = &reported;
        if swept.keeps {
            tracing::warn!(
                spoke,
                kept = swept.older,
                missing_offsets = swept.missing,
                "touchpoints that were not met again are kept: their records may only be gone"
            );
            writeln!(output, "  {}", kept(&reported))?;
        }
    }
    let unfinished = rereading.unfinished();
    if !unfinished.is_empty() {
        let flags: Vec<String> = unfinished.iter().map(|spoke| format!("--spoke {spoke}")).collect();
        return Err(Failure::new(
            Exit::Generation,
            format!("another reading is not complete: that of {}", unfinished.join(", ")),
            format!("finish it with `insight-hub rebuild --from-sources {}`", flags.join(" ")),
        ));
    }
    writeln!(
        output,
        "read again: the feeds hold what the mappings of now make. Start the hub with `insight-hub run`."
    )?;
    Ok(())
}

fn of_spoke(spoke: &str, reported: &Reported) -> String {
    let Reported { number, outcomes, rejections, swept, .. } = reported;
    let counts: Vec<String> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let counts = if counts.is_empty() { "nothing left to read".to_owned() } else { counts.join(", ") };
    let reasons: Vec<String> = rejections.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let removed = match swept.keeps {
        true => String::new(),
        false => format!("; {} touchpoints that it no longer makes were removed", swept.older),
    };
    format!("{spoke}, reading {number}: {counts}{reasons}{removed}")
}

fn kept(reported: &Reported) -> String {
    let swept = reported.swept;
    let why = match (swept.missing, reported.is_compacted) {
        (0, _) => "its topic is compacted, or nobody may ask whether it is".to_owned(),
        (missing, true) => format!("its topic is compacted, and {missing} offsets at its beginning are gone"),
        (missing, false) => format!("{missing} offsets at the beginning of its topic are gone"),
    };
    format!(
        "kept {} touchpoints of former readings: {why}. Those among them that the mapping of now would not make cannot be told \
         from the others; --forget-unread lets all of them go",
        swept.older
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Outcome, Reason},
        topology::readings::Swept,
    };

    #[test]
    fn what_came_of_it_is_said_in_numbers() {
        let mut reported = Reported {
            number: 2,
            outcomes: [(Outcome::Accepted, 1_203), (Outcome::Rejected, 2)].into(),
            rejections: [(Reason::BadTimestamp, 2)].into(),
            swept: Swept { older: 93, keeps: false, missing: 0 },
            is_compacted: false,
        };
        assert_eq!(
            of_spoke("marketing", &reported),
            "marketing, reading 2: 1203 accepted, 2 rejected (bad_timestamp 2); 93 touchpoints that it no longer makes were \
             removed"
        );
        reported.swept = Swept { older: 7, keeps: true, missing: 40 };
        reported.outcomes.clear();
        reported.rejections.clear();
        assert_eq!(of_spoke("marketing", &reported), "marketing, reading 2: nothing left to read");
        let said = kept(&reported);
        assert!(said.starts_with("kept 7 touchpoints") && said.contains("40 offsets at the beginning"), "{said}");
        assert!(kept(&Reported { is_compacted: true, ..reported }).contains("compacted, and 40 offsets"));
    }
}
