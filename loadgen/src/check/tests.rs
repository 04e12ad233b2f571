//! The checks against the real server, in this process.

use super::*;
use crate::testing::{answer, scripted};
use saccade::config::Config;
use saccade::engine::Engine;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

const TIMEOUT: Duration = Duration::from_secs(20);

/// The real server, until this is dropped: one whose data directory is gone would end the process.
struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        // What went wrong there, a test has seen.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// The real server on a free port.
fn serve(data: &Path, config: Config) -> (Target, Server) {
    let (ready, is_ready) = mpsc::channel::<SocketAddr>();
    let data = data.to_path_buf();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { _ = stopped.await };
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
            let address = listener.local_addr().expect("a bound listener has an address");
            let engine = Arc::new(Engine::open(&config, &data).expect("an empty directory opens"));
            ready.send(address).expect("the test waits");
            saccade::http::serve(std::future::ready(Arc::clone(&engine)), config, listener, stopped)
                .await
                .expect("it serves");
            engine.stop();
        });
    });
    let address = is_ready.recv().expect("the server starts");
    let target = Target::new(&format!("http://{address}"), None, None).expect("an address is a target");
    (target, Server { stop: Some(stop), thread: Some(thread) })
}

struct Site {
    target: Target,
    watcher: Watcher,
    checks: Checks,
    events: u64,
    _server: Server,
    _data: tempfile::TempDir,
}

impl Site {
    fn new(config: Option<&str>) -> Site {
        Site::of(Config::load(None).expect("the default configuration loads"), config)
    }

    /// A server of one configuration, checked with another, a file.
    fn of(served: Config, config: Option<&str>) -> Site {
        let data = tempfile::tempdir().expect("a temporary directory");
        let (target, server) = serve(data.path(), served);
        let config = config.map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(file));
        let wanted =
            Wanted { probes: 4, viewers_expected: 4, config, measure_from: Duration::ZERO, end: Arc::default() };
        let (watcher, checks) = Checks::start(target.clone(), TIMEOUT, wanted).expect("the checks start");
        Site { target, watcher, checks, events: 0, _server: server, _data: data }
    }

    /// A batch with an event of each of six viewers, two of whom are not in the sample.
    fn batch(&mut self) -> Vec<u8> {
        let one = |viewer: u64| {
            self.events += 1;
            let (id, now) = (self.events, now_ms());
            format!(
                r#"{{"id":"e{id}","type":"click","event_time":{now},"session":"s{viewer}","viewer":"v{viewer}","item":"i{}","value":1.5}}"#,
                id % 5
            )
        };
        format!("[{}]", (0..6).map(one).collect::<Vec<_>>().join(",")).into_bytes()
    }

    /// Sends batches one after the other, as the driver does.
    fn send(&mut self, batches: usize) {
        let agent = ureq::Agent::new_with_defaults();
        let url = format!("http://{}/v1/events", self.target.authority);
        for _ in 0..batches {
            let body = self.batch();
            let watched = self.watcher.sending(&body, Duration::ZERO, Instant::now());
            let mut answer = agent.post(&url).send(&body).expect("the server answers");
            let (status, text) = (answer.status().as_u16(), answer.body_mut().read_to_vec().expect("a whole answer"));
            self.watcher.ended(watched, &Outcome::read(status, &text, 6));
        }
    }

    fn finish(self) -> Findings {
        self.checks.finish(None).expect("the checks end")
    }
}

#[test]
fn what_the_real_server_publishes_is_measured_and_is_the_fold_of_what_it_acknowledged() {
    let mut site = Site::new(None);
    site.send(100);
    let published = site.watcher.published().clone();
    let found = site.finish();
    let look = published.look().expect("nobody writes any more");
    assert!(look.fresh.is_some() && look.all == found.publish, "those who watch see what the report says");
    assert_eq!(found.checked.failures(), [""; 0]);
    let vectors = &found.checked.vectors;
    assert_eq!((vectors.viewers, vectors.events, vectors.same, vectors.different), (4, 400, 4, 0), "{vectors:?}");
    assert_eq!((found.checked.sessions, vectors.left_out.len(), vectors.ended), (4, 0, 0));
    assert!(found.publish.len() > 100 && found.publish.len() <= 400, "{} events measured", found.publish.len());
    assert!(found.by_second.contains_key(&0));
}

#[test]
fn without_a_count_of_events_publish_is_not_measured_and_that_is_said() {
    let mut config = Config::load(None).expect("the default configuration loads");
    config.features.retain(|feature| feature.name != "events");
    let mut site = Site::of(config, None);
    site.send(20);
    let found = site.finish();
    assert_eq!(found.checked.failures(), [""; 0]);
    assert!(found.checked.contexts > 0 && found.publish.is_empty(), "{:?}", found.checked);
    let why = found.checked.not_counted().unwrap_or_default();
    assert!(why.contains("no slot of the server's vectors counts all events"), "{why}");
}

#[test]
fn the_count_of_all_events_is_known_by_what_it_counts_and_not_by_its_name() {
    let publish = |features: &str| {
        let config = tempfile::NamedTempFile::with_suffix(".toml").expect("a temporary file");
        std::fs::write(config.path(), features).expect("it can be written");
        let mut site = Site::of(Config::load(Some(config.path())).expect("it is valid"), None);
        site.send(20);
        let found = site.finish();
        assert_eq!(found.checked.failures(), [""; 0], "{features}");
        found.checked.uncounted.is_none() && found.publish.len() > 20
    };
    let count = |name: &str, rest: &str| format!("[[features]]\nname = \"{name}\"\ntype = \"count\"\n{rest}\n");
    let plays = count("events", "on = [\"play\"]");
    assert!(!publish(&plays));
    assert!(!publish(&count("events", "scale = 0.5")));
    assert!(publish(&(plays + &count("acts", ""))));
}

#[test]
fn an_event_that_was_acknowledged_and_is_not_there_is_found_twice() {
    let mut site = Site::new(None);
    site.send(50);
    // Acknowledged by nobody but this test: as a server that loses what it accepted.
    let body = site.batch();
    let watched = site.watcher.sending(&body, Duration::ZERO, Instant::now());
    let answer = crate::tally::Answer { accepted: 6, ..Default::default() };
    site.watcher.ended(watched, &Outcome::Acknowledged(answer));
    let found = site.finish().checked;
    assert_eq!((found.unpublished, found.vectors.different), (4, 4), "{found:?}");
    let failures = found.failures().join("; ");
    assert!(failures.contains("4 accepted events were in no context"), "{failures}");
    assert!(failures.contains("(events) is 50, the fold of what was acknowledged says 51"), "{failures}");
}

#[test]
fn vectors_of_another_configuration_are_not_compared_and_that_is_said() {
    let mut site = Site::new(Some("w1.toml"));
    site.send(1);
    let vectors = site.finish().checked.vectors;
    let why = vectors.not_compared.expect("the schemas differ");
    assert!(why.contains("--config"), "{why}");
    assert_eq!(vectors.different, 0);
}

#[test]
fn a_server_that_is_not_there_leaves_nothing_compared() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    drop(listener);
    let target = Target::new(&format!("http://{address}"), None, None).expect("an address is a target");
    let wanted =
        Wanted { probes: 1, viewers_expected: 1, config: None, measure_from: Duration::ZERO, end: Arc::default() };
    let (_watcher, checks) = Checks::start(target, TIMEOUT, wanted).expect("the checks start");
    let found = checks.finish(None).expect("the checks end");
    assert!(found.checked.vectors.not_compared.is_some_and(|why| why.contains("/v1/schema")));
}

#[test]
fn a_configuration_that_cannot_be_read_is_an_error_at_once() {
    let target = Target::new("http://127.0.0.1:9", None, None).expect("an address is a target");
    let wanted = Wanted {
        probes: 1,
        viewers_expected: 1,
        config: Some("/nonexistent.toml".into()),
        measure_from: Duration::ZERO,
        end: Arc::default(),
    };
    let error = Checks::start(target, TIMEOUT, wanted).err();
    assert!(error.as_ref().is_some_and(|e| e.contains("/nonexistent.toml")), "{error:?}");
}

#[test]
fn followers_that_may_not_read_end_the_run_and_a_missing_stream_does_not() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::load(None).expect("the default configuration loads");
    config.auth.read_token = Some("right".into());
    let (target, _server) = serve(data.path(), config);
    assert_eq!(refused(&target.authority, "wrong"), (Some(401), true));
    assert_eq!(refused(&target.authority, "right"), (None, false));
}

#[test]
fn a_server_that_has_no_schema_is_another_and_ends_the_run() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let authority = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| _ = std::thread::spawn(|| crate::cli::sink(stream)));
    });
    assert_eq!(refused(&authority, "any"), (Some(404), true));
}

/// What those who follow a session with this token are refused with, and whether the run is to end.
fn refused(authority: &str, token: &str) -> (Option<u16>, bool) {
    let target = Target::new(&format!("http://{authority}"), None, Some(token)).expect("a target");
    let end = Arc::<AtomicBool>::default();
    let measure_from = Duration::ZERO;
    let wanted = Wanted { probes: 1, viewers_expected: 1, config: None, measure_from, end: Arc::clone(&end) };
    let (watcher, checks) = Checks::start(target, TIMEOUT, wanted).expect("the checks start");
    let body = br#"[{"id":"e","type":"click","event_time":1,"session":"s","viewer":"v"}]"#;
    let watched = watcher.sending(body, Duration::ZERO, Instant::now());
    watcher.ended(watched, &Outcome::TimedOut);
    let found = checks.finish(None).expect("the checks end");
    (found.refused, end.load(Ordering::Relaxed))
}

fn json(body: &str) -> String {
    answer("200 OK", body)
}

/// What is found of a server that is sent an event of each of these sessions, and acknowledges it; the run ends after `wait`.
fn found(target: Target, sessions: &[&str], wait: impl FnOnce()) -> (Findings, bool) {
    let end = Arc::<AtomicBool>::default();
    let (probes, viewers_expected, measure_from) = (4, 4, Duration::ZERO);
    let wanted = Wanted { probes, viewers_expected, config: None, measure_from, end: Arc::clone(&end) };
    let (watcher, checks) = Checks::start(target, TIMEOUT, wanted).expect("the checks start");
    for session in sessions {
        let event = r#"[{"id":"ID","type":"click","event_time":1767000000002,"session":"ID","viewer":"ID"}]"#;
        let watched = watcher.sending(event.replace("ID", session).as_bytes(), Duration::ZERO, Instant::now());
        let answer = crate::tally::Answer { accepted: 1, ..Default::default() };
        watcher.ended(watched, &Outcome::Acknowledged(answer));
    }
    wait();
    let found = checks.finish(None).expect("the checks end");
    (found, end.load(Ordering::Relaxed))
}

fn schema_of_the_default() -> String {
    let folder = Folder::new(None).expect("the default configuration loads");
    let kind = r#""name":"events","type":"count","scope":"session","unit":"events""#;
    let slots = format!(r#"[{{{kind},"description":"{ALL_EVENTS}"}}]"#);
    json(&format!(r#"{{"schema_version":"{}","slots":{slots}}}"#, folder.schema_version()))
}

const EMPTY_CONTEXT: &str = r#"{"version":1,"event_time":"2025-12-29T09:20:00Z","vector":[]}"#;

#[test]
fn what_differs_is_told_although_a_later_context_could_not_be_had() {
    let target = scripted(|path, _| match path {
        "/v1/schema" => schema_of_the_default(),
        "/v1/context/session/a" => json(EMPTY_CONTEXT),
        _ => String::new(),
    });
    let (found, _) = found(target, &["a", "b", "c"], || ());
    let vectors = &found.checked.vectors;
    assert_eq!((vectors.different, vectors.same), (1, 0), "{vectors:?}");
    let why = vectors.not_compared.as_deref().unwrap_or_default();
    assert!(why.starts_with("only 1 of 3 contexts was: GET /v1/context/session/b: "), "{why}");
    assert!(found.checked.failures()[0].contains("first: session a: the vector has 0 slots"), "{vectors:?}");
}

#[test]
fn followers_that_may_read_no_more_are_broken_streams_and_what_was_measured_is_kept() {
    let (asks_again, is_asked_again) = mpsc::channel();
    let target = scripted(move |path, before| match (path, before) {
        ("/v1/schema", _) => schema_of_the_default(),
        // Not of the event, so that it is waited for.
        ("/v1/context/stream?session=a", 0) => {
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {EMPTY_CONTEXT}\n\n")
        }
        _ => {
            let _ = asks_again.send(());
            answer("403 Forbidden", "")
        }
    });
    let (found, is_ended) = found(target, &["a"], || is_asked_again.recv().expect("the stream ended"));
    assert_eq!((found.refused, is_ended), (None, false));
    assert_eq!((found.checked.contexts, found.checked.unpublished, found.checked.broken), (1, 1, 1));
}

#[test]
fn streams_are_open_again_as_soon_as_the_server_is_back() {
    let (opens, is_open) = mpsc::channel();
    let down = 6;
    let asked = std::sync::Mutex::new(BTreeMap::<String, usize>::new());
    let target = scripted(move |path, before| match path {
        "/v1/schema" => schema_of_the_default(),
        // The server is away until one of them has asked so often.
        _ if path.starts_with("/v1/context/stream") => {
            let most = {
                let mut asked = asked.lock().expect("nobody panics while they hold it");
                asked.insert(path.to_owned(), before);
                asked.values().copied().max().unwrap_or(0)
            };
            if most < down {
                return String::new();
            }
            let _ = opens.send(path.to_owned());
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {EMPTY_CONTEXT}\n\n")
        }
        _ => String::new(),
    });
    let begun = Instant::now();
    let all_are_open = move || {
        let mut open = BTreeSet::new();
        while open.len() < 3 {
            open.insert(is_open.recv().expect("the server stands"));
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    };
    found(target, &["a", "b", "c"], all_are_open);
}

#[test]
fn what_is_missing_is_not_waited_for_once_the_run_was_told_to_end() {
    let mut site = Site::new(None);
    site.send(20);
    // Acknowledged by nobody but this test, so that its context never comes.
    let body = site.batch();
    let watched = site.watcher.sending(&body, Duration::ZERO, Instant::now());
    let answer = crate::tally::Answer { accepted: 6, ..Default::default() };
    site.watcher.ended(watched, &Outcome::Acknowledged(answer));
    let begun = Instant::now();
    let found = site.checks.finish(Some(begun)).expect("the checks end");
    assert!(begun.elapsed() < GRACE, "{:?}", begun.elapsed());
    assert!(found.checked.vectors.not_compared.is_some_and(|why| why.contains("told to end")));
}
