//! A sink's plan on a virtual clock, against models of a store and of sinks: days and hundred thousands of events in seconds.
//!
//! `ARGOCD_CDEVENTS_SEEDS=100000 cargo test --lib simulation` runs as many random histories as it says; 1,000 otherwise.

mod days;
mod histories;
mod order;
mod recovery;
mod world;
