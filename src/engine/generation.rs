//! By which definitions a task's state was computed and where it lies, as kept in its store; whether a worker may go on.
//!
//! A *generation* is a definition and the number of the rebuild that introduced it. The number tells apart what one
//! definition computed before and after another had its turn: what belongs to another generation is never added up.

use serde::{Deserialize, Serialize};

use super::{stage::StageError, store::Store};

/// The engine's own entry in every store: [`Stored`].
const KEY: &[u8] = b"\0generation";
const VERSION: u8 = 1;

/// A definition and the rebuild that introduced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Hash of what heads and cells were computed by.
    pub definition: [u8; 16],
    /// 0 for a hub that was never rebuilt; each rebuild that was begun has a higher one.
    pub epoch: u32,
}

/// What a store says of itself. It travels in the changelog like any other entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Hash of what decides in which partition an entry lies.
    pub(super) placement: [u8; 16],
    /// By which generation its entries were computed.
    pub(super) generation: Generation,
    /// Towards which one they are being computed anew; its work is not done.
    pub(super) target: Option<Generation>,
}

impl Stored {
    /// What a store says; `None` if it is new.
    pub(super) fn read(store: &Store) -> Result<Option<Stored>, StageError> {
        let bytes = store.get(KEY).map_err(|error| StageError::Stop(error.to_string()))?;
        match bytes.as_deref() {
            None => Ok(None),
            Some([VERSION, rest @ ..]) => postcard::from_bytes(rest).map(Some).map_err(|_| unknown_format()),
            Some(_) => Err(unknown_format()),
        }
    }

    /// Writes it down with the next commit.
    pub(super) fn write(&self, store: &mut Store) {
        let bytes = postcard::to_extend(self, vec![VERSION]).expect("a vector takes every byte");
        store.put(KEY, &bytes);
    }

    /// Whether everything is of a generation, and nothing is left to do for it.
    pub(super) fn is_of(&self, generation: Generation) -> bool {
        self.generation == generation && self.target.is_none()
    }
}

fn unknown_format() -> StageError {
    StageError::Placement("stored state was written by a version of the program that this one cannot read".into())
}

/// State that lies elsewhere than this configuration looks for it.
pub(super) fn other_placement(stage: &str) -> StageError {
    StageError::Placement(format!(
        "the state of stage {stage} is placed by other partitions, other rules of who is one person ([identity]: types, unique, limits) or another \
         person key than configured, and no rebuild can move it"
    ))
}

/// The generation that a worker goes on with under `insight-hub run`.
pub(super) fn to_run(stage: &str, stored: Option<&Stored>, definition: [u8; 16]) -> Result<Generation, StageError> {
    match stored {
        None => Ok(Generation { definition, epoch: 0 }),
        Some(stored) if stored.target.is_some() => Err(unfinished()),
        Some(stored) if stored.generation.definition == definition => Ok(stored.generation),
        Some(_) => Err(StageError::Generation(format!(
            "the state of stage {stage} was computed by another definition (fold version, metric configuration or time \
             zone), or a rebuild to this one is not complete"
        ))),
    }
}

/// A rebuild was begun and is not complete.
pub fn unfinished() -> StageError {
    StageError::Generation("a rebuild is under way and not complete: finish it with `insight-hub rebuild`".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::store::MemoryDisk;

    const A: Generation = Generation { definition: [0xa; 16], epoch: 0 };
    const B: Generation = Generation { definition: [0xb; 16], epoch: 1 };

    #[test]
    fn the_stored_form_reads_the_same_for_ever() {
        let mut store = Store::new(Box::new(MemoryDisk::scratch()));
        assert_eq!(Stored::read(&store).expect("memory"), None);
        let stored = Stored { placement: [7; 16], generation: A, target: Some(B) };
        stored.write(&mut store);
        let bytes = store.get(KEY).expect("memory").expect("just written");
        assert_eq!(bytes, [&[1][..], &[7; 16], &[0xa; 16], &[0], &[1], &[0xb; 16], &[1]].concat());
        assert_eq!(Stored::read(&store).expect("memory"), Some(stored));
        store.put(KEY, &[9; 16]);
        assert!(matches!(Stored::read(&store), Err(StageError::Placement(_))), "no version of ours");
    }

    #[test]
    fn run_goes_on_only_with_what_its_own_definition_has_finished() {
        let stored = |generation, target| Stored { placement: [7; 16], generation, target };
        let run = |stored: &Stored| to_run("customers", Some(stored), [0xa; 16]);
        assert_eq!(to_run("customers", None, [0xa; 16]).expect("a new store"), A);
        assert_eq!(run(&stored(A, None)).expect("its own"), A);
        let again = Generation { epoch: 7, ..A };
        assert_eq!(run(&stored(again, None)).expect("its own, after rebuilds"), again);
        for (stored, says) in [
            (stored(B, None), "another definition"),
            (stored(A, Some(B)), "under way"),
            (stored(B, Some(again)), "under way"),
        ] {
            let error = run(&stored).expect_err("not its own").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
