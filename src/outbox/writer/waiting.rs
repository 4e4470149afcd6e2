//! What has come to the writer and isn't carried out yet.

use super::LOOK;
use crate::outbox::OutboxError;
use crate::outbox::command::{Command, Order, Reply, Settled, Settlement};
use crate::outbox::error::StoreError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// Orders in one transaction.
const GROUP: usize = 1024;
/// How long settlements wait for orders that they can go along with, and how many at most.
const LINGER: Duration = Duration::from_millis(20);
const LINGERING: usize = 1024;

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) orders: Vec<(Order, Reply)>,
    pub(super) settlements: Vec<Settlement>,
    /// No more will come.
    pub(super) closed: bool,
    /// When the first of the settlements came, or found no room.
    since: Option<Instant>,
    /// The settlements found no room.
    stuck: bool,
}

impl Waiting {
    /// Waits for something to come, and takes what came with it.
    pub(super) fn gather(&mut self, commands: &Receiver<Command>, patience: Duration) -> Result<(), StoreError> {
        match commands.recv_timeout(patience) {
            Ok(command) => self.take(command)?,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => self.closed = true,
        }
        while self.orders.len() < GROUP && self.settlements.len() < LINGERING {
            match commands.try_recv() {
                Ok(command) => self.take(command)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::Ask(order, reply) => self.orders.push((order, reply)),
            Command::Settle(settlement) => {
                self.since.get_or_insert_with(Instant::now);
                self.settlements.push(settlement);
            }
            Command::Broken(error) => return Err(error),
        }
        Ok(())
    }

    /// How long settlements may wait yet.
    pub(super) fn patience(&self) -> Duration {
        self.since.map_or(Duration::MAX, |since| self.linger().saturating_sub(since.elapsed()))
    }

    pub(super) fn lingered_enough(&self) -> bool {
        let waited = self.since.is_some_and(|since| self.closed || since.elapsed() >= self.linger());
        waited || (!self.stuck && self.settlements.len() >= LINGERING)
    }

    /// The first `count` settlements are committed.
    pub(super) fn settled(&mut self, count: usize) {
        self.settlements.drain(..count);
        self.stuck = !self.settlements.is_empty();
        self.since = self.stuck.then(Instant::now);
    }

    /// Puts those first that only make room, and says how many they are. A delivery is done with once, so the order is free.
    pub(super) fn delivered_first(&mut self) -> usize {
        let grows = |settlement: &Settlement| !matches!(settlement.settled, Settled::Delivered);
        self.settlements.sort_by_key(grows);
        self.settlements.partition_point(|settlement| !grows(settlement))
    }

    pub(super) fn stuck(&mut self) {
        self.stuck = true;
        self.since = Some(Instant::now());
    }

    fn linger(&self) -> Duration {
        if self.stuck { LOOK } else { LINGER }
    }
}

/// While the store is full it only takes what makes it smaller.
pub(super) fn refuse_growth(orders: Vec<(Order, Reply)>) -> Vec<(Order, Reply)> {
    let (refused, rest): (Vec<_>, Vec<_>) = orders.into_iter().partition(|(order, _)| order.grows());
    answer_all(refused, &OutboxError::Full);
    rest
}

pub(super) fn answer_all(orders: Vec<(Order, Reply)>, error: &OutboxError) {
    for (_, reply) in orders {
        // Who asked may have stopped waiting.
        drop(reply.send(Err(error.clone())));
    }
}
