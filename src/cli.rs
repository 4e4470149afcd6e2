//! The command line: arguments, printing and exit codes. Each command is arguments → one library call → output.
//!
//! Exit codes: 0 fine, 1 found faults, 2 could not run.

mod argocd_config;
mod check;
mod dead_letters;
mod deliveries;
mod schema;
mod serve;
mod store;
mod test;
mod translate;
mod validate;

use clap::{CommandFactory, Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit code of a command that found faults in what it was given.
pub const FOUND_FAULTS: u8 = 1;
/// Exit code of a command that could not run.
const COULD_NOT_RUN: u8 = 2;

/// Turns Argo CD's notifications into CDEvents and delivers them, durably.
#[derive(Debug, Parser)]
#[command(name = "argocd-cdevents", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Try it: `argocd-cdevents serve`, then POST an Argo CD notification to http://127.0.0.1:8080/webhook."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy: webhooks in, CDEvents out
    Serve(serve::Serve),
    /// Translate notifications from files or standard input, and explain why
    Translate(translate::Translate),
    /// Tell every fault in the configuration, mappings and templates
    Check(check::Check),
    /// Run mapping tests
    Test(test::Test),
    /// Check CDEvents, one JSON document a line, against the specification
    Validate(validate::Validate),
    /// Print the argocd-notifications configuration that sends this proxy what it needs
    ArgocdConfig(argocd_config::ArgocdConfig),
    /// What couldn't be translated or delivered: list, show, replay, purge
    DeadLetters(dead_letters::DeadLetters),
    /// What waits for which sink, and what is held
    Deliveries(deliveries::Deliveries),
    /// Print JSON Schemas of mapping, test and configuration files, for editors
    Schema(schema::Schema),
    /// Print shell completions
    #[command(after_help = "Example:\n  argocd-cdevents completions bash > /etc/bash_completion.d/argocd-cdevents")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Why a command could not run; what to do is in its text.
#[derive(Debug)]
pub(crate) struct Failed(String);

impl Failed {
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs the program on the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::DeadLetters(args) => dead_letters::run(args),
        Command::Deliveries(args) => deliveries::run(args),
        Command::Schema(args) => schema::run(&args),
        Command::ArgocdConfig(args) => argocd_config::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "argocd-cdevents", &mut script);
            print(&String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|failed| {
        complain(&failed.0);
        ExitCode::from(COULD_NOT_RUN)
    })
}

/// Every fault with a pointer into the text, in colour where that's seen.
pub(crate) fn rendered(faults: &crate::mapping::Faults) -> String {
    use std::io::IsTerminal;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let all: Vec<String> = faults.0.iter().map(|fault| fault.render(colour)).collect();
    all.join("\n\n")
}

/// Writes to stdout; a reader that went away (`| head`) is no fault.
pub(crate) fn print(text: &str) -> Result<(), Failed> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a message to stderr.
pub(crate) fn complain(text: &str) {
    drop(writeln!(io::stderr(), "error: {text}"));
}
