//! Mapping tests: load, run, compare, show the difference.
//!
//! Owns the files of kind `MappingTest`. Trusts nothing in them. Promises that each step's expectation is compared in order
//! with what the mapping said, that a failure tells its case, step and line, and that a run of no case is a failure.

mod compare;
mod coverage;
mod file;
mod junit;
mod update;

pub use compare::Difference;
pub use coverage::Coverage;
pub use file::{CaseFault, TestFile};
pub use junit::junit;
pub use update::update;

use crate::cdevents::SpecVersion;
use crate::mapping::{self, Mappings};
use crate::notification::Source;
use crate::replay::{Input, Replay};
use crate::translate::Emission;
use file::{Case, Step, What};
use indexmap::IndexMap;
use regex::Regex;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How one case went.
#[derive(Debug)]
pub struct Outcome {
    /// The test file.
    pub file: PathBuf,
    /// The case's name.
    pub case: String,
    /// What didn't hold; empty: it passed.
    pub failures: Vec<Failing>,
    /// How long it took.
    pub took: Duration,
    /// What each step really gave, in the order of the steps, for `--update`.
    pub actual: Vec<Actual>,
}

/// What one step really gave.
#[derive(Debug)]
pub struct Actual {
    /// Line of the step's expectation, or of the step when it has none; 1-based.
    pub line: usize,
    /// Whether it differs from what was expected.
    pub differs: bool,
    /// The documents, in the newest spec version.
    pub documents: Vec<Value>,
}

/// One step that didn't go as expected.
#[derive(Debug)]
pub struct Failing {
    /// 1-based.
    pub step: usize,
    /// Line in the test file, 1-based.
    pub line: usize,
    /// What the step does.
    pub what: String,
    /// What is different.
    pub problem: Problem,
}

/// What went wrong with a step.
#[derive(Debug)]
pub enum Problem {
    /// The payload can't be read.
    Unreadable(String),
    /// The translation failed.
    Failed(String),
    /// Other events than expected.
    Different(Vec<Difference>),
}

/// The test files below `paths`: files as given, and every `*.test.yaml` of a directory.
///
/// # Errors
///
/// The path that can't be read.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CaseFault> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            gather(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn gather(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), CaseFault> {
    let failed = |reason| CaseFault::Unreadable { path: directory.to_owned(), reason };
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            // Build output and hidden directories hold no tests of the user's.
            if !name.starts_with('.') && name != "target" {
                gather(&path, found)?;
            }
        } else if name.ends_with(".test.yaml") || name.ends_with(".test.yml") {
            found.push(path);
        }
    }
    Ok(())
}

/// Runs the cases of one file whose name fits `only`.
///
/// # Errors
///
/// When the file, its mapping or its parameters have faults.
pub fn run(path: &Path, only: Option<&Regex>, coverage: &mut Coverage) -> Result<Vec<Outcome>, CaseFault> {
    let test = TestFile::read(path)?;
    let mappings = mapping::load(&[test.mapping()], test.templates().as_deref())
        .map_err(|faults| CaseFault::Mapping { path: path.to_owned(), faults: faults.to_string() })?;
    coverage.register(&mappings);
    let wanted = test.cases.iter().filter(|case| only.is_none_or(|only| only.is_match(&case.value.name)));
    Ok(wanted.map(|case| run_case(path, &case.value, &mappings, coverage)).collect())
}

fn run_case(path: &Path, case: &Case, mappings: &Mappings, coverage: &mut Coverage) -> Outcome {
    let started = Instant::now();
    let base = path.parent().unwrap_or(Path::new(""));
    let mut replay = Replay::new(mappings, SpecVersion::ALL.to_vec());
    let mut failures = Vec::new();
    let mut actual = Vec::new();
    for (index, step) in case.steps.iter().enumerate() {
        let (problem, documents) = match said(&mut replay, base, &step.value, coverage) {
            Ok(documents) => (step.value.judge(&documents).map(Problem::Different), documents),
            Err(problem) => (Some(problem), Vec::new()),
        };
        let differs = matches!(problem, Some(Problem::Different(_)));
        actual.push(Actual { line: step.value.expectation_line(file::line(step)), differs, documents });
        if let Some(problem) = problem {
            failures.push(Failing {
                step: index + 1,
                line: file::line(step),
                what: step.value.what.to_string(),
                problem,
            });
        }
    }
    Outcome { file: path.to_owned(), case: case.name.clone(), failures, took: started.elapsed(), actual }
}

/// What a step makes the mapping say, as documents of the newest spec version.
fn said(replay: &mut Replay<'_>, base: &Path, step: &Step, coverage: &mut Coverage) -> Result<Vec<Value>, Problem> {
    let emissions: Vec<Emission> = match &step.what {
        What::Wait(span) => replay.wait(*span),
        What::Notify(payload) => {
            let path = base.join(payload);
            let unreadable = |reason: String| Problem::Unreadable(format!("{}: {reason}", path.display()));
            let text = std::fs::read(&path).map_err(|e| unreadable(e.to_string()))?;
            let document: Value = serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
            let mut input = Input::new(document);
            input.received_at = step.received_at.or(input.received_at);
            let told = replay.notify(input, step.source()).map_err(|failure| Problem::Failed(failure.to_string()))?;
            told.held.iter().for_each(|emission| coverage.saw(emission));
            told.released.into_iter().chain(told.events).collect()
        }
    };
    emissions.iter().for_each(|emission| coverage.saw(emission));
    Ok(emissions.iter().map(|emission| emission.event.assemble(SpecVersion::NEWEST)).collect())
}

impl Step {
    fn source(&self) -> Source {
        Source {
            name: self.source.clone().unwrap_or_else(|| "default".to_owned()),
            uri: self.source_uri.clone().unwrap_or_default(),
            labels: IndexMap::new(),
        }
    }
}

/// JSON Schema of test files.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(file::Written).to_value()
}
