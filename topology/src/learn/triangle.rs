//! Linear algebra of the learner: packed upper triangles and the factor that turns them into uncertainties.
//!
//! Own code, because results must be the same bits on every machine: libraries choose instructions, and with them the order and
//! number of roundings, by what the processor has. Loops run over eight neighbouring values so that the compiler uses vectors
//! without changing any order. Dimensions are tens, not thousands.

/// Values that are worked on together.
const LANES: usize = 8;

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
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let (x_rest, y_rest) = (xs.remainder(), ys.remainder());
    for (x, y) in xs.zip(ys) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(x_rest).zip(y_rest) {
        *sum += x * y;
    }
    total(sums)
}

fn total(s: [f64; LANES]) -> f64 {
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

/// A dimension rounded up to whole lanes.
pub(crate) fn padded(dimension: usize) -> usize {
    dimension.next_multiple_of(LANES)
}

/// Panel `p` holds columns 8p to 8p + 7 of rows 0 to 8p + 7, eight values a row: an upper triangle without ragged edges.
fn panel(p: usize) -> std::ops::Range<usize> {
    let start = LANES * LANES * p * (p + 1) / 2;
    start..start + LANES * LANES * (p + 1)
}

/// V with A⁻¹ = V·Vᵀ, V upper triangular: the inverse of the Cholesky factor of A.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Factor {
    dimension: usize,
    panels: Vec<f64>,
}

/// Scratch of [`Factor::of`], to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    cholesky: Vec<f64>,
    row: Vec<f64>,
}

impl Factor {
    /// Factor of `scale`·triangle + diagonal, which must be positive definite.
    pub(crate) fn of(triangle: &[f64], scale: f64, diagonal: &[f64], scratch: &mut Scratch) -> Factor {
        let mut factor = Factor { dimension: diagonal.len(), panels: Vec::new() };
        factor.renew(triangle, scale, diagonal, scratch);
        factor
    }

    /// As [`Factor::of`], in the same memory.
    pub(crate) fn renew(&mut self, triangle: &[f64], scale: f64, diagonal: &[f64], scratch: &mut Scratch) {
        let n = padded(diagonal.len());
        let words = panel(n / LANES).start;
        self.panels.resize(words, 0.0);
        scratch.cholesky.clear();
        scratch.cholesky.resize(words, 0.0);
        scratch.row.resize(n, 0.0);
        load(&mut scratch.cholesky, triangle, scale, diagonal);
        cholesky(&mut scratch.cholesky, &mut scratch.row);
        invert(&scratch.cholesky, &mut self.panels, &mut scratch.row);
    }

    /// u = Vᵀ·x, so that xᵀ·A⁻¹·x = |u|². Both are padded; `x` with zeros.
    #[inline]
    pub(crate) fn whiten(&self, x: &[f64], u: &mut [f64]) {
        for (p, u) in u.chunks_exact_mut(LANES).enumerate() {
            let mut sums = [0.0; LANES];
            for (row, x) in self.panels[panel(p)].chunks_exact(LANES).zip(x) {
                for lane in 0..LANES {
                    sums[lane] += row[lane] * x;
                }
            }
            u.copy_from_slice(&sums);
        }
    }

    /// V·u, padded: with u = Vᵀ·b this is A⁻¹·b.
    pub(crate) fn unwhiten(&self, u: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for (p, u) in u.chunks_exact(LANES).enumerate() {
            for (row, out) in self.panels[panel(p)].chunks_exact(LANES).zip(out.iter_mut()) {
                let mut products = [0.0; LANES];
                for lane in 0..LANES {
                    products[lane] = row[lane] * u[lane];
                }
                *out += total(products);
            }
        }
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }
}

fn load(panels: &mut [f64], triangle: &[f64], scale: f64, diagonal: &[f64]) {
    let d = diagonal.len();
    let mut rest = triangle;
    for (i, diagonal) in diagonal.iter().enumerate() {
        let (row, tail) = rest.split_at(d - i);
        for p in i / LANES..padded(d) / LANES {
            let (from, to) = (i.max(p * LANES), d.min((p + 1) * LANES));
            let at = panel(p).start + i * LANES + from % LANES;
            for (word, sum) in panels[at..at + to - from].iter_mut().zip(&row[from - i..to - i]) {
                *word = scale * sum;
            }
        }
        panels[panel(i / LANES).start + i * LANES + i % LANES] += diagonal;
        rest = tail;
    }
    for i in d..padded(d) {
        panels[panel(i / LANES).start + i * LANES + i % LANES] = 1.0;
    }
}

/// A = Uᵀ·U in place, row by row from the rows above; the diagonal holds 1 / U_kk.
///
/// A pivot lost to rounding is lifted to a tiny positive one: the direction then counts as unknown.
fn cholesky(panels: &mut [f64], column: &mut [f64]) {
    let n = column.len();
    for k in 0..n {
        let (own, lane) = (k / LANES, k % LANES);
        let at = panel(own).start;
        for (i, u) in column[..k].iter_mut().enumerate() {
            *u = panels[at + i * LANES + lane];
        }
        let mut inverse = 0.0;
        for p in own..n / LANES {
            let (above, rest) = panels[panel(p)].split_at_mut(k * LANES);
            let row = &mut rest[..LANES];
            let mut sums = [0.0; LANES];
            sums.copy_from_slice(row);
            for (above, u) in above.chunks_exact(LANES).zip(&column[..k]) {
                for lane in 0..LANES {
                    sums[lane] -= above[lane] * u;
                }
            }
            if p == own {
                inverse = 1.0 / sums[lane].max(1e-200).sqrt();
            }
            for (word, sum) in row.iter_mut().zip(sums) {
                *word = sum * inverse;
            }
            if p == own {
                row[..lane].fill(0.0);
                row[lane] = inverse;
            }
        }
    }
}

/// V = U⁻¹ from the last row up; the diagonal of U holds 1 / U_kk.
fn invert(u: &[f64], v: &mut [f64], row: &mut [f64]) {
    let n = row.len();
    for i in (0..n).rev() {
        let own = i / LANES;
        for p in own..n / LANES {
            let at = panel(p).start + i * LANES;
            row[p * LANES..(p + 1) * LANES].copy_from_slice(&u[at..at + LANES]);
        }
        let inverse = row[i];
        for p in own..n / LANES {
            let (above, below) = v[panel(p)].split_at_mut((i + 1) * LANES);
            let mut sums = [0.0; LANES];
            for (below, u) in below.chunks_exact(LANES).zip(&row[i + 1..]) {
                for lane in 0..LANES {
                    sums[lane] -= below[lane] * u;
                }
            }
            if p == own {
                sums[i % LANES] += 1.0;
            }
            for (word, sum) in above[i * LANES..].iter_mut().zip(sums) {
                *word = sum * inverse;
            }
        }
    }
}

/// What one direction of features is worth under A = `scale`·triangle + diagonal: (xᵀ·A⁻¹·b, xᵀ·A⁻¹·x), without a factor to keep.
pub(crate) fn project(
    (triangle, scale): (&[f64], f64),
    diagonal: &[f64],
    b: &[f64],
    x: &[f64],
    scratch: &mut Scratch,
) -> (f64, f64) {
    let n = padded(diagonal.len());
    scratch.cholesky.clear();
    scratch.cholesky.resize(panel(n / LANES).start, 0.0);
    scratch.row.resize(n, 0.0);
    load(&mut scratch.cholesky, triangle, scale, diagonal);
    cholesky(&mut scratch.cholesky, &mut scratch.row);
    let mut solved = [vec_of(b, n), vec_of(x, n)];
    for right in &mut solved {
        substitute(&scratch.cholesky, right);
    }
    (dot(&solved[0], &solved[1]), dot(&solved[1], &solved[1]))
}

fn vec_of(x: &[f64], n: usize) -> Vec<f64> {
    let mut padded = x.to_vec();
    padded.resize(n, 0.0);
    padded
}

/// Solves Uᵀ·u = r in place; the diagonal of U holds 1 / U_kk.
fn substitute(u: &[f64], r: &mut [f64]) {
    for k in 0..r.len() {
        let (own, lane) = (k / LANES, k % LANES);
        let solved = r[k] * u[panel(own).start + k * LANES + lane];
        for (p, r) in r.chunks_exact_mut(LANES).enumerate().skip(own) {
            let at = panel(p).start + k * LANES;
            for (r, u) in r.iter_mut().zip(&u[at..at + LANES]) {
                *r -= solved * u;
            }
        }
        r[k] = solved;
    }
}
