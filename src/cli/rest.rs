//! A running hub in; whether it has taken in and published everything out.

use std::time::{Duration, Instant};

use crate::{
    engine::log::access::{LogAccess, Result},
    telemetry::Telemetry,
};

/// Longer than a second, so that lags were told, and than any transaction takes without a word.
const QUIET: Duration = Duration::from_millis(1_500);

/// Looks again and again.
pub(super) struct Rest {
    newest: u64,
    since: Instant,
}

impl Rest {
    pub(super) fn new() -> Rest {
        Rest { newest: 0, since: Instant::now() }
    }

    /// Whether these topics of departments were read to their end, as far as the hub has told, and nothing was written since
    /// a while.
    pub(super) fn has_come<'a>(
        &mut self,
        access: &dyn LogAccess,
        telemetry: &Telemetry,
        topics: impl IntoIterator<Item = &'a str>,
    ) -> Result<bool> {
        let newest = access.status()?.newest;
        if std::mem::replace(&mut self.newest, newest) != newest {
            self.since = Instant::now();
        }
        if self.since.elapsed() < QUIET {
            return Ok(false);
        }
        for topic in topics {
            for (partition, _) in (0..).zip(access.spans(topic)?) {
                if telemetry.partition(topic, partition).lag_records.get() > 0 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
