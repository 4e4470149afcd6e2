//! The one table from what happened to status and body. Bodies are short, and say what to do: Argo CD writes them into
//! its log.

use super::Taken;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What the sender is told.
#[derive(Debug)]
pub enum Answer {
    /// What came of the notification is on disk.
    Taken(Taken),
    /// It wasn't taken.
    Refused(Refusal),
}

/// Why a request wasn't taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body isn't JSON.
    #[error("{problem}")]
    NotJson {
        /// What and where.
        problem: String,
        /// Under which id it's kept.
        dead_letter: Option<String>,
    },
    /// No or wrong credentials.
    #[error(
        "no or wrong credentials: send the source's `Authorization` header (in argocd-notifications: `headers` of the service)"
    )]
    Unauthorized,
    /// No source has this path.
    #[error("no source is served at {path}: POST to /webhook, /webhook/<source> or a source's own `path`")]
    NoSuchSource {
        /// What was asked for.
        path: String,
    },
    /// Argo CD's default is GET.
    #[error("{used} isn't POST: set `method: POST` in the template's `webhook` part, under this service's name")]
    Method {
        /// What was used.
        used: Method,
    },
    /// The body is over the limit.
    #[error("the body is over {limit} bytes: raise `limits.body`, or send less in the template")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// A compressed body.
    #[error("content encodings aren't supported: send the body as it is")]
    Encoding,
    /// Not to be trusted to mean one body.
    #[error("{problem}")]
    Framing {
        /// What is wrong.
        problem: &'static str,
    },
    /// The body didn't arrive in time.
    #[error("the body didn't arrive within 10 s")]
    BodyTimeout,
    /// Too much is under way.
    #[error("too many requests are under way: try again")]
    Busy,
    /// The commit takes too long; it may still happen, and is known again then.
    #[error("the store takes too long: try again")]
    Slow,
    /// The store can't commit.
    #[error("the store can't take it: {problem}")]
    Store {
        /// What and what to do.
        problem: String,
    },
    /// A fault of ours.
    #[error("internal error, see the log: try again")]
    Internal,
}

impl Answer {
    /// A word of a fixed set, for metrics.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Taken(taken) if taken.dead_letter.is_some() => "dead_letter",
            Self::Taken(taken) if taken.events + taken.held > 0 => "accepted",
            Self::Taken(_) => "nothing",
            Self::Refused(refusal) => refusal.outcome(),
        }
    }
}

impl Refusal {
    fn outcome(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "not_json",
            Self::Unauthorized => "unauthorized",
            Self::NoSuchSource { .. } => "no_such_source",
            Self::Method { .. } => "method",
            Self::TooLarge { .. } => "too_large",
            Self::Encoding => "encoding",
            Self::Framing { .. } => "framing",
            Self::BodyTimeout => "body_timeout",
            Self::Busy => "busy",
            Self::Slow => "slow",
            Self::Store { .. } => "store",
            Self::Internal => "internal",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotJson { .. } | Self::Framing { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NoSuchSource { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Slow | Self::Store { .. } | Self::Internal => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the status demands, and an end to connections whose next bytes can't be trusted.
    fn headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        match self {
            Self::Method { .. } => drop(headers.insert(header::ALLOW, HeaderValue::from_static("POST"))),
            Self::Unauthorized => {
                drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, Basic")));
            }
            Self::TooLarge { .. } | Self::Framing { .. } | Self::BodyTimeout => {
                drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close")));
            }
            _ => {}
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            // Never more: Argo CD obeys it without a cap.
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.to_string()});
        if let Self::NotJson { dead_letter: Some(id), .. } = &self {
            body["deadLetter"] = id.as_str().into();
        }
        let mut response = (self.status(), axum_json(&body)).into_response();
        self.headers(&mut response);
        response
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::Taken(taken) => (StatusCode::ACCEPTED, axum_json(&taken.to_json())).into_response(),
        }
    }
}

fn axum_json(body: &serde_json::Value) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}
