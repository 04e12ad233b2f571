//! Request bodies: read in time, decompressed, and never more memory than there is.
//!
//! `ingest.body_bytes_max` bounds a body twice, as sent and decompressed; [`BodyMemory`] bounds all bodies together, so that
//! many connections with half-sent bodies cannot exhaust the machine.

use super::App;
use super::error::Refusal;
use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use std::fmt::Display;
use std::io::Read;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Bytes of all bodies that are being read or waited for, unless one alone may be larger.
const BODIES_BYTES_MAX: usize = 512 << 20;
/// Bodies over this are parsed on a thread of their own, so that they do not hold up others.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// RFC 9659: zstd as a content encoding uses windows of at most 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const DECODE_STEP: u64 = 64 << 10;
const KIB: usize = 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Encoding, Refusal> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
        let name = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            _ => {
                let message = format!("Content-Encoding is `{name}`; send gzip, zstd or identity, one of them");
                let mut refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message);
                refusal.hint = Some((header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd")));
                Err(refusal)
            }
        }
    }
}

/// Memory that bodies share.
pub(super) struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    /// Room for `BODIES_BYTES_MAX`, or for one body as sent and decompressed where that is more.
    pub(super) fn new(body_bytes_max: usize) -> BodyMemory {
        BodyMemory::of(BODIES_BYTES_MAX.max(2 * (body_bytes_max + KIB)))
    }

    fn of(bytes: usize) -> BodyMemory {
        BodyMemory(Arc::new(Semaphore::new(bytes / KIB)))
    }

    fn reserve(&self) -> Reserved {
        Reserved { memory: self.0.clone(), permit: None, bytes: 0 }
    }
}

/// The part of [`BodyMemory`] that one request holds; given back when dropped.
pub(super) struct Reserved {
    memory: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Reserved {
    /// Adds `bytes`. Only their sum is rounded up: a body may come in any number of pieces.
    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = self.bytes + bytes;
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = u32::try_from(bytes.div_ceil(KIB) - held).unwrap_or(u32::MAX);
        match self.memory.clone().try_acquire_many_owned(wanted) {
            Ok(more) => match &mut self.permit {
                None => self.permit = Some(more),
                Some(held) => held.merge(more),
            },
            Err(_) => {
                let message = "the bodies being read use all memory set aside for them; try again in a moment";
                return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", message).retry_after(1));
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// A body as it was sent.
pub(super) struct Received {
    bytes: Bytes,
    encoding: Encoding,
    bytes_max: usize,
    reserved: Reserved,
}

impl Received {
    /// Bytes as sent.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Decompresses. What is returned beside the bytes keeps their memory reserved.
    pub(super) fn decode(mut self) -> Result<(Bytes, Reserved), Refusal> {
        let reader: Box<dyn Read + '_> = match self.encoding {
            Encoding::Identity => return Ok((self.bytes, self.reserved)),
            Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(&self.bytes[..])),
            Encoding::Zstd => Box::new(zstd_reader(&self.bytes).map_err(|e| self.torn(&e))?),
        };
        let mut reader = reader;
        let mut out = Vec::new();
        loop {
            let before = out.len();
            let step = reader.by_ref().take(DECODE_STEP).read_to_end(&mut out);
            step.map_err(|e| self.torn(&e))?;
            if out.len() == before {
                break;
            }
            if out.len() > self.bytes_max {
                return Err(too_large("decompressed", None, self.bytes_max));
            }
            self.reserved.grow(out.len() - before)?;
        }
        drop(reader);
        Ok((Bytes::from(out), self.reserved))
    }

    fn torn(&self, error: &std::io::Error) -> Refusal {
        let message = format!("the body does not decompress as {:?}: {error}", self.encoding).to_lowercase();
        Refusal::new(StatusCode::BAD_REQUEST, "bad_encoding", message)
    }
}

fn zstd_reader(bytes: &[u8]) -> std::io::Result<zstd::stream::read::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

fn too_large(how: &str, found: Option<u64>, bytes_max: usize) -> Refusal {
    let found = found.map_or("over the limit".to_string(), |n| format!("{n} bytes"));
    let message =
        format!("the body is {found} {how}; at most {bytes_max} bytes (ingest.body_bytes_max): send it in parts");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

/// Reads a body to its end.
pub(super) async fn receive<B>(app: &App, headers: &HeaderMap, mut body: B) -> Result<Received, Refusal>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let deadline = deadline(app);
    let bytes_max = app.config.ingest.body_bytes_max;
    let encoding = match expected(headers, bytes_max) {
        Ok(encoding) => encoding,
        Err(refusal) => {
            discard(headers, body, deadline).await;
            return Err(refusal);
        }
    };
    let refusal = match timeout_at(deadline, collect(&mut body, bytes_max, app.body_memory.reserve())).await {
        Ok(Ok((bytes, reserved))) => return Ok(Received { bytes, encoding, bytes_max, reserved }),
        Ok(Err(refusal)) => refusal,
        Err(_) => {
            let message =
                format!("the body did not arrive within {} (server.body_timeout)", app.config.server.body_timeout);
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
        }
    };
    drain(body, deadline).await;
    Err(refusal)
}

/// [`drain`] of a body that nothing was read of: who waits to be told to go on (`Expect: 100-continue`) has sent none of it.
pub(super) async fn discard<B: HttpBody + Unpin>(headers: &HeaderMap, body: B, deadline: Instant) {
    if !headers.contains_key(header::EXPECT) {
        drain(body, deadline).await;
    }
}

/// Reads on without keeping it, until `deadline`: a sender that is still writing would see a reset connection instead of the
/// answer. There is no limit on bytes, as none are kept: whatever it were, a body beyond it would be cut off in the middle.
async fn drain<B: HttpBody + Unpin>(mut body: B, deadline: Instant) {
    let drain = async { while let Some(Ok(_)) = body.frame().await {} };
    // Out of time is as good as done: the answer is sent either way.
    let _ = timeout_at(deadline, drain).await;
}

/// When the body of a request that begins now has to be complete.
pub(super) fn deadline(app: &App) -> Instant {
    Instant::now() + std::time::Duration::from_millis(app.config.server.body_timeout.0.unsigned_abs())
}

fn expected(headers: &HeaderMap, bytes_max: usize) -> Result<Encoding, Refusal> {
    let encoding = Encoding::of(headers)?;
    let announced = |name: HeaderName| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    match announced(header::CONTENT_LENGTH) {
        Some(length) if length > bytes_max as u64 => Err(too_large("long", Some(length), bytes_max)),
        _ => Ok(encoding),
    }
}

async fn collect<B>(body: &mut B, bytes_max: usize, mut reserved: Reserved) -> Result<(Bytes, Reserved), Refusal>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, "body_broken", format!("reading the body: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > bytes_max {
            return Err(too_large("long", None, bytes_max));
        }
        reserved.grow(data.len())?;
        // Most bodies come in one piece and are used where they lie.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok((if all.is_empty() { first } else { Bytes::from(all) }, reserved))
}

/// Decodes a body and does `work` on it: here when it is small, on a blocking thread when it is large or compressed.
pub(super) async fn digest<T: Send + 'static>(
    app: &Arc<App>,
    received: Received,
    work: impl FnOnce(&App, &[u8]) -> T + Send + 'static,
) -> Result<(T, Reserved), Refusal> {
    let inline = received.encoding == Encoding::Identity && received.len() <= INLINE_BYTES_MAX;
    let app = app.clone();
    let run = move || {
        let (bytes, reserved) = received.decode()?;
        Ok((work(&app, &bytes), reserved))
    };
    if inline {
        return run();
    }
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|_| Err(Refusal::stopping()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Site, event, gzip, request};
    use axum::body::Body;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LIMIT: usize = 2048;

    fn small() -> Site {
        Site::new(|config| config.ingest.body_bytes_max = LIMIT)
    }

    /// One event, padded with spaces to `len` bytes.
    fn padded(len: usize) -> Vec<u8> {
        let mut body = event("e1", "s1").into_bytes();
        body.resize(len, b' ');
        body
    }

    #[tokio::test]
    async fn a_body_may_be_sent_plain_or_compressed() {
        let plain = event("e1", "s1").into_bytes();
        let zstd = zstd::encode_all(&plain[..], 1).expect("compresses in memory");
        for (name, body) in
            [("identity", plain.clone()), ("gzip", gzip(&plain)), ("GZIP", gzip(&plain)), ("zstd", zstd)]
        {
            let answer = small().send(request("POST", "/v1/events").header("content-encoding", name), body).await;
            assert_eq!((answer.status, &answer.json()["accepted"]), (202, &1.into()), "{name}: {}", answer.body);
        }
    }

    #[tokio::test]
    async fn an_unknown_encoding_is_named() {
        for name in ["br", "deflate", "gzip, zstd"] {
            let answer = small().send(request("POST", "/v1/events").header("content-encoding", name), "x").await;
            assert_eq!((answer.status, answer.code()), (415, "unsupported_encoding".into()));
            assert_eq!(answer.header("accept-encoding"), "gzip, zstd");
        }
    }

    #[tokio::test]
    async fn the_limit_holds_as_sent_and_decompressed_and_one_byte_over_is_too_many() {
        for (len, status) in [(LIMIT, 202), (LIMIT + 1, 413)] {
            let zstd = zstd::encode_all(&padded(len)[..], 1).expect("compresses in memory");
            for (name, body) in [("identity", padded(len)), ("gzip", gzip(&padded(len))), ("zstd", zstd)] {
                let answer = small().send(request("POST", "/v1/events").header("content-encoding", name), body).await;
                assert_eq!(answer.status, status, "{name} {len}: {}", answer.body);
                if status == 413 {
                    assert_eq!(answer.code(), "body_too_large");
                    assert!(
                        answer.body.contains("ingest.body_bytes_max") && answer.body.contains("2048"),
                        "{}",
                        answer.body
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_not_of_its_encoding_is_a_bad_request() {
        let mut torn = gzip(event("e1", "s1").as_bytes());
        torn.truncate(torn.len() - 9);
        for (name, body) in [("gzip", b"plain".to_vec()), ("gzip", torn), ("zstd", b"plain".to_vec())] {
            let answer = small().send(request("POST", "/v1/events").header("content-encoding", name), body).await;
            assert_eq!((answer.status, answer.code()), (400, "bad_encoding".into()), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_answered_408() {
        let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let answer = small().send(request("POST", "/v1/events"), body).await;
        assert_eq!((answer.status, answer.code()), (408, "body_timeout".into()));
    }

    #[tokio::test]
    async fn a_body_that_was_asked_for_is_read_to_its_end_whatever_is_answered() {
        for (encoding, status, pieces_read) in [("identity", 413, 10), ("br", 415, 0)] {
            let read = Arc::new(AtomicUsize::new(0));
            let count = read.clone();
            let pieces = (0..10).map(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from(vec![b' '; KIB]))
            });
            let asked = request("POST", "/v1/events").header("expect", "100-continue");
            let body = Body::from_stream(futures_util::stream::iter(pieces));
            let answer = small().send(asked.header("content-encoding", encoding), body).await;
            assert_eq!((answer.status, read.load(Ordering::Relaxed)), (status, pieces_read), "{encoding}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_answered_to_bodies_that_are_not_read_is_in_the_openapi_document() {
        let document: serde_json::Value = serde_json::from_str(include_str!("openapi.json")).expect("it is JSON");
        let site = small();
        for (path, described) in [
            ("/v1/events", "/v1/events"),
            ("/v1/rank/home", "/v1/rank/{model}"),
            ("/v1/decisions/d1/activate", "/v1/decisions/{id}/activate"),
            ("/v1/decisions/d1/reward", "/v1/decisions/{id}/reward"),
            ("/v1/rewards/home", "/v1/rewards/{model}"),
        ] {
            let pending = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
            for (encoding, body, status) in
                [("identity", pending, 408), ("identity", padded(LIMIT + 1).into(), 413), ("br", "x".into(), 415)]
            {
                let answer = site.send(request("POST", path).header("content-encoding", encoding), body).await;
                assert_eq!(answer.status, status, "{path}: {}", answer.body);
                let answers = &document["paths"][described]["post"]["responses"];
                assert!(answers[status.to_string()].is_object(), "{status} is not among those of {described}");
            }
        }
    }

    #[test]
    fn bodies_together_are_held_to_their_memory_and_give_it_back() {
        let memory = BodyMemory::of(4 * KIB);
        let mut one = memory.reserve();
        let mut two = memory.reserve();
        assert_eq!(one.grow(3 * KIB), Ok(()));
        assert_eq!(two.grow(KIB), Ok(()));
        assert_eq!(two.grow(1).map_err(|refusal| refusal.code), Err("overloaded"));
        drop(one);
        assert_eq!(two.grow(3 * KIB), Ok(()));
    }

    #[tokio::test]
    async fn a_body_takes_as_much_memory_in_pieces_of_a_byte_as_in_one() {
        let memory = BodyMemory::of(10 * KIB);
        let pieces = (0..10_000).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b" ")));
        let mut body = Body::from_stream(futures_util::stream::iter(pieces));
        let (bytes, _reserved) = collect(&mut body, 10_000, memory.reserve()).await.expect("it has room");
        assert_eq!(bytes.len(), 10_000);
        assert_eq!(memory.reserve().grow(1).map_err(|refusal| refusal.code), Err("overloaded"));
    }
}
