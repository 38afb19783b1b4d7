//! The engine's store as the stages see it.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::{
    engine::store::Store,
    model::{KeyValue, StoreError},
};

pub(super) struct StoreView<'a>(pub(super) &'a mut Store);

fn failed(error: crate::engine::store::StoreError) -> StoreError {
    StoreError(error.to_string())
}

impl KeyValue for StoreView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.get(key).map_err(failed)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.delete(key);
    }

    fn put_local(&mut self, key: &[u8], value: &[u8]) {
        self.0.put_local(key, value);
    }

    fn delete_local(&mut self, key: &[u8]) {
        self.0.delete_local(key);
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.0.scan(from, to, each).map_err(failed)
    }
}
