//! Package URLs of what is deployed: container images, charts, OCI artifacts, commits.
//!
//! By <https://github.com/package-url/purl-spec>: `oci` (version is the digest), `helm`, `github`, `bitbucket`, and `generic`
//! with `vcs_url` for every other git server; there is no type `git`.

use super::read::Read;
use packageurl::PackageUrl;
use serde::Serialize;
use serde_json::Value;

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// As Argo CD writes it: `registry:5000/team/name:tag@sha256:…`.
    pub r#ref: String,
    /// Registry and path, without tag and digest.
    pub name: String,
    /// Its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Its digest: `sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// `pkg:oci/…`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
}

/// Images by their references.
pub(super) fn images(references: &[Value]) -> Vec<Image> {
    references.iter().filter_map(|reference| reference.text("")).map(image).collect()
}

pub(super) fn image(reference: &str) -> Image {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    Image {
        r#ref: reference.to_owned(),
        name: name.to_owned(),
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
        purl: oci(name, digest, tag),
    }
}

/// `pkg:oci/name@sha256%3A…?repository_url=registry/path/name&tag=…`
pub(super) fn oci(repository: &str, digest: Option<&str>, tag: Option<&str>) -> Option<String> {
    let name = repository.rsplit('/').next()?.to_lowercase();
    let qualifiers = [Some(("repository_url", repository.to_owned())), tag.map(|tag| ("tag", tag.to_owned()))];
    let purl = purl("oci", None, &name, digest, qualifiers)?;
    // The type's own definition writes the digest's colon encoded.
    Some(match digest {
        Some(digest) => purl.replacen(&format!("@{digest}"), &format!("@{}", digest.replace(':', "%3A")), 1),
        None => purl,
    })
}

/// `pkg:helm/chart@version?repository_url=…`
pub(super) fn helm(repository: &str, chart: &str, version: Option<&str>) -> Option<String> {
    let chart = chart.rsplit('/').next()?;
    purl("helm", None, chart, version, [Some(("repository_url", without_credentials(repository))), None])
}

/// `pkg:github/owner/name@sha`, or `pkg:generic/name@sha?vcs_url=git%2Bhttps://…`.
pub(super) fn git(repository: &str, revision: Option<&str>) -> Option<String> {
    let (host, path) = host_and_path(repository)?;
    let (namespace, name) = path.rsplit_once('/').unwrap_or(("", &path));
    match host.as_str() {
        "github.com" => purl("github", Some(namespace), name, revision, [None, None]),
        "bitbucket.org" => purl("bitbucket", Some(namespace), name, revision, [None, None]),
        _ => {
            let at = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
            let url = format!("git+{}{at}", without_credentials(repository));
            purl("generic", None, name, revision, [Some(("vcs_url", url)), None])
        }
    }
}

/// Where a person reads the repository, if it's served by HTTP or is on a well-known host.
pub(super) fn browse(repository: &str) -> Option<String> {
    let (host, path) = host_and_path(repository)?;
    let scheme = if repository.starts_with("http://") { "http" } else { "https" };
    Some(format!("{scheme}://{host}/{path}"))
}

/// A repository's URL without user and password: what is said in events mustn't give secrets away.
pub(super) fn without_credentials(repository: &str) -> String {
    match repository.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => match host_and_path(repository) {
            Some((host, path)) if repository.contains('@') => format!("ssh://{host}/{path}"),
            _ => repository.to_owned(),
        },
    }
}

/// `https://user@host:port/a/b.git` and `git@host:a/b.git` → (`host:port`, `a/b`).
fn host_and_path(repository: &str) -> Option<(String, String)> {
    let (authority, path) = match repository.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => repository.split_once(':').or_else(|| repository.split_once('/'))?,
    };
    let host = authority.rsplit('@').next()?.to_lowercase();
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!host.is_empty() && !path.is_empty()).then(|| (host, path.to_owned()))
}

fn purl(
    kind: &'static str,
    namespace: Option<&str>,
    name: &str,
    version: Option<&str>,
    qualifiers: [Option<(&'static str, String)>; 2],
) -> Option<String> {
    let mut purl = PackageUrl::new(kind, name.to_owned()).ok()?;
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        purl.with_namespace(namespace.to_owned()).ok()?;
    }
    if let Some(version) = version {
        purl.with_version(version.to_owned()).ok()?;
    }
    for (key, value) in qualifiers.into_iter().flatten() {
        purl.add_qualifier(key, value).ok()?;
    }
    Some(purl.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_with_ports_and_digests_are_told_from_tags() {
        let one = image("registry.grove.example:5000/team/Pear:1.2@sha256:abc");
        assert_eq!(one.name, "registry.grove.example:5000/team/Pear");
        assert_eq!((one.tag.as_deref(), one.digest.as_deref()), (Some("1.2"), Some("sha256:abc")));
        let purl = one.purl.unwrap();
        assert!(purl.starts_with("pkg:oci/pear@sha256%3Aabc?"), "{purl}");
        let bare = image("registry.grove.example:5000/pear");
        assert_eq!((bare.tag, bare.digest), (None, None));
        assert_eq!(image("nginx:1.27").name, "nginx");
    }

    #[test]
    fn every_way_to_write_a_repository_gives_the_same_purl() {
        for url in [
            "https://github.com/grove/pear.git",
            "https://GitHub.com/grove/pear",
            "git@github.com:grove/pear.git",
            "ssh://git@github.com/grove/pear.git",
        ] {
            assert_eq!(git(url, Some("5f1c")).as_deref(), Some("pkg:github/grove/pear@5f1c"), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_repository_url_is_never_told() {
        let url = "https://robot:hush@git.grove.example/team/pear.git";
        for text in [git(url, Some("5f1c")), browse(url), helm(url, "pear", Some("1.0.0"))] {
            assert!(!text.unwrap().contains("hush"));
        }
        assert!(git(url, Some("5f1c")).unwrap().starts_with("pkg:generic/pear@5f1c?vcs_url=git%2Bhttps:"));
    }
}
