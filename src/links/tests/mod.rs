//! The promise of links: random worlds against an oracle that shares no code, known disasters, stored formats.

mod company;
mod disasters;
mod golden;
mod journal;
mod oracle;
mod own;
mod properties;
mod watched;
mod world;
