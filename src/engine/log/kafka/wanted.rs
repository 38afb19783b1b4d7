//! A topic of the topology in; the settings that it is created with, and which of them one that is there may have otherwise,
//! out.
//!
//! What is said here bounds how long deleted bytes stay ([`ErasedWithin`]). By the source of Kafka 4.3: the segment that is
//! written to is neither compacted nor removed because records of it were deleted. A segment of a compacted topic is closed by
//! the first append after `max.compaction.lag.ms`, one of another topic by that after `segment.ms`; where nothing is appended
//! any more, [`super::Rolls`] does it. Only `retention.ms` closes a segment that nobody writes to.

use super::clients::MESSAGE_BYTES_MAX;
use crate::engine::topics::{Cleanup, ErasedWithin, Ownership, TopicSpec};

/// What topics of ours must take at least: the broker's default. No record that the hub writes has more, so that one which
/// takes less would refuse the same record again and again.
const MESSAGE_BYTES_TAKEN: i64 = 1_048_588;
const _: () = assert!(MESSAGE_BYTES_TAKEN as usize <= MESSAGE_BYTES_MAX);

/// What a topic that is there may have for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    /// Nothing else.
    Same,
    /// Less too.
    AtMost(i64),
    /// More too.
    AtLeast(i64),
}

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) fits: Fits,
}

impl Wanted {
    fn same(name: &'static str, value: impl ToString) -> Wanted {
        Wanted { name, value: value.to_string(), fits: Fits::Same }
    }

    /// What a topic is created with leaves room for a hub that writes longer records.
    fn message_bytes() -> Wanted {
        let value = MESSAGE_BYTES_MAX.to_string();
        Wanted { name: "max.message.bytes", value, fits: Fits::AtLeast(MESSAGE_BYTES_TAKEN) }
    }

    fn at_most(name: &'static str, value: i64) -> Wanted {
        Wanted { name, value: value.to_string(), fits: Fits::AtMost(value) }
    }

    /// Whether a topic that has `found` will do.
    pub(super) fn is_met_by(&self, found: &str) -> bool {
        match self.fits {
            Fits::Same => found == self.value,
            // -1 is for ever.
            Fits::AtMost(most) => found.parse().is_ok_and(|found: i64| (0..=most).contains(&found)),
            Fits::AtLeast(least) => found.parse().is_ok_and(|found: i64| found >= least),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.fits {
            Fits::Same => formatter.write_str(&self.value),
            Fits::AtMost(most) => write!(formatter, "at most {most}"),
            Fits::AtLeast(least) => write!(formatter, "at least {least}"),
        }
    }
}

/// What a topic that is there is to have; nothing is asked of a department's.
pub(super) fn settings(topic: &TopicSpec, within: ErasedWithin) -> Vec<Wanted> {
    if topic.ownership == Ownership::Spoke {
        return Vec::new();
    }
    settings_of_new(topic, within)
}

/// What a topic is created with.
pub(super) fn settings_of_new(topic: &TopicSpec, within: ErasedWithin) -> Vec<Wanted> {
    if topic.ownership == Ownership::Spoke {
        let retention_ms = match topic.cleanup {
            Cleanup::Delete { retention_ms: Some(retention_ms) } => retention_ms,
            _ => -1,
        };
        let policy = Wanted::same("cleanup.policy", policy(topic.cleanup));
        return vec![policy, Wanted::message_bytes(), Wanted::same("retention.ms", retention_ms)];
    }
    let policy = Wanted::same("cleanup.policy", policy(topic.cleanup));
    let lag_ms = within.lag_ms();
    let mut wanted = vec![policy, Wanted::message_bytes()];
    wanted.extend(match (topic.ownership, topic.cleanup) {
        (Ownership::Changelog, Cleanup::Compact) => [
            Wanted::at_most("max.compaction.lag.ms", lag_ms),
            // With less an old store would miss deletions, with more they stay too long.
            Wanted::same("delete.retention.ms", within.changelog_deletions_kept_ms()),
        ],
        (_, Cleanup::Compact) => [
            Wanted::at_most("max.compaction.lag.ms", lag_ms),
            Wanted::at_most("delete.retention.ms", within.feed_deletions_kept_ms()),
        ],
        (_, Cleanup::Delete { retention_ms }) => [
            match retention_ms {
                Some(retention_ms) => Wanted::at_most("retention.ms", retention_ms),
                // Retention would lose input that lags. What was processed is deleted instead.
                None => Wanted::same("retention.ms", -1),
            },
            Wanted::at_most("segment.ms", lag_ms),
        ],
    });
    wanted
}

fn policy(cleanup: Cleanup) -> &'static str {
    match cleanup {
        Cleanup::Compact => "compact",
        Cleanup::Delete { .. } => "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ownership: Ownership, cleanup: Cleanup) -> Vec<String> {
        let topic = TopicSpec { name: "t".into(), ownership, partitions: 1, cleanup };
        let wanted = settings(&topic, ErasedWithin::ms(80_000_000));
        wanted.iter().map(|wanted| format!("{}={wanted}", wanted.name)).collect()
    }

    #[test]
    fn every_topic_of_ours_gives_up_what_was_deleted() {
        let kept = Cleanup::Delete { retention_ms: None };
        let lag = "max.compaction.lag.ms=at most 10000000";
        let bytes = "max.message.bytes=at least 1048588";
        assert_eq!(
            of(Ownership::Changelog, Cleanup::Compact),
            ["cleanup.policy=compact", bytes, lag, "delete.retention.ms=20000000"]
        );
        assert_eq!(
            of(Ownership::Feed, Cleanup::Compact),
            ["cleanup.policy=compact", bytes, lag, "delete.retention.ms=at most 20000000"]
        );
        assert_eq!(
            of(Ownership::Feed, Cleanup::Delete { retention_ms: Some(5) }),
            ["cleanup.policy=delete", bytes, "retention.ms=at most 5", "segment.ms=at most 10000000"]
        );
        assert_eq!(
            of(Ownership::Repartition, kept),
            ["cleanup.policy=delete", bytes, "retention.ms=-1", "segment.ms=at most 10000000"]
        );
        assert_eq!(of(Ownership::Spoke, kept), [""; 0]);
    }

    #[test]
    fn a_topic_that_gives_up_sooner_will_do_and_one_that_keeps_for_ever_will_not() {
        let wanted = Wanted::at_most("retention.ms", 10);
        assert!(wanted.is_met_by("10") && wanted.is_met_by("3"));
        assert!(!wanted.is_met_by("11") && !wanted.is_met_by("-1") && !wanted.is_met_by("9223372036854775807"));
        assert!(!wanted.is_met_by("never"));
        assert!(!Wanted::same("retention.ms", -1).is_met_by("10"));
    }

    #[test]
    fn a_topic_that_takes_longer_records_will_do_and_one_that_takes_shorter_ones_will_not() {
        let wanted = Wanted::message_bytes();
        assert!(wanted.is_met_by("1048588") && wanted.is_met_by("15728640"));
        assert!(!wanted.is_met_by("1048576") && !wanted.is_met_by("-1") && !wanted.is_met_by("much"));
    }
}
