//! The official schemas and conformance documents, as they were released.

use argocd_cdevents::cdevents::SpecVersion;
use jsonschema::{Draft, Registry, Validator};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// One spec version's official schemas, formats asserted.
pub struct Official {
    pub spec: SpecVersion,
    /// Type → schema.
    by_type: HashMap<String, Validator>,
    custom: Validator,
    /// What the custom schema says of a type.
    custom_type: Validator,
    /// File name and document.
    pub conformance: Vec<(String, Value)>,
}

impl Official {
    /// Every version, or `None` when the data isn't there.
    pub fn all() -> Option<Vec<Self>> {
        let root = crate::shared::folder("cdevents-spec")?;
        Some(SpecVersion::ALL.into_iter().map(|spec| Self::load(&root.join(spec.as_str()), spec)).collect())
    }

    fn load(folder: &Path, spec: SpecVersion) -> Self {
        let links = json_files(&folder.join("schemas/links"));
        let mut registry = Registry::new();
        for (_, schema) in &links {
            registry = registry.add(schema["$id"].as_str().unwrap(), schema.clone()).unwrap();
        }
        let registry = registry.prepare().unwrap();
        let build = |schema: &Value| {
            let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
            options.with_registry(&registry).build(schema).unwrap()
        };
        let schemas = json_files(&folder.join("schemas"));
        assert_eq!(schemas.len(), 45);
        let by_type = schemas.iter().map(|(_, schema)| {
            let only = &schema["properties"]["context"]["properties"]["type"]["enum"];
            assert_eq!(only.as_array().unwrap().len(), 1);
            (only[0].as_str().unwrap().to_owned(), build(schema))
        });
        let by_type = by_type.collect();
        let custom = json(&folder.join("custom/schema.json"));
        let custom_type = build(&custom["properties"]["context"]["properties"]["type"]);
        let custom = build(&custom);
        let mut conformance = json_files(&folder.join("conformance"));
        assert_eq!(conformance.len(), 45);
        conformance.push(("custom.json".to_owned(), json(&folder.join("custom/conformance.json"))));
        Self { spec, by_type, custom, custom_type, conformance }
    }

    /// What the schema of the document's own type says; for a type that is nobody's, the schema of `file_type`.
    pub fn accepts(&self, document: &Value, file_type: &str) -> bool {
        let written = document.pointer("/context/type").unwrap_or(&Value::Null);
        let schema = if self.custom_type.is_valid(written) {
            &self.custom
        } else {
            let known = written.as_str().and_then(|t| self.by_type.get(t));
            known.or_else(|| self.by_type.get(file_type)).unwrap_or(&self.custom)
        };
        schema.is_valid(document)
    }
}

fn json_files(folder: &Path) -> Vec<(String, Value)> {
    let mut paths = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    paths.iter().map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), json(p))).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
