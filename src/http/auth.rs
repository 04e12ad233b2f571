//! Who may write and who may read.
//!
//! A write key lets events in, the read token lets everything else out; neither does the other's work. Both are compared in
//! constant time. Without keys everyone may, which [`check_auth_config`] allows on loopback only.

use super::error::Refusal;
use super::query::Pairs;
use crate::config::{Auth as AuthConfig, Config};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use std::net::{IpAddr, SocketAddr};
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// Refuses a configuration that would let strangers in: an address other than loopback without keys.
pub fn check_auth_config(config: &Config) -> Result<(), String> {
    let listen = &config.server.listen;
    let is_host = |host: &str| !host.is_empty() && !host.contains('/');
    let is_address = |(host, port): (&str, &str)| is_host(host) && port.parse::<u16>().is_ok();
    if !listen.rsplit_once(':').is_some_and(is_address) {
        return Err(format!("`server.listen` is `{listen}`, which is no HOST:PORT; write for example 127.0.0.1:8080"));
    }
    check(&config.auth, is_loopback(&config.server.listen), &config.server.listen)
}

/// As [`check_auth_config`], for the address that is really listened on.
pub(super) fn check(auth: &AuthConfig, loopback: bool, address: &str) -> Result<(), String> {
    if auth.write_keys.iter().chain(&auth.read_token).any(|key| key.trim().is_empty()) {
        return Err("`auth.write_keys` or `auth.read_token` holds an empty key; remove it or give it a value".into());
    }
    if auth.read_token.as_ref().is_some_and(|token| auth.write_keys.contains(token)) {
        return Err("`auth.read_token` is one of `auth.write_keys`: a key of players could administrate".into());
    }
    if loopback {
        return Ok(());
    }
    let missing = match (auth.write_keys.is_empty(), auth.read_token.is_none()) {
        (true, true) => "`auth.write_keys` and `auth.read_token` are not set",
        (true, false) => "`auth.write_keys` is not set",
        (false, true) => "`auth.read_token` is not set",
        (false, false) => return Ok(()),
    };
    Err(format!(
        "listening on {address}, where other machines can reach it, but {missing}: anyone could send events or read what \
         viewers do. Set both, or listen on 127.0.0.1"
    ))
}

fn is_loopback(listen: &str) -> bool {
    if let Ok(address) = listen.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Place of a write key in the configuration; 0 where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WriteKey(pub(super) usize);

/// The keys.
pub(super) struct Auth {
    write_keys: Vec<String>,
    read_token: Option<String>,
}

impl Auth {
    pub(super) fn new(config: &AuthConfig) -> Auth {
        Auth { write_keys: config.write_keys.clone(), read_token: config.read_token.clone() }
    }

    /// The key this request writes with. Beacons cannot set headers, so that it may be in the query.
    pub(super) fn writer(&self, parts: &Parts) -> Result<WriteKey, Refusal> {
        if self.write_keys.is_empty() {
            return Ok(WriteKey(0));
        }
        presented(parts, Some("x-write-key"), "key")
            .iter()
            .find_map(|given| matching(&self.write_keys, given))
            .map(WriteKey)
            .ok_or_else(|| {
                refuse("a write key of `auth.write_keys`: Authorization: Bearer KEY, X-Write-Key: KEY or ?key=KEY")
            })
    }

    /// The key of a request that asks for a decision or tells of one: a write key, or the read token, which has none.
    pub(super) fn decider(&self, parts: &Parts) -> Result<Option<WriteKey>, Refusal> {
        match self.writer(parts) {
            Ok(key) => Ok(Some(key)),
            Err(refusal) if self.read_token.is_none() => Err(refusal),
            Err(_) => self.reader(parts).map(|()| None).map_err(|_| {
                refuse("a write key of `auth.write_keys` or the token of `auth.read_token`: Authorization: Bearer KEY")
            }),
        }
    }

    /// Passes requests that carry the read token. `EventSource` cannot set headers, so that it may be in the query.
    pub(super) fn reader(&self, parts: &Parts) -> Result<(), Refusal> {
        let Some(token) = &self.read_token else { return Ok(()) };
        presented(parts, None, "token")
            .iter()
            .find_map(|given| matching(std::slice::from_ref(token), given))
            .map(|_| ())
            .ok_or_else(|| refuse("the token of `auth.read_token`: Authorization: Bearer TOKEN or ?token=TOKEN"))
    }
}

fn refuse(wanted: &str) -> Refusal {
    let mut refusal = Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", format!("this call needs {wanted}"));
    refusal.hint = Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    refusal
}

/// Everything in the request that may be a key; a page may well send a bearer token of its own beside `?key=`.
fn presented(parts: &Parts, header_name: Option<&str>, parameter: &str) -> Vec<String> {
    let bearer = parts.headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_string())
    });
    let own = header_name.and_then(|name| parts.headers.get(name)).and_then(|value| value.to_str().ok());
    let query = Pairs::of(&parts.uri);
    bearer.chain(own.map(|key| key.trim().to_string())).chain(query.get(parameter).map(str::to_string)).collect()
}

/// Which of `keys` is `given`. All are compared, so that the time taken does not tell which one matched or how far.
fn matching(keys: &[String], given: &str) -> Option<usize> {
    let mut found = 0_u64;
    for (place, key) in keys.iter().enumerate() {
        let equal = key.as_bytes().ct_eq(given.as_bytes());
        found.conditional_assign(&(place as u64 + 1), equal);
    }
    (found as usize).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn auth() -> Auth {
        Auth { write_keys: vec!["alpha".into(), "beta".into()], read_token: Some("gamma".into()) }
    }

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("the test's request is well formed").into_parts().0
    }

    #[test]
    fn a_write_key_is_taken_from_any_of_three_places() {
        let table = [
            ("/", vec![("authorization", "Bearer beta")], Some(1)),
            ("/", vec![("authorization", "bearer  alpha ")], Some(0)),
            ("/", vec![("x-write-key", "beta")], Some(1)),
            ("/?key=beta", vec![], Some(1)),
            ("/?key=beta", vec![("authorization", "Bearer the-page-s-own")], Some(1)),
            ("/?key=b%65ta", vec![], Some(1)),
            ("/", vec![], None),
            ("/?key=", vec![], None),
            ("/?token=beta", vec![], None),
            ("/?key=gamma", vec![], None),
            ("/", vec![("authorization", "Basic beta")], None),
            ("/", vec![("x-write-key", "bet")], None),
        ];
        for (uri, headers, expected) in table {
            let got = auth().writer(&parts(uri, &headers)).ok().map(|key| key.0);
            assert_eq!(got, expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn the_read_token_does_not_write_and_a_write_key_does_not_read() {
        let table = [
            ("/", vec![("authorization", "Bearer gamma")], true),
            ("/?token=gamma", vec![], true),
            ("/?token=alpha", vec![], false),
            ("/", vec![("x-write-key", "gamma")], false),
            ("/", vec![], false),
        ];
        for (uri, headers, expected) in table {
            assert_eq!(auth().reader(&parts(uri, &headers)).is_ok(), expected, "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_public_address_needs_both_kinds_of_key() {
        let check = |listen: &str, write: &[&str], read: Option<&str>| {
            let mut config = Config::default();
            config.server.listen = listen.into();
            config.auth.write_keys = write.iter().map(|key| key.to_string()).collect();
            config.auth.read_token = read.map(str::to_string);
            check_auth_config(&config)
        };
        for loopback in ["127.0.0.1:8080", "127.9.9.9:1", "[::1]:8080", "localhost:8080"] {
            assert_eq!(check(loopback, &[], None), Ok(()), "{loopback}");
        }
        for public in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "saccade.example:8080"] {
            let none = check(public, &[], None).expect_err("no keys at all");
            assert!(none.contains("auth.write_keys") && none.contains("auth.read_token"), "{none}");
            assert!(check(public, &["k"], None).expect_err("no token").contains("auth.read_token"));
            assert!(check(public, &[], Some("t")).expect_err("no write key").contains("auth.write_keys"));
            assert_eq!(check(public, &["k"], Some("t")), Ok(()));
        }
        assert!(check("127.0.0.1:1", &[" "], None).is_err(), "an empty key would match an empty header");
    }
}
