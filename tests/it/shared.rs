//! Reference data that lies beside the project and isn't part of it.

use std::path::PathBuf;

/// The folder `name` of the shared data, or `None` with a message: tests that need it then pass without having run.
pub fn folder(name: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let places = [
        std::env::var_os("ARGOCD_CDEVENTS_SHARED").map(PathBuf::from),
        Some(root.join("../shared")),
        Some(root.join("../../shared")),
    ];
    let found = places.into_iter().flatten().map(|p| p.join(name)).find(|p| p.is_dir());
    if found.is_none() {
        eprintln!("skipped: no shared/{name} here; say where it is with ARGOCD_CDEVENTS_SHARED");
    }
    found
}
