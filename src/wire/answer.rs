//! The answer to a rank request.

use super::write::{INTO_MEMORY, number, text, write_text};
use saccade_topology::Record;
use saccade_topology::decision::Decision;
use std::io::Write;

/// Appends `{"decision":{…}}`, the record as `export` writes it.
pub fn write_decision(out: &mut Vec<u8>, decision: Decision<'_>) {
    out.push(b'{');
    super::feedback::write(out, &Record::Decision(Box::new(decision)));
    out.push(b'}');
}

/// Appends `{"decision","model","items":[{"id","propensity","score"}],"policy","model_version","reward_version","context_version"}`.
///
/// It is a function of the logged decision and the policy's name, so that a decision asked for again is answered by the same bytes.
/// `model_version` is the offsets that the version covers, one per partition, joined by points; `context_version` is null where the
/// request brought its own context. Numbers are the shortest text that is read again to the same number.
pub fn write_rank(out: &mut Vec<u8>, decision: &Decision<'_>, policy: &str) {
    out.extend_from_slice(b"{\"decision\":");
    write_text(out, decision.id);
    text(out, "model", Some(decision.model));
    out.extend_from_slice(b",\"items\":[");
    for (place, pick) in decision.picks.iter().enumerate() {
        out.extend_from_slice(if place > 0 { b",{\"id\":" } else { b"{\"id\":" });
        let candidate = decision.candidates.get(pick.candidate as usize);
        write_text(out, candidate.map_or("", |c| c.item));
        number(out, "propensity", Some(pick.propensity));
        number(out, "score", Some(pick.score));
        out.push(b'}');
    }
    out.push(b']');
    text(out, "policy", Some(policy));
    out.extend_from_slice(b",\"model_version\":\"");
    for (place, offset) in decision.model_version.iter().enumerate() {
        let point = if place > 0 { "." } else { "" };
        write!(out, "{point}{offset}").expect(INTO_MEMORY);
    }
    write!(out, "\",\"reward_version\":{},\"context_version\":", decision.reward_version).expect(INTO_MEMORY);
    match decision.context_version {
        Some(version) => write!(out, "{version}").expect(INTO_MEMORY),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}
