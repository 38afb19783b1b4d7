//! A plain map that counts what is read of it: a get is one read, an entry of a scan another.

use std::{
    cell::Cell,
    collections::BTreeMap,
    ops::{ControlFlow, Deref},
};

use bytes::Bytes;

use crate::model::{KeyValue, StoreError};

#[derive(Default)]
pub struct Watched {
    map: BTreeMap<Vec<u8>, Bytes>,
    pub reads: Cell<usize>,
}

impl Watched {
    fn note(&self) {
        self.reads.set(self.reads.get() + 1);
    }
}

impl Deref for Watched {
    type Target = BTreeMap<Vec<u8>, Bytes>;

    fn deref(&self) -> &BTreeMap<Vec<u8>, Bytes> {
        &self.map
    }
}

impl KeyValue for Watched {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.note();
        KeyValue::get(&self.map, key)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.map.put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.map.delete(key);
    }

    fn put_local(&mut self, key: &[u8], value: &[u8]) {
        self.map.put_local(key, value);
    }

    fn delete_local(&mut self, key: &[u8]) {
        self.map.delete_local(key);
    }

    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.map.scan(from, to, &mut |key, value| {
            self.note();
            each(key, value)
        })
    }
}
