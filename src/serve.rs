//! The assembly of the proxy: settings → rooms → running, and back to a tidy end.
//!
//! Promises that a fault is told before anything listens, that mappings are exchanged only for good ones, and that the
//! process ends by itself when the store can't be trusted any more.

mod admin;
mod operate;
mod reload;

use crate::cdevents::{BadSchema, CustomSchemas};
use crate::config::{Faults, Settings};
use crate::deliver;
use crate::mapping;
use crate::observe::Observe;
use crate::outbox::{Outbox, OutboxError, OutboxOptions};
use crate::receive::{self, Door, Engine, Intake};
use crate::route::{RouteFaults, Routes};
pub use admin::SOCKET;
pub use operate::{Operation, Operator};
pub use reload::Reload;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Time for requests and deliveries under way when the proxy stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the proxy can't run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings have faults.
    #[error(transparent)]
    Settings(#[from] Faults),
    /// The mappings have faults.
    #[error("the mappings have faults:\n{0}")]
    Mappings(#[from] mapping::Faults),
    /// A sink's filter has faults.
    #[error(transparent)]
    Routes(#[from] RouteFaults),
    /// A JSON Schema of a custom event can't be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Schemas(Vec<BadSchema>),
    /// A sink can't be set up.
    #[error(transparent)]
    Sink(#[from] deliver::SinkError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] OutboxError),
    /// The store can't be trusted any more; the log says why.
    #[error("the store failed: the process ends, so that it's opened anew")]
    StoreFailed,
    /// The address can't be listened on.
    #[error("can't listen on {address} ({reason}): free the port, or choose another with `--listen`")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// The operating system's word.
        reason: std::io::Error,
    },
    /// The runtime can't start.
    #[error("can't start ({0})")]
    Runtime(#[from] std::io::Error),
}

/// Runs the proxy until it's told to stop (SIGTERM, SIGINT) or its store fails.
///
/// # Errors
///
/// [`ServeError`] for everything that shows before the first request, and when the store failed.
pub fn run(reload: Reload) -> Result<(), ServeError> {
    let settings = reload.settings()?;
    let engine = engine(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(proxy(settings, engine, reload));
    // A thread that still waits, for a reader of standard output or a name's address, isn't waited for.
    runtime.shutdown_background();
    ended
}

/// Compiles the mappings and the sinks' filters.
pub(crate) fn engine(settings: &Settings) -> Result<Engine, ServeError> {
    let mappings = mapping::load(&settings.mapping_refs(), settings.templates.as_deref())?;
    let routes = Routes::compile(&settings.sinks)?;
    let schemas = settings.schemas.iter().map(|(kind, path)| (kind.as_str(), path.as_path()));
    let schemas = CustomSchemas::load(schemas).map_err(ServeError::Schemas)?;
    let unread = mappings.unread();
    Ok(Engine { mappings, unread, routes, schemas })
}

async fn proxy(settings: Settings, engine: Engine, reload: Reload) -> Result<(), ServeError> {
    let observe = Observe::default();
    let listener = bind(settings.listen).await?;
    let outbox = Outbox::open(&settings.data, options(&settings), observe.clone())?;
    let (stop, stopped) = watch::channel(false);
    let watched = reload::Watched::new(&reload, &settings);
    let sinks = deliver::sinks(settings.sinks)?;
    let intake = Arc::new(Intake::new(engine, outbox.clone(), observe.clone()));
    let delivering = tokio::spawn(deliver::run(sinks, outbox.clone(), observe.clone(), stopped.clone()));
    tokio::spawn(reload.watch(watched, Arc::clone(&intake), observe.clone()));

    let operator = Operator::new(outbox.clone(), Arc::clone(&intake));
    let administering = tokio::spawn(admin::serve(admin::bind(&settings.data)?, operator, stopped.clone()));
    let address = listener.local_addr()?;
    let door = Arc::new(Door::new(settings.sources, settings.limits, intake, observe.clone()));
    let listening = tokio::spawn(receive::listen(listener, receive::routes(door), stopped));
    observe.set_ready(true);
    tracing::info!(%address, data = %settings.data.display(), "listening");

    let ended = until_the_end(&outbox).await;
    observe.set_ready(false);
    tracing::info!("stopping");
    let deadline = tokio::time::Instant::now() + DRAIN;
    stop.send_replace(true);
    // First the door, so that what it still accepts is committed before the store closes.
    drop(listening.await);
    drop(tokio::time::timeout_at(deadline, delivering).await);
    drop(administering.await);
    drop(std::fs::remove_file(settings.data.join(SOCKET)));
    outbox.close().await;
    tracing::info!("stopped");
    ended
}

/// A store that no server runs on, with what it takes to translate its dead letters again.
///
/// # Errors
///
/// [`ServeError`], also when another process has the store open.
pub fn offline(reload: &Reload, data: &Path, observe: Observe) -> Result<(Outbox, Arc<Intake>), ServeError> {
    let settings = reload.settings()?;
    let engine = engine(&settings)?;
    let outbox = Outbox::open(data, options(&settings), observe.clone())?;
    Ok((outbox.clone(), Arc::new(Intake::new(engine, outbox, observe))))
}

fn options(settings: &Settings) -> OutboxOptions {
    OutboxOptions {
        quota: settings.limits.store,
        seen_for: settings.retention.seen,
        delivered_for: settings.retention.delivered,
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|reason| ServeError::Listen { address, reason })
}

/// Until somebody says stop, or the store can't be trusted any more.
async fn until_the_end(outbox: &Outbox) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = outbox.failed() => Err(ServeError::StoreFailed),
    }
}
