//! The query of a request as decoded pairs.

use axum::extract::Query;
use axum::http::Uri;

/// Names and values in the order they came.
///
/// A `+` is a space: every encoder in use writes a plus as `%2B`, and those of HTML forms write a space as `+`.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Decodes the query of `uri`; bytes that are not UTF-8 become U+FFFD.
    pub(super) fn of(uri: &Uri) -> Pairs {
        if uri.query().is_none() {
            return Pairs::default();
        }
        Pairs(Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default())
    }

    /// The first value of `name` that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_the_first_that_is_not_empty_counts() {
        let pairs = Pairs::of(&Uri::from_static("/x?a=&a=1&b=%22t%C3%A9%22%2Cc+d&e&f=%FF&a=2"));
        assert_eq!(pairs.get("a"), Some("1"));
        assert_eq!(pairs.get("b"), Some("\"té\",c d"));
        assert_eq!(pairs.get("e"), None);
        assert_eq!(pairs.get("f"), Some("\u{fffd}"));
        assert_eq!(Pairs::of(&Uri::from_static("/x")).get("a"), None);
    }
}
