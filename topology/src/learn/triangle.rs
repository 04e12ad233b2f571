//! Vectors and packed upper triangles: what sums are kept in. Row by row, each from its diagonal on.

/// Values that are worked on together, so that the compiler uses vectors without changing any order of summation.
pub(crate) const LANES: usize = 8;

pub(crate) type Lanes = [f64; LANES];

/// Numbers in a packed triangle.
pub(crate) fn words(dimension: usize) -> usize {
    dimension * (dimension + 1) / 2
}

/// y += a·x
#[inline]
pub(crate) fn add_scaled(y: &mut [f64], x: &[f64], a: f64) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// triangle += w·x·xᵀ
pub(crate) fn add_outer(triangle: &mut [f64], x: &[f64], w: f64) {
    let mut rest = triangle;
    for (i, first) in x.iter().enumerate() {
        let (row, tail) = rest.split_at_mut(x.len() - i);
        if *first != 0.0 {
            add_scaled(row, &x[i..], w * first);
        }
        rest = tail;
    }
}

/// x·y, in eight partial sums.
#[inline]
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(x_rest).zip(y_rest) {
        *sum += x * y;
    }
    total(sums)
}

/// Sum, in a fixed order.
pub(crate) fn total(s: Lanes) -> f64 {
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}
