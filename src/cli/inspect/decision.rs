//! A decision for people: sentences first, then the numbers.

use super::table::{Table, cell, plain};
use crate::counted::counted;
use crate::inspect::decision::report::*;
use crate::inspect::decision::{number, signed};
use crate::inspect::report::At;
use std::fmt::Write;

/// Columns of the sentences.
const WIDTH: usize = 110;
/// Joint lists are cut here.
const FEATURES_MAX: usize = 64;

/// The report as text.
pub(super) fn render(report: &DecisionReport) -> String {
    let mut out = format!("decision {}\n\n", plain(&report.decision));
    for sentence in &report.in_words {
        wrap(&mut out, &plain(sentence));
    }
    out.push('\n');
    asked(&mut out, &report.asked);
    answered(&mut out, &report.answered);
    made_from(&mut out, report);
    reproduced(&mut out, report);
    followed(&mut out, &report.followed);
    out
}

fn wrap(out: &mut String, text: &str) {
    let mut width = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if width > 0 && width + 1 + len > WIDTH {
            out.push('\n');
            width = 0;
        }
        if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += len;
    }
    out.push('\n');
}

fn asked(out: &mut String, a: &Asked) {
    let or = |text: &Option<String>| text.as_deref().map_or("-".to_string(), plain);
    let version: Vec<String> = a.model_version.iter().map(u64::to_string).collect();
    out.push_str("what was asked\n");
    let _ = writeln!(
        out,
        "  model       {}   version {}   reward spec {}",
        plain(&a.model),
        version.join("."),
        a.reward_version
    );
    let _ = writeln!(out, "  made at     {}   arrived {}", a.event_time, a.ingest_time);
    let _ = writeln!(out, "  for         viewer {}   session {}", or(&a.viewer), or(&a.session));
    let _ = writeln!(out, "  in the log  partition {}   offset {}", a.partition, a.offset);
    let deferred = if a.deferred { "   deferred" } else { "" };
    let before = counted(a.decisions_before, "decision");
    let _ = writeln!(out, "  before it   {before} of the model{deferred}");
    for (partition, first) in &a.trimmed {
        let _ = writeln!(
            out,
            "  note        the log of partition {partition} begins at offset {first}; older records were dropped"
        );
    }
    out.push('\n');
}

fn answered(out: &mut String, a: &Answered) {
    let policy = a.policy.map_or("made elsewhere".to_string(), |policy| {
        let json = serde_json::to_value(policy).unwrap_or_default();
        let parameters = json.as_object().into_iter().flatten().filter(|(name, _)| *name != "name");
        let parameters: Vec<String> =
            parameters.map(|(name, value)| format!("{name} {}", value.to_string().replace('"', ""))).collect();
        format!("{} {}", policy.name(), parameters.join(", ")).trim_end().to_string()
    });
    let _ = writeln!(out, "what was answered: {policy} (served: {})", a.served.name());
    if let (Some(floor), count @ 1..) = (a.floor, a.candidates.len()) {
        let each = number(floor / count as f64);
        let _ = writeln!(out, "  {} of the probability is spread evenly: {each} for each candidate", number(floor));
    }
    let mut table = Table::new(&["#", "item", "probability", "expected", "±", "position"], "rlrrrl");
    let or = |x: Option<f64>| x.map_or("-".to_string(), number);
    for (i, c) in a.candidates.iter().enumerate() {
        let position = a.picks.iter().position(|pick| pick.candidate as usize == i);
        let position = position.map_or(String::new(), |position| position.to_string());
        table.row(vec![
            (i + 1).to_string(),
            cell(&c.item),
            probability(c.probability),
            or(c.score),
            or(c.uncertainty),
            position,
        ]);
    }
    table.write(out);
    let mut table = Table::new(&["position", "item", "propensity", "number drawn", "its interval"], "rlrrl");
    for (position, pick) in a.picks.iter().enumerate() {
        let (drawn, interval) = pick.draw.map_or(("-".into(), "-".into()), |Draw { number, from, to }| {
            (format!("{number:.6}"), format!("{from:.6} to {to:.6}"))
        });
        table.row(vec![position.to_string(), cell(&pick.item), probability(Some(pick.propensity)), drawn, interval]);
    }
    out.push('\n');
    table.write(out);
    if let Some(preferred) = &a.preferred {
        let _ = writeln!(out, "  the policy would have put first: {}", plain(preferred));
    }
    out.push('\n');
}

fn probability(p: Option<f64>) -> String {
    p.map_or("-".into(), |p| format!("{p:.6}"))
}

fn made_from(out: &mut String, report: &DecisionReport) {
    let m = &report.made_from;
    let version = m
        .context_version
        .map_or("none: the request brought it, or nothing was known".into(), |v| format!("version {v}"));
    let check = match m.check {
        ContextCheck::Matches => "; the log gives the same",
        ContextCheck::Differs => "; the log gives ANOTHER one",
        ContextCheck::NotFound => "; not found in the log",
        ContextCheck::NotFromLog => "",
    };
    let _ = writeln!(out, "what it was made from: context {version}{check}");
    let mut table = Table::new(&["feature", "value"], "lr");
    for feature in m.features.iter().take(FEATURES_MAX) {
        table.row(vec![cell(&feature.name), number(feature.value)]);
    }
    table.write(out);
    if m.features.len() > FEATURES_MAX {
        let _ = writeln!(out, "  and {} more: --format json has all", m.features.len() - FEATURES_MAX);
    }
    if let Some(compared) = &report.compared {
        let (pick, other) = (cell(&compared.pick), cell(&compared.other));
        let _ = writeln!(out, "\nwhat each group of features adds to what is expected");
        let mut table = Table::new(&["group", &pick, &other, "difference"], "lrrr");
        for (group, own, theirs) in &compared.groups {
            table.row(vec![cell(group), signed(*own), signed(*theirs), signed(own - theirs)]);
        }
        table.write(out);
    }
    out.push('\n');
}

fn reproduced(out: &mut String, report: &DecisionReport) {
    let r = &report.reproduction;
    let _ = writeln!(out, "made again from the log: {}", plain(&r.says));
    if let Some(Difference { field, recorded, reproduced }) = &r.difference {
        let _ = writeln!(out, "  first difference  {}", plain(field));
        let _ = writeln!(out, "  recorded          {}", cell(recorded));
        let _ = writeln!(out, "  reproduced        {}", cell(reproduced));
    }
    out.push('\n');
}

fn followed(out: &mut String, f: &Followed) {
    let at = |at: Option<At>| at.map_or("-".to_string(), |at| at.to_string());
    let _ = writeln!(out, "what followed: {}", f.outcome);
    let when = if f.outcome == "open" { "stream is at" } else { "it was over at" };
    let _ = writeln!(out, "  windows     from {} to {}   {} {}", at(f.since), at(f.until), when, at(f.watermark));
    if f.specs_from_configuration {
        let _ = writeln!(
            out,
            "  note        reward specs are the configuration's: the records that put others in force were dropped"
        );
    }
    let mut table = Table::new(&["position", "item", "reward spec", "", "reward", "window", "signals"], "rlrlrll");
    for (position, pick) in f.picks.iter().enumerate() {
        for reward in &pick.rewards {
            let signals: Vec<String> =
                reward.signals.iter().map(|(name, x)| format!("{} {}", plain(name), number(*x))).collect();
            table.row(vec![
                position.to_string(),
                cell(&pick.item),
                reward.version.to_string(),
                if reward.in_force { "in force" } else { "shadow" }.to_string(),
                reward.reward.map_or("not known yet".into(), |known| match reward.has_failed {
                    true => format!("{} (failed: the default)", number(known)),
                    false => number(known),
                }),
                if reward.is_closed { "closed".to_string() } else { format!("open until {}", reward.until) },
                signals.join(", "),
            ]);
        }
    }
    if !f.picks.is_empty() {
        table.write(out);
    }
    history(out, f);
}

fn history(out: &mut String, f: &Followed) {
    out.push_str("\nrecords that touched it, in order");
    match f.left_out {
        0 => out.push('\n'),
        left => drop(writeln!(out, " (the newest {}; {left} older left out)", f.history.len())),
    }
    let mut table = Table::new(&["offset", "arrived", "what", "id", "item", "result", "what changed"], "rllllll");
    for touch in &f.history {
        let value = touch.value.map_or(String::new(), |x| format!(" {}", number(x)));
        table.row(vec![
            touch.offset.to_string(),
            touch.ingest_time.to_string(),
            format!("{}{value}", cell(&touch.what)),
            touch.id.as_deref().map_or(String::new(), cell),
            touch.item.as_deref().map_or(String::new(), cell),
            touch.became.clone(),
            touch.changes.iter().map(change).collect::<Vec<_>>().join("; "),
        ]);
    }
    table.write(out);
}

fn change(change: &Change) -> String {
    let known = |reward: Option<f64>| reward.map_or("unknown".to_string(), number);
    let position = if change.position > 0 { format!("position {} ", change.position) } else { String::new() };
    let mut parts: Vec<String> = vec![];
    for (name, before, after) in &change.signals {
        parts.push(format!("{} {} → {}", plain(name), number(*before), number(*after)));
    }
    if change.before != change.after {
        parts.push(format!("reward {} → {}", known(change.before), known(change.after)));
    }
    if change.closed {
        parts.push("window closed".into());
    }
    format!("{position}spec {}: {}", change.version, parts.join(", "))
}
