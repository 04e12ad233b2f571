//! One keep-alive HTTP/1.1 connection that never blocks: a request out in one call, an answer in.
//!
//! Written by hand because it is most of what a request costs here: head and body leave in one `writev`, heads of answers are parsed in
//! place, buffers stay. It reads answers with a length, or without a body; chunked ones it refuses by name.

use crate::http::Target;
use crate::source::{Call, Request};
use crate::wire::digits;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Largest answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// The next request.
    Free,
    /// Room to send in, or to be connected.
    Room,
    /// The answer.
    Answer,
}

/// An answer whose body is at the end of what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    body_at: usize,
    body_len: usize,
    is_last: bool,
}

/// One connection.
pub(super) struct Connection {
    address: SocketAddr,
    /// What its events are told under.
    token: Token,
    stream: Option<TcpStream>,
    pub(super) waits: Waits,
    /// What is under way.
    pub(super) request: Option<Request>,
    /// When it was begun.
    pub(super) begun: Instant,
    /// When the last one was over.
    pub(super) free: Instant,
    head: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    received_len: usize,
    /// It has answered before.
    is_used: bool,
}

impl Connection {
    /// Connects, waiting for it.
    pub(super) fn open(
        target: &Target,
        address: SocketAddr,
        timeout: Duration,
        token: Token,
        registry: &Registry,
    ) -> io::Result<Connection> {
        let place = |e: io::Error| {
            io::Error::new(e.kind(), format!("connecting to {}: {e}{}", target.authority, hint_of_files(&e)))
        };
        let stream = std::net::TcpStream::connect_timeout(&address, timeout).map_err(place)?;
        stream.set_nonblocking(true)?;
        let stream = followed(TcpStream::from_std(stream), token, registry)?;
        let now = Instant::now();
        Ok(Connection {
            address,
            token,
            stream: Some(stream),
            waits: Waits::Free,
            request: None,
            begun: now,
            free: now,
            head: Vec::new(),
            sent: 0,
            received: vec![0; 4096],
            received_len: 0,
            is_used: false,
        })
    }

    /// Lets go of a socket that is of no more use.
    pub(super) fn close(&mut self) {
        (self.stream, self.is_used) = (None, false);
    }

    /// Begins a request; `common` is what all heads have after the path.
    pub(super) fn begin(
        &mut self,
        request: Request,
        common: &[u8],
        now: Instant,
        registry: &Registry,
    ) -> io::Result<()> {
        self.head.clear();
        self.head.extend_from_slice(b"POST ");
        self.head.extend_from_slice(&request.path);
        self.head.extend_from_slice(common);
        self.head.extend_from_slice(match request.call {
            Call::Cmcd => b"\r\ncontent-type: application/cmcd\r\ncontent-length: ".as_slice(),
            _ => b"\r\ncontent-type: application/json\r\ncontent-length: ",
        });
        digits(&mut self.head, request.body.len() as u64);
        self.head.extend_from_slice(b"\r\n\r\n");
        (self.sent, self.received_len, self.begun) = (0, 0, now);
        self.request = Some(request);
        self.waits = Waits::Room;
        if self.stream.is_none() {
            self.stream = Some(followed(TcpStream::connect(self.address)?, self.token, registry)?);
        }
        self.send()
    }

    /// Sends what there is room for.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let (Some(stream), Some(request)) = (&mut self.stream, &self.request) else { return Ok(()) };
        let whole = self.head.len() + request.body.len();
        while self.sent < whole {
            let head = &self.head[self.sent.min(self.head.len())..];
            let body = &request.body[self.sent.saturating_sub(self.head.len())..];
            match stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n,
                // Not connected yet, or no room.
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.waits = Waits::Answer;
        Ok(())
    }

    /// Receives what has come; the answer, once it is whole.
    pub(super) fn receive(&mut self) -> io::Result<Option<Answer>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        loop {
            if self.received_len == self.received.len() {
                if self.received_len >= ANSWER_BYTES_MAX {
                    return Err(io::Error::other(format!("the answer has more than {ANSWER_BYTES_MAX} bytes")));
                }
                self.received.resize(self.received_len * 2, 0);
            }
            match stream.read(&mut self.received[self.received_len..]) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the answer was whole"));
                }
                Ok(n) => {
                    self.received_len += n;
                    let answer = parse(&self.received[..self.received_len])?;
                    if answer.is_some() {
                        return Ok(answer);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether an error may only mean that the server closed it between two requests: it answered before, and nothing came of this one.
    /// Nobody can tell whether the server has read the request, even whole, and acted on it.
    pub(super) fn is_stale(&self, error: &io::Error) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        self.is_used && self.received_len == 0 && matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
    }

    /// The body of an answer that was just received.
    pub(super) fn body(&self, answer: Answer) -> &[u8] {
        &self.received[answer.body_at..answer.body_at + answer.body_len]
    }

    /// Ends what is under way; gives back its request. Without an answer to it the connection is of no more use.
    pub(super) fn end(&mut self, answer: Option<Answer>, now: Instant) -> Option<Request> {
        let is_whole = |answer: &Answer| answer.body_at + answer.body_len == self.received_len;
        if answer.is_none_or(|answer| answer.is_last || !is_whole(&answer)) {
            self.close();
        } else {
            self.is_used = true;
        }
        self.free = now;
        self.waits = Waits::Free;
        self.request.take()
    }
}

/// What helps where there are too many open files; nothing elsewhere.
fn hint_of_files(e: &io::Error) -> &'static str {
    let too_many = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    match e.raw_os_error() {
        Some(code) if too_many.contains(&code) => "; give fewer --connections or --probes, or allow more: ulimit -n",
        _ => "",
    }
}

/// A socket whose events are told from now on.
fn followed(mut stream: TcpStream, token: Token, registry: &Registry) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}

/// The answer, if it is whole.
fn parse(received: &[u8]) -> io::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head = response.parse(received).map_err(|e| io::Error::other(format!("the answer is no HTTP/1.1: {e}")))?;
    let httparse::Status::Complete(body_at) = head else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    let (mut body_len, mut is_last) = (None, response.version == Some(0));
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse::<usize>().ok());
            body_len = Some(length.ok_or_else(|| io::Error::other("the answer's content-length is no number"))?);
        } else if header.name.eq_ignore_ascii_case("connection") {
            let mut options = header.value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
            is_last |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::Error::other("the answer is chunked, which this client does not read"));
        }
    }
    let body_len = match (status, body_len) {
        (204 | 304, _) => 0,
        (_, Some(length)) if length <= ANSWER_BYTES_MAX => length,
        (_, Some(_)) => return Err(io::Error::other(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"))),
        (_, None) => return Err(io::Error::other("the answer has no content-length")),
    };
    let is_whole = received.len() >= body_at + body_len;
    Ok(is_whole.then_some(Answer { status, body_at, body_len, is_last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nconnection: close\r\n\r\n{}";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]).expect("so far it is HTTP"), None, "{end}");
        }
        let answer = parse(text).expect("it is HTTP").expect("it is whole");
        assert_eq!((answer.status, answer.body_len, answer.is_last), (202, 2, true));
        assert_eq!(&text[answer.body_at..], b"{}");
        for (options, is_last) in [("Close, Upgrade", true), ("keep-alive,close", true), ("enclose", false)] {
            let text = format!("HTTP/1.1 204 No Content\r\nconnection: {options}\r\n\r\n");
            let answer = parse(text.as_bytes()).expect("it is HTTP").expect("it is whole");
            assert_eq!(answer.is_last, is_last, "{options}");
        }
        let empty = parse(b"HTTP/1.1 204 No Content\r\n\r\n").expect("it is HTTP").expect("it is whole");
        assert_eq!((empty.status, empty.body_len, empty.is_last), (204, 0, false));
    }

    #[test]
    fn too_many_files_are_told_with_what_helps() {
        let hint = |code| hint_of_files(&io::Error::from_raw_os_error(code));
        assert!(hint(Errno::MFILE.raw_os_error()).contains("--connections"));
        assert!(hint(Errno::MFILE.raw_os_error()).contains("ulimit -n"));
        assert_eq!(hint(Errno::CONNREFUSED.raw_os_error()), "");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, wanted) in [
            ("SSH-2.0-OpenSSH\r\n\r\n", "HTTP"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "chunked"),
            ("HTTP/1.1 200 OK\r\n\r\n", "content-length"),
            ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "content-length"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "more than"),
        ] {
            let error = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
