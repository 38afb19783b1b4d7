//! The embedded log of a hub that runs in; the same, for other programs on the machine, out: a Unix socket in its data
//! directory.
//!
//! - [`Server`]: what the hub starts; `connection` answers one client, `budget` bounds what they hold together.
//! - [`Remote`]: what a command connects; it is a [`LogAccess`](super::LogAccess) like the log itself.
//! - `address`: where the socket is. `frame`, `wire`, `request`, `response`: the protocol, as the tables below have it.
//!
//! # The protocol, version 1
//!
//! For programs in other languages. Connect to the stream socket `socket` in the hub's data directory; it is there while the hub
//! runs (a socket that nobody answers is one of a hub that was killed), and only the hub's user and root may connect. (A path
//! longer than 107 bytes: open the directory and connect to `/proc/self/fd/<descriptor>/socket`, or change to it first.)
//!
//! Numbers are little-endian; `u8`, `u16`, `u32`, `u64` without a sign, `i64` with one. A `string` is its length as `u32`
//! and so many bytes; a `text` is a string in UTF-8; an `optional` is a string, or the length `0xffffffff` and no bytes for none.
//! A `list` is its count as `u32` and so many entries. Times are milliseconds since 1970-01-01T00:00:00Z.
//!
//! **Preface.** The client sends 8 bytes, then the hub does. A version of 0 means no, and an error frame says why.
//!
//! | who | bytes |
//! | --- | --- |
//! | client | `f1 48 55 42`, oldest version it speaks (`u16`), newest one (`u16`) |
//! | hub | `f1 48 55 42`, version to speak (`u16`), 0 (`u16`) |
//!
//! **Frames.** The client sends a request, waits for its answer, and may send the next one. A frame is its length (`u32`: of all
//! that follows, 1 to 16,777,216), its kind (`u8`) and its payload. The answer to kind *n* is of kind *n* + 128, or 255 for an
//! error. After a frame that is too large, or a payload that does not read as its kind, the hub answers and closes. It also closes
//! a connection on which nothing was asked for five minutes, and one that takes more than ten seconds for one frame.
//!
//! | kind | request | payload | answer |
//! | --- | --- | --- | --- |
//! | 1 | topics | – | list of: name (text), partitions (`u32`), policy |
//! | 2 | spans | topic (text) | list, by partition, of: first offset (`u64`), next offset to be given (`u64`) |
//! | 3 | read | topic (text), partition (`u32`), from (`u64`), about how many bytes (`u32`) | go on from (`u64`), list of records |
//! | 4 | wait | sequence (`u64`), at most ms (`u32`) | newest sequence (`u64`) |
//! | 5 | append | topic (text), durability (`u8`), list of new records | sequence (`u64`), list of: partition (`u32`), first offset (`u64`), offset after the last (`u64`) |
//! | 6 | create | topic (text), partitions (`u32`), policy | – |
//! | 7 | sync | – | – |
//! | 8 | backup | absolute directory (string) | bytes (`u64`), files (`u64`) |
//! | 9 | status | – | bytes, newest sequence, durable sequence (`u64` each), is paused (`u8`), version (text) |
//!
//! | part | layout |
//! | --- | --- |
//! | policy | tag (`u8`): 0 keep, 1 delete, 2 compact, 3 processed; milliseconds (`i64`): retention for 1, retention of tombstones for 2, else 0 |
//! | record | offset (`u64`), time (`i64`), key (optional), value (optional), list of: header name (text), header value (optional) |
//! | new record | partition (`u32`; `0xffffffff`: the log chooses), then as a record from its time on |
//! | durability | 0: as the hub is configured; 1: durable before the answer |
//! | error | code (`u8`), two numbers (`u64`), text |
//!
//! Reading is at the end of a partition when the answer says to go on from where one asked; an answer may have fewer bytes than
//! were asked for, and has one record at least if there is one. Waiting may end earlier than asked, after ten seconds: compare,
//! and ask again.
//!
//! | code | what to do | numbers, text |
//! | --- | --- | --- |
//! | 1 | nothing happened: try again later | reason |
//! | 2 | not allowed: ask something else | reason |
//! | 3 | a mistake of the request | reason |
//! | 4 | beyond the end: read the partition from its beginning | offset, end, partition |
//! | 5 | too large, nothing happened: divide it | bytes, limit |
//! | 6 | this hub cannot do it | reason |
//! | 7 | tell the operator | reason |
//! | 8 | connect again and repeat it | reason |
//! | 9 | the append may or may not have happened: connect again and repeat it | reason |
//!
//! A connection that is lost before the answer to an append was read is like code 9. Repeating is safe: the hub counts a
//! touchpoint once, by its spoke and id.

mod address;
mod budget;
mod client;
mod connection;
mod frame;
mod request;
mod response;
mod server;
mod wire;

pub use client::Remote;
pub use frame::FRAME_BYTES_MAX;
pub use server::{Limits, Server};
