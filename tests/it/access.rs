//! An embedded log and those who are not its engine in; what they may do with it, in its process and through its socket, out.

#![allow(clippy::single_range_in_vec_init, reason = "the spans of a topic with one partition are a list of one range")]

mod files;
mod hostile;
mod hub;
mod limits;
mod same;
mod speed;
mod together;
