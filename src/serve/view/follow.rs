//! The feeds in; a view that has them out: one thread, until it is told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{TOO_OLD, View, ViewError};
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
/// The longest wait before a folder is opened again that could not be used.
const OPEN_AGAIN_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked for what is too old to be kept, also where nothing comes.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How often it is said that they cannot be read.
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
            let keeper = Keeper { view, feeds, now_ms, stop: stopped };
            keeper.run();
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

/// Who keeps a view.
struct Keeper {
    view: Arc<View>,
    feeds: Arc<dyn Subscribe>,
    now_ms: fn() -> i64,
    stop: Arc<AtomicBool>,
}

impl Keeper {
    fn run(&self) {
        let mut said: Option<Instant> = None;
        let mut unusable = 0;
        while !self.is_stopped() {
            match self.follow(&mut unusable) {
                Ok(()) => break,
                Err(Ended::Log(LogError::Rewind(text))) => tracing::info!("{text}: the view goes on with them"),
                Err(Ended::Log(LogError::OutOfRange(text))) => {
                    tracing::warn!("{text}: the view is read again from the feeds");
                    if let Err(error) = self.view.wipe() {
                        tracing::warn!("the view cannot be begun anew: {error}");
                        self.open_again(&mut unusable);
                    }
                }
                Err(Ended::Log(error)) => {
                    if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                        // The first time it may only be early: the feeds are made when the hub starts.
                        if said.is_some() {
                            tracing::warn!("the view does not follow the feeds: {error}; it is tried again");
                        }
                        said = Some(Instant::now());
                    }
                    self.wait(AGAIN_AFTER);
                    self.begin_anew_if_too_old();
                }
                Err(Ended::View(error)) => {
                    if unusable == 0 {
                        tracing::error!("the view cannot be kept: {error}; it takes nothing more until it can be");
                    }
                    self.view.progress.note_written(false);
                    self.open_again(&mut unusable);
                }
            }
        }
        if let Err(error) = self.view.flush() {
            tracing::warn!("the view could not be written: {error}; it reads again what it has not kept");
        }
    }

    /// Follows the feeds until that ends. `unusable`: how often in succession the folder could not be used.
    fn follow(&self, unusable: &mut u32) -> Result<(), Ended> {
        let Keeper { view, now_ms, .. } = self;
        let mut followed = Vec::new();
        for feed in Feed::ALL {
            followed.push(Followed { topic: self.feeds.topic(feed), from: view.positions(feed)? });
        }
        let opened_ms = now_ms();
        let mut log = self.feeds.follow(&followed)?;
        if !view.begin(log.identities(), opened_ms)? {
            return Err(LogError::OutOfRange("a feed's topic was made anew".to_owned()).into());
        }
        let mut flushed = Instant::now();
        let mut looked: Option<Instant> = None;
        let mut forgot: Option<Instant> = None;
        while !self.is_stopped() {
            let mut batch = Vec::new();
            let mut wait = WAIT;
            while batch.len() < BATCH_RECORDS
                && let Some((number, record)) = log.next(wait)?
            {
                batch.push((Feed::ALL[number], record));
                wait = Duration::ZERO;
            }
            let is_quiet = batch.len() < BATCH_RECORDS;
            // Another version of the hub writes, and the registry does not tell how: what it wrote must not be lost.
            let mut told: Option<Instant> = None;
            while let Some(error) = view.lacking(&batch) {
                if told.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                    tracing::warn!("the view waits: {error}; {}", error.advice());
                    told = Some(Instant::now());
                }
                self.wait(AGAIN_AFTER);
                if self.is_stopped() {
                    return Ok(());
                }
                // Whoever waits hears of nobody whom to forget.
                view.forget_old(now_ms())?;
                if view.is_too_old(now_ms()) {
                    return Err(LogError::OutOfRange(TOO_OLD.to_owned()).into());
                }
            }
            if !batch.is_empty() {
                view.apply(batch, now_ms())?;
            }
            if is_quiet || looked.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                looked = Some(Instant::now());
                if let Some(behind) = log.remaining()? {
                    view.progress.note_behind(behind);
                }
                if let Some(until) = log.whole_until() {
                    let ago_ms = i64::try_from(until.elapsed().as_millis()).unwrap_or(i64::MAX);
                    view.note_whole(now_ms().saturating_sub(ago_ms));
                }
                if view.is_too_old(now_ms()) {
                    return Err(LogError::OutOfRange(TOO_OLD.to_owned()).into());
                }
            }
            if forgot.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                forgot = Some(Instant::now());
                view.forget_old(now_ms())?;
            }
            if view.is_due(flushed)? {
                view.flush()?;
                flushed = Instant::now();
                *unusable = 0;
            }
        }
        Ok(())
    }

    /// Whoever cannot reach the feeds cannot hear whom to forget.
    fn begin_anew_if_too_old(&self) {
        if self.view.is_too_old((self.now_ms)()) {
            tracing::warn!("{TOO_OLD}");
            if let Err(error) = self.view.wipe() {
                tracing::warn!("the view cannot be begun anew: {error}");
            }
        }
    }

    /// Opens a view again that could not be used, later each time.
    fn open_again(&self, unusable: &mut u32) {
        self.wait(AGAIN_AFTER.saturating_mul(1 << (*unusable).min(16)).min(OPEN_AGAIN_WITHIN));
        *unusable = unusable.saturating_add(1);
        if self.is_stopped() {
            return;
        }
        match self.view.reopen() {
            Ok(()) => tracing::info!("the view can be written again; it goes on from what it had kept"),
            Err(error) => tracing::warn!("the view cannot be opened again yet: {error}"),
        }
        self.begin_anew_if_too_old();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn wait(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.is_stopped() && Instant::now() < until {
            std::thread::sleep(WAIT.min(until.saturating_duration_since(Instant::now())));
        }
    }
}
