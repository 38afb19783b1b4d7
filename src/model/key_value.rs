//! What a stage needs of its store: an ordered map of bytes. The engine provides it; tests use a plain map.

use std::ops::ControlFlow;

use bytes::Bytes;

/// The store could not be read or written: the task cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("the state store failed: {0}")]
pub struct StoreError(pub String);

/// An ordered map from keys to values, staged until the engine commits.
pub trait KeyValue {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    /// Writes a value; the changelog will carry it.
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// Deletes a key; the changelog will carry the tombstone.
    fn delete(&mut self, key: &[u8]);
    /// Writes a value that can be derived from others when they are restored; the changelog will not carry it.
    fn put_local(&mut self, key: &[u8], value: &[u8]);
    /// Deletes a derived key.
    fn delete_local(&mut self, key: &[u8]);
    /// Every entry with `from <= key < to`, ascending, until `each` breaks.
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;
}

/// A plain map: for tests of stages without an engine.
impl KeyValue for std::collections::BTreeMap<Vec<u8>, Bytes> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(std::collections::BTreeMap::get(self, key).cloned())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.insert(key.to_vec(), Bytes::copy_from_slice(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.remove(key);
    }

    fn put_local(&mut self, key: &[u8], value: &[u8]) {
        self.insert(key.to_vec(), Bytes::copy_from_slice(value));
    }

    fn delete_local(&mut self, key: &[u8]) {
        self.remove(key);
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for (key, value) in self.range(from.to_vec()..to.to_vec()) {
            if each(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
