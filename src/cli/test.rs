//! `test`: mapping tests.

use super::{FOUND_FAULTS, Failed, complain, print};
use crate::cases::{self, Coverage, Outcome};
use clap::Args;
use regex::Regex;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `test`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  argocd-cdevents test mappings/\n  argocd-cdevents test mappings/argocd.test.yaml --run 'rollback|helm' --coverage\n\n\
Directories are searched for *.test.yaml. Exits 1 when a case fails, when nothing ran, and with --coverage when something was never\n\
exercised."
)]
pub(super) struct Test {
    /// Test files, or directories of them
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Only cases whose name this regular expression finds
    #[arg(long, value_name = "REGEX")]
    run: Option<Regex>,
    /// Write what really came in place of expectations that differ
    #[arg(long)]
    update: bool,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Say which rules, and which fields of their events, no case has ever exercised
    #[arg(long)]
    coverage: bool,
}

pub(super) fn run(args: &Test) -> Result<ExitCode, Failed> {
    let mut coverage = Coverage::default();
    let mut outcomes = Vec::new();
    let mut broken = false;
    for file in cases::find(&args.paths)? {
        match cases::run(&file, args.run.as_ref(), &mut coverage) {
            Ok(found) => {
                if args.update {
                    update(&file, &found)?;
                }
                outcomes.extend(found);
            }
            Err(fault) => {
                broken = true;
                complain(&fault.to_string());
            }
        }
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, cases::junit(&outcomes))
            .map_err(|e| Failed::message(format!("{}: {e}", path.display())))?;
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    print(&summary(&outcomes, failed))?;
    let mut uncovered = false;
    if args.coverage {
        print(&coverage.to_string())?;
        uncovered = coverage.percent() < 100;
    }
    if outcomes.is_empty() {
        complain("no case ran: check the paths and --run");
    }
    let bad = broken || failed > 0 || outcomes.is_empty() || uncovered;
    Ok(if bad { ExitCode::from(FOUND_FAULTS) } else { ExitCode::SUCCESS })
}

fn update(file: &PathBuf, outcomes: &[Outcome]) -> Result<(), Failed> {
    let failed = |e: std::io::Error| Failed::message(format!("{}: {e}", file.display()));
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let (updated, count) = cases::update(&text, outcomes);
    if count > 0 {
        std::fs::write(file, updated).map_err(failed)?;
        print(&format!("{}: {count} expectation(s) rewritten\n", file.display()))?;
    }
    Ok(())
}

fn summary(outcomes: &[Outcome], failed: usize) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        let word = if outcome.failures.is_empty() { "ok    " } else { "FAILED" };
        let _ = writeln!(out, "{word} {}: {}", outcome.file.display(), outcome.case);
        for failing in &outcome.failures {
            let _ = writeln!(
                out,
                "  step {} ({}), {}:{}",
                failing.step,
                failing.what,
                outcome.file.display(),
                failing.line
            );
            for line in failing.problem.to_string().lines() {
                let _ = writeln!(out, "    {}", coloured(line));
            }
        }
    }
    let _ = writeln!(out, "{} passed, {failed} failed", outcomes.len() - failed);
    out
}

/// Differences in red and green, where that's seen.
fn coloured(line: &str) -> String {
    use std::io::IsTerminal;
    let seen = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match line.trim_start().chars().next() {
        Some('-') if seen => format!("\u{1b}[31m{line}\u{1b}[0m"),
        Some('+') if seen => format!("\u{1b}[32m{line}\u{1b}[0m"),
        _ => line.to_owned(),
    }
}
