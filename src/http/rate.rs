//! How many events per second a write key may send.

use super::auth::WriteKey;
use super::error::Refusal;
use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// One allowance per write key, or a single one where there are no keys; none when `ingest.rate_max` is 0.
///
/// The keys are known from the start, so that there is a limiter for each and no map that could grow.
pub(super) struct Rates {
    limiters: Vec<DefaultDirectRateLimiter>,
    rate_max: u32,
}

impl Rates {
    pub(super) fn new(rate_max: u32, keys: usize) -> Rates {
        let limiters = match NonZeroU32::new(rate_max) {
            None => Vec::new(),
            Some(rate) => (0..keys.max(1)).map(|_| RateLimiter::direct(Quota::per_second(rate))).collect(),
        };
        Rates { limiters, rate_max }
    }

    /// Takes `events` from the allowance of `key`, all or none.
    pub(super) fn take(&self, key: WriteKey, events: usize) -> Result<(), Refusal> {
        let Some(limiter) = self.limiters.get(key.0) else { return Ok(()) };
        let Some(cells) = u32::try_from(events).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        match limiter.check_n(cells) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                let message = format!(
                    "this write key may send {} events per second (ingest.rate_max); try again after Retry-After",
                    self.rate_max
                );
                let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message);
                Err(refusal.retry_after(wait.as_secs_f64().ceil() as u64))
            }
            // Waiting would not help: the body holds more than a whole second's allowance.
            Err(_) => Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "batch_too_large",
                format!(
                    "{events} events in one body, more than the {} per second (ingest.rate_max) of this write key; send \
                     smaller bodies",
                    self.rate_max
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_to_its_rate_and_does_not_use_up_that_of_another() {
        let rates = Rates::new(100, 2);
        assert_eq!(rates.take(WriteKey(0), 100), Ok(()));
        let refusal = rates.take(WriteKey(0), 100).expect_err("the allowance is used up");
        assert_eq!((refusal.status, refusal.code), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"));
        assert_eq!(refusal.hint.expect("says when to try again").1, "1");
        assert_eq!(rates.take(WriteKey(1), 100), Ok(()));
    }

    #[test]
    fn a_body_that_could_never_pass_is_told_so() {
        let rates = Rates::new(100, 1);
        let refusal = rates.take(WriteKey(0), 101).expect_err("over a second's allowance");
        assert_eq!((refusal.status, refusal.code), (StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large"));
        assert_eq!(rates.take(WriteKey(0), 100), Ok(()), "and took nothing");
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Rates::new(0, 3).take(WriteKey(2), 1_000_000), Ok(()));
    }
}
