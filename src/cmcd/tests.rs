//! Tests of the module as a whole; what they share. Events are looked at inside a callback, since they borrow.

mod hostile;
mod oracle;
mod players;
mod rules;

use super::{Request, read_body};
use crate::config::Cmcd;
use crate::wire::RowError;
use bumpalo::Bump;
use saccade_topology::record::{Event, IngestTime};

/// Arrival of everything in these tests.
const ARRIVAL: IngestTime = IngestTime(1_795_384_700_000);

/// Rows of `body`, from an address that names neither session nor viewer.
fn with_rows<T>(body: &str, look: impl FnOnce(&[Result<Event<'_>, RowError>]) -> T) -> T {
    with_rows_from(body, &Request::default(), &Cmcd::default(), look)
}

fn with_rows_from<T>(
    body: &str,
    request: &Request<'_>,
    config: &Cmcd,
    look: impl FnOnce(&[Result<Event<'_>, RowError>]) -> T,
) -> T {
    let arena = Bump::new();
    // The lifetime of rows is the arena's: request and body are copied into it.
    let request = Request {
        session: request.session.map(|text| &*arena.alloc_str(text)),
        viewer: request.viewer.map(|text| &*arena.alloc_str(text)),
    };
    let mut rows = Vec::new();
    read_body(arena.alloc_str(body), ARRIVAL, &request, config, &arena, &mut |row| rows.push(row));
    look(&rows)
}

/// The one event of `record`.
fn with_event<T>(record: &str, look: impl FnOnce(&Event<'_>) -> T) -> T {
    with_rows(record, |rows| match rows {
        [Ok(event)] => look(event),
        other => panic!("{record:?} gave {other:?}"),
    })
}

/// Kind, or `!code`, of each row.
fn outcomes(body: &str) -> Vec<String> {
    with_rows(body, |rows| rows.iter().map(outcome).collect())
}

fn outcome(row: &Result<Event<'_>, RowError>) -> String {
    match row {
        Ok(event) => event.kind.to_string(),
        Err(error) => format!("!{}", error.code),
    }
}
