//! Events as lines of JSON on standard output.

use super::retry::Outcome;
use std::io::Write;

/// Prints one document. A reader that went away is tried again, like any sink.
pub(super) fn print(document: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(document.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match printed {
        Ok(()) => Outcome::Answered { status: 200, retry_after: None, body: String::new() },
        Err(error) => Outcome::Unanswered(format!("standard output can't be written: {error}")),
    }
}
