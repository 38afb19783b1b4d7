//! What the client library says on the side in; log lines out: a change once, a repetition not again. A library that tries a
//! lost connection ten times a second would bury the line that matters.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::config::RDKafkaLogLevel;

/// The same kind of message is logged once in so long: often enough to see that it goes on.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A connection that comes and goes while a broker starts is not back until it has stood for so long.
const STANDS_AFTER: Duration = Duration::from_secs(3);

/// The news of one client. Cheap to clone: producers that replace each other go on with the same.
#[derive(Clone, Default)]
pub(super) struct News(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// When a connection failed last; `None`: everything is connected, as far as is known.
    away: Option<Instant>,
    /// By kind of message: when it was logged last, and how often it came since.
    kinds: BTreeMap<String, (Instant, u64)>,
}

impl Told {
    /// Whether a message of this kind is to be logged, and then how many were not since the last.
    fn turn(&mut self, kind: &str, now: Instant) -> Option<u64> {
        match self.kinds.get_mut(kind) {
            Some((last, left_out)) if now.duration_since(*last) < AGAIN_AFTER => {
                *left_out += 1;
                None
            }
            Some(entry) => Some(mem::replace(entry, (now, 0)).1),
            None => {
                self.kinds.insert(kind.to_owned(), (now, 0));
                Some(0)
            }
        }
    }

    /// Whether what was away is back.
    fn is_back(&mut self, now: Instant) -> bool {
        self.away.take_if(|failed| now.duration_since(*failed) >= STANDS_AFTER).is_some()
    }
}

impl News {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection failed; the library tries again by itself.
    pub(super) fn away(&self, reason: &str) {
        if self.told().away.replace(Instant::now()).is_some() {
            tracing::debug!(target: "kafka", "{reason}");
        } else {
            tracing::warn!(target: "kafka", "a connection to Kafka failed: {reason}; it is tried until it stands");
        }
    }

    /// Everything that is needed is connected.
    pub(super) fn back(&self) {
        if self.told().is_back(Instant::now()) {
            tracing::info!(target: "kafka", "Kafka answers again");
        }
    }

    /// Something else, of a kind.
    pub(super) fn say(&self, level: RDKafkaLogLevel, kind: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Emerg, Error, Warning};
        if !matches!(level, Emerg | Alert | Critical | Error | Warning) {
            tracing::debug!(target: "kafka", kind, "{message}");
            return;
        }
        let Some(left_out) = self.told().turn(kind, Instant::now()) else {
            tracing::debug!(target: "kafka", kind, "{message}");
            return;
        };
        if matches!(level, Error | Warning) {
            tracing::warn!(target: "kafka", kind, left_out, "{message}");
        } else {
            tracing::error!(target: "kafka", kind, left_out, "{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_counted_and_told_once_a_minute() {
        let (mut told, start) = (Told::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(told.turn("GETPID", at(0)), Some(0));
        for second in 1..60 {
            assert_eq!(told.turn("GETPID", at(second)), None);
        }
        assert_eq!(told.turn("SESSTMOUT", at(30)), Some(0), "another kind is another matter");
        assert_eq!(told.turn("GETPID", at(60)), Some(59));
        assert_eq!(told.turn("GETPID", at(61)), None);
    }

    #[test]
    fn an_outage_is_one_change_there_and_one_back() {
        let news = News::default();
        for _ in 0..1_000 {
            news.away("refused");
        }
        news.back();
        assert!(news.told().away.is_some(), "it may fail again at once");
        assert!(news.told().is_back(Instant::now() + STANDS_AFTER));
        assert!(!news.told().is_back(Instant::now() + STANDS_AFTER), "that is told once");
        assert!(news.told().kinds.is_empty());
    }
}
