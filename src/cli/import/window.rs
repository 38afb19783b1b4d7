//! A reader in; a window over its bytes out, as wide as the row at hand and no wider.

use std::io::{self, Read};

/// How much is read at once.
const CHUNK_BYTES: usize = 128 << 10;

/// How much of a line that is too long is kept to be shown.
pub(super) const EXCERPT_BYTES: usize = 4 << 10;

/// Bytes that were read and not yet taken.
pub(super) struct Window {
    reader: Box<dyn Read>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the file before the window.
    pub position: u64,
    /// Line breaks before the window.
    pub line: u64,
}

impl Window {
    /// A window at a place of a file.
    pub(super) fn new(reader: Box<dyn Read>, position: u64, line: u64) -> Window {
        Window { reader, buffer: Vec::new(), start: 0, end: 0, position, line }
    }

    /// What is in it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// What was in it before it was taken: `length` bytes from an index of [`Window::index`]. Good until more is read.
    pub(super) fn taken(&self, index: usize, length: usize) -> &[u8] {
        &self.buffer[index..index + length]
    }

    /// Where its first byte lies.
    pub(super) fn index(&self) -> usize {
        self.start
    }

    /// Widens it by what can be read at once; false at the end of the file.
    pub(super) fn more(&mut self) -> io::Result<bool> {
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.buffer.len() - self.end < CHUNK_BYTES {
                self.buffer.resize(self.end + CHUNK_BYTES, 0);
            }
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Widens it until it has so many bytes, or the file ends.
    pub(super) fn fill(&mut self, bytes: usize) -> io::Result<()> {
        while self.bytes().len() < bytes && self.more()? {}
        Ok(())
    }

    /// Takes bytes out of it.
    pub(super) fn take(&mut self, bytes: usize) {
        self.line += line_breaks(&self.bytes()[..bytes]);
        self.start += bytes;
        self.position += bytes as u64;
    }

    /// Takes everything up to and with the next line break, however far it is, and keeps the beginning in `excerpt`.
    pub(super) fn take_line(&mut self, excerpt: &mut Vec<u8>) -> io::Result<()> {
        excerpt.clear();
        loop {
            let bytes = self.bytes();
            let found = bytes.iter().position(|&byte| byte == b'\n');
            let length = found.unwrap_or(bytes.len());
            let kept = length.min(EXCERPT_BYTES - excerpt.len());
            excerpt.extend_from_slice(&bytes[..kept]);
            self.take(length + usize::from(found.is_some()));
            if found.is_some() || !self.more()? {
                return Ok(());
            }
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

fn line_breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}
