//! One person's entries of the store in; every touchpoint that counts for them out, in order, with all that is kept of it.

use std::ops::ControlFlow;

use super::{
    person::each_counted,
    store_keys::{self, Envelope, Ties},
};
use crate::model::{KeyValue, PersonId, StoreError, Touchpoint};

/// What of a store [`timeline`] reads of a person: keys that start with one of these and the person's name.
pub const TIMELINE_ENTRIES: [u8; 3] = [b'h', b't', b'o'];

/// Hands out the touchpoints that count for a person, of whatever home, in the order of their timeline. `person` is the
/// internal name: [`crate::model::PersonKey::person`] of the strongest identifier.
pub fn timeline<S: KeyValue + ?Sized>(
    person: PersonId,
    store: &S,
    each: &mut dyn FnMut(&Touchpoint<'_>),
) -> Result<(), StoreError> {
    let stored = store.get(&store_keys::head(person))?;
    let ties = match &stored {
        Some(bytes) => Envelope::decode(bytes)?.0.ties,
        None => None,
    };
    timeline_with(person, ties.as_deref(), store, each)
}

/// The same of a person whose ties are known.
pub(super) fn timeline_with<S: KeyValue + ?Sized>(
    person: PersonId,
    ties: Option<&Ties>,
    store: &S,
    each: &mut dyn FnMut(&Touchpoint<'_>),
) -> Result<(), StoreError> {
    let mut result = Ok(());
    each_counted(person, ties, store, &mut |_, encoded| match Touchpoint::decode(encoded) {
        Ok(touchpoint) => {
            each(&touchpoint);
            ControlFlow::Continue(())
        }
        Err(error) => {
            result = Err(store_keys::damaged("touchpoint", error));
            ControlFlow::Break(())
        }
    })?;
    result
}
