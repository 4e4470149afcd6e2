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
use tokio::time::{Instant, sleep, timeout};

/// Time for a request's head; an idle connection is closed after it, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at a time; more wait in the system's backlog.
const CONNECTIONS: usize = 4096;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// How long the proxy goes on when it stops: new connections are taken until it's quiet, kept ones are closed by their next answer.
const LINGER: Duration = Duration::from_secs(1);
/// Time without a new connection that counts as quiet.
const QUIET: Duration = Duration::from_millis(50);
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
    // Who connects meanwhile is served, too: closing the listener resets those who aren't accepted yet.
    let end = Instant::now() + LINGER;
    while Instant::now() < end
        && let Ok(next) = timeout(QUIET, accept(&listener, &room)).await
    {
        if let Some((stream, permit)) = next {
            connections.spawn(connection(stream, router.clone(), stopped.clone(), permit));
        }
    }
    for (stream, permit) in rest(listener, &room) {
        connections.spawn(connection(stream, router.clone(), stopped.clone(), permit));
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
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
            sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// Who is connected and wasn't accepted.
fn rest(listener: TcpListener, room: &Arc<Semaphore>) -> Vec<(TcpStream, OwnedSemaphorePermit)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accept = || {
        let (stream, _) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, Arc::clone(room).try_acquire_owned().ok()?))
    };
    std::iter::from_fn(accept).collect()
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>, permit: OwnedSemaphorePermit) {
    let _permit = permit;
    // Answers are one small write: waiting for more only costs time.
    drop(stream.set_nodelay(true));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES).pipeline_flush(true);
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    let over = async {
        told(&mut stop).await;
        sleep(LINGER).await;
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = over => {
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
