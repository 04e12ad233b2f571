//! Transcendental functions of schedule and population: one pinned pure-Rust implementation, so that the same profile and seed give
//! the same bytes on every machine.

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// e^x
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// x^y, x ≥ 0
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// Sine and cosine of `turns` full turns.
pub fn sin_cos_turns(turns: f64) -> (f64, f64) {
    libm::sincos(turns * std::f64::consts::TAU)
}
