//! The driver against a small real server on loopback.

use super::*;
use crate::profile::Profile;
use crate::schedule::{Arrivals, Plan, Shape};
use crate::source::{Simple, Viewers};
use crate::span::Span;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex};

/// What the server does with its `n`th request, from 0.
#[derive(Clone, Copy)]
enum Behaviour {
    Accepts,
    /// Is silent for a while before it answers request `at`, and meanwhile takes no other.
    Stalls {
        at: u64,
        length: Duration,
    },
    /// Answers 503 to every third.
    Refuses,
    /// Closes the connection after each answer.
    Closes,
    /// Says of one event fewer what became of it.
    Forgets,
    /// Never answers.
    Silent,
}

struct Server {
    address: SocketAddr,
    /// Event times by event number, as received.
    received: Arc<StdMutex<Vec<(u64, u64)>>>,
}

impl Server {
    fn start(behaviour: Behaviour) -> Server {
        let received = Arc::new(StdMutex::new(Vec::new()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let server_received = Arc::clone(&received);
        std::thread::spawn(move || serve(listener, behaviour, server_received));
        Server { address, received }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(listener: std::net::TcpListener, behaviour: Behaviour, received: Arc<StdMutex<Vec<(u64, u64)>>>) {
    listener.set_nonblocking(true).expect("loopback sockets can be non-blocking");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime is running");
    let requests = Arc::new(AtomicU64::new(0));
    loop {
        let (stream, _) = listener.accept().await.expect("accepting on loopback");
        let (requests, received) = (Arc::clone(&requests), Arc::clone(&received));
        tokio::spawn(async move {
            let handler =
                service_fn(|request| answer(behaviour, Arc::clone(&requests), Arc::clone(&received), request));
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.keep_alive(!matches!(behaviour, Behaviour::Closes));
            // A client that goes away in the middle is part of some tests.
            let _ = builder.serve_connection(TokioIo::new(stream), handler).await;
        });
    }
}

async fn answer(
    behaviour: Behaviour,
    requests: Arc<AtomicU64>,
    received: Arc<StdMutex<Vec<(u64, u64)>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let n = requests.fetch_add(1, Ordering::Relaxed);
    let body = request.into_body().collect().await.expect("the body arrives").to_bytes();
    let events: Vec<Value> = serde_json::from_slice(&body).expect("the body is a JSON array");
    for event in &events {
        let number = event["id"].as_str().and_then(|id| id.rsplit('-').next()?.parse().ok()).expect("ids are numbered");
        received.lock().expect("no test panics here").push((number, event["event_time"].as_u64().expect("epoch ms")));
    }
    let mut accepted = events.len();
    let mut status = 202;
    match behaviour {
        // Blocks the whole server, as a stopped process would be.
        Behaviour::Stalls { at, length } if at == n => std::thread::sleep(length),
        Behaviour::Refuses if n % 3 == 2 => status = 503,
        Behaviour::Forgets => accepted -= 1,
        Behaviour::Silent => std::future::pending().await,
        _ => {}
    }
    let text = format!(r#"{{"accepted":{accepted},"duplicates":0,"late":0,"rejected":[]}}"#);
    Ok(Response::builder().status(status).body(Full::from(text)).expect("a plain response"))
}

/// A drive and the plan it follows.
fn drive(server: &Server, rate: u64, batch: std::ops::RangeInclusive<u32>, events: u64) -> (Drive, Plan) {
    let drive = Drive {
        target: Target::new(&format!("http://{}", server.address), None, None).expect("an address is a target"),
        connections: 4,
        timeout: Duration::from_secs(10),
        measure_from: Duration::ZERO,
        interrupt: Arc::default(),
    };
    (drive, Plan { rate, batch, events, seed: 3, shape: Shape::Constant, arrivals: Arrivals::Even })
}

fn simple(plan: &Plan) -> Source {
    Source::Simple(Box::new(Simple::new(plan.clone(), 100, 1.0)))
}

fn run_quietly((drive, plan): (Drive, Plan)) -> Tally {
    let done = run(drive, &mut simple(&plan), None, None, |_| ()).expect("the server is there");
    assert_eq!(done.events, plan.events);
    done.tally
}

/// Every event arrived once, and says the time at which it was due.
fn assert_on_schedule(server: &Server, plan: &Plan) {
    let mut received = server.received.lock().expect("no test panics there").clone();
    received.sort_unstable();
    assert_eq!(received.len() as u64, plan.events);
    let epoch = received[0].1;
    for (i, (number, event_time)) in received.into_iter().enumerate() {
        assert_eq!((number, event_time), (i as u64, epoch + plan.event_due_ns(number) / 1_000_000));
    }
}

#[test]
fn every_event_is_sent_once_with_its_intended_time_and_acknowledged() {
    let server = Server::start(Behaviour::Accepts);
    let (drive, plan) = drive(&server, 5_000, 1..=20, 2_001);
    let tally = run_quietly((drive, plan.clone()));
    assert_eq!((tally.counts.sent, tally.counts.accepted, tally.counts.lost), (2_001, 2_001, 0));
    assert_eq!(tally.counts.requests, plan.requests().count() as u64);
    assert_eq!(tally.intended.len(), tally.counts.requests);
    assert_on_schedule(&server, &plan);
}

#[test]
fn a_stalled_server_shows_in_intended_latency_and_not_in_service_latency() {
    let stall = Duration::from_millis(400);
    let server = Server::start(Behaviour::Stalls { at: 100, length: stall });
    // One event a millisecond for a second: some 400 of 1,000 requests are due while the server is silent, 4 are under way.
    let (drive, plan) = drive(&server, 1_000, 1..=1, 1_000);
    let tally = run_quietly((drive, plan.clone()));
    assert_eq!((tally.counts.accepted, tally.counts.lost), (1_000, 0));
    assert_on_schedule(&server, &plan);
    let ms = |samples: &crate::tally::Samples, q| samples.value_at_quantile(q) as f64 / 1e6;
    assert!(ms(&tally.intended, 1.0) >= 399.0, "the stall is in the longest intended latency");
    assert!(ms(&tally.intended, 0.80) >= 100.0, "a request in five waited a quarter of the stall or longer");
    assert!(ms(&tally.service, 0.80) <= 50.0, "nearly all requests were served at once");
    assert!(ms(&tally.service, 1.0) >= 399.0, "the stall is in the longest service latency");
    assert!(ms(&tally.lag, 0.80) <= 50.0, "waiting for the server is not the generator's lag");
    let first = &tally.series.finish(BTreeMap::new())[0];
    assert!(first.intended.is_some_and(|brief| brief.max_ms >= 399.0), "the second in which it was says so: {first:?}");
}

#[test]
fn what_waits_for_an_answer_is_told_while_it_waits() {
    let server = Server::start(Behaviour::Silent);
    let (drive, plan) = drive(&server, 1_000, 1..=1, 500);
    let mut told = vec![];
    let drive = Drive { timeout: Duration::from_secs(2), ..drive };
    run(drive, &mut simple(&plan), None, None, |at| told.push((at.waiting, at.elapsed))).expect("it is there");
    let (waiting, elapsed) = told[0];
    assert!(elapsed < Duration::from_secs(2), "before anything has timed out: {elapsed:?}");
    // Four are on their way, all others wait for a connection; the first was due after a millisecond.
    assert_eq!(waiting.requests, 500);
    assert!((elapsed - waiting.oldest) <= Duration::from_millis(1), "{waiting:?} at {elapsed:?}");
}

#[test]
fn refused_requests_are_lost_and_counted_by_status() {
    let server = Server::start(Behaviour::Refuses);
    let tally = run_quietly(drive(&server, 3_000, 1..=1, 300));
    assert_eq!((tally.counts.accepted, tally.counts.lost), (200, 100));
    assert_eq!(tally.counts.http_errors["503"], 100);
}

#[test]
fn a_server_that_is_gone_is_not_the_quickest() {
    let (drive, plan) = drive(&Server::start(Behaviour::Accepts), 1_000, 1..=1, 100);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    // It dies as soon as it was found and all are connected.
    std::thread::spawn(move || (0..5).map(|_| listener.accept()).collect::<Vec<_>>());
    let target = Target::new(&format!("http://{address}"), None, None).expect("an address is a target");
    let tally = run_quietly((Drive { target, timeout: Duration::from_secs(2), ..drive }, plan));
    assert_eq!((tally.counts.lost, tally.intended.len(), tally.service.len()), (100, 100, 100));
    assert!(tally.intended.min() >= 1_990_000_000 && tally.service.min() >= 1_990_000_000);
}

#[test]
fn a_run_that_is_interrupted_ends_with_what_was_due() {
    let server = Server::start(Behaviour::Accepts);
    let (drive, plan) = drive(&server, 1_000, 1..=1, 60_000);
    let (interrupt, begun) = (Arc::clone(&drive.interrupt), Instant::now());
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        interrupt.store(true, Ordering::Relaxed);
    });
    let done = run(drive, &mut simple(&plan), None, None, |_| ()).expect("the server is there");
    assert!(begun.elapsed() < Duration::from_secs(30) && done.interrupted.is_some_and(|at| at < begun.elapsed()));
    let counts = done.tally.counts;
    assert!((1..60_000).contains(&done.events), "{} events", done.events);
    assert_eq!(counts.accepted + counts.lost, done.events);
}

#[test]
fn a_run_that_is_interrupted_before_it_begins_had_nothing_to_do() {
    let server = Server::start(Behaviour::Accepts);
    let (drive, plan) = drive(&server, 1_000, 1..=1, 60_000);
    drive.interrupt.store(true, Ordering::Relaxed);
    let done = run(drive, &mut simple(&plan), None, None, |_| ()).expect("the server is there");
    assert_eq!((done.idle, done.events, done.interrupted), (1.0, 0, Some(Duration::ZERO)));
}

#[test]
fn a_connection_that_the_server_closes_is_opened_again() {
    let server = Server::start(Behaviour::Closes);
    let (drive, plan) = drive(&server, 2_000, 1..=1, 200);
    let tally = run_quietly((drive, plan.clone()));
    assert_eq!((tally.counts.accepted, tally.counts.lost), (200, 0), "{:?}", tally.counts);
    assert_on_schedule(&server, &plan);
}

/// Answers each request of one event, then says `end`, then closes if it `closes`. Such a request comes in one piece on loopback.
fn answer_curtly(mut stream: std::net::TcpStream, end: &str, closes: bool) -> io::Result<()> {
    let text = r#"{"accepted":1}"#;
    let answer = format!("HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{text}{end}", text.len());
    while io::Read::read(&mut stream, &mut [0; 4096])? > 0 {
        stream.write_all(answer.as_bytes())?;
        if closes {
            break;
        }
    }
    Ok(())
}

#[test]
fn a_server_that_closes_without_a_word_or_says_too_much_loses_no_request() {
    for (end, closes) in [("", true), ("HTTP/1.1 408 Request Timeout\r\n", false)] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        std::thread::spawn(move || {
            let streams = listener.incoming().flatten();
            streams.for_each(|stream| _ = std::thread::spawn(move || answer_curtly(stream, end, closes)));
        });
        let server = Server { address, received: Arc::default() };
        let tally = run_quietly(drive(&server, 500, 1..=1, 200));
        assert_eq!((tally.counts.accepted, tally.counts.lost), (200, 0), "{end}: {:?}", tally.counts);
    }
}

/// Answers two requests of one event, reads a third one and closes; counts what it read.
fn read_and_close(mut stream: std::net::TcpStream, read: &AtomicU64) -> io::Result<()> {
    let answer = "HTTP/1.1 202 Accepted\r\ncontent-length: 14\r\n\r\n{\"accepted\":1}";
    for nth in 0..3 {
        if io::Read::read(&mut stream, &mut [0; 4096])? == 0 {
            break;
        }
        read.fetch_add(1, Ordering::Relaxed);
        if nth < 2 {
            stream.write_all(answer.as_bytes())?;
        }
    }
    Ok(())
}

#[test]
fn requests_that_a_server_read_before_it_closed_are_counted_as_sent_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let read = Arc::<AtomicU64>::default();
    let by_server = Arc::clone(&read);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let read = Arc::clone(&by_server);
            std::thread::spawn(move || read_and_close(stream, &read));
        }
    });
    let tally = run_quietly(drive(&Server { address, received: Arc::default() }, 500, 1..=1, 200));
    assert_eq!((tally.counts.accepted, tally.counts.lost), (200, 0), "{:?}", tally.counts);
    assert!(tally.resent > 0, "every third request of a connection met its end");
    assert_eq!(read.load(Ordering::Relaxed), 200 + tally.resent);
}

#[test]
fn a_server_that_reads_the_first_request_and_closes_gets_it_only_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || io::Read::read(&mut stream, &mut [0; 4096]));
        }
    });
    let (drive, plan) = drive(&Server { address, received: Arc::default() }, 500, 1..=1, 20);
    let tally = run_quietly((Drive { timeout: Duration::from_secs(2), ..drive }, plan));
    assert_eq!((tally.counts.lost, tally.counts.http_errors["connection"], tally.resent), (20, 20, 0));
}

#[test]
fn only_what_was_acknowledged_of_a_batch_is_recorded_and_what_may_be_late_says_so() {
    let body = br#"[{"id":"a","session":"s"},{"id":"b","session":"s"},{"id":"c","session":"t"}]"#;
    let recorded = |answer: &[u8]| {
        let Outcome::Acknowledged(answer) = Outcome::read(202, answer, 3) else { panic!("it acknowledges") };
        let mut record = vec![];
        write_down(&mut record, body, &answer).expect("a Vec takes it");
        String::from_utf8(record).expect("ids are text")
    };
    let rejected = recorded(br#"{"accepted":2,"rejected":[{"index":1,"code":"future"}]}"#);
    assert_eq!(rejected, "a\ts\t202\nc\tt\t202\n");
    assert_eq!(recorded(br#"{"accepted":2,"late":1}"#), "a\ts\tunsure\nb\ts\tunsure\nc\tt\tunsure\n");
}

#[test]
fn an_answer_that_forgets_an_event_is_not_an_acknowledgment() {
    let server = Server::start(Behaviour::Forgets);
    let tally = run_quietly(drive(&server, 1_000, 2..=2, 20));
    assert_eq!((tally.counts.accepted, tally.counts.lost), (0, 20));
    assert_eq!(tally.counts.http_errors["unaccounted"], 10);
}

#[test]
fn a_server_that_never_answers_ends_the_run_after_the_timeout_with_everything_lost() {
    let server = Server::start(Behaviour::Silent);
    let timeout = Duration::from_millis(100);
    let (drive, plan) = drive(&server, 1_000, 1..=1, 100);
    let tally = run_quietly((Drive { timeout, ..drive }, plan));
    assert_eq!((tally.counts.accepted, tally.counts.lost), (0, 100));
    assert!(tally.intended.max() >= 100_000_000);
}

#[test]
fn only_acknowledged_events_are_recorded() {
    let server = Server::start(Behaviour::Refuses);
    let file = Written::default();
    let (drive, plan) = drive(&server, 1_000, 1..=1, 6);
    let drive = Drive { connections: 1, ..drive };
    run(drive, &mut simple(&plan), Some(Box::new(file.clone())), None, |_| ()).expect("the server is there");
    let text = String::from_utf8(file.0.lock().expect("one thread").clone()).expect("ids are text");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    for (line, i) in lines.iter().zip([0, 1, 3, 4]) {
        assert_eq!((line[0], line[2], line.len()), (format!("l3-{i}").as_str(), "202", 3));
        assert!(line[1].starts_with("s3-"), "{line:?}");
    }
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_record_that_cannot_be_written_is_told_and_the_run_goes_on() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let server = Server::start(Behaviour::Refuses);
    let (drive, plan) = drive(&server, 1_000, 1..=1, 6);
    let done = run(drive, &mut simple(&plan), Some(Box::new(Full)), None, |_| ()).expect("the server is there");
    assert!(done.tally.counts.accepted > 0 && done.events == 6);
    assert_eq!(done.unrecorded.as_deref(), Some("no storage space"));
}

#[test]
fn no_server_is_an_error_and_not_a_report() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let server = Server { address: listener.local_addr().expect("bound"), received: Arc::default() };
    drop(listener);
    let (drive, plan) = drive(&server, 1_000, 1..=1, 10);
    let error = run(drive, &mut simple(&plan), None, None, |_| ()).err().expect("nobody listens");
    let wanted = format!("nothing answers at {0} (Connection refused", server.address);
    assert!(error.to_string().starts_with(&wanted), "{error}");
    assert!(error.to_string().contains(&format!("`saccade serve --listen {}`", server.address)), "{error}");
}

#[test]
fn viewers_ask_see_what_was_answered_and_tell_what_it_was_worth() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("accepting on loopback");
            std::thread::spawn(move || crate::cli::sink(stream));
        }
    });
    let mut profile = Profile::load("bad_network").expect("it is shipped");
    (profile.load.rate, profile.rank.share, profile.rank.explicit) = (5_000, 1.0, 0.5);
    profile.rank.look_after = Span::parse("2s").expect("a span");
    let drive = Drive {
        target: Target::new(&format!("http://{address}"), None, None).expect("an address is a target"),
        connections: 8,
        timeout: Duration::from_secs(10),
        measure_from: Duration::ZERO,
        interrupt: Arc::default(),
    };
    let (shape, arrivals) = (Shape::Constant, Arrivals::Poisson);
    // Five of the viewers' seconds: some have asked, waited and decided.
    let plan = Plan { rate: 5_000, shape, arrivals, batch: 1..=20, events: 25_000, seed: 6 };
    let mut source = Source::Viewers(Box::new(Viewers::new(&profile, plan, true)));
    let done = run(drive, &mut source, None, None, |_| ()).expect("the server is there");
    let counts = &done.tally.counts;
    assert_eq!((counts.accepted, counts.lost), (done.events, 0));
    for (name, kept) in [("rank", &done.calls.rank), ("reward", &done.calls.reward), ("cmcd", &done.calls.cmcd)] {
        assert!(kept.sent > 0 && kept.answered == kept.sent && kept.errors.is_empty(), "{name}: {kept:?}");
    }
    let so_far = source.so_far().expect("viewers ask");
    assert!(so_far.answered > 0 && so_far.answered + so_far.unanswered == so_far.looked, "{so_far:?}");
}

#[derive(Clone, Default)]
struct Written(Arc<StdMutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
