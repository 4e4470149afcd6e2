//! JSON Schemas that users give for event types: custom events are checked by them on top of the specification.
//!
//! Trusts the files to be what the user means, and nothing about the documents. Promises whole JSON Schema (drafts 4 to
//! 2020-12, formats asserted), references to other files included, and never a network call. `docs/decisions/` says why
//! another library than the one that judges our own validation in tests.

use super::Fault;
use boon::{CompileError, Compiler, ErrorKind, FileLoader, SchemaIndex, Schemas, SchemeUrlLoader, ValidationError};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

/// The schemas of a configuration, compiled.
#[derive(Default)]
pub struct CustomSchemas {
    schemas: Schemas,
    by_type: HashMap<String, SchemaIndex>,
}

/// A schema that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSchema {
    /// The file isn't there, or can't be read.
    #[error("the schema of `{type_name}`: {}: {cause}", path.display())]
    Unreadable {
        /// The event type it was named for.
        type_name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file isn't JSON, isn't a JSON Schema, or refers to what can't be read.
    #[error("the schema of `{type_name}`: {}: {cause}", path.display())]
    Invalid {
        /// The event type it was named for.
        type_name: String,
        /// The file.
        path: PathBuf,
        /// Why, and where in it.
        cause: String,
    },
}

impl CustomSchemas {
    /// Reads and compiles the schema files of event types.
    ///
    /// # Errors
    ///
    /// [`BadSchema`], one for each file that can't be used.
    pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Result<Self, Vec<BadSchema>> {
        let mut compiler = compiler();
        let mut loaded = Self::default();
        let mut bad = Vec::new();
        for (type_name, path) in files {
            match compile(&mut compiler, &mut loaded.schemas, type_name, path) {
                Ok(schema) => drop(loaded.by_type.insert(type_name.to_owned(), schema)),
                Err(error) => bad.push(error),
            }
        }
        if bad.is_empty() { Ok(loaded) } else { Err(bad) }
    }

    /// What the schema of the document's type finds wrong with the document, whole; nothing if there is no schema for it.
    #[must_use]
    pub fn validate(&self, document: &Value) -> Vec<Fault> {
        let type_name = document.pointer("/context/type").and_then(Value::as_str);
        let Some(schema) = type_name.and_then(|t| self.by_type.get(t)) else { return Vec::new() };
        let Err(error) = self.schemas.validate(document, *schema) else { return Vec::new() };
        let mut faults = BTreeMap::new();
        leaves(&error, &mut faults);
        faults.into_keys().map(|(path, message)| Fault { path, message }).collect()
    }

    /// Whether no schema was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }
}

impl fmt::Debug for CustomSchemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_type.keys()).finish()
    }
}

fn compiler() -> Compiler {
    let mut files = SchemeUrlLoader::new();
    files.register("file", Box::new(FileLoader));
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(files));
    compiler.enable_format_assertions();
    compiler
}

fn compile(
    compiler: &mut Compiler,
    schemas: &mut Schemas,
    type_name: &str,
    path: &Path,
) -> Result<SchemaIndex, BadSchema> {
    let at = |cause: String| BadSchema::Invalid { type_name: type_name.to_owned(), path: path.to_owned(), cause };
    let whole = path.canonicalize().map_err(|cause| BadSchema::Unreadable {
        type_name: type_name.to_owned(),
        path: path.to_owned(),
        cause,
    })?;
    let location =
        url::Url::from_file_path(&whole).map_err(|()| at("the path can't be written as a URL".to_owned()))?;
    compiler.compile(location.as_str(), schemas).map_err(|error| at(explained(&error)))
}

/// The first cause, with what it's about; the library's own text has only the outermost.
fn explained(error: &CompileError) -> String {
    match error {
        CompileError::ValidationError { url, src } => {
            let mut faults = BTreeMap::new();
            leaves(src, &mut faults);
            let found = faults.into_keys().map(|(path, message)| format!("{path}: {message}")).collect::<Vec<_>>();
            format!("not a JSON Schema ({url}): {}", found.join("; "))
        }
        other => format!("{other:#}"),
    }
}

/// The innermost errors, sorted by place; one that several branches report counts once.
fn leaves(error: &ValidationError<'_, '_>, found: &mut BTreeMap<(String, String), ()>) {
    if error.causes.is_empty() {
        found.insert((error.instance_location.to_string(), message(&error.kind)), ());
    }
    for cause in &error.causes {
        leaves(cause, found);
    }
}

/// As the library says it, but never with the document's values: they may hold secrets.
fn message(kind: &ErrorKind<'_, '_>) -> String {
    match kind {
        ErrorKind::FalseSchema => "isn't allowed here".to_owned(),
        ErrorKind::Format { want, .. } => format!("must be a valid `{want}`"),
        ErrorKind::Pattern { want, .. } => format!("must match `{want}`"),
        ErrorKind::ContentMediaType { want, .. } => format!("must hold `{want}`"),
        ErrorKind::ContentEncoding { want, .. } => format!("must be `{want}`"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    const TYPE: &str = "dev.cdeventsx.mytool-quota.exceeded.0.1.0";

    fn document(content: &Value) -> Value {
        json!({"context": {"type": TYPE}, "subject": {"id": "1", "content": content}})
    }

    fn load(schema: &Value) -> Result<CustomSchemas, Vec<BadSchema>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a schema#1.json");
        fs::write(&path, schema.to_string()).unwrap();
        fs::write(folder.path().join("limit.json"), r#"{"type": "integer", "minimum": 1}"#).unwrap();
        CustomSchemas::load([(TYPE, path.as_path())])
    }

    fn content_schema(content: &Value) -> Value {
        json!({"properties": {"subject": {"properties": {"content": content}}}})
    }

    #[test]
    fn every_fault_is_told_with_its_place_and_without_the_value() {
        let schemas = load(&content_schema(&json!({
            "properties": {
                "limit": {"$ref": "limit.json"},
                "user": {"type": "string", "pattern": "^[a-z]+$"},
                "at": {"type": "string", "format": "date-time"},
                "unit": {"enum": ["MiB", "GiB"]},
            },
            "required": ["limit", "project"],
            "unevaluatedProperties": false,
        })))
        .unwrap();
        let sound = json!({"limit": 3, "user": "me", "at": "2026-01-05T10:00:00Z", "unit": "MiB"});
        let mut whole = sound.clone();
        let missing = schemas.validate(&document(&sound));
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].path == "/subject/content" && missing[0].message.contains("project"), "{missing:?}");
        whole["project"] = json!(1);
        let unknown = schemas.validate(&document(&whole));
        assert!(unknown[0].path.ends_with("/project"), "unevaluated properties count: {unknown:?}");
        let broken = json!({"limit": 0, "user": "S3CRET", "at": "S3CRET", "unit": "S3CRET"});
        let faults = schemas.validate(&document(&broken));
        let paths = faults.iter().map(|f| f.path.trim_start_matches("/subject/content")).collect::<Vec<_>>();
        assert_eq!(paths, ["", "/at", "/limit", "/unit", "/user"], "{faults:?}");
        assert!(faults.iter().all(|f| !f.message.contains("S3CRET")), "{faults:?}");
    }

    #[test]
    fn types_without_a_schema_have_no_faults() {
        let schemas = load(&json!(false)).unwrap();
        assert_eq!(schemas.validate(&json!({"context": {"type": "other"}})), []);
        assert_eq!(schemas.validate(&json!(7)), []);
        assert_eq!(schemas.validate(&document(&json!({}))).len(), 1);
        assert!(!schemas.is_empty() && CustomSchemas::default().is_empty());
    }

    #[test]
    fn every_bad_file_is_told_and_nothing_is_fetched() {
        let told = |schema: Value| load(&schema).unwrap_err().iter().map(ToString::to_string).collect::<String>();
        let not_a_schema = told(json!({"type": "strin"}));
        assert!(not_a_schema.contains(TYPE) && not_a_schema.contains("/type"), "{not_a_schema}");
        let remote = told(json!({"$ref": "https://example.com/schema.json"}));
        assert!(remote.contains("https://example.com/schema.json"), "{remote}");
        assert!(!told(json!({"$ref": "missing.json"})).is_empty());
        assert!(!told(json!({"pattern": "("})).is_empty());
        let absent = [("a", Path::new("/nowhere/a.json")), ("b", Path::new("/nowhere/b.json"))];
        assert_eq!(CustomSchemas::load(absent).unwrap_err().len(), 2);
    }
}
