//! A report that every CI system reads.

use super::{Outcome, Problem};
use std::fmt::Write;

/// JUnit's XML.
#[must_use]
pub fn junit(outcomes: &[Outcome]) -> String {
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites tests=\"{}\" failures=\"{failed}\">\n<testsuite name=\"argocd-cdevents\" tests=\"{}\" failures=\"{failed}\">",
        outcomes.len(),
        outcomes.len()
    );
    for outcome in outcomes {
        let (file, case) = (escape(&outcome.file.display().to_string()), escape(&outcome.case));
        let _ =
            write!(out, "<testcase classname=\"{file}\" name=\"{case}\" time=\"{:.3}\">", outcome.took.as_secs_f64());
        for failing in &outcome.failures {
            let text = escape(&failing.problem.to_string());
            let _ = write!(out, "<failure message=\"step {}, line {}\">{text}</failure>", failing.step, failing.line);
        }
        out.push_str("</testcase>\n");
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML at all.
            c if c.is_control() && !"\n\t".contains(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(text) | Self::Failed(text) => f.write_str(text),
            Self::Different(differences) => {
                for (index, difference) in differences.iter().enumerate() {
                    write!(f, "{}{difference}", if index == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
        }
    }
}
