//! What the tests of this module share: a site without a network, and events to send to it.

use super::App;
use super::door::Door;
use crate::config::Config;
use crate::engine::Engine;
use axum::body::Body;
use axum::http::{HeaderMap, Request, request};
use axum::response::Response;
use http_body_util::BodyExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::Write;
use std::sync::Arc;
use tokio::sync::watch;

/// All calls over an engine in a directory of its own, with a recorder of its own.
pub(super) struct Site {
    door: Door,
    pub(super) app: Arc<App>,
    /// Of the site's own recorder; `None` where the process's counts.
    recorder: Option<(PrometheusHandle, metrics::LocalRecorderGuard<'static>)>,
    pub(super) stop: watch::Sender<bool>,
    data: tempfile::TempDir,
}

impl Site {
    pub(super) fn new(edit: impl FnOnce(&mut Config)) -> Site {
        // The guard borrows the recorder, and a test ends with its process.
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        let handle = recorder.handle();
        Site::build(edit, Some((handle, metrics::set_default_local_recorder(recorder))))
    }

    /// Counts as a server does, its threads included: for what `GET /metrics` serves.
    pub(super) fn counted_by_the_process() -> Site {
        crate::telemetry::install_metrics();
        Site::build(|_| {}, None)
    }

    fn build(
        edit: impl FnOnce(&mut Config),
        recorder: Option<(PrometheusHandle, metrics::LocalRecorderGuard<'static>)>,
    ) -> Site {
        let mut config = Config::load(None).expect("the built-in configuration is valid");
        edit(&mut config);
        Site::open_in(tempfile::tempdir().expect("a temporary directory"), config, recorder)
    }

    /// Stops and starts again over the same data.
    pub(super) async fn restarted(self) -> Site {
        let Site { door, app, recorder, stop, data } = self;
        let config = app.config.clone();
        let engine = app.engine.clone();
        tokio::task::spawn_blocking(move || engine.stop()).await.expect("the engine stops");
        drop((door, app, stop));
        Site::open_in(data, config, recorder)
    }

    fn open_in(
        data: tempfile::TempDir,
        config: Config,
        recorder: Option<(PrometheusHandle, metrics::LocalRecorderGuard<'static>)>,
    ) -> Site {
        let engine = Engine::open(&config, data.path()).expect("an engine opens in its directory");
        let (stop, stopping) = watch::channel(false);
        // As a server does before it has an app.
        super::metrics::connections().set(0.0);
        let app = App::new(Arc::new(engine), config, stopping).expect("the default configuration makes an app");
        let door = Door::closed(&app.config);
        door.open(app.clone());
        Site { door, app, recorder, stop, data }
    }

    /// Sends and returns the answer with its body still open.
    pub(super) async fn open(&self, request: request::Builder, body: impl Into<Body>) -> Response {
        let request = request.body(body.into()).expect("the test's request is well formed");
        self.door.call(request).await
    }

    /// Sends and returns the whole answer.
    pub(super) async fn send(&self, request: request::Builder, body: impl Into<Body>) -> Answer {
        let (parts, body) = self.open(request, body).await.into_parts();
        let body = body.collect().await.expect("an answer ends").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("answers are text");
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends without a body and returns the status, for answers that do not end.
    pub(super) async fn send_head(&self, request: request::Builder) -> u16 {
        self.open(request, Body::empty()).await.status().as_u16()
    }

    pub(super) fn metrics(&self) -> String {
        self.recorder.as_ref().map_or_else(crate::telemetry::render, |(handle, _)| handle.render())
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    /// Empty where there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the answer is JSON")
    }

    /// Code of an error.
    pub(super) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_string()
    }
}

pub(super) fn request(method: &str, uri: &str) -> request::Builder {
    Request::builder().method(method).uri(uri)
}

pub(super) fn now_ms() -> i64 {
    crate::clock::now().0
}

/// A play event of now; its viewer is `v-{session}`.
pub(super) fn event(id: &str, session: &str) -> String {
    event_at(id, session, now_ms())
}

pub(super) fn event_at(id: &str, session: &str, event_time: i64) -> String {
    format!(r#"{{"id":"{id}","type":"play","event_time":{event_time},"session":"{session}","viewer":"v-{session}"}}"#)
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compresses in memory");
    encoder.finish().expect("compresses in memory")
}
