//! The operators' door: a Unix socket in the store's directory, for the commands that look into a store while a server runs on it.

use super::operate::{Operation, Operator};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::watch;

/// Its name in the store's directory.
pub const SOCKET: &str = "admin.sock";

/// Listens in `directory`; a socket that a server left behind is replaced, because the store's lock says that none runs.
///
/// # Errors
///
/// When the socket can't be made.
pub(super) fn bind(directory: &Path) -> std::io::Result<UnixListener> {
    let path = directory.join(SOCKET);
    drop(std::fs::remove_file(&path));
    let listener = UnixListener::bind(&path)?;
    // The directory is only ours already; the socket says so, too.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves operators until `stop` says so.
pub(super) async fn serve(listener: UnixListener, operator: Operator, mut stop: watch::Receiver<bool>) {
    let router = Router::new().route("/", post(operate)).with_state(Arc::new(operator));
    loop {
        let accepted = tokio::select! {
            _ = stop.changed() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }
}

async fn operate(State(operator): State<Arc<Operator>>, body: Bytes) -> Response {
    let operation: Operation = match serde_json::from_slice(&body) {
        Ok(operation) => operation,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    match operator.carry_out(operation).await {
        Ok(result) => (StatusCode::OK, result.to_string()).into_response(),
        Err(problem) => (StatusCode::CONFLICT, problem).into_response(),
    }
}
