//! What a stranger tries first: send an event, read its context, look around.

use super::events::event;
use super::server::{Server, version};
use tempfile::tempdir;

#[test]
fn an_event_is_posted_and_its_context_is_read() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    server.accept(&[event("e1", "s1")]);
    let context = server.context("s1");
    assert_eq!((&context["session"], &context["viewer"]), (&"s1".into(), &"v-s1".into()));
    assert_eq!(context["features"]["events"], 1.0, "{context}");
    let of_viewer = server.get("/v1/context/viewer/v-s1").json();
    assert_eq!((&of_viewer["session"], &of_viewer["vector"]), (&"s1".into(), &context["vector"]));
    server.accept(&[event("e2", "s1")]);
    let second = server.context("s1");
    assert_eq!(second["features"]["events"], 2.0);
    assert!(version(&second) > version(&context), "{second} after {context}");
    assert_eq!(server.get("/v1/context/session/nobody").status, 404);
}

#[test]
fn the_calls_around_the_context_agree_with_it() {
    let data = tempdir().expect("a directory");
    let server = Server::start(data.path());
    server.accept(&[event("e1", "s1")]);
    let context = server.context("s1");
    let schema = server.get("/v1/schema").json();
    let vector = context["vector"].as_array().expect("a vector");
    assert_eq!(schema["size"], vector.len());
    assert_eq!(schema["slots"].as_array().map(Vec::len), Some(vector.len()));
    assert_eq!(schema["schema_version"], context["schema_version"]);
    for (slot, (name, value)) in
        schema["slots"].as_array().expect("slots").iter().zip(context["features"].as_object().expect("features"))
    {
        assert_eq!(
            (&slot["name"], value),
            (&name.as_str().into(), &vector[slot["index"].as_u64().expect("an index") as usize])
        );
    }
    let health = server.get("/health");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    let openapi = server.get("/v1/openapi.json").json();
    assert!(openapi["paths"]["/v1/events"]["post"].is_object(), "{openapi}");
    let events_total = server.metric("saccade_events_total");
    assert_eq!(events_total, 1.0, "one event was folded");
    assert_eq!(server.metric("saccade_ingest_events_total"), 1.0);
}
