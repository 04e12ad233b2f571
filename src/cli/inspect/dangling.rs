//! Dangling rewards for people.

use super::table::{Table, cell};
use crate::counted::either;
use crate::inspect::dangling::DanglingReport;
use std::fmt::Write;

/// The report as text.
pub(super) fn render(report: &DanglingReport) -> String {
    let mut out = String::new();
    let waiting = match report.waiting {
        Some(n) if n > 0 => {
            format!("; {n} still {} until the allowed lateness has passed", either(n, "waits", "wait"))
        }
        _ => String::new(),
    };
    let listed = report.rewards.len() as u64;
    match report.total {
        0 => drop(writeln!(out, "No reward has missed its decision{waiting}.")),
        total => {
            let never = either(
                total,
                "reward never found its decision, or what it names in it",
                "rewards never found their decision, or what they name in it",
            );
            let latest = if total > listed { format!(" The latest {listed}:") } else { String::new() };
            let _ = writeln!(out, "{total} {never}{waiting}.{latest}\n");
        }
    }
    if report.rewards.is_empty() {
        return out;
    }
    let mut table =
        Table::new(&["partition", "offset", "event time", "type", "decision", "what is known of it"], "rrllll");
    for reward in &report.rewards {
        table.row(vec![
            reward.partition.to_string(),
            reward.offset.to_string(),
            reward.event_time.to_string(),
            cell(&reward.kind),
            cell(&reward.decision),
            reward.hint.clone().unwrap_or_else(|| "never heard of".into()),
        ]);
    }
    table.write(&mut out);
    out.push_str("\nWhat usually causes it:\n");
    for hint in &report.hints {
        let _ = writeln!(out, "  - {hint}");
    }
    out
}
