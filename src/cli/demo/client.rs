//! The demo as a client of its own server: keep-alive connections, and patience where the server asks for it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::time::Duration;

/// Times a request is sent before the demo gives up. Events carry ids, so that sending again counts nothing twice.
const TRIES: u32 = 6;
/// Time before the second try; it doubles with every further one.
const PATIENCE: Duration = Duration::from_millis(100);
/// The server closes connections that are idle for longer; the pool lets go of them first.
const IDLE: Duration = Duration::from_secs(5);
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Sends to one server. Clones share their connections.
#[derive(Clone)]
pub(super) struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    origin: String,
    write_key: Option<HeaderValue>,
}

impl Client {
    /// A client of the server at `address`; `write_key` is sent where the server wants one.
    pub(super) fn new(address: SocketAddr, write_key: Option<&str>) -> Client {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector);
        let write_key = write_key.and_then(|key| HeaderValue::try_from(key).ok());
        Client { pool, origin: format!("http://{address}"), write_key }
    }

    /// Status and body of the answer; `None` where there was none to any of the tries.
    pub(super) async fn post(&self, path: &str, content_type: &'static str, body: String) -> Option<(u16, Bytes)> {
        let (body, mut patience, mut last) = (Bytes::from(body), PATIENCE, None);
        for _ in 0..TRIES {
            last = self.try_post(path, content_type, body.clone()).await;
            if last.as_ref().is_some_and(|(status, _)| !matches!(status, 429 | 503)) {
                return last;
            }
            tokio::time::sleep(patience).await;
            patience *= 2;
        }
        last
    }

    async fn try_post(&self, path: &str, content_type: &'static str, body: Bytes) -> Option<(u16, Bytes)> {
        let mut request = Request::post(format!("{}{path}", self.origin)).header(CONTENT_TYPE, content_type);
        if let Some(key) = &self.write_key {
            request = request.header("x-write-key", key);
        }
        let request = request.body(Full::from(body)).expect("address and path make a URI");
        let answer = async {
            let response = self.pool.request(request).await.ok()?;
            let status = response.status().as_u16();
            Some((status, response.into_body().collect().await.ok()?.to_bytes()))
        };
        tokio::time::timeout(ANSWER_TIME, answer).await.ok().flatten()
    }
}
