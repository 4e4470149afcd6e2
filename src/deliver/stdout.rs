//! Events as lines of JSON on standard output.

use super::retry::Outcome;
use std::io::Write;
use std::sync::Arc;

/// Prints one document, in a thread that may wait: a reader that doesn't read mustn't hold other sinks up. One that went away is
/// tried again, like any sink.
pub(super) async fn print(document: Arc<str>) -> Outcome {
    match tokio::task::spawn_blocking(move || write(&document)).await {
        Ok(Ok(())) => Outcome::Answered { status: 200, retry_after: None, body: String::new() },
        Ok(Err(error)) => Outcome::Unanswered(format!("standard output can't be written: {error}")),
        Err(error) => Outcome::Unanswered(format!("printing broke off: {error}")),
    }
}

fn write(document: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(document.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
