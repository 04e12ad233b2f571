//! Asks a running server for an inspection. Plain HTTP: from elsewhere, through a tunnel.

use crate::cli::Failure;
use crate::inspect::{Inspection, percent_encoded};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The server reads its whole log for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(900);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Where a server is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub authority: String,
    /// `host:port` to connect to.
    pub address: String,
}

impl Server {
    /// Reads `http://host:port`.
    pub(super) fn parse(url: &str) -> Result<Server, Failure> {
        let rule = |what| Failure::Usage(format!("--url {url:?} {what}; write for example http://127.0.0.1:8080"));
        let uri: Uri = url.parse().map_err(|_| rule("is not a URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(rule(
                "does not begin with http:// (for https, open a tunnel: ssh -L 8080:127.0.0.1:8080 HOST)",
            ));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(rule("has a path; only scheme, host and port are taken"));
        }
        let host = uri.host().ok_or_else(|| rule("names no host"))?;
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        Ok(Server { authority: uri.authority().map_or_else(String::new, |a| a.as_str().to_string()), address })
    }
}

pub(super) fn session(url: &str, token: Option<&str>, id: &str) -> Result<Inspection, Failure> {
    report(url, token, &format!("/v1/inspect/session/{}", percent_encoded(id)))
}

/// What the server answers at this path.
pub(super) fn report<T: DeserializeOwned>(url: &str, token: Option<&str>, path: &str) -> Result<T, Failure> {
    let server = Server::parse(url)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let bar = indicatif::ProgressBar::new_spinner().with_message(format!("{url} reads its log"));
    bar.enable_steady_tick(Duration::from_millis(200));
    let answer = runtime.block_on(get(&server, path, token));
    bar.finish_and_clear();
    let (status, body) = answer.map_err(|what| Failure::Failed(format!("asking {url}{path}: {what}")))?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|e| {
            Failure::Failed(format!(
                "asking {url}{path}: the answer is no inspection ({e}); is it another version of saccade?"
            ))
        });
    }
    let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = error["error"]["message"].as_str().unwrap_or("no explanation came with it");
    Err(Failure::Failed(match status {
        StatusCode::NOT_FOUND if error["error"]["code"] == "no_session" || error["error"]["code"] == "no_decision" => {
            message.to_string()
        }
        StatusCode::UNAUTHORIZED => format!("{url} answered 401: {message}; here: --token TOKEN"),
        status => format!("{url} answered {status}: {message}"),
    }))
}

async fn get(server: &Server, path: &str, token: Option<&str>) -> Result<(StatusCode, Bytes), String> {
    let connecting = tokio::net::TcpStream::connect(&server.address);
    let stream = tokio::time::timeout(CONNECT_WITHIN, connecting)
        .await
        .map_err(|_| format!("no connection within {} s", CONNECT_WITHIN.as_secs()))?
        .map_err(|e| format!("{e}; is the server running there?"))?;
    let (mut sender, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(driver);
    let mut request = Request::get(path).header(HOST, &server.authority);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let whole = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
        Ok((status, body.to_bytes()))
    };
    tokio::time::timeout(ANSWER_WITHIN, whole)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} minutes", ANSWER_WITHIN.as_secs() / 60)))
}
