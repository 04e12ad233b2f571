//! A connection whose reader has to go on reading: one that takes nothing for too long is cut off, or it would keep its place for ever.
//!
//! The time counts while the system has no room for what is to be sent, and begins anew with each piece that it takes; so that this is soon
//! after a slow reader has read, it keeps no more than [`SEND_BYTES`]. Once the server stops, the time is short: nobody waits for a follower
//! that does not read.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

/// The time a reader has once the server stops.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Bytes that the system keeps for a reader, about: it takes more once a third of them was read. Left alone it keeps up to 4 MiB, of which a
/// reader of 20 KB/s reads a third in more than a minute.
pub(super) const SEND_BYTES: usize = 256 << 10;

/// The server's side of a connection.
pub(super) struct Reader {
    stream: TcpStream,
    timeout: Duration,
    stopping: watch::Receiver<bool>,
    /// Until when there has to be room again; only while there is none.
    until: Option<Pin<Box<Sleep>>>,
}

impl Reader {
    pub(super) fn new(stream: TcpStream, timeout: Duration, stopping: watch::Receiver<bool>) -> Reader {
        Reader { stream, timeout, stopping, until: None }
    }

    /// There is no room: waits for it as long as it may take.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let left = if *self.stopping.borrow() { self.timeout.min(STOP_TIME) } else { self.timeout };
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(left)));
        let latest = Instant::now() + left;
        if until.deadline() > latest {
            until.as_mut().reset(latest);
        }
        ready!(until.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "its reader takes nothing (server.write_timeout)")))
    }
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Reader {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(written) => {
                self.until = None;
                Poll::Ready(written)
            }
            Poll::Pending => self.wait(cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
