//! An act of the player as a CMCD v2 record (CTA-5004-B, event mode): keys sorted, one record, no line break.

use super::Wire;
use super::digits::digits;
use crate::population::{Act, Kind};

impl Wire {
    /// Appends the record of an act of the player that happened at `event_time`, number `n` of its sender.
    pub fn cmcd(&self, out: &mut Vec<u8>, act: &Act, n: u64, event_time: u64) {
        let (event, state) = tokens(act.kind);
        if let Some(bitrate) = act.bitrate_kbps {
            out.extend_from_slice(b"br=(");
            digits(out, u64::from(bitrate));
            out.extend_from_slice(b"),");
        }
        out.extend_from_slice(b"cid=\"i");
        digits(out, u64::from(act.item.unwrap_or_default()));
        out.extend_from_slice(b"\",com.example-pt=");
        digits(out, u64::from(act.playhead.map_or(0, |(at_ms, _)| at_ms)));
        out.extend_from_slice(b",e=");
        out.extend_from_slice(event);
        if let Some((kbps, _)) = act.network {
            out.extend_from_slice(b",mtp=(");
            // To the next hundred, as the standard has it.
            digits(out, u64::from(kbps.div_ceil(100) * 100));
            out.push(b')');
        }
        out.extend_from_slice(b",sid=\"");
        self.session(out, act.viewer, act.visit);
        out.extend_from_slice(b"\",sn=");
        digits(out, n);
        out.extend_from_slice(b",sta=");
        out.push(state);
        out.extend_from_slice(b",ts=");
        digits(out, event_time);
        out.extend_from_slice(b",v=2");
    }
}

/// The tokens of `e` and `sta`.
fn tokens(kind: Kind) -> (&'static [u8], u8) {
    match kind {
        Kind::Pause => (b"ps", b'a'),
        Kind::Seek => (b"ps", b'k'),
        Kind::BufferStart => (b"ps", b'r'),
        Kind::Stop => (b"ps", b'q'),
        Kind::Error => (b"e", b'f'),
        Kind::QualityChange => (b"bc", b'p'),
        Kind::Progress => (b"t", b'p'),
        _ => (b"ps", b'p'),
    }
}
