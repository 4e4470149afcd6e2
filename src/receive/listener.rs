//! Connections: an accept loop of our own, because a stock one keeps idle, dripping and half-sent ones open for ever.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// Time for a request's head; an idle connection is closed after it, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at a time; more wait in the system's backlog.
const CONNECTIONS: usize = 4096;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// Time for requests under way when the proxy stops.
const DRAIN: Duration = Duration::from_secs(8);

/// Serves `router` on `listener` until `stop` says so; then answers what is under way and returns.
pub async fn listen(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let stopped = stop.clone();
    loop {
        let next = tokio::select! {
            () = told(&mut stop) => break,
            next = accept(&listener, &room) => next,
        };
        if let Some((stream, permit)) = next {
            connections.spawn(connection(stream, router.clone(), stopped.clone(), permit));
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("connections that were still open are cut off");
    }
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection can't be accepted");
            // Out of file descriptors, mostly: the others must get time to end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>, permit: OwnedSemaphorePermit) {
    let _permit = permit;
    // Answers are one small write: waiting for more only costs time.
    drop(stream.set_nodelay(true));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES).pipeline_flush(true);
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = told(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Until `stop` is true, or nobody can say so any more.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}
