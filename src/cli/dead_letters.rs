//! `dead-letters`: what couldn't be translated or delivered.

use super::store::{Store, ask, table};
use super::{FOUND_FAULTS, Failed, complain, print};
use crate::outbox::DeadLetter;
use crate::serve::Operation;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;

/// Arguments of `dead-letters`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  argocd-cdevents dead-letters list --data /var/lib/argocd-cdevents\n  argocd-cdevents dead-letters replay --all"
)]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List them
    List {
        #[command(flatten)]
        store: Store,
    },
    /// Show one with its body, which `translate` reads
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        store: Store,
    },
    /// Translate or queue them again; one that fails again stays
    Replay {
        /// Their ids
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        store: Store,
    },
    /// Forget them
    Purge {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        store: Store,
    },
}

pub(super) fn run(args: DeadLetters) -> Result<ExitCode, Failed> {
    match args.what {
        What::List { store } => {
            let result = ask(&store, Operation::ListDeadLetters)?;
            print(&if store.json { format!("{result}\n") } else { list(&result)? })?;
        }
        What::Show { id, store } => print(&format!("{:#}\n", ask(&store, Operation::ShowDeadLetter { id })?))?,
        What::Replay { ids, all: _, store } => {
            let result = ask(&store, Operation::ReplayDeadLetters { ids })?;
            let failed = result["failed"].as_array().cloned().unwrap_or_default();
            print(&if store.json { format!("{result}\n") } else { format!("{} replayed\n", result["replayed"]) })?;
            for one in &failed {
                complain(&format!(
                    "{}: {}",
                    one["id"].as_str().unwrap_or_default(),
                    one["error"].as_str().unwrap_or_default()
                ));
            }
            return Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND_FAULTS) });
        }
        What::Purge { ids, store } => {
            let result = ask(&store, Operation::PurgeDeadLetters { ids })?;
            print(&if store.json { format!("{result}\n") } else { format!("{} purged\n", result["purged"]) })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(result: &Value) -> Result<String, Failed> {
    let letters: Vec<DeadLetter> = serde_json::from_value(result.clone())?;
    let rows: Vec<Vec<String>> = letters
        .into_iter()
        .map(|letter| {
            let reason: String = letter.reason.chars().take(100).collect();
            vec![letter.id, letter.at.to_string(), letter.place, letter.event.unwrap_or("notification".into()), reason]
        })
        .collect();
    Ok(table(&["ID", "SINCE", "SOURCE/SINK", "WHAT", "REASON"], &rows))
}
