//! `check`: every fault in the configuration, mappings and templates.

use super::{FOUND_FAULTS, Failed, complain, print, rendered};
use crate::cdevents::CustomSchemas;
use crate::config::{self, Flags, Settings};
use crate::mapping::{self, MappingRef};
use crate::route::Routes;
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  argocd-cdevents check --config config.yaml\n  argocd-cdevents check mappings/\n\n\
Exits 1 when there is any fault. Secrets that the configuration refers to must be there."
)]
pub(super) struct Check {
    /// Configuration file, with the mappings and templates that it names
    #[arg(long, value_name = "FILE", env = "ARGOCD_CDEVENTS_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of partials for the mappings that are given
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Mapping files, or directories of them
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(args: &Check) -> Result<ExitCode, Failed> {
    let mut faults = Vec::new();
    let mut checked = 0;
    if args.config.is_some() || args.paths.is_empty() {
        match config::load(args.config.as_deref(), std::env::vars(), &Flags::default()) {
            Ok(settings) => checked += configured(&settings, &mut faults),
            Err(config::Faults(found)) => faults.extend(found.iter().map(ToString::to_string)),
        }
    }
    if !args.paths.is_empty() {
        let refs: Vec<_> =
            args.paths.iter().map(|path| MappingRef::Path { path: path.clone(), with: Value::Null }).collect();
        match mapping::load(&refs, args.templates.as_deref()) {
            Ok(mappings) => checked += mappings.rules().len(),
            Err(found) => faults.extend(split(&found)),
        }
    }
    faults.iter().for_each(|fault| complain(fault.trim_start_matches("error: ")));
    if faults.is_empty() {
        print(&format!("no fault in {checked} rule(s)\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    complain(&format!("{} fault(s)", faults.len()));
    Ok(ExitCode::from(FOUND_FAULTS))
}

/// Everything that a configuration leads to; the number of its rules.
fn configured(settings: &Settings, faults: &mut Vec<String>) -> usize {
    if let Err(found) = Routes::compile(&settings.sinks) {
        faults.extend(found.0);
    }
    if let Err(found) = CustomSchemas::load(settings.schemas.iter().map(|(kind, path)| (kind.as_str(), path.as_path())))
    {
        faults.extend(found.iter().map(ToString::to_string));
    }
    match mapping::load(&settings.mapping_refs(), settings.templates.as_deref()) {
        Ok(mappings) => mappings.rules().len(),
        Err(found) => {
            faults.extend(split(&found));
            0
        }
    }
}

/// One text for each fault.
fn split(faults: &mapping::Faults) -> Vec<String> {
    faults.0.iter().map(|fault| rendered(&mapping::Faults(vec![fault.clone()]))).collect()
}
