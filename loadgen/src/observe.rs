//! Follows `GET /v1/context/stream` on a thread of its own: how many contexts came out, and that no session's version goes back, also
//! where the stream ends with its server and is opened again.

use crate::background::Background;
use crate::http::{Connection, Target, read_hint};
use crate::sse::{Line, Lines};
use http_body_util::BodyExt;
use hyper::body::Incoming;
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
    /// How often the stream ended and was open again later.
    #[serde(default)]
    pub reopened: u64,
    /// The stream ended before the run did, and was not open again.
    pub ended_early: bool,
}

impl Observed {
    /// What was not seen, in words: nothing was found wrong with it because nobody looked.
    pub fn unseen(&self) -> Option<String> {
        let times = counted(self.reopened, "time");
        (self.reopened > 0).then(|| {
            format!("the stream of all contexts ended and was opened again {times}: what came between was not seen")
        })
    }

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

/// Before the first attempt to open a stream again that ended; each further one waits twice as long.
const AGAIN: Duration = Duration::from_millis(10);
/// Longest wait between two.
const AGAIN_MAX: Duration = Duration::from_millis(200);

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
    let mut connection = Connection::new(target);
    let mut body = open(&mut connection, timeout).await?.map_err(io::Error::other)?;
    // The receiver waits for exactly this.
    let _ = opened.send(());
    let mut events = Events::default();
    while let Ended::ByServer = events.follow(body, &mut stopped).await {
        events.seen.ended_early = true;
        connection.close();
        let again = tokio::select! {
            again = open_again(&mut connection, timeout) => again,
            _ = &mut stopped => None,
        };
        let Some(again) = again else { break };
        (body, events.seen.ended_early) = (again, false);
        events.seen.reopened += 1;
    }
    events.seen.sessions = events.versions.len() as u64;
    Ok(events.seen)
}

/// Asks for the stream; the error within says which status refused it.
async fn open(connection: &mut Connection, timeout: Duration) -> io::Result<Result<Incoming, String>> {
    const PATH: &str = "/v1/context/stream";
    let response = match tokio::time::timeout(timeout, connection.get_response(PATH)).await {
        Ok(response) => response?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer to GET {PATH}"))),
    };
    let status = response.status().as_u16();
    Ok(match status {
        200 => Ok(response.into_body()),
        _ => Err(format!("GET {PATH} was answered {status}{}", read_hint(status))),
    })
}

/// Asks for the stream until it is there.
async fn open_again(connection: &mut Connection, timeout: Duration) -> Option<Incoming> {
    let mut wait = AGAIN;
    loop {
        tokio::time::sleep(wait).await;
        if let Ok(Ok(body)) = open(connection, timeout).await {
            return Some(body);
        }
        connection.close();
        wait = (2 * wait).min(AGAIN_MAX);
    }
}

/// Checks each context of a stream.
#[derive(Default)]
struct Events {
    seen: Observed,
    versions: HashMap<String, u64>,
    lines: Lines,
}

/// Why a stream is no longer followed.
enum Ended {
    ByServer,
    WithTheRun,
}

impl Events {
    /// Reads a stream until it or the run is over. What is known of versions stays for the next one.
    async fn follow(&mut self, mut body: Incoming, stopped: &mut oneshot::Receiver<()>) -> Ended {
        // What is left of an unfinished line belongs to the stream before.
        self.lines = Lines::default();
        loop {
            let frame = tokio::select! {
                biased; // what has arrived is counted before the end
                frame = body.frame() => frame,
                _ = &mut *stopped => return Ended::WithTheRun,
            };
            match frame {
                Some(Ok(frame)) => frame.data_ref().into_iter().for_each(|data| self.read(data)),
                Some(Err(_)) | None => return Ended::ByServer,
            }
        }
    }

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
    use crate::testing::{answer, never, scripted};
    use std::io::{Read, Write};

    /// A stream of these, which then ends.
    fn stream(contexts: &[(&str, u64)]) -> String {
        let text =
            |(session, version): &(&str, u64)| format!("data: {{\"session\":\"{session}\",\"version\":{version}}}\n\n");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        head.to_owned() + &contexts.iter().map(text).collect::<String>()
    }

    #[test]
    fn a_stream_that_ends_is_opened_again_and_versions_from_before_are_remembered() {
        let (asked, is_asked) = mpsc::channel();
        let target = scripted(move |path, nth| {
            assert_eq!(path, "/v1/context/stream");
            match nth {
                0 => stream(&[("a", 5), ("b", 1)]),
                1 => answer("503 Service Unavailable", ""),
                2 => stream(&[("a", 4), ("a", 6)]) + "data: {\"session\":\"a\",\"ver",
                _ => {
                    let _ = asked.send(());
                    never()
                }
            }
        });
        let observer = Observer::start(target, Duration::from_secs(10)).expect("the stream opens");
        is_asked.recv().expect("it asks for a third stream");
        let seen = observer.finish().expect("the streams were read");
        assert_eq!((seen.contexts, seen.sessions, seen.backwards, seen.unreadable), (4, 2, 1, 0), "{seen:?}");
        assert_eq!((seen.reopened, seen.ended_early), (1, true), "the third did not come");
        let unseen = Observed { reopened: 1, ..Observed::default() };
        assert!(unseen.unseen().is_some_and(|unseen| unseen.contains("opened again 1 time:")));
        assert_eq!((unseen.failure(), Observed::default().unseen()), (None, None));
    }

    /// A server that answers one request with `response`, and closes.
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
    fn a_stream_that_is_open_at_the_end_of_the_run_did_not_end_early() {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n".to_owned();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let target = Target::new(&format!("http://{address}"), None, None).expect("an address is a target");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepting on loopback");
            assert!(stream.read(&mut [0; 4096]).expect("a request comes") > 0);
            stream.write_all(head.as_bytes()).expect("the client reads");
            stream
        });
        let observer = Observer::start(target, Duration::from_secs(10)).expect("the stream opens");
        let stream = server.join().expect("it answered");
        let seen = observer.finish().expect("the stream was read");
        drop(stream);
        assert_eq!(seen, Observed::default());
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
