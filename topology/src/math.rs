//! Transcendental functions of the fold: one pinned pure-Rust implementation, so that every machine computes the same bits.

/// 2^x
pub(crate) fn exp2(x: f64) -> f64 {
    libm::exp2(x)
}

/// Natural logarithm.
pub(crate) fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// Sine and cosine of `turns` full turns.
pub(crate) fn sin_cos_turns(turns: f64) -> (f64, f64) {
    libm::sincos(turns * std::f64::consts::TAU)
}

/// e^x
pub(crate) fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// x^y, x ≥ 0
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}
