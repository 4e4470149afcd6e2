//! Licences and banned crates, without a tool that must be installed.

use serde_json::Value;
use std::process::Command;

const ALLOWED: [&str; 14] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
];
/// Says its licence in a file and not by name: Apache-2.0; only tests use it.
const BY_FILE: [&str; 1] = ["cloudevents-sdk"];
/// A second TLS provider, a system library, an archived parser.
const BANNED: [&str; 3] = ["aws-lc-sys", "openssl-sys", "serde_yaml"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// `A OR B` needs one of them, `A AND B` both; parentheses only ever group alternatives here.
fn allowed(expression: &str) -> bool {
    let plain = expression.replace('/', " OR ").replace(['(', ')'], "");
    plain.split(" AND ").all(|part| part.split(" OR ").any(|one| ALLOWED.contains(&one.trim())))
}

#[test]
fn every_dependency_has_a_licence_that_allows_redistribution() {
    for package in packages() {
        if BY_FILE.iter().any(|name| package["name"] == *name && package["license_file"].is_string()) {
            continue;
        }
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(allowed(licence), "{} has licence {licence}", package["name"]);
    }
}

#[test]
fn banned_crates_are_not_in_the_tree() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        assert!(!BANNED.contains(&name), "{name} is banned");
    }
}
