//! Mappings and filters are read again when their files change. A ConfigMap changes by swapping a link, which a watch on the
//! file would miss: so the content is looked at, every few seconds.

use super::{ServeError, engine};
use crate::config::written::MappingWritten;
use crate::config::{self, Faults, Flags, Settings};
use crate::observe::Observe;
use crate::receive::Intake;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Where the settings come from, so that they can be read again.
#[derive(Debug, Clone, Default)]
pub struct Reload {
    /// `--config`
    pub config: Option<PathBuf>,
    /// The other flags.
    pub flags: Flags,
}

impl Reload {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// Every fault in them.
    pub fn settings(&self) -> Result<Settings, Faults> {
        config::load(self.config.as_deref(), std::env::vars(), &self.flags)
    }

    /// Exchanges the intake's engine whenever files changed and are good; never returns.
    pub(super) async fn watch(self, started_with: Watched, intake: Arc<Intake>, observe: Observe) {
        let mut watched = started_with;
        loop {
            tokio::time::sleep(EVERY).await;
            let content = watched.content();
            if content == watched.known {
                continue;
            }
            watched.known = content;
            match self.again(&mut watched) {
                Ok(engine) => {
                    intake.exchange(engine);
                    observe.reloaded(None);
                }
                Err(faults) => observe.reloaded(Some(&faults)),
            }
        }
    }

    fn again(&self, watched: &mut Watched) -> Result<crate::receive::Engine, String> {
        let settings = self.settings().map_err(|faults| faults.to_string())?;
        if sink_names(&settings) != watched.sinks {
            return Err("sinks were added or removed: that needs a restart".to_owned());
        }
        let engine = engine(&settings).map_err(|error: ServeError| error.to_string())?;
        *watched = Watched { known: watched.known, ..Watched::new(self, &settings) };
        watched.known = watched.content();
        Ok(engine)
    }
}

/// The files that make an engine, and what was in them.
#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    sinks: Vec<Arc<str>>,
    known: u64,
}

impl Watched {
    pub(super) fn new(reload: &Reload, settings: &Settings) -> Self {
        let mappings = settings.mappings.iter().filter_map(|mapping| match mapping {
            MappingWritten::Path { path, .. } => Some(path.clone()),
            MappingWritten::Builtin { .. } => None,
        });
        let templates = settings.templates.iter().cloned();
        let schemas = settings.schemas.values().cloned();
        let paths = mappings.chain(templates).chain(schemas).chain(reload.config.clone()).collect();
        let mut watched = Self { paths, sinks: sink_names(settings), known: 0 };
        watched.known = watched.content();
        watched
    }

    /// A digest of the files' names and contents.
    fn content(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.paths.iter().for_each(|path| digest(path, &mut hasher));
        hasher.finish()
    }
}

fn sink_names(settings: &Settings) -> Vec<Arc<str>> {
    settings.sinks.iter().map(|sink| Arc::clone(&sink.name)).collect()
}

fn digest(path: &Path, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    if let Ok(entries) = std::fs::read_dir(path) {
        let mut inner: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        inner.sort();
        inner.iter().filter(|path| path.is_file()).for_each(|path| digest(path, hasher));
    } else if let Ok(bytes) = std::fs::read(path) {
        bytes.hash(hasher);
    }
}
