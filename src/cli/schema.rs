//! `schema`: JSON Schemas of the files that people write, for editors.

use super::{Failed, print};
use crate::{cases, config, mapping};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::process::ExitCode;

/// Arguments of `schema`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  argocd-cdevents schema --of mapping > mapping.schema.json\n\n\
In an editor with the YAML language server, begin a mapping with:\n  # yaml-language-server: $schema=mapping.schema.json")]
pub(super) struct Schema {
    /// Which file
    #[arg(long, value_enum, default_value_t)]
    of: Of,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Of {
    /// All three, by name
    #[default]
    All,
    /// Mapping files
    Mapping,
    /// Test files of mappings
    Test,
    /// The configuration file
    Config,
}

pub(super) fn run(args: &Schema) -> Result<ExitCode, Failed> {
    let schema = match args.of {
        Of::Mapping => mapping::schema(),
        Of::Test => cases::schema(),
        Of::Config => config::schema(),
        Of::All => json!({"mapping": mapping::schema(), "test": cases::schema(), "config": config::schema()}),
    };
    print(&format!("{schema:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}
