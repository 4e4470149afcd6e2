//! Versions that say of themselves which is newer.

use std::cmp::Ordering;

/// A semantic version as far as order needs it: three numbers and what makes it a pre-release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    numbers: [u64; 3],
    pre: Option<String>,
}

impl Version {
    /// Reads `1.2.3`, `v1.2.3-rc.1+build`; ranges, branches and commits are none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next()?;
        let (core, pre) = match text.split_once('-') {
            Some((core, pre)) if !pre.is_empty() => (core, Some(pre.to_owned())),
            Some(_) => return None,
            None => (text, None),
        };
        let mut parts = core.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if digits { part.parse().ok() } else { None }
        });
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self { numbers, pre })
    }

    /// Which is newer (semver.org §11), but that `1.2.3-7-g0f9f2ee` is what `git describe` calls the seventh commit after 1.2.3.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let pre = |version: &Self| version.pre.clone().filter(|_| version.commits().is_none());
        let released = self.numbers.cmp(&other.numbers).then_with(|| match (pre(self), pre(other)) {
            (Some(a), Some(b)) => pre_order(&a, &b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        });
        released.then_with(|| self.commits().cmp(&other.commits()))
    }

    /// Commits since the release, as `git describe` counts them.
    fn commits(&self) -> Option<u64> {
        let (count, commit) = self.pre.as_deref()?.split_once("-g")?;
        let is_commit = commit.len() >= 4 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        count.parse().ok().filter(|_| is_commit)
    }
}

fn pre_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Version;
    use std::cmp::Ordering;

    #[test]
    fn order_is_that_of_semantic_versioning() {
        let chain = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "v1.0.0",
            "1.0.0-7-g0f9f2ee",
            "1.0.0-11-gd6f6e7b",
            "1.0.1",
            "1.10.0",
            "2.0.0",
        ];
        for pair in chain.windows(2) {
            let (a, b) = (Version::parse(pair[0]).unwrap(), Version::parse(pair[1]).unwrap());
            assert_eq!((a.order(&b), b.order(&a)), (Ordering::Less, Ordering::Greater), "{pair:?}");
        }
    }

    #[test]
    fn branches_ranges_and_commits_are_no_versions() {
        for text in
            ["main", "1.2", "1.x", ">=1.0.0", "1.2.3.4", "f36f77090eaafd5fb03d74167ce08eb0a1eb0c0d", "", "1.2.3-"]
        {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
