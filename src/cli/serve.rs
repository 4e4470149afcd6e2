//! `serve`: the proxy, from the settings to the last answer.

use super::Failed;
use crate::config::Flags;
use crate::observe::{self, LogFormat};
use crate::serve::{self, Reload};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  argocd-cdevents serve\n  argocd-cdevents serve --config config.yaml --listen 0.0.0.0:8080\n\n\
Without a configuration it listens on 127.0.0.1:8080 with the built-in mapping, keeps its store in ./data and prints\n\
events as JSON lines on stdout. Every setting can be overridden by a variable, e.g. ARGOCD_CDEVENTS__LIMITS__BODY=1MiB.\n\
RUST_LOG filters the log on stderr (default: info)."
)]
pub(super) struct Serve {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE", env = "ARGOCD_CDEVENTS_CONFIG")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one and says which
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Mapping file or directory, instead of the configured ones; may be given several times
    #[arg(long = "mapping", value_name = "PATH")]
    mappings: Vec<PathBuf>,
    /// Directory of the store
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t, env = "ARGOCD_CDEVENTS_LOG_FORMAT")]
    log_format: LogFormat,
}

pub(super) fn run(args: &Serve) -> Result<ExitCode, Failed> {
    observe::log_to_stderr(args.log_format);
    let flags = Flags { listen: args.listen, mappings: args.mappings.clone(), data: args.data.clone() };
    let reload = Reload { config: args.config.clone(), flags };
    serve::run(reload)?;
    Ok(ExitCode::SUCCESS)
}
