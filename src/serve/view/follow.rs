//! The feeds in; a view that has them out: one thread, until it is told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{View, ViewError};
use crate::{
    engine::log::{
        LogError,
        outside::{Follow, Followed},
    },
    feeds::Feed,
};

/// Records that are applied in one step.
const BATCH_RECORDS: usize = 500;
/// How long to wait for a record; a stop waits as long.
const WAIT: Duration = Duration::from_millis(100);
/// How long to wait before feeds are asked for again that cannot be read.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How often that is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// A way to the feeds, wherever they are.
pub trait Subscribe: Send + Sync {
    /// The name of a feed's topic.
    fn topic(&self, feed: Feed) -> String;

    /// Follows topics from where their reader was.
    ///
    /// # Errors
    /// As [`Follow::next`].
    fn follow(&self, followed: &[Followed]) -> Result<Box<dyn Follow>, LogError>;
}

/// The thread that keeps a view.
pub struct Following {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Following {
    /// Starts it. `now_ms`: the clock, in milliseconds since 1970.
    ///
    /// # Errors
    /// If there is no room for a thread.
    pub fn start(view: Arc<View>, feeds: Arc<dyn Subscribe>, now_ms: fn() -> i64) -> std::io::Result<Following> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("view".into()).spawn(move || {
            let mut said: Option<Instant> = None;
            while !stopped.load(Ordering::Acquire) {
                let ended = follow(&view, &*feeds, now_ms, &stopped);
                let Err(error) = ended else { break };
                if let Ended::Log(LogError::OutOfRange(text)) = &error {
                    tracing::warn!("{text}: the view is read again from the feeds");
                    if let Err(error) = view.wipe() {
                        tracing::warn!("the view cannot be begun anew: {error}");
                    }
                } else if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                    // The first time it may only be early: the feeds are made when the hub starts.
                    if said.is_some() {
                        tracing::warn!("the view does not follow the feeds: {error}; it is tried again");
                    }
                    said = Some(Instant::now());
                }
                std::thread::sleep(AGAIN_AFTER);
            }
            if let Err(error) = view.flush(now_ms()) {
                tracing::warn!("the view could not be written: {error}; it reads again what it has not kept");
            }
        })?;
        Ok(Following { stop, thread })
    }

    /// Ends it, with everything that it has taken over on the disk.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        // A panic of the thread has been reported by its hook; a stop goes on.
        let _ = self.thread.join();
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    View(#[from] ViewError),
}

fn follow(view: &View, feeds: &dyn Subscribe, now_ms: fn() -> i64, stop: &AtomicBool) -> Result<(), Ended> {
    let mut followed = Vec::new();
    for feed in Feed::ALL {
        followed.push(Followed { topic: feeds.topic(feed), from: view.positions(feed)? });
    }
    let mut log = feeds.follow(&followed)?;
    let mut flushed = Instant::now();
    let mut looked: Option<Instant> = None;
    while !stop.load(Ordering::Acquire) {
        let mut batch = Vec::new();
        let mut wait = WAIT;
        while batch.len() < BATCH_RECORDS
            && let Some((number, record)) = log.next(wait)?
        {
            batch.push((Feed::ALL[number], record));
            wait = Duration::ZERO;
        }
        let is_quiet = batch.len() < BATCH_RECORDS;
        if !batch.is_empty() {
            view.apply(batch, now_ms())?;
        }
        if is_quiet || looked.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            looked = Some(Instant::now());
            if let Some(behind) = log.remaining()? {
                view.progress.note_behind(behind);
                if behind == 0 {
                    view.progress.note_complete(true);
                }
            }
        }
        if view.is_due(flushed) {
            view.flush(now_ms())?;
            flushed = Instant::now();
        }
    }
    Ok(())
}
