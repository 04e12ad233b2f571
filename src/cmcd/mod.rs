//! CMCD v2 (CTA-5004-B) from stock players.
