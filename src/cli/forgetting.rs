//! What was erased in; files of this machine in which no byte of it is left, out.
//!
//! A deletion hides what it deletes, in the stores on disk and in the log of a hub without Kafka; the bytes go when what is
//! around them is rewritten, which for little may be never. So once something was erased, everything is flushed, and stores and
//! log are rewritten, every [`ErasedWithin::lag_ms`] for as long as something of it may be left. Nothing is done where
//! nothing was erased: rewriting costs as much as reading and writing everything.
//!
//! That something was erased is known by the offset that the group has committed on the topic of commands (any command: they
//! are few), on each instance, and by the count of touchpoints from which something was erased, also of those that come late.
//! Which offset that was, and when, lies in `erasures` in the data directory.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    exit::Failure,
    hub,
    place::{self, Place},
    private,
    run::{HubInput, Shared},
    stop::StopToken,
};
use crate::{
    engine::{
        log::{LogError, embedded::Keeper, kafka::Rolls},
        topics::ErasedWithin,
    },
    telemetry::Event,
};

/// How often it is looked at most, and at least.
const LOOK_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// How often workers that flush are looked at.
const FLUSHED_YET: Duration = Duration::from_millis(20);

/// What is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Marks {
    /// The offset that was committed on the topic of commands.
    commands: i64,
    /// When something was erased last, in milliseconds since 1970; 0: never.
    erased_ms: i64,
    /// When something was erased first after the last time that everything was rewritten.
    first_ms: i64,
    /// When everything was rewritten last.
    cleaned_ms: i64,
}

impl Marks {
    /// Something was erased.
    fn note(&mut self, now_ms: i64) {
        if self.first_ms <= self.cleaned_ms {
            self.first_ms = now_ms;
        }
        self.erased_ms = now_ms;
    }

    /// Whether something of what was erased may be left, and is to be looked after.
    fn is_pending(self, now_ms: i64, within: ErasedWithin) -> bool {
        self.erased_ms > 0 && now_ms - self.erased_ms <= within.watched_ms() || self.cleaned_ms < self.erased_ms
    }

    /// By when everything should have been rewritten since the first erasure that no rewriting has reached: half of the bound
    /// is left then for whoever has to see why it was not. 0: none waits.
    fn due_by_ms(self, within: ErasedWithin) -> i64 {
        if self.first_ms > self.cleaned_ms { self.first_ms + within.whole_ms() / 2 } else { 0 }
    }

    /// Whether it is time to rewrite everything: not before everybody has done what the first erasure asks for, and not for
    /// each of many.
    fn is_due(self, now_ms: i64, within: ErasedWithin) -> bool {
        let last_ms = self.first_ms.max(self.cleaned_ms);
        // A clock that was set back must not put it off for long.
        self.is_pending(now_ms, within) && !(last_ms..last_ms + within.lag_ms()).contains(&now_ms)
    }
}

/// A flush of every worker that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    asked: AtomicU64,
    done: Mutex<BTreeMap<usize, u64>>,
}

impl Flushes {
    /// The flush that a worker has still to make.
    pub(super) fn wanted(&self, worker: usize) -> Option<u64> {
        let asked = self.asked.load(Ordering::Acquire);
        if asked == 0 {
            return None;
        }
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        (done.get(&worker).copied().unwrap_or(0) < asked).then_some(asked)
    }

    /// A worker has made it.
    pub(super) fn done(&self, worker: usize, asked: u64) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, asked);
    }

    /// Has every worker flush. Whether each did before a stop was requested.
    fn wait_for_all(&self, workers: usize, stop: &StopToken) -> bool {
        let asked = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        while !(0..workers).all(|worker| self.wanted(worker).is_none_or(|wanted| wanted > asked)) {
            if stop.wait(FLUSHED_YET) {
                return false;
            }
        }
        true
    }
}

/// Where the erasures of this hub are seen.
pub(super) enum Seen<'a> {
    /// Brokers tell.
    Kafka(&'a Rolls),
    /// The log does, and is to be cleaned.
    Embedded(&'a Keeper),
}

/// Rewrites what this machine keeps after an erasure.
pub(super) struct Forgetting<'a> {
    input: &'a HubInput<'a>,
    shared: &'a Shared<'a>,
    within: ErasedWithin,
    path: PathBuf,
    marks: Marks,
    /// Touchpoints from which something was erased, as of the last look.
    erased: u64,
    is_pending: bool,
    due_by_ms: i64,
}

impl<'a> Forgetting<'a> {
    /// With what was written down before.
    pub(super) fn new(input: &'a HubInput<'a>, shared: &'a Shared<'a>) -> Forgetting<'a> {
        let path = input.settings.hub.data_directory.join("erasures");
        // Whatever is wrong with it: then something was erased, as far as we know.
        let marks = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let within = shared.topology.topics.erased_within;
        Forgetting { input, shared, within, path, marks, erased: 0, is_pending: false, due_by_ms: 0 }
    }

    /// How often to look.
    pub(super) fn look_every(&self) -> Duration {
        look_every(self.within)
    }

    /// Looks once; rewrites what is due.
    ///
    /// # Errors
    /// [`Failure`] if the log is damaged or must be opened again. What may pass is tried again the next time.
    pub(super) fn look(&mut self, seen: &Seen<'_>) -> Result<(), Failure> {
        let now_ms = hub::now_ms();
        if self.has_news(seen) {
            self.marks.note(now_ms);
            self.write_down();
        }
        if self.marks.is_due(now_ms, self.within) && self.clean(seen)? {
            self.marks.cleaned_ms = now_ms;
            self.write_down();
        }
        let is_pending = self.marks.is_pending(now_ms, self.within);
        if is_pending != self.is_pending {
            self.is_pending = is_pending;
            self.input.telemetry.emit(Event::ErasuresPending { pending: is_pending });
        }
        let due_by_ms = self.marks.due_by_ms(self.within);
        if due_by_ms != self.due_by_ms {
            self.due_by_ms = due_by_ms;
            self.input.telemetry.emit(Event::ErasuresDue { by_ms: due_by_ms });
        }
        Ok(())
    }

    /// Whether anything was erased since the last look.
    fn has_news(&mut self, seen: &Seen<'_>) -> bool {
        let erased = self.input.telemetry.touchpoints_erased();
        let late = std::mem::replace(&mut self.erased, erased) != erased;
        let topic = place::commands_topic(self.input.settings);
        let committed = match (seen, self.shared.place) {
            (_, Place::Embedded(shared)) => Ok(shared.committed(&topic)),
            (Seen::Kafka(rolls), _) => rolls.committed(&topic),
            (Seen::Embedded(_), Place::Kafka(_)) => Ok(None),
        };
        match committed {
            // What was begun anew counts from the beginning.
            Ok(Some(committed)) if committed != self.marks.commands => {
                self.marks.commands = committed;
                committed > 0 || late
            }
            Ok(_) => late,
            Err(error) => {
                tracing::warn!("whether something was erased is not known yet: {error}");
                late
            }
        }
    }

    fn write_down(&self) {
        let text = serde_json::to_vec(&self.marks).expect("numbers can be written");
        if let Err(error) = private::replace(&self.path, &text) {
            // It is known for as long as this process lives.
            tracing::warn!("{} cannot be written: {error}; make the data directory writable", self.path.display());
        }
    }

    /// Whether nothing is left that can be given up now.
    fn clean(&self, seen: &Seen<'_>) -> Result<bool, Failure> {
        let (began, stop) = (Instant::now(), self.input.stop);
        if !self.shared.flushes.wait_for_all(self.input.settings.hub.worker_threads(), stop) {
            return Ok(false);
        }
        if let Seen::Embedded(keeper) = seen
            && !keeper.clean_thoroughly().map_err(|error| hub::log_failure(&error))?
        {
            return Ok(false);
        }
        if let Err(error) = self.shared.stores.clean_thoroughly() {
            tracing::warn!("{error}; it is tried again");
            return Ok(false);
        }
        if let Some(Err(error)) = self.input.serving.map(|serving| serving.clean_thoroughly(hub::now_ms())) {
            tracing::warn!("{error}; it is tried again");
            return Ok(false);
        }
        self.input.telemetry.emit(Event::ErasuresCleaned { elapsed: began.elapsed() });
        Ok(true)
    }
}

/// How often to look for something that has to be done within a share of the bound.
pub(super) fn look_every(within: ErasedWithin) -> Duration {
    let eighth = Duration::from_millis(within.lag_ms().unsigned_abs() / 8);
    eighth.clamp(*LOOK_EVERY.start(), *LOOK_EVERY.end())
}

/// Looks after erasures in a hub with a log of its own until a stop is requested.
pub(super) fn beside_a_log(mut forgetting: Forgetting<'_>, keeper: &Keeper, stop: &StopToken) -> Result<(), Failure> {
    let every = forgetting.look_every();
    while !stop.wait(every) {
        forgetting.look(&Seen::Embedded(keeper))?;
    }
    Ok(())
}

/// Looks after silent partitions and erasures on brokers until a stop is requested.
pub(super) fn until_stopped(mut forgetting: Forgetting<'_>, mut rolls: Rolls, stop: &StopToken) -> Result<(), Failure> {
    let every = forgetting.look_every();
    while !stop.wait(every) {
        match rolls.look(Instant::now(), hub::now_ms()) {
            Ok(_) => {}
            Err(LogError::Stop(text)) => return Err(hub::log_failure(&LogError::Stop(text))),
            Err(error) => tracing::warn!("{error}; it is tried again"),
        }
        forgetting.look(&Seen::Kafka(&rolls))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_is_looked_after_until_nothing_can_be_left() {
        let within = ErasedWithin::ms(8_000);
        let marks = |erased_ms, cleaned_ms| Marks { commands: 1, erased_ms, first_ms: erased_ms, cleaned_ms };
        let now = |marks: Marks, now_ms| (marks.is_pending(now_ms, within), marks.is_due(now_ms, within));
        assert_eq!(now(marks(0, 0), 1_000_000), (false, false), "nothing was erased");
        assert_eq!(now(marks(10_000, 0), 10_500), (true, false), "others may still be at it");
        assert_eq!(now(marks(10_000, 0), 11_000), (true, true));
        assert_eq!(now(marks(10_000, 11_000), 11_900), (true, false), "it was just done");
        assert_eq!(now(marks(10_000, 11_000), 12_000), (true, true), "its deletions can go too");
        assert_eq!(now(marks(10_000, 15_900), 16_100), (false, false), "it is over");
        assert_eq!(now(marks(10_000, 0), 99_000), (true, true), "it was away, and never did it");
        assert_eq!(now(marks(10_000, 0), 5_000), (true, true), "the clock was set back");
    }

    #[test]
    fn one_erasure_after_the_other_does_not_put_it_off() {
        let within = ErasedWithin::ms(8_000);
        let (mut marks, mut cleaned) = (Marks::default(), Vec::new());
        for now_ms in (10_000..14_000).step_by(500) {
            marks.note(now_ms);
            if marks.is_due(now_ms, within) {
                marks.cleaned_ms = now_ms;
                cleaned.push(now_ms);
            }
        }
        assert_eq!(cleaned, [11_000, 12_500]);
    }

    #[test]
    fn when_files_have_to_be_rewritten_is_half_of_the_bound_after_the_first_erasure_that_waits() {
        let within = ErasedWithin::ms(8_000);
        let mut marks = Marks::default();
        assert_eq!(marks.due_by_ms(within), 0, "nothing was erased");
        marks.note(10_000);
        marks.note(10_900);
        assert_eq!(marks.due_by_ms(within), 14_000, "the later one does not put it off");
        marks.cleaned_ms = 11_000;
        assert_eq!(marks.due_by_ms(within), 0);
        marks.note(12_000);
        assert_eq!(marks.due_by_ms(within), 16_000);
        assert!(marks.is_due(13_000, within), "long before");
    }

    #[test]
    fn a_flush_is_waited_for_until_every_worker_has_made_it() {
        let (flushes, stop) = (Flushes::default(), StopToken::default());
        assert_eq!(flushes.wanted(0), None, "nobody has asked");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| flushes.wait_for_all(2, &stop));
            for worker in [1, 0] {
                let asked = loop {
                    if let Some(asked) = flushes.wanted(worker) {
                        break asked;
                    }
                };
                assert!(!waiting.is_finished(), "worker {worker} has not flushed");
                flushes.done(worker, asked);
                assert_eq!(flushes.wanted(worker), None);
            }
            assert!(waiting.join().expect("it does not panic"));
        });
        stop.request("a test");
        assert!(!flushes.wait_for_all(1, &stop), "nobody flushes any more");
    }
}
