//! `deliveries`: what waits for which sink, and what is held.

use super::store::{Store, ask, table};
use super::{Failed, print};
use crate::outbox::Waiting;
use crate::serve::Operation;
use clap::Args;
use std::process::ExitCode;

/// Arguments of `deliveries`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  argocd-cdevents deliveries\n  argocd-cdevents deliveries --sink cdviz --json\n\nAt most 1000 are listed, oldest first."
)]
pub(super) struct Deliveries {
    /// Only those of one sink
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    #[command(flatten)]
    store: Store,
}

pub(super) fn run(args: Deliveries) -> Result<ExitCode, Failed> {
    let result = ask(&args.store, Operation::Deliveries { sink: args.sink })?;
    if args.store.json {
        print(&format!("{result}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let waiting: Vec<Waiting> = serde_json::from_value(result)?;
    let rows: Vec<Vec<String>> = waiting
        .into_iter()
        .map(|one| {
            let time = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
            let next = one.held_until.map_or_else(|| time(one.next), |until| format!("held until {until}"));
            vec![
                one.sink.unwrap_or_default(),
                one.event,
                time(one.since),
                one.attempts.to_string(),
                next,
                one.error.unwrap_or_default(),
            ]
        })
        .collect();
    print(&table(&["SINK", "EVENT", "SINCE", "ATTEMPTS", "NEXT", "LAST ERROR"], &rows))?;
    Ok(ExitCode::SUCCESS)
}
