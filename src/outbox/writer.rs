//! The one writer: takes what waits, carries it out in one transaction, commits, and only then answers.

use super::ballast::Ballast;
use super::command::{Command, Settled, Settlement};
use super::window::Windows;
use super::write::{self, Done};
use super::{OutboxError, OutboxOptions, Receipt};
use crate::observe::Observe;
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Commands in one transaction.
const GROUP: usize = 1024;
/// Events that are released in one transaction.
const RELEASE: usize = 5000;
/// How often what's old is swept out, and figures are told.
const SWEEP: Duration = Duration::from_secs(5);

/// The writer's thread.
pub(super) struct Writer {
    connection: Connection,
    options: OutboxOptions,
    windows: Windows,
    ballast: Ballast,
    failed: watch::Sender<bool>,
    observe: Observe,
    /// When the next held event is due, as far as is known.
    next_due: Option<Timestamp>,
    /// No room for notifications.
    full: bool,
    swept: Instant,
}

/// Answers that wait for the commit.
enum Answer {
    Receipt(oneshot::Sender<Result<Receipt, OutboxError>>, Result<Receipt, OutboxError>),
    Count(oneshot::Sender<Result<usize, OutboxError>>, Result<usize, OutboxError>),
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        directory: &Path,
        options: OutboxOptions,
        windows: Windows,
        failed: watch::Sender<bool>,
        observe: Observe,
    ) -> Self {
        let ballast = Ballast::take(directory, options.quota);
        let next_due = write::next_due(&connection);
        Self { connection, options, windows, ballast, failed, observe, next_due, full: false, swept: Instant::now() }
    }

    /// Until every sender is gone, or a commit fails.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        self.look_around();
        loop {
            let mut group = Vec::new();
            match commands.recv_timeout(self.patience()) {
                Ok(command) => group.push(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            group.extend(commands.try_iter().take(GROUP - group.len()));
            if let Err(error) = self.group(group) {
                self.fail(&error, commands);
                return;
            }
        }
        // What is in the log goes into the database, so that a copy of one file is a copy of all.
        drop(self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
    }

    /// How long to wait for a command: until something held is due, or it's time to sweep.
    fn patience(&self) -> Duration {
        let sweep = SWEEP.saturating_sub(self.swept.elapsed());
        let due = self.next_due.map(|due| Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default());
        due.map_or(sweep, |due| due.min(sweep))
    }

    fn group(&mut self, group: Vec<Command>) -> Result<(), rusqlite::Error> {
        let now = Timestamp::now();
        let due = self.next_due.is_some_and(|due| due <= now);
        if !group.is_empty() || due {
            self.transaction(group, due, now)?;
        }
        if self.swept.elapsed() >= SWEEP {
            self.sweep(now)?;
        }
        Ok(())
    }

    /// One transaction. Where the disk is full, what settles is tried again with the ballast's room, and the rest is refused.
    fn transaction(&mut self, group: Vec<Command>, due: bool, now: Timestamp) -> Result<(), rusqlite::Error> {
        let (settlements, rest): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|command| matches!(command, Command::Settle(_)));
        let settlements: Vec<Settlement> = settlements
            .into_iter()
            .filter_map(|command| if let Command::Settle(settlement) = command { Some(settlement) } else { None })
            .collect();
        let mut answers = Vec::new();
        match self.attempt(&settlements, Some(&rest), due, now, &mut answers) {
            Ok(done) => {
                self.after(done);
                self.answer(rest, answers);
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.full = true;
                self.ballast.free();
                tracing::error!("the disk or the store's quota is full: notifications are refused, deliveries go on");
                refuse(rest, &OutboxError::Full);
                match self.attempt(&settlements, None, false, now, &mut Vec::new()) {
                    Ok(done) => self.after(done),
                    // What settled isn't known after a restart, and sent again then; now it's known in the sinks' loops.
                    Err(error) if is_full(&error) => {}
                    Err(error) => return Err(error),
                }
                Ok(())
            }
            Err(error) => {
                refuse(rest, &OutboxError::Failed(error.to_string()));
                Err(error)
            }
        }
    }

    fn attempt(
        &mut self,
        settlements: &[Settlement],
        commands: Option<&[Command]>,
        due: bool,
        now: Timestamp,
        answers: &mut Vec<Outcome>,
    ) -> Result<Done, rusqlite::Error> {
        let full = self.full;
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut done = Done::default();
        for settlement in settlements {
            write::settle(&transaction, settlement, self.options.delivered_for, now)?;
        }
        if due && !full {
            write::release(&transaction, now, RELEASE, &mut done)?;
        }
        for command in commands.unwrap_or_default() {
            answers.push(match command {
                Command::Commit { .. } if full => Outcome::Receipt(Err(OutboxError::Full)),
                Command::Commit { accepted, .. } => {
                    Outcome::Receipt(Ok(write::commit(&transaction, accepted, now, &mut done)?))
                }
                Command::Replay { ids, .. } => Outcome::Count(write::replay(&transaction, ids, now, &mut done)?),
                Command::Purge { ids, .. } => Outcome::Count(write::purge(&transaction, ids)?),
                Command::Settle(_) => continue,
            });
        }
        transaction.commit()?;
        Ok(done)
    }

    fn after(&mut self, done: Done) {
        if done.held {
            self.next_due = write::next_due(&self.connection);
        }
        self.windows.push(done.queued);
    }

    fn answer(&mut self, commands: Vec<Command>, outcomes: Vec<Outcome>) {
        let answers = commands.into_iter().zip(outcomes).filter_map(|(command, outcome)| match (command, outcome) {
            (Command::Commit { reply, .. }, Outcome::Receipt(result)) => Some(Answer::Receipt(reply, result)),
            (Command::Replay { reply, .. } | Command::Purge { reply, .. }, Outcome::Count(result)) => {
                Some(Answer::Count(reply, result))
            }
            _ => None,
        });
        for answer in answers {
            // Who asked may have stopped waiting.
            match answer {
                Answer::Receipt(reply, result) => drop(reply.send(result)),
                Answer::Count(reply, result) => drop(reply.send(result)),
            }
        }
    }

    fn sweep(&mut self, now: Timestamp) -> Result<(), rusqlite::Error> {
        self.swept = Instant::now();
        match write::sweep(&self.connection, self.options, now) {
            Err(error) if !is_full(&error) => return Err(error),
            _ => self.look_around(),
        }
        Ok(())
    }

    /// Whether there is room, and figures for those who watch.
    fn look_around(&mut self) {
        let figures = write::figures(&self.connection).unwrap_or_default();
        let quota = self.options.quota.max(1);
        let was_full = self.full;
        self.full = figures.bytes > quota / 10 * 8;
        if !self.full {
            self.ballast.restore();
        }
        if was_full && !self.full {
            tracing::info!("the store has room again and takes notifications");
        }
        self.observe.store(figures.held, figures.bytes, quota);
        for (sink, depth) in figures.queues {
            self.observe.queue(&sink, depth);
        }
    }

    /// A commit failed in a way that can't be undone: nobody is told that anything was committed from now on.
    fn fail(self, error: &rusqlite::Error, commands: &Receiver<Command>) {
        tracing::error!(%error, "the store failed");
        self.observe.set_ready(false);
        self.failed.send_replace(true);
        let reason = OutboxError::Failed(error.to_string());
        while let Ok(command) = commands.recv() {
            refuse(vec![command], &reason);
        }
    }
}

/// What a command comes to if its transaction is committed.
enum Outcome {
    Receipt(Result<Receipt, OutboxError>),
    Count(Result<usize, OutboxError>),
}

fn refuse(commands: Vec<Command>, error: &OutboxError) {
    for command in commands {
        match command {
            Command::Commit { reply, .. } => drop(reply.send(Err(error.clone()))),
            Command::Replay { reply, .. } | Command::Purge { reply, .. } => drop(reply.send(Err(error.clone()))),
            Command::Settle(Settlement {
                settled: Settled::Delivered | Settled::Again { .. } | Settled::Dead { .. },
                ..
            }) => {}
        }
    }
}

/// The quota, or the disk.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
