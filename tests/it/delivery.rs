//! Deliveries of the built program: sinks that are away, order, poison, notifications that are told again, and the end.

mod away;
mod end;
mod events;
mod sinks;
