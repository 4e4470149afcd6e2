//! Who may come in, decided in a time that doesn't tell how close a wrong secret was.

use super::Refusal;
use crate::config::Auth;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Lets a request through that shows one of the source's credentials.
pub(super) fn check(auth: &Auth, headers: &HeaderMap) -> Result<(), Refusal> {
    let offered = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes).unwrap_or_default();
    let allowed = match auth {
        Auth::None => true,
        Auth::Bearer(tokens) => after(offered, b"bearer ").is_some_and(|token| any(tokens, token)),
        Auth::Basic { username, passwords } => after(offered, b"basic ").is_some_and(|text| {
            let Ok(pair) = STANDARD.decode(text) else { return false };
            let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return false };
            let known = &pair[..colon] == username.as_bytes();
            any(passwords, &pair[colon + 1..]) && known
        }),
    };
    if allowed { Ok(()) } else { Err(Refusal::Unauthorized) }
}

/// Whether a header carries credentials and is kept from rules, logs and dead letters.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "cookie"].contains(&name.as_str())
        || ["token", "secret", "password", "api-key", "apikey", "signature", "credential"]
            .iter()
            .any(|part| name.contains(part))
        || name.starts_with("proxy-auth")
}

/// Every secret is compared, so that the time doesn't tell which one fitted.
fn any(secrets: &[std::sync::Arc<crate::secret::Secret>], offered: &[u8]) -> bool {
    secrets.iter().fold(false, |found, secret| secret.matches(offered) | found)
}

fn after<'a>(offered: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = offered.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}
