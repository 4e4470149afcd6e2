//! Conditions that were written in Argo CD's own trigger language (`expr`), said in CEL: for the message only.

/// Signs of `expr` that CEL doesn't have, and what CEL has instead.
pub const SAID_IN_CEL: [(&str, &str); 7] = [
    (" and ", " && "),
    (" or ", " || "),
    ("not ", "!"),
    ("nil", "null"),
    ("?.", ".?"),
    ("??", ".orValue(…)"),
    (" matches ", ".matches(…)"),
];

/// `source` with every sign of `expr` replaced, or nothing when it has none. Text in quotes stays as it is.
pub(super) fn in_cel(source: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = source;
    let mut quote = None;
    while let Some(c) = rest.chars().next() {
        if quote.is_none()
            && let Some((sign, cel)) =
                SAID_IN_CEL.iter().find(|(sign, _)| rest.starts_with(sign) && stands_alone(&out, rest, sign))
        {
            out.push_str(cel);
            rest = &rest[sign.len()..];
            continue;
        }
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    (out != source).then_some(out)
}

/// A word isn't part of a longer one.
fn stands_alone(before: &str, rest: &str, sign: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let letters = sign.trim().chars().all(char::is_alphabetic);
    let after = rest[sign.len()..].chars().next();
    !letters || ((sign.starts_with(' ') || !word(before.chars().last())) && (sign.ends_with(' ') || !word(after)))
}

#[cfg(test)]
mod tests {
    use super::in_cel;

    #[test]
    fn what_argo_writes_is_said_in_cel() {
        let argo =
            "app.status?.operationState?.phase in ['Running'] and not (app.x == nil or app.y == 'this and that')";
        let cel = "app.status.?operationState.?phase in ['Running'] && !(app.x == null || app.y == 'this and that')";
        assert_eq!(in_cel(argo).as_deref(), Some(cel));
        assert_eq!(in_cel("argo.operation.key == 'notify'"), None);
    }
}
