//! The one writer: takes what waits, has it carried out in one transaction, and only then answers.
//!
//! Somebody waits for every order, so orders are carried out at once, as many together as came while the last transaction was
//! synced. Nobody waits for settlements, so they go along with the next orders, or alone after a moment. What settled and found no
//! room is kept, and tried again.

mod waiting;

use super::OutboxError;
use super::command::{Command, Order, Reply};
use super::error::StoreError;
use super::releases::Releases;
use super::room::Room;
use super::store::{Done, Store, Work};
use super::window::Windows;
use crate::observe::Observe;
use jiff::Timestamp;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use waiting::{Waiting, answer_all, refuse_growth};

/// Events that are released in one transaction: who asks for something meanwhile waits for so many.
const RELEASE: usize = 128;
/// How often what's old is swept out, and figures are told.
const SWEEP: Duration = Duration::from_secs(5);
/// How often it's looked whether a full store has room again.
const LOOK: Duration = Duration::from_secs(1);

/// The writer's thread.
pub(super) struct Writer {
    pub(super) store: Box<dyn Store>,
    pub(super) windows: Windows,
    pub(super) releases: Releases,
    pub(super) room: Room,
    pub(super) failed: watch::Sender<bool>,
    pub(super) observe: Observe,
}

/// The writer at work.
struct Run {
    writer: Writer,
    waiting: Waiting,
    next_due: Option<Timestamp>,
    swept: Instant,
    looked: Instant,
}

impl Writer {
    /// Until every sender is gone, or the store can't be trusted any more.
    pub(super) fn run(self, commands: &Receiver<Command>) {
        let now = Instant::now();
        let mut run = Run { writer: self, waiting: Waiting::default(), next_due: None, swept: now, looked: now };
        match run.work(commands) {
            // What is in the log goes into the database, so that a copy of one file is a copy of all.
            Ok(()) => drop(run.writer.store.compact()),
            Err(error) => run.fail(&error, commands),
        }
    }
}

impl Run {
    fn work(&mut self, commands: &Receiver<Command>) -> Result<(), StoreError> {
        self.next_due = self.writer.store.next_due()?;
        self.look()?;
        self.tell()?;
        while !self.waiting.closed {
            self.waiting.gather(commands, self.patience())?;
            self.transact()?;
            if self.writer.room.is_full() && self.looked.elapsed() >= LOOK {
                self.look()?;
            }
            if self.swept.elapsed() >= SWEEP {
                self.sweep()?;
            }
        }
        self.transact()
    }

    /// How long there's nothing to do.
    fn patience(&self) -> Duration {
        let mut patience = SWEEP.saturating_sub(self.swept.elapsed()).min(self.waiting.patience());
        if self.writer.room.is_full() {
            return patience.min(LOOK.saturating_sub(self.looked.elapsed()));
        }
        if let Some(due) = self.next_due {
            patience = patience.min(Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default());
        }
        patience
    }

    /// What waits, in one transaction, if it's time for one.
    fn transact(&mut self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let full = self.writer.room.is_full();
        let mut orders = std::mem::take(&mut self.waiting.orders);
        if full {
            orders = refuse_growth(orders);
        }
        let due = !full && self.next_due.is_some_and(|due| due <= now);
        if orders.is_empty() && !due && !self.waiting.lingered_enough() {
            return Ok(());
        }
        let work = Work {
            now,
            settlements: &self.waiting.settlements,
            release: if due { RELEASE } else { 0 },
            orders: &orders.iter().map(|(order, _)| order).collect::<Vec<_>>(),
            releases: &self.writer.releases,
        };
        match self.writer.store.transact(&work) {
            Ok(done) => {
                self.waiting.settled(self.waiting.settlements.len());
                self.committed(done, orders)
            }
            Err(error @ StoreError::Full(_)) => {
                answer_all(orders, &OutboxError::Full);
                self.fill(&error, now)
            }
            Err(error) => {
                answer_all(orders, &OutboxError::from(&error));
                Err(error)
            }
        }
    }

    fn committed(&mut self, done: Done, orders: Vec<(Order, Reply)>) -> Result<(), StoreError> {
        done.released.iter().for_each(|owner| self.writer.releases.count(owner));
        self.writer.windows.push(&done.spilled, done.queued);
        for ((_, reply), outcome) in orders.into_iter().zip(done.outcomes) {
            // Who asked may have stopped waiting.
            drop(reply.send(Ok(outcome)));
        }
        if done.held {
            self.next_due = self.writer.store.next_due()?;
        }
        self.writer.room.used(done.used);
        Ok(())
    }

    /// There's no room: what settles gets the ballast's, so that what is in the store can leave it.
    fn fill(&mut self, reason: &StoreError, now: Timestamp) -> Result<(), StoreError> {
        self.writer.room.fill(&reason.to_string());
        self.looked = Instant::now();
        let all = self.waiting.settlements.len();
        // The log may be what fills the disk; a dead letter may find no room where a delivery that is done with makes some.
        if all == 0 || self.settle(all, now)? {
            return Ok(());
        }
        self.compact()?;
        let shrinking = self.waiting.delivered_first();
        let settled = self.settle(all, now)? || (shrinking > 0 && self.settle(shrinking, now)?);
        if !settled {
            tracing::warn!(settled = all, "no room even to settle: tried again soon");
        }
        Ok(())
    }

    /// The first `count` settlements alone; says whether there was room.
    fn settle(&mut self, count: usize, now: Timestamp) -> Result<bool, StoreError> {
        let settlements = &self.waiting.settlements[..count];
        let work = Work { now, settlements, release: 0, orders: &[], releases: &self.writer.releases };
        match self.writer.store.transact(&work) {
            Ok(_) => self.waiting.settled(count),
            Err(StoreError::Full(_)) => {
                self.waiting.stuck();
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        match self.writer.store.compact() {
            Ok(()) | Err(StoreError::Full(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether there's room, on the disk and in the quota.
    fn look(&mut self) -> Result<(), StoreError> {
        self.looked = Instant::now();
        if self.writer.room.is_full() {
            self.compact()?;
        }
        let used = self.writer.store.used()?;
        self.writer.room.look(used);
        Ok(())
    }

    fn sweep(&mut self) -> Result<(), StoreError> {
        self.swept = Instant::now();
        match self.writer.store.sweep(Timestamp::now()) {
            // The rest goes soon, and not in one long transaction.
            Ok(true) => self.swept = self.swept.checked_sub(SWEEP - LOOK).unwrap_or(self.swept),
            Ok(false) | Err(StoreError::Full(_)) => {}
            Err(error) => return Err(error),
        }
        self.look()?;
        self.tell()
    }

    fn tell(&mut self) -> Result<(), StoreError> {
        let figures = self.writer.store.figures(Timestamp::now())?;
        let (used, quota) = self.writer.room.figures();
        self.writer.observe.store(figures.held, used, quota);
        for (sink, depth) in figures.queues {
            self.writer.observe.queue(&sink, depth);
        }
        Ok(())
    }

    /// The store can't be trusted any more: nobody is told that anything was committed from now on.
    fn fail(self, error: &StoreError, commands: &Receiver<Command>) {
        tracing::error!(%error, "the store failed");
        let Self { writer: Writer { store, room, failed, observe, .. }, waiting, .. } = self;
        if matches!(error, StoreError::Damaged(_)) {
            room.leave_mark();
        }
        observe.set_ready(false);
        failed.send_replace(true);
        let reason = OutboxError::from(error);
        answer_all(waiting.orders, &reason);
        drop(store);
        while let Ok(command) = commands.recv() {
            if let Command::Ask(_, reply) = command {
                drop(reply.send(Err(reason.clone())));
            }
        }
    }
}
