//! The factor that turns sums into estimates and uncertainties: V with A⁻¹ = V·Vᵀ, V upper triangular.
//!
//! Own code, because results must be the same bits on every machine: libraries choose instructions, and with them the order and
//! number of roundings, by what the processor has. Matrices are panels of eight columns, so that all work is on whole lanes.
//! Dimensions are tens, not thousands.

use super::triangle::{LANES, Lanes, dot, total};

/// A dimension rounded up to whole lanes.
pub(crate) fn padded(dimension: usize) -> usize {
    dimension.next_multiple_of(LANES)
}

/// Panel `p` holds columns 8p to 8p + 7 of rows 0 to 8p + 7: an upper triangle without ragged edges.
fn panel(p: usize) -> std::ops::Range<usize> {
    let start = LANES * p * (p + 1) / 2;
    start..start + LANES * (p + 1)
}

/// Eight rows of a panel.
type Block = [Lanes; LANES];

fn block(rows: &[Lanes]) -> &Block {
    rows.first_chunk().expect("panels are cut at whole blocks")
}

fn block_mut(rows: &mut [Lanes]) -> &mut Block {
    rows.first_chunk_mut().expect("panels are cut at whole blocks")
}

/// V with A⁻¹ = V·Vᵀ: the inverse of the Cholesky factor of A.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Factor {
    dimension: usize,
    panels: Vec<Lanes>,
}

/// Scratch of [`Factor::of`], to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    cholesky: Vec<Lanes>,
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
        load(&mut scratch.cholesky, triangle, scale, diagonal);
        cholesky(&mut scratch.cholesky, padded(diagonal.len()) / LANES);
        self.panels.resize(scratch.cholesky.len(), [0.0; LANES]);
        invert(&scratch.cholesky, &mut self.panels, padded(diagonal.len()) / LANES);
    }

    /// u = Vᵀ·x, so that xᵀ·A⁻¹·x = |u|². Both are padded; `x` with zeros.
    #[inline]
    pub(crate) fn whiten(&self, x: &[f64], u: &mut [f64]) {
        for (p, u) in u.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut sums = [0.0; LANES];
            for (row, x) in self.panels[panel(p)].iter().zip(x) {
                for lane in 0..LANES {
                    sums[lane] += row[lane] * x;
                }
            }
            *u = sums;
        }
    }

    /// V·u, padded: with u = Vᵀ·b this is A⁻¹·b.
    pub(crate) fn unwhiten(&self, u: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for (p, u) in u.as_chunks::<LANES>().0.iter().enumerate() {
            for (row, out) in self.panels[panel(p)].iter().zip(out.iter_mut()) {
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

/// What one direction of features is worth under A = `scale`·triangle + diagonal: (xᵀ·A⁻¹·b, xᵀ·A⁻¹·x), without a factor to keep.
pub(crate) fn project(
    (triangle, scale): (&[f64], f64),
    diagonal: &[f64],
    b: &[f64],
    x: &[f64],
    scratch: &mut Scratch,
) -> (f64, f64) {
    load(&mut scratch.cholesky, triangle, scale, diagonal);
    let blocks = padded(diagonal.len()) / LANES;
    cholesky(&mut scratch.cholesky, blocks);
    let solved = [b, x].map(|right| {
        let mut right = right.to_vec();
        right.resize(blocks * LANES, 0.0);
        substitute(&scratch.cholesky, &mut right);
        right
    });
    (dot(&solved[0], &solved[1]), dot(&solved[1], &solved[1]))
}

/// Spreads `scale`·triangle + diagonal over panels; what is added to fill whole lanes is the identity.
fn load(panels: &mut Vec<Lanes>, triangle: &[f64], scale: f64, diagonal: &[f64]) {
    let d = diagonal.len();
    let blocks = padded(d) / LANES;
    panels.clear();
    panels.resize(panel(blocks).start, [0.0; LANES]);
    let mut rest = triangle;
    for (i, diagonal) in diagonal.iter().enumerate() {
        let (row, tail) = rest.split_at(d - i);
        let (first, whole) = row.split_at((LANES - i % LANES).min(row.len()));
        let own = &mut panels[panel(i / LANES).start + i];
        for (word, sum) in own[i % LANES..].iter_mut().zip(first) {
            *word = scale * sum;
        }
        own[i % LANES] += diagonal;
        let (whole, last) = whole.as_chunks::<LANES>();
        for (p, sums) in (i / LANES + 1..).zip(whole) {
            panels[panel(p).start + i] = sums.map(|sum| scale * sum);
        }
        if !last.is_empty() {
            for (word, sum) in panels[panel(blocks - 1).start + i].iter_mut().zip(last) {
                *word = scale * sum;
            }
        }
        rest = tail;
    }
    for i in d..padded(d) {
        panels[panel(i / LANES).start + i][i % LANES] = 1.0;
    }
}

/// target −= factorsᵀ·rows: for each row i, row r of the target loses factors[i][r] · rows[i].
fn subtract(target: &mut Block, rows: &[Lanes], factors: &[Lanes]) {
    for pair in 0..LANES / 2 {
        let (mut x, mut y) = (target[2 * pair], target[2 * pair + 1]);
        for (row, factors) in rows.iter().zip(factors) {
            x = minus(x, factors[2 * pair], *row);
            y = minus(y, factors[2 * pair + 1], *row);
        }
        (target[2 * pair], target[2 * pair + 1]) = (x, y);
    }
}

/// A = Uᵀ·U in place, eight rows at a time; the diagonal holds 1 / U_kk.
///
/// A pivot lost to rounding is lifted to a tiny positive one: the direction then counts as unknown.
fn cholesky(panels: &mut [Lanes], blocks: usize) {
    for b in 0..blocks {
        let top = b * LANES;
        let (own, mut right) = panels[panel(b).start..].split_at_mut(top + LANES);
        let (above, diagonal) = own.split_at_mut(top);
        let diagonal = block_mut(diagonal);
        subtract(diagonal, above, above);
        factor_block(diagonal);
        for p in b + 1..blocks {
            let (next, tail) = right.split_at_mut((p + 1) * LANES);
            let (rows, target) = next.split_at_mut(top);
            let target = block_mut(target);
            subtract(target, rows, above);
            solve_block(diagonal, target);
            right = tail;
        }
    }
}

/// Cholesky of one block of eight by eight. Roots are taken at the end, together: a pivot waits for one division only.
fn factor_block(block: &mut Block) {
    let mut inverses = [0.0; LANES];
    for k in 0..LANES {
        let mut row = block[k];
        for above in 0..k {
            row = minus(row, block[above][k] * inverses[above], block[above]);
        }
        inverses[k] = 1.0 / row[k].max(1e-200);
        block[k] = row;
    }
    let scales = inverses.map(f64::sqrt);
    for (k, row) in block.iter_mut().enumerate() {
        for (lane, word) in row.iter_mut().enumerate() {
            *word = if lane > k { *word * scales[k] } else { 0.0 };
        }
        row[k] = scales[k];
    }
}

/// target = U⁻ᵀ·target for one block of U, whose diagonal holds inverses.
fn solve_block(u: &Block, target: &mut Block) {
    for k in 0..LANES {
        let mut row = target[k];
        for above in 0..k {
            row = minus(row, u[above][k], target[above]);
        }
        target[k] = row.map(|word| word * u[k][k]);
    }
}

#[inline]
fn minus(mut from: Lanes, factor: f64, row: Lanes) -> Lanes {
    for lane in 0..LANES {
        from[lane] -= factor * row[lane];
    }
    from
}

/// V = U⁻¹, eight rows at a time from the last up; the diagonal of U holds 1 / U_kk.
fn invert(u: &[Lanes], v: &mut [Lanes], blocks: usize) {
    for b in (0..blocks).rev() {
        let top = b * LANES;
        for p in b..blocks {
            let (above, below) = v[panel(p)].split_at_mut(top + LANES);
            let target = block_mut(&mut above[top..]);
            *target = [[0.0; LANES]; LANES];
            if p == b {
                (0..LANES).for_each(|k| target[k][k] = 1.0);
            }
            for (q, rows) in (b + 1..=p).zip(below.as_chunks::<LANES>().0) {
                gather(target, rows, block(&u[panel(q)][top..]));
            }
            back_solve_block(block(&u[panel(b)][top..]), target);
        }
    }
}

/// target −= factors·rows: row r of the target loses Σ_i factors[r][i] · rows[i].
fn gather(target: &mut Block, rows: &Block, factors: &Block) {
    for pair in 0..LANES / 2 {
        let (mut x, mut y) = (target[2 * pair], target[2 * pair + 1]);
        for (i, row) in rows.iter().enumerate() {
            x = minus(x, factors[2 * pair][i], *row);
            y = minus(y, factors[2 * pair + 1][i], *row);
        }
        (target[2 * pair], target[2 * pair + 1]) = (x, y);
    }
}

/// target = U⁻¹·target for one block of U, whose diagonal holds inverses.
fn back_solve_block(u: &Block, target: &mut Block) {
    for k in (0..LANES).rev() {
        let mut row = target[k];
        for below in k + 1..LANES {
            row = minus(row, u[k][below], target[below]);
        }
        target[k] = row.map(|word| word * u[k][k]);
    }
}

/// Solves Uᵀ·u = r in place; the diagonal of U holds 1 / U_kk.
fn substitute(u: &[Lanes], r: &mut [f64]) {
    for k in 0..r.len() {
        let (own, lane) = (k / LANES, k % LANES);
        let solved = r[k] * u[panel(own).start + k][lane];
        for (p, r) in r.as_chunks_mut::<LANES>().0.iter_mut().enumerate().skip(own) {
            for (r, u) in r.iter_mut().zip(&u[panel(p).start + k]) {
                *r -= solved * u;
            }
        }
        r[k] = solved;
    }
}
