//! argocd-cdevents receives the webhooks of Argo CD's notifications controller, turns them into CDEvents by rules that
//! people write in YAML, and delivers those to every collector that asked for them. A webhook is acknowledged only
//! when what came of it is on disk.
//!
//! # The way of a notification
//!
//! ```text
//! bytes ─receive→ Notification ─translate→ Translation ─route→ Accepted ─outbox→ Queued ─deliver→ Settled
//!                                  │
//!                                  └ facts → rules → render → assemble → validate     (pure, no I/O)
//! ```
//!
//! The type changes at every door, so no step can be skipped. The modules stand in travel order; each one's header
//! says what it owns, what it trusts and what it promises. `docs/ARCHITECTURE.md` tells who may use whom.

pub mod config;
pub mod notification;
pub mod receive;

pub mod argocd;
pub mod cdevents;
pub mod mapping;
pub mod translate;

pub mod route;

pub mod outbox;

pub mod deliver;

pub mod cases;
pub mod cli;
pub mod observe;
pub mod replay;
pub mod secret;
pub mod serve;
