//! The loops around the tile: blocks, packing, threads.

use core::ops::Range;

use sanderling_simd::{Isa, SimdOp};

use super::operand::{Bias, Epilogue, Lhs, MatRef, PackedB, Panels, extent};
use super::pack;
use super::tile::{Corner, Finish, Rows, shape, tile};
use crate::aligned::align;
use crate::conv::Image;
use crate::ctx::{Ctx, Parts, Task};
use crate::error::{Result, holds, rule};
use crate::unary::Unary;

/// k in a block: a B panel of 256 × NR f32 (32 KiB at most) stays in the L1 cache.
const KC: usize = 256;
/// Rows in a block, a multiple of every MR: 240 × 256 f32 (240 KiB) stay in the L2 cache.
const MC: usize = 240;
/// Columns in a block, a multiple of every NR.
const NC: usize = 512;
/// Up to this depth a block of B (64 × 512 f32, 128 KiB) stays in the L2 cache whole.
const SHALLOW: usize = 64;
/// The widest panel of B.
const MAX_NR: usize = 32;
/// The tallest panel of A.
const MAX_MR: usize = 12;

/// Biases that are not there.
static ZEROS: [f32; NC] = [0.0; NC];

/// Where the right-hand operand [k, n] comes from.
pub(crate) enum Source<'a> {
    /// A strided matrix.
    Matrix(MatRef<'a>),
    /// Packed weights.
    Packed(&'a PackedB),
    /// An image seen through a window.
    Image(Image<'a>),
}

/// A checked product: its shape, where its output lies, and what follows the sum.
pub(crate) struct Problem<'a> {
    m: usize,
    n: usize,
    k: usize,
    ld: usize,
    epilogue: Epilogue<'a>,
    lo: f32,
    hi: f32,
    act: Option<Unary>,
}

impl<'a> Problem<'a> {
    /// Checks the shape against the output, the bias and the residual.
    pub(crate) fn new(
        kernel: &'static str,
        m: usize,
        n: usize,
        k: usize,
        out_len: usize,
        ld: usize,
        epilogue: &Epilogue<'a>,
    ) -> Result<Self> {
        let len = extent(m, n, ld, 1)?;
        holds(kernel, "out", len, out_len)?;
        rule(kernel, ld >= n || m <= 1, "rows of the output must not overlap")?;
        match epilogue.bias {
            Bias::None => {}
            Bias::PerRow(b) => holds(kernel, "bias", m, b.len())?,
            Bias::PerCol(b) => holds(kernel, "bias", n, b.len())?,
        }
        if let Some(residual) = epilogue.residual {
            holds(kernel, "residual", len, residual.len())?;
        }
        let (lo, hi, act) = match epilogue.act {
            None => (f32::NEG_INFINITY, f32::INFINITY, None),
            Some(Unary::Relu) => (0.0, f32::INFINITY, None),
            Some(Unary::Clip { min, max }) => (min, max, None),
            act => (f32::NEG_INFINITY, f32::INFINITY, act),
        };
        Ok(Problem {
            m,
            n,
            k,
            ld,
            epilogue: *epilogue,
            lo,
            hi,
            act,
        })
    }

    /// The finish of the corner whose first element is (row, col).
    fn finish(&self, row: usize, col: usize) -> Finish {
        let zeros = ZEROS.as_ptr();
        let (row_bias, col_bias) = match self.epilogue.bias {
            Bias::None => (zeros, zeros),
            Bias::PerRow(b) => (b[row..].as_ptr(), zeros),
            Bias::PerCol(b) => (zeros, b[col..].as_ptr()),
        };
        let residual = self.epilogue.residual.map(|r| r[row * self.ld + col..].as_ptr());
        let (alpha, lo, hi, act) = (self.epilogue.alpha, self.lo, self.hi, self.act);
        Finish {
            alpha,
            row_bias,
            col_bias,
            residual,
            lo,
            hi,
            act,
        }
    }
}

/// k in each block of a sum over `k`: as even as can be, by `k` alone.
fn k_block(k: usize) -> usize {
    k.div_ceil(k.div_ceil(KC).max(1)).max(1)
}

/// Scratch of one worker: a block of A, a block of B, and room to align both.
fn worker_scratch(m: usize, n: usize, k: usize) -> usize {
    let a = m.next_multiple_of(MAX_MR).min(MC);
    let b = n.next_multiple_of(MAX_NR).min(NC);
    (a + b) * k.clamp(1, KC) + 32
}

/// Scratch for a product, in f32.
pub(crate) fn scratch_len(ctx: Ctx<'_>, m: usize, n: usize, k: usize) -> usize {
    worker_scratch(m, n, k).saturating_mul(ctx.threads())
}

/// Runs a checked product on the context's threads.
pub(crate) fn run(
    ctx: Ctx<'_>,
    problem: &Problem<'_>,
    lhs: Lhs<'_>,
    source: &Source<'_>,
    out: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    let Problem { m, n, k, .. } = *problem;
    holds("gemm", "scratch", scratch_len(ctx, m, n, k), scratch.len())?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let (rows, cols) = grid(ctx.threads(), m, n, matches!(lhs, Lhs::Packed(_)));
    let out = Parts::new(out);
    let scratch = Parts::new(scratch);
    let each = worker_scratch(m, n, k);
    let work = |task: Task| {
        let (i, j) = (task.index / cols.tasks, task.index % cols.tasks);
        // SAFETY: one slice for each worker, and a worker runs one task at a time.
        let scratch = unsafe { scratch.part(task.worker * each..(task.worker + 1) * each) };
        let block = Block {
            problem,
            lhs,
            source,
            rows: rows.range(i),
            cols: cols.range(j),
            out: out.as_ptr(),
            scratch,
        };
        ctx.isa.dispatch(block);
    };
    match rows.tasks * cols.tasks {
        1 => work(Task { index: 0, worker: 0 }),
        tasks => ctx.par.run(tasks, &work),
    }
    Ok(())
}

/// Runs `count` products of one shape [m, n, k], each on one thread. Their outputs start `out_stride` apart and were
/// checked to be disjoint and inside `out`; `product` makes the `i`th.
pub(crate) fn run_batch<'a>(
    ctx: Ctx<'_>,
    count: usize,
    [m, n, k]: [usize; 3],
    product: &(dyn Fn(usize) -> Result<(Problem<'a>, MatRef<'a>, Source<'a>)> + Sync),
    out: &Parts<'_, f32>,
    out_stride: usize,
    scratch: &mut [f32],
) -> Result<()> {
    holds("gemm", "scratch", scratch_len(ctx, m, n, k), scratch.len())?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    let scratch = Parts::new(scratch);
    let each = worker_scratch(m, n, k);
    ctx.par.run(count, &|task| {
        // The caller has tried the first product; all have its shape.
        let Ok((problem, lhs, source)) = product(task.index) else {
            return;
        };
        // SAFETY: one slice for each worker; the output of each product is its own and inside `out`.
        let (scratch, out) = unsafe {
            (
                scratch.part(task.worker * each..(task.worker + 1) * each),
                out.as_ptr().add(task.index * out_stride),
            )
        };
        let lhs = Lhs::Plain(lhs);
        ctx.isa.dispatch(Block {
            problem: &problem,
            lhs,
            source: &source,
            rows: 0..m,
            cols: 0..n,
            out,
            scratch,
        });
    });
    Ok(())
}

/// How one dimension of the output is cut.
struct Cut {
    len: usize,
    step: usize,
    tasks: usize,
}

impl Cut {
    fn new(len: usize, grain: usize, tasks: usize) -> Self {
        let step = len.div_ceil(tasks).next_multiple_of(grain);
        Cut {
            len,
            step,
            tasks: len.div_ceil(step),
        }
    }

    fn range(&self, i: usize) -> Range<usize> {
        i * self.step..((i + 1) * self.step).min(self.len)
    }
}

/// Cuts the output into about two tasks a thread along the operand that would otherwise be packed again by each.
fn grid(threads: usize, m: usize, n: usize, lhs_packed: bool) -> (Cut, Cut) {
    if threads == 1 {
        return (Cut::new(m, 1, 1), Cut::new(n, 1, 1));
    }
    let want = threads * 2;
    let (m_most, n_most) = (m.div_ceil(MAX_MR), n.div_ceil(MAX_NR));
    let by_columns = if lhs_packed {
        n_most >= want || n_most >= m_most
    } else {
        n_most >= 2 * m_most
    };
    let (rows, cols) = if by_columns {
        let cols = n_most.min(want);
        (m_most.min(want.div_ceil(cols)), cols)
    } else {
        let rows = m_most.min(want);
        (rows, n_most.min(want.div_ceil(rows)))
    };
    (Cut::new(m, MAX_MR, rows), Cut::new(n, MAX_NR, cols))
}

/// A rectangle of the output, on one thread. Its corner lies on multiples of MR and NR.
struct Block<'a> {
    problem: &'a Problem<'a>,
    lhs: Lhs<'a>,
    source: &'a Source<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
    /// The whole output; only the rectangle is touched.
    out: *mut f32,
    scratch: &'a mut [f32],
}

impl SimdOp for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (n, k) = (self.problem.n, self.problem.k);
        let kc = k_block(k);
        let (b_space, a_space) =
            align(self.scratch).split_at_mut(n.next_multiple_of(MAX_NR).min(NC) * k.clamp(1, KC));
        let a_space = align(a_space);
        let mut jc = self.cols.start;
        while jc < self.cols.end {
            let cols = jc..(jc + NC).min(self.cols.end);
            let mut pc = 0;
            loop {
                let depth = pc..(pc + kc).min(k);
                let b = pack_b(isa, self.source, depth.clone(), cols.clone(), b_space);
                let mut ic = self.rows.start;
                while ic < self.rows.end {
                    let rows = ic..(ic + MC).min(self.rows.end);
                    let a = pack_a(isa, &self.lhs, depth.clone(), rows.clone(), a_space);
                    // SAFETY: a and b were made for these ranges; the rectangle is this task's part of the output.
                    unsafe {
                        macro_kernel(isa, self.problem, self.out, a, b, &rows, &cols, &depth);
                    }
                    ic = rows.end;
                }
                pc = depth.end;
                if pc >= k {
                    break;
                }
            }
            jc = cols.end;
        }
    }
}

/// B panels of a block.
#[derive(Clone, Copy)]
struct BBlock {
    ptr: *const f32,
    /// From one panel to the next.
    stride: usize,
}

/// The panels of columns `cols` over `k`: where they were packed, or in `space`.
#[inline(always)]
fn pack_b<I: Isa>(
    isa: I,
    source: &Source<'_>,
    k: Range<usize>,
    cols: Range<usize>,
    space: &mut [f32],
) -> BBlock {
    let nr = shape::<I>().1 * I::LANES;
    if let Source::Packed(PackedB(b)) = source
        && let Panels::F32(data) = &b.panels
    {
        let at = (cols.start / nr * b.k + k.start) * nr;
        return BBlock {
            ptr: data[at..].as_ptr(),
            stride: b.k * nr,
        };
    }
    let size = k.len() * nr;
    for (p, from) in cols.step_by(nr).enumerate() {
        let to = &mut space[p * size..(p + 1) * size];
        match source {
            Source::Matrix(b) => pack::panel(isa, b, k.clone(), from, nr, to),
            Source::Image(image) => image.pack(isa, k.clone(), from, nr, to),
            Source::Packed(PackedB(b)) => {
                if let Panels::I8(quant) = &b.panels {
                    quant.expand(isa, from / nr, k.clone(), to);
                }
            }
        }
    }
    BBlock {
        ptr: space.as_ptr(),
        stride: size,
    }
}

/// A panels, or rows in place.
#[derive(Clone, Copy)]
struct ABlock {
    rows: Rows,
    /// From one tile's rows to the next's.
    step: usize,
}

/// The panels of `rows` over `k`: where they were packed, in place if contiguous, or in `space`.
#[inline(always)]
fn pack_a<I: Isa>(isa: I, lhs: &Lhs<'_>, k: Range<usize>, rows: Range<usize>, space: &mut [f32]) -> ABlock {
    let mr = shape::<I>().0;
    let size = k.len() * mr;
    let packed = |ptr, step| ABlock {
        rows: Rows::Panel { ptr, stride: mr },
        step,
    };
    match lhs {
        Lhs::Packed(a) => match &a.0.panels {
            Panels::F32(data) => {
                let at = (rows.start / mr * a.0.k + k.start) * mr;
                return packed(data[at..].as_ptr(), a.0.k * mr);
            }
            Panels::I8(quant) => {
                for (p, from) in rows.step_by(mr).enumerate() {
                    quant.expand(isa, from / mr, k.clone(), &mut space[p * size..(p + 1) * size]);
                }
            }
        },
        Lhs::Plain(a) if a.col_stride == 1 => {
            let ptr = a.data[rows.start * a.row_stride + k.start.min(a.cols.saturating_sub(1))..].as_ptr();
            return ABlock {
                rows: Rows::Direct {
                    ptr,
                    stride: a.row_stride,
                },
                step: mr * a.row_stride,
            };
        }
        Lhs::Plain(a) => {
            let a = a.transposed();
            for (p, from) in rows.step_by(mr).enumerate() {
                pack::panel(isa, &a, k.clone(), from, mr, &mut space[p * size..(p + 1) * size]);
            }
        }
    }
    packed(space.as_ptr(), size)
}

/// All tiles of a block.
///
/// # Safety
/// `a` holds `rows` and `b` holds `cols`, both over `k`; the rectangle of `out` is the caller's alone.
#[inline(always)]
unsafe fn macro_kernel<I: Isa>(
    isa: I,
    problem: &Problem<'_>,
    out: *mut f32,
    a: ABlock,
    b: BBlock,
    rows: &Range<usize>,
    cols: &Range<usize>,
    k: &Range<usize>,
) {
    let (mr, nr) = (shape::<I>().0, shape::<I>().1 * I::LANES);
    let last = k.end == problem.k;
    let one = |ip: usize, jp: usize| {
        let (i, j) = (rows.start + ip * mr, cols.start + jp * nr);
        // SAFETY: panels and rows lie where the blocks say; (i, j) lies in the rectangle.
        unsafe {
            let a = match a.rows {
                Rows::Panel { ptr, stride } => Rows::Panel {
                    ptr: ptr.add(ip * a.step),
                    stride,
                },
                Rows::Direct { ptr, stride } => Rows::Direct {
                    ptr: ptr.add(ip * a.step),
                    stride,
                },
            };
            let corner = Corner {
                ptr: out.add(i * problem.ld + j),
                ld: problem.ld,
                rows: mr.min(rows.end - i),
                cols: nr.min(cols.end - j),
                load: k.start > 0,
                finish: last.then(|| problem.finish(i, j)),
            };
            tile(isa, k.len(), a, b.ptr.add(jp * b.stride), &corner);
        }
    };
    let (tall, wide) = (rows.len().div_ceil(mr), cols.len().div_ceil(nr));
    if k.len() <= SHALLOW {
        // All of B's block stays close: sweep along the rows of the output, which are then written in long runs.
        (0..tall).for_each(|ip| (0..wide).for_each(|jp| one(ip, jp)));
    } else {
        // B's panel stays in L1 while A's block goes by.
        (0..wide).for_each(|jp| (0..tall).for_each(|ip| one(ip, jp)));
    }
}
