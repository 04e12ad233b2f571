//! One keep-alive HTTP/1.1 connection to the target, opened again when the server closes it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Server and credentials.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`.
    pub authority: String,
    host: HeaderValue,
    write: Option<HeaderValue>,
    read: Option<HeaderValue>,
}

impl Target {
    /// Reads `http://host:port`; keys are sent as bearer tokens.
    pub fn new(url: &str, write_key: Option<&str>, read_token: Option<&str>) -> Result<Self, String> {
        let rule = |what: &str| format!("target `{url}` {what}; write for example http://127.0.0.1:8080");
        let uri: Uri = url.parse().map_err(|e| rule(&format!("is not a URL ({e})")))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(rule("is https: TLS would measure TLS, so put the generator beside the server"));
            }
            _ => return Err(rule("does not begin with http://")),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(rule("has a path; only scheme, host and port are allowed"));
        }
        let host = uri.host().ok_or_else(|| rule("names no host"))?;
        let named = uri.authority().map_or("", |authority| authority.as_str());
        if named.contains('@') || url.contains('#') {
            return Err(rule("has a user or a fragment; only scheme, host and port are allowed (see --write-key)"));
        }
        let port = match (uri.port_u16(), named.strip_prefix(host).unwrap_or_default()) {
            (Some(port), _) => port,
            (None, "") => 80,
            (None, other) => {
                return Err(rule(&format!("has the port `{}`; allowed: 1 to 65535", other.trim_start_matches(':'))));
            }
        };
        let authority = format!("{host}:{port}");
        let bearer = |name: &str, key: Option<&str>| {
            let header = |key| HeaderValue::try_from(format!("Bearer {key}"));
            key.map(header).transpose().map_err(|_| format!("{name} holds characters that a header cannot"))
        };
        Ok(Target {
            host: HeaderValue::try_from(&authority).map_err(|e| rule(&format!("is no Host header ({e})")))?,
            authority,
            write: bearer("--write-key", write_key)?,
            read: bearer("--read-token", read_token)?,
        })
    }
}

impl Target {
    /// The first of its addresses at which something listens; the error says how to start it.
    pub fn reach(&self, timeout: Duration) -> Result<SocketAddr, String> {
        let named = |e: io::Error| format!("{} names no address: {e}; see --target", self.authority);
        let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.authority.to_socket_addrs().map_err(named)? {
            match std::net::TcpStream::connect_timeout(&address, timeout) {
                Ok(_) => return Ok(address),
                Err(e) => refused = e,
            }
        }
        Err(format!(
            "nothing answers at {authority} ({refused}): start a server there with `saccade serve --listen {authority}`, or say with --target where one is",
            authority = self.authority
        ))
    }

    /// What stands in the head of every request between path and content type.
    pub fn common_head(&self) -> Vec<u8> {
        let mut head = b" HTTP/1.1\r\nhost: ".to_vec();
        head.extend_from_slice(self.host.as_bytes());
        if let Some(key) = &self.write {
            head.extend_from_slice(b"\r\nauthorization: ");
            head.extend_from_slice(key.as_bytes());
        }
        head
    }
}

/// The server wants a key or token, or another one.
pub fn is_not_permitted(status: u16) -> bool {
    matches!(status, 401 | 403)
}

/// What was asked for is not known, or not in this way.
pub fn is_not_there(status: u16) -> bool {
    matches!(status, 404 | 405 | 501)
}

/// What helps where a write was refused for want of permission; nothing elsewhere.
pub fn write_hint(status: u16) -> &'static str {
    if is_not_permitted(status) { "; see --write-key" } else { "" }
}

/// What helps where a read was refused for want of permission; nothing elsewhere.
pub fn read_hint(status: u16) -> &'static str {
    if is_not_permitted(status) { "; see --read-token" } else { "" }
}

/// One connection; not open until used.
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// Ends with the connection, and says why.
    driver: Option<JoinHandle<hyper::Result<()>>>,
}

impl Connection {
    /// A connection that is not open yet.
    pub fn new(target: Target) -> Self {
        Connection { target, sender: None, driver: None }
    }

    /// Connects, unless connected.
    pub async fn open(&mut self) -> io::Result<()> {
        if self.sender.as_ref().is_some_and(|sender| !sender.is_closed()) {
            return Ok(());
        }
        self.sender = None;
        let place = |e: io::Error| io::Error::new(e.kind(), format!("connecting to {}: {e}", self.target.authority));
        let stream = TcpStream::connect(&self.target.authority).await.map_err(place)?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        self.driver = Some(tokio::spawn(driver));
        self.sender = Some(sender);
        Ok(())
    }

    /// Drops the connection; the next request opens another.
    pub fn close(&mut self) {
        self.sender = None;
    }

    /// Reads `path` whole.
    pub async fn get(&mut self, path: &str) -> io::Result<(u16, Bytes)> {
        let response = self.get_response(path).await?;
        read_whole(response).await
    }

    /// Asks for `path`; the body is read by the caller.
    pub async fn get_response(&mut self, path: &str) -> io::Result<Response<Incoming>> {
        let mut request = Request::get(path).header(HOST, &self.target.host);
        if let Some(token) = &self.target.read {
            request = request.header(AUTHORIZATION, token);
        }
        self.send(request.body(Full::default()).map_err(io::Error::other)?).await
    }

    /// Sends a request. One that found the connection closed before a byte of it was written goes out once more on a new one.
    async fn send(&mut self, request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>> {
        self.open().await?;
        let unsent = match self.try_send(request).await {
            Ok(response) => return Ok(response),
            Err((unsent, error)) => unsent.ok_or(error)?,
        };
        self.close();
        self.open().await?;
        match self.try_send(unsent).await {
            Ok(response) => Ok(response),
            Err((None, error)) => Err(error),
            // A request that was not written does not know what ended the connection under it.
            Err((Some(_), error)) => Err(self.why_it_ended().await.unwrap_or(error)),
        }
    }

    /// What ended the connection, where it is not the one that waits for it.
    async fn why_it_ended(&mut self) -> Option<io::Error> {
        self.close();
        self.driver.take()?.await.ok()?.err().map(io::Error::other)
    }

    async fn try_send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (Option<Request<Full<Bytes>>>, io::Error)> {
        let sender = self.sender.as_mut().expect("open() left a sender");
        if let Err(e) = sender.ready().await {
            return Err((Some(request), io::Error::other(e)));
        }
        sender.try_send_request(request).await.map_err(|mut e| {
            let unsent = e.take_message();
            (unsent, io::Error::other(e.into_error()))
        })
    }
}

/// What was answered is not HTTP, or came before anything was asked.
pub fn is_not_http(error: &io::Error) -> bool {
    let first = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    let mut causes = std::iter::successors(first, |cause| cause.source());
    // hyper has no name for what came unasked but its text.
    let spoke_first = |e: &hyper::Error| e.to_string().starts_with("received unexpected message");
    causes.any(|cause| cause.downcast_ref().is_some_and(|e: &hyper::Error| e.is_parse() || spoke_first(e)))
}

/// Reads `path` over a connection of its own, from a thread without a runtime.
pub fn get_once(target: &Target, path: &str, timeout: Duration) -> io::Result<(u16, Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = Connection::new(target.clone());
        match tokio::time::timeout(timeout, connection.get(path)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer to GET {path} within {timeout:?}")))
            }
        }
    })
}

async fn read_whole(response: Response<Incoming>) -> io::Result<(u16, Bytes)> {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(io::Error::other)?;
    Ok((status, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_http_with_host_and_port() {
        let authority = |url| Target::new(url, None, None).map(|t| t.authority);
        assert_eq!(authority("http://127.0.0.1:8080").as_deref(), Ok("127.0.0.1:8080"));
        assert_eq!(authority("http://example.test/").as_deref(), Ok("example.test:80"));
        assert_eq!(authority("http://[::1]:9").as_deref(), Ok("[::1]:9"));
        for bad in ["http://127.0.0.1:99999", "http://127.0.0.1:65536", "http://127.0.0.1:80a"] {
            let error = authority(bad).expect_err(bad);
            assert!(error.contains("65535") || error.contains("not a URL"), "{error}");
        }
        for bad in ["https://a:1", "a:1", "http://a/path", "http://a?x", "", "http://", "http://u@a:1", "http://a:1#b"]
        {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_who_asks_for_tls_is_told_of_it() {
        let error = |url| Target::new(url, None, None).err().unwrap_or_default();
        let plain = error("127.0.0.1:80");
        assert!(plain.contains("does not begin with http://") && !plain.contains("TLS"), "{plain}");
        assert!(error("https://a:1").contains("TLS"));
    }

    #[test]
    fn what_does_not_speak_http_is_told_from_what_does_not_answer() {
        let (target, greeter) = greeter(1, |stream| {
            let asked = std::io::Read::read(stream, &mut [0; 64]).expect("it asks");
            assert_ne!(asked, 0, "it asks before it goes away");
        });
        let error = |target| get_once(target, "/metrics", Duration::from_secs(20)).expect_err("it is no server");
        let told = error(&target);
        assert!(is_not_http(&told), "{told}");
        greeter.join().expect("it ends when it is left alone");
        let told = error(&target);
        assert!(!is_not_http(&told), "nobody listens any more: {told}");
    }

    #[tokio::test]
    async fn what_speaks_before_it_is_asked_does_not_speak_http() {
        let (greeted, mut greetings) = tokio::sync::mpsc::unbounded_channel();
        let (target, _greeter) = greeter(3, move |_| _ = greeted.send(()));
        let mut connection = Connection::new(target);
        connection.open().await.expect("somebody listens");
        greetings.recv().await.expect("it greets");
        // The greeting is there before the request; on the connections after it either may be seen first.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let told = connection.get("/metrics").await.expect_err("it is no server");
        assert!(is_not_http(&told), "{told}");
    }

    /// Something that greets `times` connections as no server of HTTP does, each after `before`, and waits until they go away.
    fn greeter(
        times: usize,
        before: impl Fn(&mut std::net::TcpStream) + Send + 'static,
    ) -> (Target, std::thread::JoinHandle<()>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let greeter = std::thread::spawn(move || {
            for _ in 0..times {
                let (mut stream, _) = listener.accept().expect("somebody connects");
                before(&mut stream);
                std::io::Write::write_all(&mut stream, b"SSH-2.0-example\r\n").expect("it is still there");
                _ = std::io::Read::read_to_end(&mut stream, &mut vec![]);
            }
        });
        (Target::new(&url, None, None).expect("an address is a target"), greeter)
    }

    #[test]
    fn a_key_that_cannot_be_a_header_is_refused() {
        assert!(Target::new("http://a:1", Some("k\n"), None).is_err());
    }
}
