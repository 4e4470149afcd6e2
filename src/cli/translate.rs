//! `translate`: notifications in, CDEvents out, with the same translation that `serve` runs.

use super::{FOUND_FAULTS, Failed, complain, print};
use crate::cdevents::SpecVersion;
use crate::mapping::{self, MappingRef, Mappings};
use crate::notification::Source;
use crate::replay::{Input, Replay};
use crate::translate::Emission;
use clap::Args;
use indexmap::IndexMap;
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `translate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  argocd-cdevents translate notification.json --explain\n  \
argocd-cdevents translate --mapping new.yaml --against old.yaml recorded/*.json\n\n\
Several files are one sequence with one memory, on a clock that follows the times in them. A file is a body, a recorded request\n\
({receivedAt, method, path, headers, body}), or several of either one after another. What is held is released when its time comes,\n\
or at the end. `--against` shows what would change, and exits 1 when anything does.")]
pub(super) struct Translate {
    /// Mapping file or directory, instead of the built-in one; may be given several times
    #[arg(long = "mapping", value_name = "PATH")]
    mappings: Vec<PathBuf>,
    /// Parameters of the mappings, as YAML: '{settle: 0s}'
    #[arg(long, value_name = "YAML")]
    with: Option<String>,
    /// Directory of partials
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Spec version of what is printed
    #[arg(long, value_name = "V", default_value = SpecVersion::NEWEST.as_str())]
    spec_version: SpecVersion,
    /// Name of the source, as rules see it
    #[arg(long, value_name = "NAME", default_value = "default")]
    source: String,
    /// Why each rule matched or not, on stderr
    #[arg(long)]
    explain: bool,
    /// With --explain: as JSON lines
    #[arg(long, requires = "explain")]
    json: bool,
    /// Another mapping file or directory: print the difference of the events
    #[arg(long, value_name = "PATH", conflicts_with = "explain")]
    against: Vec<PathBuf>,
    /// Payloads; `-` or none: standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Translate) -> Result<ExitCode, Failed> {
    let mappings = load(args, &args.mappings)?;
    let (inputs, mut broken) = inputs(&args.files)?;
    if !args.against.is_empty() {
        let before = load(args, &args.against)?;
        let differs = compare(args, &before, &mappings, &inputs)?;
        return Ok(if differs || broken { ExitCode::from(FOUND_FAULTS) } else { ExitCode::SUCCESS });
    }
    let replay = Replay::new(&mappings, vec![args.spec_version]);
    let mut replay = if args.explain { replay.explained() } else { replay };
    for (name, input) in inputs {
        match replay.notify(input, source(args)) {
            Ok(told) => {
                show(args, &told.released)?;
                if args.explain {
                    explain(args, &name, &told.explanation);
                }
                show(args, &told.events)?;
            }
            Err(failure) => {
                broken = true;
                complain(&format!("{name}: {failure}"));
            }
        }
    }
    let rest = replay.finish();
    if args.explain && !rest.is_empty() {
        eprint_line(&format!("end of input: {} held event(s) released", rest.len()));
    }
    show(args, &rest)?;
    Ok(if broken { ExitCode::from(FOUND_FAULTS) } else { ExitCode::SUCCESS })
}

fn load(args: &Translate, paths: &[PathBuf]) -> Result<Mappings, Failed> {
    let with: Value = match &args.with {
        Some(text) => serde_saphyr::from_str(text).map_err(|e| Failed::message(format!("--with isn't YAML: {e}")))?,
        None => Value::Null,
    };
    let builtin = || vec![MappingRef::Builtin { name: "argocd".to_owned(), with: with.clone() }];
    let path = |path: &PathBuf| MappingRef::Path { path: path.clone(), with: with.clone() };
    let refs: Vec<_> = if paths.is_empty() { builtin() } else { paths.iter().map(path).collect() };
    mapping::load(&refs, args.templates.as_deref()).map_err(|faults| Failed::message(super::rendered(&faults)))
}

fn source(args: &Translate) -> Source {
    Source { name: args.source.clone(), uri: String::new(), labels: IndexMap::new() }
}

/// Every document of every file, and whether some couldn't be read.
fn inputs(files: &[PathBuf]) -> Result<(Vec<(String, Input)>, bool), Failed> {
    let mut found = Vec::new();
    let mut broken = false;
    let none = [PathBuf::from("-")];
    for file in if files.is_empty() { &none[..] } else { files } {
        let name = file.display().to_string();
        let text = read(file).map_err(|e| Failed::message(format!("{name}: {e}")))?;
        for document in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
            match document.map(Input::new) {
                Ok(Input { body: Value::String(_), .. }) => {
                    broken = true;
                    complain(&format!("{name}: the recorded body isn't JSON; `serve` would keep it as a dead letter"));
                }
                Ok(input) => found.push((name.clone(), input)),
                Err(error) => {
                    broken = true;
                    complain(&format!("{name}: this isn't JSON ({error}); `serve` would keep it as a dead letter"));
                }
            }
        }
    }
    Ok((found, broken))
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text)?;
        return Ok(text);
    }
    std::fs::read(file)
}

fn show(args: &Translate, emissions: &[Emission]) -> Result<(), Failed> {
    let lines: String = emissions.iter().fold(String::new(), |mut lines, emission| {
        let _ = writeln!(lines, "{}", emission.event.assemble(args.spec_version));
        lines
    });
    print(&lines)
}

fn explain(args: &Translate, name: &str, explanation: &crate::translate::Explanation) {
    if args.json {
        eprint_line(&json!({"file": name, "explanation": explanation}).to_string());
    } else {
        eprint_line(&format!("{name}\n{}", explanation.to_string().trim_end()));
    }
}

fn eprint_line(text: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// The same payloads through two mappings, side by side.
fn compare(args: &Translate, before: &Mappings, after: &Mappings, inputs: &[(String, Input)]) -> Result<bool, Failed> {
    let old = said(args, before, inputs);
    let new = said(args, after, inputs);
    let mut out = String::new();
    for ((name, old), (_, new)) in old.iter().zip(&new) {
        let changes = difference(old, new);
        if !changes.is_empty() {
            let _ = writeln!(out, "{name}\n{}", changes.join("\n"));
        }
    }
    let differs = !out.is_empty();
    print(if differs { &out } else { "no difference\n" })?;
    Ok(differs)
}

type Said = Vec<(String, Vec<Result<Value, String>>)>;

/// What each input makes a mapping say; what the end of the input releases comes last.
fn said(args: &Translate, mappings: &Mappings, inputs: &[(String, Input)]) -> Said {
    let mut replay = Replay::new(mappings, vec![args.spec_version]);
    let document = |emission: &Emission| Ok(emission.event.assemble(args.spec_version));
    let mut said: Said = inputs
        .iter()
        .map(|(name, input)| {
            let documents = match replay.notify(input.clone(), source(args)) {
                Ok(told) => told.released.iter().chain(&told.events).map(document).collect(),
                Err(failure) => vec![Err(failure.to_string())],
            };
            (name.clone(), documents)
        })
        .collect();
    said.push(("end of input".to_owned(), replay.finish().iter().map(document).collect()));
    said
}

/// Lines with `-` for what is gone, `+` for what is new, `~` for fields that changed.
fn difference(old: &[Result<Value, String>], new: &[Result<Value, String>]) -> Vec<String> {
    let title = |event: &Result<Value, String>| match event {
        Ok(document) => format!(
            "{} {}",
            document["context"]["type"].as_str().unwrap_or("?"),
            document["subject"]["id"].as_str().unwrap_or("?")
        ),
        Err(failure) => format!("failure: {failure}"),
    };
    let mut lines = Vec::new();
    let mut rest: Vec<_> = new.iter().collect();
    for event in old {
        match rest.iter().position(|other| title(other) == title(event)) {
            Some(index) => {
                let other = rest.remove(index);
                if let (Ok(before), Ok(after)) = (event, other) {
                    let mut fields = Vec::new();
                    changed(before, after, "", &mut fields);
                    if !fields.is_empty() {
                        lines.push(format!("~ {}", title(event)));
                        lines.extend(fields);
                    }
                }
            }
            None => lines.push(format!("- {}", title(event))),
        }
    }
    lines.extend(rest.into_iter().map(|event| format!("+ {}", title(event))));
    lines
}

fn changed(before: &Value, after: &Value, path: &str, fields: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            fields.push(format!("    {path}: {before} -> {after}"));
        }
        return;
    };
    for (name, value) in old {
        let path = format!("{path}/{name}");
        match new.get(name) {
            Some(other) => changed(value, other, &path, fields),
            None => fields.push(format!("    {path}: {value} -> nothing")),
        }
    }
    for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        fields.push(format!("    {path}/{name}: nothing -> {value}"));
    }
}
