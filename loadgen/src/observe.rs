//! Follows `GET /v1/context/stream` on a thread of its own: how many contexts came out, and that no session's version goes back.

use crate::background::Background;
use crate::http::{Connection, Target, read_hint};
use crate::sse::{Line, Lines};
use http_body_util::BodyExt;
use saccade::counted::counted;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Contexts received.
    pub contexts: u64,
    /// Sessions they belonged to.
    pub sessions: u64,
    /// Notices of skipped contexts and other events that are no context.
    pub notices: u64,
    /// Contexts that cannot be read.
    pub unreadable: u64,
    /// Contexts whose version was lower than one seen before for the session.
    pub backwards: u64,
    /// The stream ended before the run did.
    pub ended_early: bool,
}

impl Observed {
    /// What is wrong, in words.
    pub fn failure(&self) -> Option<String> {
        let Observed { backwards, unreadable, ended_early, .. } = self;
        let counts = [(*backwards, "version", "that went back"), (*unreadable, "context", "that could not be read")];
        let counts = counts.into_iter().filter(|(n, ..)| *n > 0);
        let wrong = counts.map(|(n, what, wrong)| format!("{} {wrong}", counted(n, what)));
        let wrong: Vec<String> = wrong.chain(ended_early.then(|| "its end before that of the run".into())).collect();
        (!wrong.is_empty()).then(|| format!("the stream of all contexts had {}", wrong.join(", ")))
    }
}

/// A running observer.
pub struct Observer(Background<Observed>);

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    session: Option<std::borrow::Cow<'a, str>>,
    version: u64,
}

impl Observer {
    /// Opens the stream; returns when the server has answered.
    pub fn start(target: Target, timeout: Duration) -> io::Result<Observer> {
        let (opened, is_open) = mpsc::channel();
        let observer = Background::start("observer", move |stopped| follow(target, timeout, opened, stopped))?;
        match is_open.recv() {
            Ok(()) => Ok(Observer(observer)),
            // It ended without opening the stream: its result says why.
            Err(_) => match observer.finish() {
                Err(e) => Err(e),
                Ok(_) => Err(io::Error::other("the context stream ended before it began")),
            },
        }
    }

    /// Closes the stream and returns what was seen.
    pub fn finish(self) -> io::Result<Observed> {
        self.0.finish()
    }
}

async fn follow(
    target: Target,
    timeout: Duration,
    opened: mpsc::Sender<()>,
    mut stopped: oneshot::Receiver<()>,
) -> io::Result<Observed> {
    const PATH: &str = "/v1/context/stream";
    let mut connection = Connection::new(target);
    let response = match tokio::time::timeout(timeout, connection.get_response(PATH)).await {
        Ok(response) => response?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer to GET {PATH}"))),
    };
    if response.status() != 200 {
        let status = response.status().as_u16();
        return Err(io::Error::other(format!("GET {PATH} was answered {status}{}", read_hint(status))));
    }
    // The receiver waits for exactly this.
    let _ = opened.send(());
    let mut body = response.into_body();
    let mut events = Events::default();
    loop {
        let frame = tokio::select! {
            biased; // what has arrived is counted before the end
            frame = body.frame() => frame,
            _ = &mut stopped => break,
        };
        match frame {
            Some(Ok(frame)) => frame.data_ref().into_iter().for_each(|data| events.read(data)),
            Some(Err(_)) | None => {
                events.seen.ended_early = true;
                break;
            }
        }
    }
    events.seen.sessions = events.versions.len() as u64;
    Ok(events.seen)
}

/// Checks each context of a stream.
#[derive(Default)]
struct Events {
    seen: Observed,
    versions: HashMap<String, u64>,
    lines: Lines,
}

impl Events {
    fn read(&mut self, data: &[u8]) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.read(data, &mut |line| self.line(line));
        self.lines = lines;
    }

    fn line(&mut self, line: Line<'_>) {
        let data = match line {
            Line::Event(name) => return self.seen.notices += u64::from(name != b"context"),
            Line::Data(data) => data,
        };
        // Data that is no object belongs to a notice.
        match serde_json::from_slice::<Context<'_>>(data) {
            Ok(Context { session, version }) => self.context(session.as_deref(), version),
            Err(_) => self.seen.unreadable += u64::from(data.windows(8).any(|w| w == b"\"vector\"")),
        }
    }

    fn context(&mut self, session: Option<&str>, version: u64) {
        self.seen.contexts += 1;
        let Some(session) = session else { return };
        match self.versions.get_mut(session) {
            None => {
                self.versions.insert(session.to_owned(), version);
            }
            Some(known) if version < *known => self.seen.backwards += 1,
            Some(known) => *known = version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// A server that answers one request with `response` and closes.
    fn serve_once(response: String) -> Target {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepting on loopback");
            let mut request = [0; 4096];
            let n = stream.read(&mut request).expect("a request comes");
            assert!(request[..n].starts_with(b"GET /v1/context/stream HTTP/1.1\r\n"));
            stream.write_all(response.as_bytes()).expect("the client reads");
        });
        Target::new(&format!("http://{address}"), None, Some("token")).expect("an address is a target")
    }

    #[test]
    fn a_stream_is_read_to_its_end_and_an_early_end_is_told() {
        let events = "data: {\"session\":\"a\",\"version\":1}\n\ndata: {\"session\":\"b\",\"version\":2}\n\n";
        let target = serve_once(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{events}"));
        let observer = Observer::start(target, Duration::from_secs(10)).expect("the stream opens");
        while !observer.0.is_over() {
            std::thread::yield_now();
        }
        let seen = observer.finish().expect("the stream was read");
        assert_eq!((seen.contexts, seen.sessions, seen.ended_early), (2, 2, true));
    }

    #[test]
    fn a_refused_stream_says_what_may_be_missing() {
        let target = serve_once("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".into());
        let error = Observer::start(target, Duration::from_secs(10)).err().map(|e| e.to_string());
        assert!(error.as_ref().is_some_and(|e| e.contains("401") && e.contains("--read-token")), "{error:?}");
    }

    fn observe(chunks: &[&str]) -> Observed {
        let mut events = Events::default();
        chunks.iter().for_each(|chunk| events.read(chunk.as_bytes()));
        events.seen
    }

    #[test]
    fn contexts_are_counted_over_chunk_borders() {
        let seen = observe(&[
            "data: {\"session\":\"a\",\"ver",
            "sion\":1}\n\n: keep-alive\n\ndata: {\"session\":\"a\",\"version\":2}\n\n",
        ]);
        assert_eq!((seen.contexts, seen.backwards, seen.unreadable), (2, 0, 0));
    }

    #[test]
    fn a_version_that_goes_back_is_seen() {
        let text =
            |session, version| format!("event: context\ndata: {{\"session\":\"{session}\",\"version\":{version}}}\n\n");
        let seen = observe(&[&text("a", 5), &text("b", 1), &text("a", 4), &text("a", 5)]);
        assert_eq!((seen.contexts, seen.backwards, seen.notices), (4, 1, 0));
    }

    #[test]
    fn notices_are_no_contexts() {
        let seen = observe(&["event: skipped\ndata: {\"skipped\":12}\n\n"]);
        assert_eq!((seen.contexts, seen.notices, seen.unreadable), (0, 1, 0));
    }

    #[test]
    fn a_context_without_a_version_is_unreadable() {
        assert_eq!(observe(&["data: {\"session\":\"a\",\"vector\":[1]}\n\n"]).unreadable, 1);
    }
}
