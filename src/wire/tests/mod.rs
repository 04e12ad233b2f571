//! Tests of the wire format: single values at their limits, shapes of bodies, and what is written is read again.

mod answers;
mod bodies;
mod limits;
mod records;
mod requests;
mod round_trip;
mod told;

use super::*;

fn reader(toml: &str) -> EventReader {
    EventReader::new(&toml::from_str(toml).expect("the test's configuration parses")).expect("and compiles")
}

/// What one row gives: the error's code, or `ok`.
fn code(text: &str) -> &'static str {
    reader("").read_event(text, &Bump::new()).map_or_else(|e| e.code, |_| "ok")
}

/// Reads a body: for each row its id or the error's index and code.
fn body(reader: &EventReader, body: &[u8]) -> Result<Vec<String>, BodyError> {
    let arena = Bump::new();
    let mut rows = Vec::new();
    reader.read_body(body, &arena, &mut |event| {
        rows.push(event.map_or_else(|e| format!("{} {}", e.index, e.code), |e| e.id.to_string()));
    })?;
    Ok(rows)
}

/// A complete row with `id`.
fn row(id: &str) -> String {
    format!(r#"{{"id":"{id}","type":"play","event_time":1760000000000,"session":"s"}}"#)
}

/// A complete row with more keys.
fn row_with(more: &str) -> String {
    format!(r#"{{"id":"e","type":"play","event_time":1760000000000,"session":"s",{more}}}"#)
}
