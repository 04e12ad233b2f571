//! Numbers of things, as they are said: one of them is no plural.

/// So many of what has a plural in s.
pub fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", either(n, "", "s"))
}

/// What is said of one, or of another number.
pub fn either<'t>(n: u64, one: &'t str, others: &'t str) -> &'t str {
    if n == 1 { one } else { others }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "event")), ["0 events", "1 event", "2 events"]);
        assert_eq!([0, 1, 2].map(|n| either(n, "was", "were")), ["were", "was", "were"]);
    }
}
