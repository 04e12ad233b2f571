//! The query of a request as decoded pairs.

use super::error::Refusal;
use axum::extract::Query;
use axum::http::{StatusCode, Uri};

/// Where every call may carry a key or token.
const CREDENTIALS: [&str; 2] = ["key", "token"];

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

    /// The same where it has no other names, and each once: a misspelt one, and the second, would be passed over.
    pub(super) fn only(self, names: &[&str]) -> Result<Pairs, Refusal> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str()) && !CREDENTIALS.contains(&name.as_str())) {
            Some((name, _)) => {
                Err(refuse(format!("there is no `{name}` in the query of this call; there is {}", names.join(", "))))
            }
            None => self.each_once(),
        }
    }

    /// Of a few names there are, so that a repeated one comes soon.
    fn each_once(self) -> Result<Pairs, Refusal> {
        let twice =
            self.0.iter().enumerate().find(|(nth, (name, _))| self.0[..*nth].iter().any(|(known, _)| known == name));
        if let Some((_, (name, _))) = twice {
            return Err(refuse(format!("`{name}` is there twice; allowed: once")));
        }
        Ok(self)
    }

    /// Whether `name` is set to true.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(refuse(format!("`{name}` is `{other}`; allowed: true, false"))),
        }
    }

    /// The value of `name`; an empty one, as of a variable that is not set, would be taken as if it was not asked for.
    pub(super) fn given(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.0.iter().any(|(known, value)| known == name && value.is_empty()) {
            true => Err(refuse(format!("`{name}` is empty; leave it out where it is not meant"))),
            false => Ok(self.get(name)),
        }
    }

    /// The first value of `name` that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }
}

fn refuse(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_query", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_and_another_value_than_true_or_false_are_refused() {
        let of = |uri| Pairs::of(&Uri::from_static(uri)).only(&["sync"]).and_then(|pairs| pairs.flag("sync"));
        let why = |uri| of(uri).expect_err(uri).message;
        assert_eq!(
            [of("/x").ok(), of("/x?sync=true&key=k").ok(), of("/x?sync=false").ok()],
            [Some(false), Some(true), Some(false)]
        );
        assert!(why("/x?snyc=true").contains("no `snyc`") && why("/x?snyc=true").contains("there is sync"));
        assert!(why("/x?sync=true&sync=false").contains("`sync` is there twice"));
        assert!(why("/x?sync=yes").contains("`sync` is `yes`; allowed: true, false"));
    }

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
