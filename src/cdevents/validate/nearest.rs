//! The name that someone may have meant.

/// The candidate nearest to `written`, if one is near enough to be a slip: case aside, a third of its letters at most.
pub(crate) fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    let scored = candidates.map(|c| (distance(&lower, &c.to_lowercase()), c));
    let (far, name) = scored.min_by_key(|(far, _)| *far)?;
    (far <= (name.chars().count() / 3).max(1)).then_some(name)
}

/// How many letters must be inserted, removed or exchanged (Levenshtein). Words of other lengths by far aren't compared.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > b.len() {
        return usize::MAX;
    }
    let b = b.chars().collect::<Vec<_>>();
    let mut row = (0..=b.len()).collect::<Vec<_>>();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_find_their_name_and_other_words_find_none() {
        let names = ["artifactId", "environment", "uri"];
        assert_eq!(nearest("artefactID", names.into_iter()), Some("artifactId"));
        assert_eq!(nearest("enviroment", names.into_iter()), Some("environment"));
        assert_eq!(nearest("url", names.into_iter()), Some("uri"));
        assert_eq!(nearest("owner", names.into_iter()), None);
        assert_eq!(nearest("", names.into_iter()), None);
        assert_eq!(nearest("x", [].into_iter()), None);
    }
}
