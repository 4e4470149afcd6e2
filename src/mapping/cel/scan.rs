//! How deep an expression goes, told from its characters: the parser recurses, and what nests too deep must never reach it.
//!
//! Whatever makes the parsed expression deeper counts: brackets, and within them choices, operators, members and calls one
//! after another. Terms beside each other (`&&`, `||`, `,`) don't.

use super::NotCel;
use crate::mapping::limits::{BRACKETS, EXPRESSION, EXPRESSION_DEPTH};

/// What an expression may cost to parse.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    pub(super) brackets: usize,
    pub(super) depth: usize,
}

/// What is deep within one pair of brackets.
#[derive(Debug, Default, Clone, Copy)]
struct Level {
    choices: usize,
    /// Operators, members and calls since the last term began.
    chain: usize,
}

/// Measures an expression.
///
/// # Errors
///
/// What is too long, too deep or a text that doesn't end, with its place.
pub(super) fn scan(source: &str) -> Result<Scanned, NotCel> {
    if source.len() > EXPRESSION {
        return Err(fault(
            source,
            0,
            format!("an expression is at most {EXPRESSION} bytes long, and this has {}", source.len()),
        ));
    }
    let mut scan = Scan { source: source.as_bytes(), at: 0, levels: vec![Level::default()], found: Scanned::default() };
    while scan.at < scan.source.len() {
        let start = scan.at;
        scan.token().map_err(|problem| fault(source, start, problem.to_owned()))?;
        let depth = scan.levels.iter().map(|level| 1 + level.choices + level.chain).sum::<usize>() - 1;
        scan.found.depth = scan.found.depth.max(depth);
        if depth > EXPRESSION_DEPTH {
            let problem = format!("brackets, choices, operators and members may go {EXPRESSION_DEPTH} deep");
            return Err(fault(source, start, problem));
        }
        if scan.found.brackets > BRACKETS {
            return Err(fault(source, start, format!("an expression has at most {BRACKETS} pairs of brackets")));
        }
    }
    Ok(scan.found)
}

fn fault(source: &str, at: usize, message: String) -> NotCel {
    let before = source.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    NotCel { line, column, message, remedy: Some("name parts of it under `let`".to_owned()) }
}

struct Scan<'s> {
    source: &'s [u8],
    at: usize,
    levels: Vec<Level>,
    found: Scanned,
}

impl Scan<'_> {
    /// Goes over one token.
    fn token(&mut self) -> Result<(), &'static str> {
        let (byte, next) = (self.source[self.at], self.source.get(self.at + 1).copied().unwrap_or_default());
        match (byte, next) {
            (b'/', b'/') => self.at += self.length(|byte| byte != b'\n'),
            (b'"' | b'\'', _) => self.text(false)?,
            (b'a'..=b'z' | b'A'..=b'Z' | b'_', _) => self.word()?,
            (b'0'..=b'9', _) => self.at += self.length(|byte| byte.is_ascii_alphanumeric() || byte == b'.'),
            (b'(' | b'[' | b'{', _) => self.open(),
            (b')' | b']' | b'}', _) => self.close(),
            (b'&', b'&') | (b'|', b'|') => self.term(2),
            (b',', _) => {
                self.here(|level| level.choices = 0);
                self.term(1);
            }
            (b'?', _) if self.at > 0 && matches!(self.source[self.at - 1], b'.' | b'[' | b'{' | b',') => self.at += 1,
            (b'?', _) => {
                self.here(|level| level.choices += 1);
                self.term(1);
            }
            (b':', _) => self.term(1),
            (b'=' | b'!' | b'<' | b'>', b'=') => self.chained(2),
            (b'.' | b'!' | b'-' | b'+' | b'*' | b'/' | b'%' | b'<' | b'>', _) => self.chained(1),
            _ => self.at += 1,
        }
        Ok(())
    }

    fn length(&self, of: impl Fn(u8) -> bool) -> usize {
        self.source[self.at..].iter().take_while(|byte| of(**byte)).count()
    }

    fn here(&mut self, change: impl FnOnce(&mut Level)) {
        if let Some(level) = self.levels.last_mut() {
            change(level);
        }
    }

    fn open(&mut self) {
        self.found.brackets += 1;
        self.levels.push(Level::default());
        self.at += 1;
    }

    /// What follows is a member or a call of what stood in the brackets.
    fn close(&mut self) {
        if self.levels.len() > 1 {
            self.levels.pop();
        }
        self.chained(1);
    }

    fn chained(&mut self, length: usize) {
        self.here(|level| level.chain += 1);
        self.at += length;
    }

    fn term(&mut self, length: usize) {
        self.here(|level| level.chain = 0);
        self.at += length;
    }

    /// A name, or what stands before a text: `r'…'`, `b"…"`.
    fn word(&mut self) -> Result<(), &'static str> {
        let length = self.length(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let word = self.source[self.at..self.at + length].to_ascii_lowercase();
        self.at += length;
        let quoted = matches!(self.source.get(self.at), Some(b'"' | b'\''));
        match word.as_slice() {
            b"r" | b"br" | b"rb" if quoted => self.text(true),
            b"b" if quoted => self.text(false),
            b"in" => {
                self.chained(0);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A text. One that doesn't end, or that CEL doesn't know, would be parsed from its middle on.
    fn text(&mut self, raw: bool) -> Result<(), &'static str> {
        let quote = self.source[self.at];
        let thrice = self.source[self.at..].starts_with(&[quote; 3]);
        let end: &[u8] = if thrice { &[quote; 3] } else { &[quote] };
        self.at += end.len();
        loop {
            let rest = &self.source[self.at..];
            match rest.first() {
                None => return Err("this text doesn't end"),
                Some(b'\n' | b'\r') if !thrice => return Err("this text doesn't end on its line"),
                Some(_) if rest.starts_with(end) => break,
                Some(b'\\') if !raw => self.at += escape(rest)?,
                Some(_) => self.at += 1,
            }
        }
        self.at += end.len();
        Ok(())
    }
}

/// The length of an escape.
fn escape(rest: &[u8]) -> Result<usize, &'static str> {
    let all = |from: usize, count: usize, of: fn(&u8) -> bool| {
        rest.get(from..from + count).filter(|digits| digits.iter().all(of)).map(|_| from + count)
    };
    let octal = |byte: &u8| (b'0'..=b'7').contains(byte);
    match rest.get(1) {
        Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`') => Some(2),
        Some(b'x' | b'X') => all(2, 2, u8::is_ascii_hexdigit),
        Some(b'u') => all(2, 4, u8::is_ascii_hexdigit),
        Some(b'U') => all(2, 8, u8::is_ascii_hexdigit),
        Some(b'0'..=b'3') => all(2, 2, octal),
        _ => None,
    }
    .ok_or("this text has a `\\` that escapes nothing: write `\\\\`, or r'…'")
}

#[cfg(test)]
mod tests {
    use super::{BRACKETS, EXPRESSION_DEPTH, scan};

    fn depth(source: &str) -> usize {
        scan(source).unwrap().depth
    }

    #[test]
    fn what_nests_is_deep_and_what_stands_beside_each_other_is_not() {
        assert_eq!(depth("a"), 0);
        assert_eq!(depth("a && b || c && d"), 0);
        assert_eq!(depth("((a))"), 2);
        assert_eq!(depth("a.b.c == 'x.y.z((('"), 3);
        assert_eq!(depth("!!a"), 2);
        assert_eq!(depth("a ? b : c ? d : e"), 2);
        assert_eq!(depth("a.?b[?c].orValue(r'\\(') // (((("), 4);
        assert_eq!(depth("f(a, b.c, [1, 2, 3]) in '''it's ((('''"), 2);
    }

    #[test]
    fn too_much_of_anything_is_refused_before_it_is_parsed() {
        let deep = EXPRESSION_DEPTH + 1;
        for source in [
            "(".repeat(deep),
            format!("{}a", "!".repeat(deep)),
            format!("a{}", ".b".repeat(deep)),
            format!("a{}", "[0]".repeat(deep)),
            format!("{}a", "a ? b : ".repeat(deep)),
            format!("{}a", "a + ".repeat(deep)),
            "( ) && ".repeat(BRACKETS + 1),
        ] {
            assert!(scan(&source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_text_that_does_not_end_is_told_with_its_place() {
        let at = |source: &str| scan(source).map_err(|fault| (fault.line, fault.column)).unwrap_err();
        assert_eq!(at("a &&\n b == '((("), (2, 7));
        assert_eq!(at("'\n'"), (1, 1));
        assert_eq!(at(r"'\('"), (1, 1));
    }
}
