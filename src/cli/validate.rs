//! `validate`: CDEvents in, a verdict a line out.

use super::{FOUND_FAULTS, Failed, print};
use crate::cdevents::{CustomSchemas, Judge, SpecVersion, Verdict, WarningKind, documents};
use clap::Args;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

/// Arguments of `validate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 1 if any document is invalid.\n\nExample:\n  argocd-cdevents translate notification.json | argocd-cdevents validate\n  argocd-cdevents validate --spec-version 0.4.1 --deny-warnings=purl,chain-id events.jsonl"
)]
pub(super) struct Validate {
    /// The version of CDEvents to judge by; default: the one that each document says it's of
    #[arg(long, value_name = "V")]
    spec_version: Option<SpecVersion>,
    /// Make warnings errors: all of them, or some of purl, chain-id, source, link, header, spec-version
    #[arg(long, value_name = "KINDS", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    deny_warnings: Option<Denied>,
    /// A JSON Schema that documents of a type must obey as well
    #[arg(long, value_name = "TYPE=FILE")]
    schema: Vec<TypeAndFile>,
    /// CDEvents, one JSON document a line or over several lines; `-`, or none: standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Kinds of warnings, as they are written.
#[derive(Debug, Clone)]
struct Denied(Vec<WarningKind>);

impl FromStr for Denied {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(WarningKind::ALL.to_vec()));
        }
        let kind = |name: &str| WarningKind::ALL.into_iter().find(|k| k.as_str() == name).ok_or(name.to_owned());
        let kinds = text.split(',').map(kind).collect::<Result<_, _>>();
        kinds.map(Self).map_err(|name| {
            let known = WarningKind::ALL.map(WarningKind::as_str).join(", ");
            format!("there are no warnings called `{name}`: use all, or some of {known}")
        })
    }
}

/// `TYPE=FILE`.
#[derive(Debug, Clone)]
struct TypeAndFile(String, PathBuf);

impl FromStr for TypeAndFile {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (type_name, file) = text.split_once('=').ok_or("write TYPE=FILE")?;
        Ok(Self(type_name.to_owned(), PathBuf::from(file)))
    }
}

/// What is printed of a document.
#[derive(Serialize)]
struct Line<'a> {
    /// Where it comes from, when there are several files.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
    #[serde(flatten)]
    verdict: Verdict,
}

pub(super) fn run(args: &Validate) -> Result<ExitCode, Failed> {
    let schemas = CustomSchemas::load(args.schema.iter().map(|s| (s.0.as_str(), s.1.as_path())));
    let schemas = schemas.map_err(|bad| {
        let each = bad.iter().map(ToString::to_string).collect::<Vec<_>>();
        Failed::message(each.join("\n"))
    })?;
    let deny = args.deny_warnings.as_ref().map(|d| d.0.clone()).unwrap_or_default();
    let mut judge = Judge::new(args.spec_version, deny, schemas);
    let standard_input = [PathBuf::from("-")];
    let files = if args.files.is_empty() { standard_input.as_slice() } else { &args.files };
    let mut counted = Counted::default();
    for file in files {
        let named = (files.len() > 1).then_some(file.as_path());
        let failed = |error: io::Error| Failed::message(format!("{}: {error}", file.display()));
        for found in documents(open(file).map_err(failed)?) {
            let (line, document) = found.map_err(failed)?;
            counted.print(&Line { file: named, verdict: judge.judge(line, &document) })?;
        }
    }
    if counted.all == 0 {
        drop(writeln!(io::stderr(), "there was no document to judge"));
    }
    Ok(if counted.invalid > 0 { ExitCode::from(FOUND_FAULTS) } else { ExitCode::SUCCESS })
}

#[derive(Default)]
struct Counted {
    all: usize,
    invalid: usize,
}

impl Counted {
    fn print(&mut self, line: &Line<'_>) -> Result<(), Failed> {
        self.all += 1;
        self.invalid += usize::from(!line.verdict.valid);
        print(&(serde_json::to_string(&line)? + "\n"))
    }
}

fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    // Opening a directory succeeds; reading it then says so.
    Ok(Box::new(BufReader::new(File::open(file)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_warnings_are_named_one_by_one_or_all_at_once() {
        assert_eq!("all".parse::<Denied>().unwrap().0, WarningKind::ALL);
        assert_eq!("purl,link".parse::<Denied>().unwrap().0, [WarningKind::Purl, WarningKind::Link]);
        let refused = "purl,typo".parse::<Denied>().unwrap_err();
        assert!(refused.contains("`typo`") && refused.contains("chain-id"), "{refused}");
        assert!("".parse::<Denied>().is_err());
    }

    #[test]
    fn a_schema_is_given_with_its_type() {
        let TypeAndFile(type_name, file) = "dev.cdeventsx.a-b.c.0.1.0=dir/a=b.json".parse().unwrap();
        assert_eq!((type_name.as_str(), file.as_path()), ("dev.cdeventsx.a-b.c.0.1.0", Path::new("dir/a=b.json")));
        assert!("file.json".parse::<TypeAndFile>().is_err());
    }
}
