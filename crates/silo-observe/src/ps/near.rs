//! Near matches for a word that nobody knows, so that an error can say what was meant.

/// Up to three of `known` that differ from `word` in at most two letters, or that it begins; nearest first, then
/// those with the same first letter.
pub fn near<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let word: String = word.to_lowercase().chars().take(40).collect();
    let allowed = if word.len() <= 3 { 1 } else { 2 };
    let first = word.chars().next();
    let mut found: Vec<(usize, bool, &str)> = known
        .filter_map(|candidate| {
            let begins = word.len() >= 2
                && (candidate.starts_with(&word)
                    || word.starts_with(candidate) && candidate.len() >= 3);
            match distance(&word, candidate) {
                far if far <= allowed => Some((far, candidate.chars().next() != first, candidate)),
                _ if begins => Some((allowed + 1, false, candidate)),
                _ => None,
            }
        })
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|(.., name)| name).take(3).collect()
}

/// Letters to insert, remove or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// `: did you mean a, b?` or nothing.
pub fn hint(word: &str, known: impl Iterator<Item = &'static str>) -> String {
    let found = near(word, known);
    if found.is_empty() {
        String::new()
    } else {
        format!(": did you mean {}?", found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_first() {
        let known = ["pid", "ppid", "pgid", "rss", "command", "comm"];
        assert_eq!(near("pidd", known.into_iter())[0], "pid");
        assert_eq!(near("RSs", known.into_iter()), ["rss"]);
        assert_eq!(near("comma", known.into_iter()), ["comm", "command"]);
        assert!(near("zzzzzz", known.into_iter()).is_empty());
        assert_eq!((distance("", "abc"), distance("kitten", "sitting")), (3, 3));
    }
}
