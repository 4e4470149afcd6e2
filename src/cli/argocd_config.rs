//! `argocd-config`: what Argo CD's notifications controller must be told so that this proxy learns what it needs.

use super::{Failed, print};
use crate::argocd::setup::{Credentials, Instance, Options, Style, manifest};
use crate::config::{self, Auth, Flags, Settings};
use crate::mapping;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `argocd-config`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  argocd-cdevents argocd-config --url http://argocd-cdevents.argocd:8080 \\\n    --argocd-url https://argocd.example.com | kubectl apply -n argocd -f -"
)]
pub(super) struct ArgocdConfig {
    /// Configuration file: one document is printed for each of its sources of kind `argocd`
    #[arg(long, value_name = "FILE", env = "ARGOCD_CDEVENTS_CONFIG")]
    config: Option<PathBuf>,
    /// Base URL at which Argo CD reaches this proxy
    #[arg(long, value_name = "URL", default_value = "http://argocd-cdevents.argocd.svc:8080")]
    url: reqwest::Url,
    /// URL of Argo CD itself: becomes `context.argocdUrl`, and with it the events' source and links
    #[arg(long, value_name = "URL")]
    argocd_url: Option<reqwest::Url>,
    /// A `ConfigMap`, or values for the Helm chart argo-cd
    #[arg(long, value_enum, default_value_t)]
    style: Style,
    /// Leave out the second looks: fewer notifications, but what was missed stays missed
    #[arg(long)]
    once: bool,
}

/// Parameters of mappings that need the trigger for the sync status.
const SYNC_STATUS: [&str; 2] = ["syncStatusIncidents", "outOfSync"];

pub(super) fn run(args: &ArgocdConfig) -> Result<ExitCode, Failed> {
    let settings = config::load(args.config.as_deref(), std::env::vars(), &Flags::default())?;
    let mappings = mapping::load(&settings.mapping_refs(), settings.templates.as_deref())
        .map_err(|faults| Failed::message(super::rendered(&faults)))?;
    let options = Options {
        argocd_url: args.argocd_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
        style: args.style,
        once: args.once,
        sync_status: SYNC_STATUS.iter().any(|parameter| mappings.wants(parameter)),
    };
    let documents: Vec<String> = instances(&settings, &args.url).iter().map(|one| manifest(one, &options)).collect();
    if documents.is_empty() {
        return Err(Failed::message("no source of kind `argocd` is configured: add one under `sources`"));
    }
    print(&documents.join("---\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn instances(settings: &Settings, base: &reqwest::Url) -> Vec<Instance> {
    let argocd = settings.sources.iter().filter(|source| source.kind == config::written::SourceKind::Argocd);
    argocd
        .map(|source| {
            let path = match &source.path {
                Some(path) => path.clone(),
                None if settings.sources.len() == 1 => "/webhook".to_owned(),
                None => format!("/webhook/{}", source.name),
            };
            let credentials = match &source.auth {
                Auth::None => Credentials::None,
                Auth::Bearer(_) => Credentials::Bearer,
                Auth::Basic { username, .. } => Credentials::Basic { username: username.clone() },
            };
            let url = format!("{}{path}", base.as_str().trim_end_matches('/'));
            Instance { name: source.name.clone(), url, credentials }
        })
        .collect()
}
