//! What the commands that look into a store have in common: they ask the server that runs on it, or open it themselves.

use super::Failed;
use crate::config::{self, Flags};
use crate::observe::Observe;
use crate::serve::{Operation, Operator, Reload, SOCKET, offline};
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Which store.
#[derive(Debug, Args)]
pub(super) struct Store {
    /// Configuration file, as `serve` has it
    #[arg(long, value_name = "FILE", env = "ARGOCD_CDEVENTS_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of the store
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// Asks for `operation`.
pub(super) fn ask(store: &Store, operation: Operation) -> Result<Value, Failed> {
    let flags = Flags { data: store.data.clone(), ..Flags::default() };
    let settings = config::load(store.config.as_deref(), std::env::vars(), &flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = settings.data.join(SOCKET);
        if let Ok(stream) = UnixStream::connect(&socket).await {
            return remote(stream, &operation).await;
        }
        if !settings.data.join("outbox.sqlite").exists() {
            let message =
                format!("there is no store in {}: say where it is with --data or --config", settings.data.display());
            return Err(Failed::message(message));
        }
        local(Reload { config: store.config.clone(), flags }, &settings.data, operation).await
    })
}

async fn remote(stream: UnixStream, operation: &Operation) -> Result<Value, Failed> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = Full::new(bytes::Bytes::from(serde_json::to_vec(operation)?));
    let request = http::Request::post("/").header(http::header::HOST, "admin").body(body)?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await?.to_bytes();
    if status.is_success() {
        Ok(serde_json::from_slice(&bytes)?)
    } else {
        Err(Failed::message(String::from_utf8_lossy(&bytes)))
    }
}

async fn local(reload: Reload, data: &Path, operation: Operation) -> Result<Value, Failed> {
    let (outbox, intake) = offline(&reload, data, Observe::default())?;
    let result = Operator::new(outbox.clone(), intake).carry_out(operation).await;
    outbox.close().await;
    result.map_err(Failed::message)
}

/// A table of columns that are as wide as their widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(body).collect()
}
