//! Bodies of requests: one object, an array, one object per line, or an envelope around an array.
//!
//! The format is told by the first bytes, not by the content type. A bad row is reported in its place and the rest is
//! taken; only a body in which no row can be told apart is refused as a whole.

use super::row::{self, Inherited};
use super::scan::{self, Break};
use super::{EventReader, RowError, Scratch};
use bumpalo::Bump;
use saccade_topology::Event;

/// A body of which nothing can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Bytes that are no text.
    #[error("the body is not UTF-8 from byte {valid_up_to} on")]
    NotUtf8 {
        /// Bytes before the first bad one.
        valid_up_to: usize,
    },
    /// Nothing but white space.
    #[error("the body is empty; expected an object, an array or one object per line")]
    Empty,
    /// More rows than `ingest.batch_events_max`. None was taken.
    #[error("the body has more events than ingest.batch_events_max = {max}; send it in parts")]
    TooManyEvents {
        /// What is allowed.
        max: usize,
    },
    /// Neither an object nor an array, nor is any line of it.
    #[error("the body is not JSON: {message}")]
    NotJson {
        /// What was found and expected.
        message: String,
    },
}

/// Takes one event, or why there is none, in the order of the body.
type Row<'r, 'a> = &'r mut dyn FnMut(Result<Event<'a>, RowError>);

impl EventReader {
    /// Reads a body and calls `row` once for each of its events in order, with the index of bad ones filled in.
    ///
    /// - An array that breaks in the middle gives the rows before, then one `invalid_json` for all that follows.
    /// - An object that has one of `ingest.envelope` with an array, and no `type`, is an envelope: its rows inherit its
    ///   fields but for `id`. Its unknown keys are dropped. A bad field of it is reported for each row.
    /// - In a body of several lines a bad line is one bad row, also one that is no text. Blank lines are skipped and not numbered.
    ///
    /// An error means that `row` was never called.
    pub fn read_body<'a>(&self, body: &'a [u8], arena: &'a Bump, row: Row<'_, 'a>) -> Result<(), BodyError> {
        let text = match std::str::from_utf8(body) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii(),
            Err(error) => {
                let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii();
                if is_lines(body) {
                    return self.read_lines(body.split(|b| *b == b'\n').map(as_text), arena, row);
                }
                return Err(BodyError::NotUtf8 { valid_up_to: error.valid_up_to() });
            }
        };
        match text.as_bytes().first() {
            None => Err(BodyError::Empty),
            Some(b'[') => self.read_array(text, arena, row),
            Some(b'{') => self.read_objects(text, arena, row),
            Some(_) if text.lines().any(|line| line.trim_ascii_start().starts_with('{')) => {
                self.read_lines(text.split('\n').map(Ok), arena, row)
            }
            Some(_) => {
                let start = &text[..text.floor_char_boundary(32)];
                let message = format!("it starts with {start:?}; expected an object, an array or one object per line");
                Err(BodyError::NotJson { message })
            }
        }
    }

    fn read_objects<'a>(&self, text: &'a str, arena: &'a Bump, row: Row<'_, 'a>) -> Result<(), BodyError> {
        let end = scan::value_end(text.as_bytes(), 0);
        let has_lines = text.contains('\n');
        if has_lines && end.is_some_and(|end| end < text.len()) {
            return self.read_lines(text.split('\n').map(Ok), arena, row);
        }
        if end == Some(text.len())
            && let Some(arrays) = self.find_events(text)
        {
            return self.read_envelope(text, &arrays, arena, row);
        }
        let event = self.read_event(text, arena);
        // One broken object over many lines, or many lines of which the first is broken? Pretty printers put the brace
        // on a line of its own.
        let is_broken = event.as_ref().is_err_and(|e| e.code == "invalid_json");
        if has_lines && is_broken && text.lines().next().is_some_and(|line| line.trim_ascii() != "{") {
            return self.read_lines(text.split('\n').map(Ok), arena, row);
        }
        row(event);
        Ok(())
    }

    /// Reads a row a line; of a line that is no text, `lines` says why.
    fn read_lines<'a>(
        &self,
        lines: impl Iterator<Item = Result<&'a str, RowError>>,
        arena: &'a Bump,
        row: Row<'_, 'a>,
    ) -> Result<(), BodyError> {
        let max = self.batch_events_max;
        let lines = lines.map(|line| line.map(str::trim_ascii)).filter(|line| *line != Ok(""));
        let lines: Vec<_> = lines.take(max + 1).collect();
        if lines.len() > max {
            return Err(BodyError::TooManyEvents { max });
        }
        self.deliver(lines, None, arena, row);
        Ok(())
    }

    fn read_array<'a>(&self, text: &'a str, arena: &'a Bump, row: Row<'_, 'a>) -> Result<(), BodyError> {
        let max = self.batch_events_max;
        // None may be taken of too many; where there are not even as many commas, they need not be counted first.
        if memchr::memchr_iter(b',', text.as_bytes()).count() >= max {
            let mut rows = Vec::new();
            let _ = scan::split_array(text, 0, max + 1, &mut rows);
            if rows.len() > max {
                return Err(BodyError::TooManyEvents { max });
            }
        }
        let (mut scratch, mut index) = (Scratch::default(), 0);
        let end = scan::walk_array(text, 0, &mut |rest| {
            let (end, event) = self.read_first(rest, arena, &mut scratch)?;
            row(event.map_err(|error| RowError { index, ..error }));
            index += 1;
            Some(end)
        });
        let broken = match end {
            Ok(end) if end < text.len() => Some(Break { at: end, expected: "nothing after the array" }),
            Ok(_) => None,
            Err(broken) => Some(broken),
        };
        if let Some(Break { at, expected }) = broken {
            let what = format!("the array breaks here, at byte {at}: expected {expected}");
            let message = format!("{what}; what follows could not be read");
            row(Err(RowError { index, code: "invalid_json", message }));
        }
        Ok(())
    }

    /// Reads the row that `text` begins with, and gives its length; `None` where it does not end.
    ///
    /// The usual row is read at once; any other is cut out first.
    #[inline]
    fn read_first<'a>(
        &self,
        text: &'a str,
        arena: &'a Bump,
        scratch: &mut Scratch,
    ) -> Option<(usize, Result<Event<'a>, RowError>)> {
        let mut event = row::blank();
        let (end, usual) = match row::read_first(&self.keys, text, arena, scratch, &mut event) {
            Some((end, read)) => (end, Some(read)),
            None => (scan::value_end(text.as_bytes(), 0)?, None),
        };
        let text = &text[..end];
        let read = self.check_length(text).and_then(|()| match usual {
            Some(read) => read,
            None => row::read_unusual(&self.keys, text, arena, scratch, &mut event),
        });
        Some((end, read.map(|()| event)))
    }

    /// Places of the arrays of events in `text` if it is an envelope.
    fn find_events(&self, text: &str) -> Option<Vec<std::ops::Range<usize>>> {
        // Most single objects are events: do not walk them twice.
        if !self.envelope.iter().any(|quoted| text.contains(quoted.as_str())) {
            return None;
        }
        let mut arrays = Vec::new();
        for (name, value) in scan::entries(text) {
            let first = text.as_bytes()[value.start];
            if self.keys.get(name).is_some_and(|key| key.field == super::keys::Field::Kind) && first != b'n' {
                return None;
            }
            if first == b'[' && self.envelope.iter().any(|quoted| quoted[1..quoted.len() - 1] == *name) {
                arrays.push(value);
            }
        }
        (!arrays.is_empty()).then_some(arrays)
    }

    fn read_envelope<'a>(
        &self,
        text: &'a str,
        arrays: &[std::ops::Range<usize>],
        arena: &'a Bump,
        row: Row<'_, 'a>,
    ) -> Result<(), BodyError> {
        let max = self.batch_events_max;
        let (mut rows, mut envelope, mut rest) = (Vec::new(), String::new(), 0);
        let mut broken = None;
        for array in arrays {
            if let Err(found) = scan::split_array(text, array.start, max + 1, &mut rows) {
                broken = Some(found);
            }
            envelope.push_str(&text[rest..array.start]);
            envelope.push_str("null");
            rest = array.end;
        }
        if rows.len() > max {
            return Err(BodyError::TooManyEvents { max });
        }
        envelope.push_str(&text[rest..]);
        let index = rows.len();
        match row::read_envelope(&self.keys, arena.alloc_str(&envelope), arena) {
            Ok(inherited) => self.deliver(rows.into_iter().map(Ok), Some(&inherited), arena, row),
            Err(problem) => {
                let message = format!("in the envelope: {}", problem.message);
                for index in 0..rows.len() {
                    row(Err(RowError { index, code: problem.code, message: message.clone() }));
                }
            }
        }
        if let Some(Break { at, expected }) = broken {
            let message = format!("the envelope's array breaks here, at byte {at}: expected {expected}");
            row(Err(RowError { index, code: "invalid_json", message }));
        }
        Ok(())
    }

    fn deliver<'a>(
        &self,
        rows: impl IntoIterator<Item = Result<&'a str, RowError>>,
        inherited: Option<&Inherited<'a>>,
        arena: &'a Bump,
        row: Row<'_, 'a>,
    ) {
        let mut scratch = Scratch::default();
        for (index, text) in rows.into_iter().enumerate() {
            let mut event = row::blank();
            let read = text.and_then(|text| self.read_row(text, inherited, arena, &mut scratch, &mut event));
            row(read.map(|()| event).map_err(|error| RowError { index, ..error }));
        }
    }
}

/// Whether a body that is not all text is one object a line, so that the bad bytes cost only their lines.
fn is_lines(body: &[u8]) -> bool {
    let mut lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    match body.first() {
        None | Some(b'[') => false,
        Some(b'{') => match scan::value_end(body, 0) {
            Some(end) => end < body.len() && body.contains(&b'\n'),
            None => lines.next().is_some_and(|first| first != b"{" && first.len() < body.len()),
        },
        Some(_) => lines.any(|line| line.starts_with(b"{") && line.ends_with(b"}")),
    }
}

fn as_text(line: &[u8]) -> Result<&str, RowError> {
    std::str::from_utf8(line).map_err(|error| {
        let message = format!("the line is not UTF-8 from byte {} on", error.valid_up_to());
        RowError::new("invalid_utf8", message)
    })
}
