//! Bytes of JSON in; where a document in them ends, out, whatever it holds and however it is cut into pieces.

/// How far into a document it is read. Only brackets and quotes are looked at: what else is wrong with it, the mapping says.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Brackets that are open.
    depth: u64,
    /// Whether it is in a text, and whether the next character means itself there.
    in_text: bool,
    is_escaped: bool,
    /// Whether it is no object, list or text, and ends before what stands between two.
    is_bare: bool,
}

/// What stands between two documents of a file, and behind the last of a list.
pub(super) fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b']')
}

impl Scan {
    /// Reads on. Says after how many of these bytes the document ends, if it ends in them.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.is_bare {
                if is_between(byte) {
                    return Some(at);
                }
            } else if self.in_text {
                let is_quote = byte == b'"' && !self.is_escaped;
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                self.in_text = !is_quote;
                if is_quote && self.depth == 0 {
                    return Some(at + 1);
                }
            } else {
                match byte {
                    b'"' => self.in_text = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' if self.depth > 0 => self.depth -= 1,
                    _ => self.is_bare = self.depth == 0,
                }
                if self.depth == 0 && matches!(byte, b'}' | b']') && !self.is_bare {
                    return Some(at + 1);
                }
            }
        }
        None
    }
}
