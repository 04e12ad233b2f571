//! An inspection for people: tables on a terminal. What strangers sent is shown without control characters.

use super::table::{Table, cell, plain};
use crate::counted::counted;
use crate::inspect::report::{At, Border, Bucket, EventView, Inspection, Move, SlotView, Status, View};
use std::collections::HashMap;
use std::fmt::Write;

/// The report as text; `url` is the server that was asked.
pub(super) fn render(inspection: &Inspection, url: Option<&str>) -> String {
    let mut out = String::new();
    if inspection.partitions.len() > 1 {
        let n = inspection.partitions.len();
        let _ = writeln!(
            out,
            "{n} partitions hold events of this session, because not all of them name the same viewer.\n"
        );
    }
    for view in &inspection.partitions {
        head(&mut out, inspection, view, url);
        events(&mut out, view);
        vector(&mut out, view);
    }
    out
}

fn head(out: &mut String, inspection: &Inspection, view: &View, url: Option<&str>) {
    let status = match view.status {
        Status::Live => "live",
        Status::Ended => "ended; a late event may still reopen it",
        Status::Removed => "ended and removed; below is what was published last",
        Status::Never => "none of its events was accepted: it has no vector",
    };
    let by = view.ended_by.as_ref().map_or(String::new(), |by| format!(" ({by})"));
    let _ = writeln!(out, "session {}  {status}{by}", plain(&inspection.session));
    let time = |at: Option<At>| at.map_or("-".to_string(), |at| at.to_string());
    let version = view.version.map_or("-".to_string(), |v| v.to_string());
    let _ = writeln!(out, "  partition   {}", view.partition);
    let _ = writeln!(out, "  version     {version}   schema {}", inspection.schema_version);
    let _ = writeln!(out, "  event time  {}   watermark {}", time(view.event_time), time(view.watermark));
    if let (Some(viewer), Some(path)) = (&view.viewer, &view.viewer_context) {
        let link = url.map_or(format!("GET {path}"), |url| format!("{}{path}", url.trim_end_matches('/')));
        let _ = writeln!(out, "  viewer      {}   {link}", plain(viewer));
    }
    let c = &view.counts;
    let buckets = [(c.accepted, "accepted"), (c.late, "late"), (c.duplicates, "duplicate"), (c.rejected, "rejected")];
    let buckets: Vec<String> = buckets.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let _ = writeln!(out, "  events      {}: {}", c.total(), buckets.join(", "));
    if let Some(first) = view.log_begins_at {
        let rule = "older records were dropped and are not in this report";
        let _ = writeln!(out, "  note        the log begins at offset {first}; {rule}");
    }
    out.push('\n');
}

fn events(out: &mut String, view: &View) {
    let _ = write!(out, "events in event-time order");
    match view.counts.total() - view.events.len() as u64 {
        0 => out.push('\n'),
        left => drop(writeln!(out, " (the newest {}; {left} older left out)", view.events.len())),
    }
    // A late event is often hours old: it does not make a beginning.
    let begin = view.events.iter().find(|e| e.bucket == Bucket::Accepted).or(view.events.first());
    let first = begin.map_or(0, |e| e.event_time.0);
    let titles =
        ["#", "arrived", "offset", "event time", "since first", "type", "id", "item", "delay", "late by", "result"];
    let mut table = Table::new(&titles, "rrrlrlllrrl");
    let mut borders = view.borders.iter().peekable();
    for (place, event) in view.events.iter().enumerate() {
        while let Some(border) = borders.next_if(|b| b.before == place) {
            table.rule(describe(border, event));
        }
        table.row(event_cells(place, event, first));
    }
    table.write(out);
    out.push('\n');
}

fn event_cells(place: usize, event: &EventView, first: i64) -> Vec<String> {
    let corrected = match event.clock_offset_ms {
        0 => String::new(),
        offset => format!(" (clock {})", signed_s(offset)),
    };
    let late = if event.late_by_ms > 0 { format!("{} s", seconds(event.late_by_ms)) } else { String::new() };
    let delay = event.ingest_time.0.saturating_sub(event.event_time.0);
    vec![
        (place + 1).to_string(),
        event.arrival.to_string(),
        event.offset.to_string(),
        format!("{}{corrected}", event.event_time),
        signed_s(event.event_time.0.saturating_sub(first)),
        cell(&event.kind),
        cell(&event.id),
        event.item.as_deref().map_or(String::new(), cell),
        format!("{} s", seconds(delay)),
        late,
        match event.bucket {
            Bucket::Accepted => "accepted".to_string(),
            other => format!("{} (not folded)", other.word()),
        },
    ]
}

fn describe(border: &Border, next: &EventView) -> String {
    let silence = seconds(next.event_time.0.saturating_sub(border.last.0));
    let length = seconds(border.last.0.saturating_sub(border.start.0));
    format!(
        "ended by {} after {} in {length} s; {silence} s later a new life begins, with fresh state",
        border.reason,
        counted(border.events, "event")
    )
}

fn vector(out: &mut String, view: &View) {
    if view.slots.is_empty() {
        return;
    }
    let absent = view.slots.iter().filter(|s| s.absent).count();
    let slots = counted(view.slots.len() as u64, "slot");
    let _ = writeln!(out, "vector: {slots}, {absent} at the absent value (in brackets)");
    let places: HashMap<u64, usize> = view.events.iter().enumerate().map(|(place, e)| (e.offset, place)).collect();
    let mut table = Table::new(&["slot", "name", "value", "unit", "moved last by", "moved most by"], "rlrlll");
    for slot in &view.slots {
        table.row(slot_cells(slot, &places));
    }
    table.write(out);
    if view.slots.iter().any(|s| !s.explained) {
        let why = "part of the session is no longer in the log, not listed, or was evicted";
        let _ = writeln!(out, "? the moves do not add up to the value: {why}");
    }
    let _ = writeln!(
        out,
        "# is the event's place above; decayed and time-since slots move with every event, because time passes."
    );
}

fn slot_cells(slot: &SlotView, places: &HashMap<u64, usize>) -> Vec<String> {
    let value = slot.value.map_or("-".to_string(), number);
    let describe = |moved: &Option<Move>| {
        let Some(moved) = moved else { return String::new() };
        let by = match (places.get(&moved.offset), &moved.session) {
            (Some(place), _) => format!("#{} {}", place + 1, cell(&moved.kind)),
            (None, Some(session)) => {
                format!("offset {} {} of session {}", moved.offset, cell(&moved.kind), cell(session))
            }
            (None, None) => format!("offset {} {}", moved.offset, cell(&moved.kind)),
        };
        let delta = moved.delta();
        format!("{by}: {}{}", if delta > 0.0 { "+" } else { "" }, number(delta))
    };
    vec![
        slot.index.to_string(),
        format!("{}{}", slot.name, if slot.explained { "" } else { " ?" }),
        if slot.absent { format!("[{value}]") } else { value },
        slot.unit.clone(),
        describe(&slot.moved_last),
        describe(&slot.moved_most),
    ]
}

/// Six significant digits at most.
fn number(x: f32) -> String {
    let magnitude = x.abs();
    match magnitude {
        m if m == 0.0 || x.fract() == 0.0 && m < 1e9 => format!("{x}"),
        m if (1e-3..1e6).contains(&m) => {
            let digits = (5 - m.log10().floor() as i32).clamp(0, 8) as usize;
            format!("{x:.digits$}").trim_end_matches('0').trim_end_matches('.').to_string()
        }
        _ => format!("{x:.3e}"),
    }
}

fn seconds(ms: i64) -> String {
    format!("{}{}.{:03}", if ms < 0 { "-" } else { "" }, ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
}

fn signed_s(ms: i64) -> String {
    format!("{}{} s", if ms >= 0 { "+" } else { "" }, seconds(ms))
}
