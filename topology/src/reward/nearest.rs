//! Which known name was meant.

/// The known names as a list, and the nearest to `name` where one is near.
pub(super) fn listed(name: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(name, known) {
        Some(meant) => format!("{list}; did you mean `{meant}`?"),
        None => list,
    }
}

/// The first of those with the fewest edits, at most a third of the name.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let edits_max = (name.chars().count().min(64) / 3).max(1);
    let edits = known.iter().map(|other| (edits(name, other), *other));
    edits.filter(|(edits, _)| *edits <= edits_max).min_by_key(|(edits, _)| *edits).map(|(_, other)| other)
}

/// Characters to insert, remove or change (Levenshtein); of the first 64 of each.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_named_and_far_ones_are_not() {
        let known = ["clicked", "watched_s", "item"];
        assert_eq!(nearest("clickd", &known), Some("clicked"));
        assert_eq!(nearest("watched", &known), Some("watched_s"));
        assert_eq!(nearest("completion", &known), None);
        assert_eq!(nearest("x", &known), None);
    }
}
