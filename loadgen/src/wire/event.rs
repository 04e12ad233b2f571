//! An act as an event: one flat JSON object under the canonical names.

use super::Wire;
use super::digits::{digits, seconds};
use crate::population::{Act, Population};

/// Number and times of an event.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Number of the event: its id.
    pub number: u64,
    /// When it happened by the player's clock, epoch milliseconds.
    pub event_time: u64,
    /// When it is sent by that clock, where it is said.
    pub sent_at: Option<u64>,
}

impl Wire {
    /// Appends an event.
    pub fn event(&self, out: &mut Vec<u8>, population: &Population, act: &Act, stamp: Stamp) {
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(&self.id);
        digits(out, stamp.number);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(act.kind.name().as_bytes());
        out.extend_from_slice(b"\",\"event_time\":");
        digits(out, stamp.event_time);
        if let Some(sent_at) = stamp.sent_at {
            out.extend_from_slice(b",\"sent_at\":");
            digits(out, sent_at);
        }
        out.extend_from_slice(b",\"session\":\"");
        self.session(out, act.viewer, act.visit);
        out.extend_from_slice(b"\",\"viewer\":\"");
        self.viewer(out, act.viewer);
        out.push(b'"');
        self.what(out, act);
        out.extend_from_slice(self.belongings(population, act.viewer));
        if let Some((kbps, rtt_ms)) = act.network {
            out.extend_from_slice(b",\"throughput_kbps\":");
            digits(out, u64::from(kbps));
            out.extend_from_slice(b",\"rtt_ms\":");
            digits(out, u64::from(rtt_ms));
        }
        if let Some(bitrate) = act.bitrate_kbps {
            out.extend_from_slice(b",\"br\":");
            digits(out, u64::from(bitrate));
        }
        out.push(b'}');
    }

    fn what(&self, out: &mut Vec<u8>, act: &Act) {
        if let Some(item) = act.item {
            out.extend_from_slice(b",\"item\":\"i");
            digits(out, u64::from(item));
            out.push(b'"');
        }
        if let Some(decision) = act.decision {
            out.extend_from_slice(b",\"decision\":\"");
            self.decision(out, decision);
            out.push(b'"');
        }
        if let Some(position) = act.position {
            out.extend_from_slice(b",\"position\":");
            digits(out, u64::from(position));
        }
        if let Some((at_ms, length_ms)) = act.playhead {
            out.extend_from_slice(b",\"playhead_s\":");
            seconds(out, at_ms);
            out.extend_from_slice(b",\"duration_s\":");
            seconds(out, length_ms);
        }
        if let Some(depth) = act.depth {
            out.extend_from_slice(b",\"value\":");
            digits(out, u64::from(depth));
        }
    }
}
