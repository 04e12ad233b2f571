//! Connections: accepted up to a limit, closed when they are slow, finished when the server stops.
//!
//! axum's own `serve` has neither limits nor time-outs; this is the same loop over hyper with both.

use super::door::Door;
use super::reader::{Reader, SEND_BYTES};
use super::threads::Threads;
use super::{App, auth, files, metrics, stopped};
use crate::config::Config;
use crate::engine::Engine;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Bytes of a request's head, and of an answer that waits for a slow reader.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// When the process has no file descriptors left, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The time a stop leaves to finish what is running: who has not sent all of a request by then sends it again, to the next server.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Why the server did not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Anyone could reach it.
    #[error("{0}")]
    Open(String),
    /// `[ingest]` does not make a reader.
    #[error("configuration of [ingest]: {0}")]
    Ingest(String),
    /// The listener has no address.
    #[error("reading the address listened on: {0}")]
    Address(std::io::Error),
    /// Neither log nor checkpoints could be written at any time.
    #[error(
        "this process may open {found} files (ulimit -n); a server needs {least} at least, and one more for each connection"
    )]
    Files {
        /// The limit.
        found: u64,
        /// What it has to be.
        least: u64,
    },
    /// `server.threads` cannot be started.
    #[error("starting the threads that serve requests: {0}")]
    Threads(std::io::Error),
}

/// Serves on `listener`, on threads of its own, until `stop` is done and every running request is answered, for 5 s at most. Gives the
/// engine, to be stopped: none where the stop came before `opening` was done. Until then requests come to a closed [`Door`].
///
/// Streams end at once, but for a moment in which their readers may take what is on its way. A connection that is idle for `server.header_timeout` is closed, as is one whose request head takes
/// longer; so a client should expect its idle connections to go.
pub async fn serve(
    opening: impl Future<Output = Arc<Engine>>,
    config: Config,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<Option<Arc<Engine>>, ServeError> {
    let address = listener.local_addr().map_err(ServeError::Address)?;
    // Connections have it from the listener.
    if let Err(error) = rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BYTES) {
        tracing::debug!(%error, "setting SO_SNDBUF");
    }
    auth::check(&config.auth, address.ip().is_loopback(), &address.to_string()).map_err(ServeError::Open)?;
    let connections_max = files::connections(config.server.connections_max, config.log.partitions)
        .map_err(|(found, least)| ServeError::Files { found, least })?;
    let header_timeout = Duration::from_millis(config.server.header_timeout.0.unsigned_abs());
    let write_timeout = Duration::from_millis(config.server.write_timeout.0.unsigned_abs());
    let (stopping_sender, stopping) = watch::channel(false);
    let door = Arc::new(Door::closed(&config));
    let threads = Threads::start(&config).map_err(ServeError::Threads)?;
    let connections = metrics::connections();
    let slots = Arc::new(Semaphore::new(connections_max as usize));
    let mut builder = http1::Builder::new();
    // An answer is short: to copy it into one piece costs less than to send two.
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(BUFFER_BYTES_MAX).writev(false);

    tokio::pin!(stop, opening);
    let mut engine = None;
    loop {
        let (stream, slot) = tokio::select! {
            biased;
            () = &mut stop => break,
            opened = &mut opening, if engine.is_none() => {
                let opened = engine.insert(opened);
                door.open(App::new(Arc::clone(opened), config.clone(), stopping.clone())?);
                tracing::info!(%address, data = %opened.data().display(), slots = opened.layout().names.len(), "ready: POST http://{address}/v1/events");
                continue;
            }
            accepted = accept(&listener, &slots) => accepted,
        };
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "handing a connection over");
                continue;
            }
        };
        let counted = metrics::Held::new(&connections);
        threads.spawn(|of_thread| {
            let open = Open { _slot: slot, _counted: counted, _of_thread: of_thread };
            connection(stream, write_timeout, builder.clone(), Arc::clone(&door), stopping.clone(), open)
        });
    }
    drop(listener);
    if engine.is_none() {
        return Ok(None);
    }
    stopping_sender.send_replace(true);
    tracing::info!("stopping: no connection is taken any more, what is running is finished");
    if tokio::time::timeout(STOP_TIME, slots.acquire_many(connections_max)).await.is_err() {
        tracing::warn!("some connections were still busy after {} s and are dropped", STOP_TIME.as_secs());
    }
    Ok(engine)
}

/// What an open connection holds.
struct Open {
    _slot: OwnedSemaphorePermit,
    _counted: metrics::Held,
    _of_thread: Arc<()>,
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
    let mut said = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%error, "no connection can be accepted; it is tried again and again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: std::net::TcpStream,
    write_timeout: Duration,
    builder: http1::Builder,
    door: Arc<Door>,
    mut stopping: watch::Receiver<bool>,
    open: Open,
) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "taking a connection over"),
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "setting TCP_NODELAY");
    }
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.call(request).await) }
    });
    let reader = Reader::new(stream, write_timeout, stopping.clone());
    let connection = builder.serve_connection(TokioIo::new(reader), service);
    tokio::pin!(connection);
    let end = tokio::select! {
        end = connection.as_mut() => end,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = end {
        tracing::debug!(%error, cause = ?std::error::Error::source(&error), "a connection ended");
    }
    drop(open);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::event;
    use saccade_topology::Duration as Millis;
    use std::future::ready;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    struct Server {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        running: JoinHandle<Result<Option<Arc<Engine>>, ServeError>>,
        _data: tempfile::TempDir,
    }

    async fn start(edit: impl FnOnce(&mut Config)) -> Server {
        let mut config = Config::default();
        edit(&mut config);
        let data = tempfile::tempdir().expect("a temporary directory");
        let engine = Arc::new(Engine::open(&config, data.path()).expect("an engine opens in an empty directory"));
        start_with(ready(engine), config, data).await
    }

    /// Listens, and serves what `opening` gives.
    async fn start_with(
        opening: impl Future<Output = Arc<Engine>> + Send + 'static,
        config: Config,
        data: tempfile::TempDir,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { stopped.await.unwrap_or(()) };
        let running = tokio::spawn(serve(opening, config, listener, stopped));
        Server { address, stop, running, _data: data }
    }

    async fn open(server: &Server, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
        stream.write_all(text.as_bytes()).await.expect("the server reads");
        stream
    }

    /// Sends a request, and reads what is there then: a short answer comes as one piece.
    async fn ask(stream: &mut TcpStream, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).await.expect("the server answers");
        String::from_utf8(bytes[..count].to_vec()).expect("answers are text")
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        // A reset after the answer is an end like any other.
        let _ = stream.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).expect("answers are text")
    }

    #[tokio::test]
    async fn who_is_early_is_told_so_and_served_later_over_the_same_connection() {
        let (config, data) = (Config::default(), tempfile::tempdir().expect("a temporary directory"));
        let engine = Arc::new(Engine::open(&config, data.path()).expect("an engine opens in an empty directory"));
        let (opened, opening) = oneshot::channel::<Arc<Engine>>();
        let opening = async { opening.await.expect("the test opens it") };
        let server = start_with(opening, config, data).await;
        let body = event("e1", "s1");
        let post = format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut stream = open(&server, "").await;
        for (request, status) in [(get("/health"), "200"), (get("/ready"), "503"), (post.clone(), "503")] {
            let answer = ask(&mut stream, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert!(status == "200" || answer.contains("not_ready") && answer.contains("retry-after: 1"), "{answer}");
        }
        // Pages hear it too, and what players report waits.
        let page = "HTTP/1.1\r\nHost: x\r\nOrigin: https://tv.example\r\n";
        let preflight = format!("OPTIONS /v1/events {page}Access-Control-Request-Method: POST\r\n\r\n");
        assert!(ask(&mut stream, &preflight).await.starts_with("HTTP/1.1 204 "));
        let early = ask(&mut stream, &format!("POST /v1/events {page}Content-Length: 0\r\n\r\n")).await;
        assert!(early.contains("503") && early.contains("access-control-allow-origin: https://tv.example"), "{early}");
        let report = "e=ps,sid=\"s2\",sta=p";
        let report = format!("POST /v1/cmcd HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{report}", report.len());
        let mut player = open(&server, &report).await;
        assert!(opened.send(engine).is_ok(), "the server waits for it");
        assert!(ask(&mut player, "").await.starts_with("HTTP/1.1 204 "));
        while !ask(&mut stream, &get("/ready")).await.starts_with("HTTP/1.1 200 ") {}
        let answer = ask(&mut stream, &post).await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_until_there_is_something_to_serve() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let server = start_with(std::future::pending(), Config::default(), data).await;
        server.stop.send(()).expect("the server runs");
        assert!(server.running.await.expect("no panic").expect("a clean end").is_none());
    }

    #[tokio::test]
    async fn a_request_head_that_trickles_in_is_cut_off() {
        let server = start(|config| config.server.header_timeout = Millis(50)).await;
        let stream = open(&server, "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
        assert_eq!(rest(stream).await, "", "closed without an answer");
    }

    #[tokio::test]
    async fn a_body_that_trickles_in_is_answered_408() {
        let server = start(|config| config.server.body_timeout = Millis(50)).await;
        let stream = open(&server, "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n[").await;
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
    }

    #[tokio::test]
    async fn a_sender_of_too_much_reads_its_answer_and_not_a_reset() {
        let server = start(|config| config.ingest.body_bytes_max = 1 << 20).await;
        let body = " ".repeat(8 << 20);
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = rest(open(&server, &(head + &body)).await).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("ingest.body_bytes_max"), "{answer}");
    }

    #[tokio::test]
    async fn a_stop_finishes_the_request_that_is_running() {
        let server = start(|_| {}).await;
        let body = event("e1", "s1");
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = open(&server, &head).await;
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.expect("the request runs once its body is asked for");
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        server.stop.send(()).expect("the server runs");
        stream.write_all(body.as_bytes()).await.expect("the server still reads");
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        server.running.await.expect("no panic").expect("a clean end");
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_long_for_what_is_half_sent() {
        let server = start(|_| {}).await;
        let half = [
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n[{\"id\"",
            "POST /v1/rank/home HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"id",
            "GET /heal",
        ];
        let mut silent = vec![];
        for text in half {
            silent.push(open(&server, text).await);
        }
        // They are taken in the order they came.
        let mut last = open(&server, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
        last.readable().await.expect("it is answered");
        last.shutdown().await.expect("it is open");
        server.stop.send(()).expect("the server runs");
        // The least of the times they would have had is `server.header_timeout`, 10 s.
        let end = tokio::time::timeout(Duration::from_secs(9), server.running).await;
        end.expect("long before their time is over").expect("no panic").expect("a clean end");
    }

    #[tokio::test]
    async fn a_stop_ends_streams_and_idle_connections() {
        let server = start(|_| {}).await;
        let mut stream = open(&server, "GET /v1/context/stream HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.expect("a stream begins with its head");
        let mut idle = open(&server, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
        idle.read_exact(&mut start).await.expect("an answer");
        server.stop.send(()).expect("the server runs");
        server.running.await.expect("no panic").expect("a clean end");
        rest(stream).await;
        rest(idle).await;
    }

    /// Asks for more than a connection has room for, and reads none of it.
    async fn ask_and_never_read(server: &Server) -> TcpStream {
        let stream = open(server, &"GET /v1/schema HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000)).await;
        // Until there is no room for more.
        let (mut bytes, mut came) = (vec![0; 16 << 20], 0);
        loop {
            let now = stream.peek(&mut bytes).await.expect("answers come");
            if now == came {
                return stream;
            }
            came = now;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_of_what_was_asked_for_loses_the_place() {
        let server = start(|config| {
            config.server.connections_max = 1;
            config.server.write_timeout = Millis(200);
        })
        .await;
        let silent = ask_and_never_read(&server).await;
        let mut second = open(&server, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut status = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(20), second.read_exact(&mut status)).await;
        read.expect("the place is free").expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        drop(silent);
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_who_takes_nothing() {
        let server = start(|_| {}).await;
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let mut silent = socket.connect(server.address).await.expect("the server listens");
        silent.write_all(b"GET /v1/context/stream HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("the server reads");
        silent.readable().await.expect("the stream begins");
        // Contexts of 2 KiB each: more than there is room for.
        for batch in 0..4 {
            let one = |n: i32| event(&format!("e{batch}-{n}"), &format!("s{n}"));
            let body = format!("[{}]", (0..1_000).map(one).collect::<Vec<_>>().join(","));
            let length = body.len();
            let head =
                format!("POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let answer = rest(open(&server, &(head + &body)).await).await;
            assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        }
        server.stop.send(()).expect("the server runs");
        let end = tokio::time::timeout(Duration::from_secs(20), server.running).await;
        end.expect("long before `server.write_timeout`").expect("no panic").expect("a clean end");
        drop(silent);
    }

    #[tokio::test]
    async fn the_place_of_a_silent_stream_is_free_as_soon_as_its_reader_is_gone() {
        let server = start(|config| config.publish.streams_max = 1).await;
        let ask = "GET /v1/context/stream HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut status = [0; 12];
        // Long before anything is written to it.
        let until = tokio::time::Instant::now() + Duration::from_secs(5);
        for _ in 0..3 {
            while &status != b"HTTP/1.1 200" {
                assert!(tokio::time::Instant::now() < until, "{}", String::from_utf8_lossy(&status));
                open(&server, ask).await.read_exact(&mut status).await.expect("a stream begins with its head");
            }
            status = [0; 12];
        }
    }

    #[tokio::test]
    async fn a_connection_over_the_limit_waits_for_one_to_close() {
        let server = start(|config| config.server.connections_max = 1).await;
        let ask = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut first = open(&server, ask).await;
        let mut status = [0; 12];
        first.read_exact(&mut status).await.expect("the first is served");
        let mut second = open(&server, ask).await;
        first.write_all(ask.as_bytes()).await.expect("the first stays open");
        first.read_exact(&mut status).await.expect("and is served again");
        assert!(second.try_read(&mut status).is_err(), "the second waits meanwhile");
        drop(first);
        second.read_exact(&mut status).await.expect("then it is served");
        assert_eq!(&status, b"HTTP/1.1 200");
    }

    #[tokio::test]
    async fn an_address_that_others_can_reach_needs_keys() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let config = Config::default();
        let engine = Arc::new(Engine::open(&config, data.path()).expect("an engine opens in an empty directory"));
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a free port");
        let error = serve(ready(engine), config, listener, async {}).await.err().expect("no keys are set");
        assert!(error.to_string().contains("auth.write_keys"), "{error}");
    }
}
