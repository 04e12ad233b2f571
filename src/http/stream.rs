//! `GET /v1/context/stream`: server-sent events, one for each refreshed context.
//!
//! A reader holds one batch or one context at a time, so that a slow one costs no memory: it is told how much it missed
//! (`event: skipped`) and goes on with the newest. Of a single session or viewer `skipped` counts its refreshes, of all
//! contexts it counts batches, because only those are known once they are gone.

use super::error::Refusal;
use super::metrics::Held;
use super::query::Pairs;
use super::{App, context, stopped};
use crate::engine::{Context, ContextKind};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

/// What may be asked for, and what libraries of event streams add by themselves.
const QUERY: [&str; 4] = ["session", "viewer", "lastEventId", "_"];
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Follows `?session=`, `?viewer=`, or every session without either.
pub(super) async fn follow(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let source = match Source::of(&app, &uri) {
        Ok(source) => source,
        Err(refusal) => return refusal.into_response(),
    };
    let Ok(slot) = app.streams.clone().try_acquire_owned() else {
        let message = format!("{} streams are open, which is publish.streams_max", app.config.publish.streams_max);
        return Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", message).retry_after(5).into_response();
    };
    let reader =
        Reader { held: Held::new(&app.metrics.streams), _slot: slot, stopping: app.stopping.clone(), source, app };
    let events = stream::unfold(reader, Reader::next);
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

/// One open stream.
struct Reader {
    app: Arc<App>,
    source: Source,
    stopping: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held for its drop, which counts the stream out")]
    held: Held,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Reader)> {
        let event = tokio::select! {
            () = stopped(&mut self.stopping) => None,
            event = self.source.next(&self.app) => event,
        };
        event.map(|event| (Ok(event), self))
    }
}

enum Source {
    One(One),
    All(All),
}

impl Source {
    fn of(app: &App, uri: &Uri) -> Result<Source, Refusal> {
        let query = Pairs::of(uri).only(&QUERY)?;
        Ok(match (query.given("session")?, query.given("viewer")?) {
            (Some(_), Some(_)) => {
                let message = "give `session` or `viewer`, not both; neither follows all sessions";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_query", message));
            }
            (Some(id), None) => Source::one(app, ContextKind::Session, id),
            (None, Some(id)) => Source::one(app, ContextKind::Viewer, id),
            (None, None) => {
                Source::All(All { batches: app.engine.contexts().follow(), batch: Arc::default(), next: 0 })
            }
        })
    }

    fn one(app: &App, kind: ContextKind, id: &str) -> Source {
        let mut changes = app.engine.contexts().watch(kind, id);
        // What is there already is the first thing a reader wants.
        changes.mark_changed();
        Source::One(One { kind, id: id.to_string(), changes, last: None, behind_skipped: None })
    }

    async fn next(&mut self, app: &App) -> Option<Event> {
        match self {
            Source::One(one) => one.next(app).await,
            Source::All(all) => all.next(app).await,
        }
    }
}

/// The contexts of one session or viewer.
struct One {
    kind: ContextKind,
    id: String,
    changes: watch::Receiver<u64>,
    /// Version and updates of the context sent last.
    last: Option<(u64, u64)>,
    /// The context to send after `skipped`.
    behind_skipped: Option<Context>,
}

impl One {
    async fn next(&mut self, app: &App) -> Option<Event> {
        if let Some(newest) = self.behind_skipped.take() {
            return Some(refreshed(app, &newest));
        }
        loop {
            self.changes.changed().await.ok()?;
            let Some(newest) = app.engine.contexts().get(self.kind, &self.id) else { continue };
            let now = (newest.version, newest.updates);
            let last = self.last.replace(now);
            if last == Some(now) {
                continue;
            }
            // A session that ended and began again counts from the start: nothing was skipped that a reader could name.
            let missed = last.map_or(0, |(_, updates)| newest.updates.saturating_sub(updates).saturating_sub(1));
            if missed == 0 {
                return Some(refreshed(app, &newest));
            }
            self.behind_skipped = Some(newest);
            return Some(skipped(missed));
        }
    }
}

/// The contexts of all sessions.
struct All {
    batches: broadcast::Receiver<Arc<Vec<Context>>>,
    batch: Arc<Vec<Context>>,
    next: usize,
}

impl All {
    async fn next(&mut self, app: &App) -> Option<Event> {
        loop {
            if let Some(context) = self.batch.get(self.next) {
                self.next += 1;
                return Some(refreshed(app, context));
            }
            self.next = 0;
            match self.batches.recv().await {
                Ok(batch) => self.batch = batch,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    return Some(skipped(missed + self.skip_to_newest()));
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Passes over all batches but the newest: a reader that fell behind once would fall behind again at once.
    fn skip_to_newest(&mut self) -> u64 {
        self.batch = Arc::default();
        let mut passed = 0;
        while self.batches.len() > 1 {
            passed += match self.batches.try_recv() {
                Ok(_) => 1,
                Err(broadcast::error::TryRecvError::Lagged(missed)) => missed,
                Err(_) => break,
            };
        }
        passed
    }
}

fn refreshed(app: &App, newest: &Context) -> Event {
    Event::default().event("context").id(newest.version.to_string()).data(context::to_json(app, newest))
}

fn skipped(n: u64) -> Event {
    Event::default().event("skipped").data(format!("{{\"skipped\":{n}}}"))
}

#[cfg(test)]
mod tests {
    use crate::http::testing::{Site, event, request};
    use axum::body::Body;
    use http_body_util::BodyExt;

    async fn follow(site: &Site, query: &str) -> Body {
        let response = site.open(request("GET", &format!("/v1/context/stream{query}")), "").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        response.into_body()
    }

    /// The next event as (name, data); a comment has no name.
    async fn next(body: &mut Body) -> (String, String) {
        let frame = body.frame().await.expect("the stream goes on").expect("and does not fail");
        let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("events are text");
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_string();
        (field("event: "), field("data: "))
    }

    async fn send(site: &Site, id: &str, session: &str) {
        assert_eq!(site.send(request("POST", "/v1/events"), event(id, session)).await.status, 202);
    }

    async fn latest(site: &Site, session: &str) -> String {
        site.send(request("GET", &format!("/v1/context/session/{session}")), "").await.body
    }

    #[tokio::test]
    async fn a_follower_sees_what_is_there_and_then_each_refresh() {
        let site = Site::new(|_| {});
        send(&site, "e1", "s1").await;
        for query in ["?session=s1", "?viewer=v-s1"] {
            let mut body = follow(&site, query).await;
            assert_eq!(next(&mut body).await, ("context".into(), latest(&site, "s1").await), "{query}");
            send(&site, query, "s1").await;
            assert_eq!(next(&mut body).await, ("context".into(), latest(&site, "s1").await), "{query}");
        }
    }

    #[tokio::test]
    async fn a_session_can_be_followed_before_it_begins() {
        let site = Site::new(|_| {});
        let mut body = follow(&site, "?session=s1").await;
        send(&site, "other", "s2").await;
        send(&site, "e1", "s1").await;
        assert_eq!(next(&mut body).await, ("context".into(), latest(&site, "s1").await));
    }

    #[tokio::test]
    async fn a_slow_follower_of_a_session_is_told_what_it_missed() {
        let site = Site::new(|_| {});
        send(&site, "e0", "s1").await;
        let mut body = follow(&site, "?session=s1").await;
        next(&mut body).await;
        for id in ["e1", "e2", "e3"] {
            send(&site, id, "s1").await;
        }
        assert_eq!(next(&mut body).await, ("skipped".into(), "{\"skipped\":2}".into()));
        assert_eq!(next(&mut body).await, ("context".into(), latest(&site, "s1").await));
    }

    #[tokio::test]
    async fn a_follower_of_all_sees_every_session() {
        let site = Site::new(|_| {});
        let mut body = follow(&site, "").await;
        for session in ["s1", "s2"] {
            send(&site, session, session).await;
            assert_eq!(next(&mut body).await, ("context".into(), latest(&site, session).await));
        }
    }

    #[tokio::test]
    async fn a_slow_follower_of_all_goes_on_with_the_newest() {
        let site = Site::new(|config| config.publish.stream_buffer = 2);
        let mut body = follow(&site, "").await;
        for id in ["e1", "e2", "e3", "e4", "e5"] {
            send(&site, id, id).await;
        }
        assert_eq!(next(&mut body).await, ("skipped".into(), "{\"skipped\":4}".into()));
        assert_eq!(next(&mut body).await, ("context".into(), latest(&site, "e5").await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_is_kept_alive_with_comments() {
        let site = Site::new(|_| {});
        let mut body = follow(&site, "").await;
        let began = tokio::time::Instant::now();
        assert_eq!(next(&mut body).await, (String::new(), String::new()));
        assert_eq!(began.elapsed().as_secs(), 15);
    }

    #[tokio::test]
    async fn streams_have_a_limit_and_a_reader_that_leaves_makes_room() {
        let site = Site::new(|config| config.publish.streams_max = 1);
        let first = follow(&site, "").await;
        assert!(site.metrics().contains("saccade_streams 1"), "{}", site.metrics());
        let over = site.send(request("GET", "/v1/context/stream"), "").await;
        assert_eq!((over.status, over.code()), (429, "too_many_streams".into()));
        assert!(!over.header("retry-after").is_empty());
        drop(first);
        assert!(site.metrics().contains("saccade_streams 0"), "{}", site.metrics());
        drop(follow(&site, "?session=s1").await);
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_server_stops() {
        let site = Site::new(|_| {});
        let mut body = follow(&site, "?session=s1").await;
        site.stop.send_replace(true);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn session_and_viewer_at_once_and_one_of_them_empty_or_twice_are_refused() {
        let site = Site::new(|_| {});
        for query in ["session=a&viewer=b", "session=", "viewer", "session=a&session=b"] {
            let answer = site.send(request("GET", &format!("/v1/context/stream?{query}")), "").await;
            assert_eq!((answer.status, answer.code()), (400, "bad_query".into()), "{query}");
        }
    }
}
