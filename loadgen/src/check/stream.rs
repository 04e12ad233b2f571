//! One followed session on the wire: opens its stream, again when it breaks, and hands on every context with its arrival.

use super::Shared;
use super::context::Context;
use super::probe::Received;
use crate::http::{Connection, read_hint};
use crate::sse::{Line, Lines};
use crate::tally::begins;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify};

/// Between two attempts of the one that asks whether the server is there: what is measured after it came back is longer by as much.
const AGAIN: Duration = Duration::from_millis(10);
/// Longest wait of the others.
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// Streams of a session that may end as soon as they are open before the next one waits as long.
const BRIEF_MAX: u32 = 5;
/// How much is told of an answer that refuses a stream, bytes.
const SAID_MAX: usize = 4096;

/// Those whose stream is to be opened again. However many they are, one asks often; the others do when anybody got in.
#[derive(Default)]
pub struct Again {
    asks: Mutex<()>,
    is_open: Notify,
}

impl Again {
    async fn wait(&self) {
        match self.asks.try_lock() {
            Ok(_asks) => tokio::time::sleep(AGAIN).await,
            Err(_) => _ = tokio::time::timeout(AGAIN_MAX, self.is_open.notified()).await,
        }
    }
}

/// Follows `session`, the probe at `place`, until the task is dropped.
pub async fn follow(shared: Rc<Shared>, place: usize, session: Box<str>) {
    let path = format!("/v1/context/stream?session={}", encoded(&session));
    let mut connection = Connection::new(shared.target.clone());
    let mut brief = 0;
    loop {
        let answer = tokio::time::timeout(shared.timeout, connection.get_response(&path)).await;
        let why = match answer {
            Err(_) => "not answered within --timeout".to_owned(),
            Ok(Err(e)) => e.to_string(),
            Ok(Ok(response)) if response.status() != 200 => {
                let status = response.status().as_u16();
                let is_final = response.status().is_client_error();
                let said =
                    tokio::time::timeout(shared.timeout, Limited::new(response.into_body(), SAID_MAX).collect()).await;
                let said = said.ok().and_then(Result::ok).map(|said| begins(&said.to_bytes())).unwrap_or_default();
                let why = format!("answered {status} {said}{}", read_hint(status));
                // A refusal would be the same again: no permission, or too many streams.
                if is_final {
                    shared.not_permitted(status);
                    return shared.broke(place, || why);
                }
                why
            }
            Ok(Ok(response)) => {
                let Some(()) = shared.opened(place) else { return };
                let opened = Instant::now();
                shared.again.is_open.notify_waiters();
                read(&shared, place, response.into_body()).await;
                brief = if opened.elapsed() < AGAIN_MAX { brief + 1 } else { 0 };
                "it ended before the run did".to_owned()
            }
        };
        connection.close();
        shared.broke(place, || why);
        match brief {
            ..=BRIEF_MAX => shared.again.wait().await,
            _ => tokio::time::sleep(AGAIN_MAX).await,
        }
    }
}

/// Hands on every context until the stream ends.
async fn read(shared: &Shared, place: usize, mut body: Incoming) {
    let mut lines = Lines::default();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        let at = Instant::now();
        // What was sent is known before what came of it.
        shared.take_told();
        lines.read(data, &mut |line| shared.line(place, line, at));
    }
}

impl Shared {
    /// Notes that a stream is open; nothing where its session is no longer followed.
    fn opened(&self, place: usize) -> Option<()> {
        self.state.borrow_mut().followed.get_mut(&place).map(|followed| followed.probe.opened(Instant::now()))
    }

    fn line(&self, place: usize, line: Line<'_>, at: Instant) {
        let Line::Data(data) = line else { return };
        // The data of a notice, that something was skipped, is no context: the next one counts what it contains.
        if data.starts_with(b"{\"skipped\"") {
            return;
        }
        let mut state = self.state.borrow_mut();
        match serde_json::from_slice::<Context>(data) {
            Ok(context) => {
                let events = self
                    .events_slot
                    .as_ref()
                    .ok()
                    .and_then(|slot| context.vector.get(*slot))
                    .map(|events| *events as u64);
                let Context { version, event_time, .. } = context;
                state.received(place, Received { version, event_time, events }, at);
            }
            Err(_) => state.unreadable += 1,
        }
    }
}

/// As it may stand in a path or a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_for_paths_and_queries() {
        assert_eq!(encoded("s1-2_a.b~"), "s1-2_a.b~");
        assert_eq!(encoded("a b/ü&"), "a%20b%2F%C3%BC%26");
    }
}
