//! A task: one stage on one partition, with its store, from assignment to close.
//!
//! ```text
//!              ┌──────────┐
//!   assigned ─▶│ created  │
//!              └────┬─────┘
//!                   ▼
//!              ┌──────────┐  changelog read to its end, of the right generation
//!              │restoring │───────────────────────────────┐
//!              └──┬─────┬─┘                               │
//!                 │     │ under a rebuild                 │
//!                 │     ▼                                 ▼
//!                 │  ┌─────────┐ all entries anew  ┌──────────┐  lag above the limit   ┌───────────┐
//!                 │  │migrating│──────────────────▶│ running  │───────────────────────▶│ suspended │
//!                 │  └──┬──────┘                   │          │◀───────────────────────│           │
//!                 │     │                          └──┬────┬──┘  lag below half of it  └──┬─────┬──┘
//!                 │  outcome of a commit unknown: restored anew    │                      │     │
//!                 │◀────┴─────────────────────────────┴───────────────────────────────────┘     │
//!                 ▼     ▼                                  ▼                                    ▼
//!              ┌──────────────────────────────────────────────────────────────────────────────────┐
//!              │ closed (clean: committed and flushed; dirty: uncommitted is dropped)              │
//!              └──────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A task that migrates takes no records: a rebuild makes its stage compute everything that it keeps anew, in many
//! commits ([`super::rebuild`]). One whose input is read a second time waits there until it is known from where
//! ([`super::reread`]).

use std::time::Duration;

use super::{
    generation::Stored,
    log::{ChangelogReader, LogError, Restored, TopicPartition},
    reread::Reread,
    stage::{Stage, StageError},
    store::Store,
};

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Assigned; nothing was read yet.
    Created,
    /// Its store catches up with its changelog.
    Restoring,
    /// Its entries are computed anew, by another definition; or it waits until that is decided, or from where to read again.
    Migrating,
    /// It takes records.
    Running,
    /// It waits until the stages after it have caught up.
    Suspended,
    /// It is gone.
    Closed,
}

impl TaskState {
    /// Every state.
    pub const ALL: [TaskState; 6] = [
        TaskState::Created,
        TaskState::Restoring,
        TaskState::Migrating,
        TaskState::Running,
        TaskState::Suspended,
        TaskState::Closed,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            TaskState::Created => "created",
            TaskState::Restoring => "restoring",
            TaskState::Migrating => "migrating",
            TaskState::Running => "running",
            TaskState::Suspended => "suspended",
            TaskState::Closed => "closed",
        }
    }

    /// Whether the diagram above has this arrow.
    pub const fn may_become(self, next: TaskState) -> bool {
        use TaskState::{Closed, Created, Migrating, Restoring, Running, Suspended};
        matches!(
            (self, next),
            (Created, Restoring)
                | (Restoring, Running | Migrating | Restoring | Closed)
                | (Migrating, Running | Restoring | Closed)
                | (Running, Suspended | Restoring | Closed)
                | (Suspended, Running | Restoring | Closed)
                | (Created, Closed)
        )
    }
}

/// How long a task's input has been quiet, by the worker's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Not at all, as far as is known.
    No,
    /// No record came since then.
    Since(Duration),
    /// For so long that the stage was told.
    Idle,
}

/// A record that its stage could not take yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How often it was offered in vain.
    pub tries: u32,
    /// When it is offered again; `None`: it was, and nothing is known yet.
    pub until: Option<Duration>,
    /// Its own timestamp, in milliseconds.
    pub timestamp_ms: i64,
}

/// One stage on one partition.
pub struct Task {
    /// The input partition, which is the task's identity.
    pub input: TopicPartition,
    /// Which stage of the topology.
    pub stage_index: usize,
    /// The stage's name.
    pub stage_name: &'static str,
    /// Its changelog partition, if the stage keeps anything.
    pub changelog: Option<TopicPartition>,
    /// What it keeps.
    pub store: Store,
    /// What it does.
    pub stage: Box<dyn Stage>,
    /// The offset after the last record taken, committed or not; `None`: nothing was ever read.
    pub next: Option<i64>,
    /// The offset that the last commit covered.
    pub committed: Option<i64>,
    /// Set while its input is read a second time: `next` and `committed` are then of that reading, and the group's own
    /// offset stays.
    pub reread: Option<Reread>,
    /// Whether the current transaction holds anything of this task.
    pub touched: bool,
    /// Whether the stage asked for another commit.
    pub more: bool,
    /// Set while its next record cannot be taken yet.
    pub waiting: Option<Waiting>,
    /// How long its input has been quiet.
    pub quiet: Quiet,
    /// Whether its stage was told that there is more to read than is at hand; `None`: it was told nothing.
    pub is_behind: Option<bool>,
    /// Source timestamp of the oldest record in the current transaction, in milliseconds.
    pub oldest_ms: Option<i64>,
    /// Timestamp of the newest record taken, in milliseconds.
    pub newest_ms: Option<i64>,
    /// What its store is to say of its generation, until the first commit has written it.
    pub(super) unwritten: Option<Stored>,
    state: TaskState,
    restore: Option<Box<dyn ChangelogReader>>,
    restored_records: u64,
}

impl Task {
    /// A task that was just assigned.
    pub fn new(
        input: TopicPartition,
        stage_index: usize,
        stage_name: &'static str,
        changelog: Option<TopicPartition>,
        store: Store,
        stage: Box<dyn Stage>,
        committed: Option<i64>,
    ) -> Task {
        Task {
            input,
            stage_index,
            stage_name,
            changelog,
            store,
            stage,
            next: committed,
            committed,
            reread: None,
            touched: false,
            more: false,
            waiting: None,
            quiet: Quiet::No,
            is_behind: None,
            oldest_ms: None,
            newest_ms: None,
            unwritten: None,
            state: TaskState::Created,
            restore: None,
            restored_records: 0,
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> TaskState {
        self.state
    }

    /// Moves on; an arrow that the diagram does not have is a defect of the engine.
    pub fn become_state(&mut self, next: TaskState) {
        assert!(
            self.state.may_become(next),
            "task {} {:?}: {} cannot become {}",
            self.stage_name,
            self.input,
            self.state.as_str(),
            next.as_str()
        );
        self.state = next;
    }

    /// Starts to read the changelog.
    pub fn begin_restore(&mut self, reader: Box<dyn ChangelogReader>) {
        self.become_state(TaskState::Restoring);
        self.restore = Some(reader);
        self.restored_records = 0;
    }

    /// Reads on for about `budget`. Returns what remains and how many records were put back by this call.
    pub fn restore_some(&mut self, budget: Duration) -> Result<(Restored, u64), StageError> {
        let Some(mut reader) = self.restore.take() else {
            return Ok((Restored::Complete { position: 0 }, 0));
        };
        let (store, stage) = (&mut self.store, &mut self.stage);
        let mut records = 0;
        let mut failure = None;
        let outcome = reader.read(budget, &mut |key, value| {
            records += 1;
            let outcome = store
                .restore(key, value)
                .map_err(|error| StageError::Stop(error.to_string()))
                .and_then(|()| stage.restored(key, value, store));
            outcome.map_err(|error| {
                let text = error.to_string();
                failure = Some(error);
                LogError::Stop(text)
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        self.restored_records += records;
        // Derived entries were staged; they belong to what was put back.
        self.store.commit();
        let progress = outcome?;
        if matches!(progress, Restored::More { .. }) {
            self.restore = Some(reader);
        }
        Ok((progress, records))
    }

    /// The offset of its input that a commit says for the group.
    pub fn group_offset(&self) -> i64 {
        self.reread.map_or(self.next.unwrap_or(0), |reread| reread.to)
    }

    /// How many changelog records this task's current life has put back.
    pub fn restored_records(&self) -> u64 {
        self.restored_records
    }

    /// Puts everything that was not committed back.
    pub fn roll_back(&mut self) {
        self.store.rollback();
        self.stage.rolled_back();
        self.next = self.committed;
        self.touched = false;
        self.more = true; // what the stage had found to do is still to be done
        self.oldest_ms = None;
        self.is_behind = None;
        self.quiet = Quiet::No; // what the stage was told may have been rolled back with the rest
        if let Some(reread) = &mut self.reread {
            reread.told = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TaskState;

    #[test]
    fn only_the_arrows_of_the_diagram_are_legal() {
        use TaskState::{Closed, Created, Migrating, Restoring, Running, Suspended};
        let legal = [
            (Created, Restoring),
            (Created, Closed),
            (Restoring, Restoring),
            (Restoring, Migrating),
            (Restoring, Running),
            (Restoring, Closed),
            (Migrating, Restoring),
            (Migrating, Running),
            (Migrating, Closed),
            (Running, Restoring),
            (Running, Suspended),
            (Running, Closed),
            (Suspended, Restoring),
            (Suspended, Running),
            (Suspended, Closed),
        ];
        for a in TaskState::ALL {
            for b in TaskState::ALL {
                assert_eq!(a.may_become(b), legal.contains(&(a, b)), "{} → {}", a.as_str(), b.as_str());
            }
        }
    }
}
