//! Journeys through the program, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod cdevents;
mod crash;
mod delivery;
mod dependencies;
mod disk;
mod door;
mod examples;
mod fuzz;
mod generated;
mod hostile;
mod interleavings;
mod recordings;
mod shared;
mod support;
mod traps;
