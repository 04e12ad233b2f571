//! Transcendental functions of the fold, and of who has to compute the same everywhere: one pinned pure-Rust implementation, so that every machine computes the same bits.

/// 2^x
pub fn exp2(x: f64) -> f64 {
    libm::exp2(x)
}

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// Sine and cosine of `turns` full turns.
pub fn sin_cos_turns(turns: f64) -> (f64, f64) {
    libm::sincos(turns * std::f64::consts::TAU)
}

/// e^x
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// x^y, x ≥ 0
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}
