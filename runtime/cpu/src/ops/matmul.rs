//! Matrix products: Gemm, MatMul over batches, and onnxruntime's fused forms of both.

use super::conv::fused;
use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, Quantised, RunCx, kernel_error};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::ops::common::activation::Activation;
use sanderling_core::ops::common::matrix;
use sanderling_kernels::{
    Batch, Bias, Epilogue, Lhs, MatRef, PackedB, QuantAxis, QuantMat, Rhs, Unary, gemm, gemm_batched,
    gemm_batched_scratch_len, gemm_scratch_len,
};

/// Which of the family: they differ in where transposes, addend and activation come from.
pub(super) struct MatMul {
    domain: &'static str,
    name: &'static str,
    /// Whether input 2 is an addend, scaled by `beta`.
    addend: bool,
}

pub(super) const GEMM: MatMul = MatMul {
    domain: "",
    name: "Gemm",
    addend: true,
};
pub(super) const FUSED_GEMM: MatMul = MatMul {
    domain: "com.microsoft",
    name: "FusedGemm",
    addend: true,
};
pub(super) const MAT_MUL: MatMul = MatMul {
    domain: "",
    name: "MatMul",
    addend: false,
};
pub(super) const FUSED_MAT_MUL: MatMul = MatMul {
    domain: "com.microsoft",
    name: "FusedMatMul",
    addend: false,
};

/// Input positions.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

impl CpuOp for MatMul {
    fn domain(&self) -> &'static str {
        self.domain
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let attrs = cx.attrs();
        let moves_batch = attrs.int_or("transBatchA", 0)? != 0 || attrs.int_or("transBatchB", 0)? != 0;
        let Ok(activation) = Activation::new(attrs) else {
            return Ok(Choice::Reference);
        };
        if !cx.all(DType::F32) || moves_batch {
            return Ok(Choice::Reference);
        }
        let Some(addend) = self.addend(cx)? else {
            return Ok(Choice::Reference);
        };
        let transpose = [attrs.int_or("transA", 0)? != 0, attrs.int_or("transB", 0)? != 0];
        let shapes = [
            exchanged(&cx.input(A)?.shape, transpose[0]),
            exchanged(&cx.input(B)?.shape, transpose[1]),
        ];
        let batch = matrix::Batch::new(&shapes[0], &shapes[1])?;
        let products = Products::new(&batch, transpose[0]);
        let packed = pack(cx, &batch, transpose[1], &products)?;
        let matrix::Batch { k, n, .. } = batch;
        let scratch = match products {
            Products::One { m } => gemm_scratch_len(cx.ctx(), m, n, k),
            Products::Strided { m, batch } => gemm_batched_scratch_len(cx.ctx(), batch.count, m, n, k),
            Products::Pairs { m, .. } => gemm_scratch_len(cx.ctx(), m, n, k),
        };
        let alpha = attrs.float_or("alpha", 1.0)?;
        Choice::kernel(Kernel {
            products,
            k,
            n,
            transpose,
            packed,
            alpha,
            addend,
            act: fused(activation),
            scratch,
        })
    }
}

/// The shape with its last two axes exchanged.
fn exchanged(shape: &[usize], exchange: bool) -> Vec<usize> {
    let mut shape = shape.to_vec();
    if let (true, [.., a, b]) = (exchange, &mut shape[..]) {
        core::mem::swap(a, b);
    }
    shape
}

/// What is added to the product.
enum Addend {
    None,
    PerRow,
    PerCol,
    Whole,
}

impl MatMul {
    /// How the addend broadcasts; none for a way that is the reference's.
    fn addend(&self, cx: &PrepareCx<'_>) -> Result<Option<Addend>, OpError> {
        let Some(c) = cx.optional(C).filter(|_| self.addend) else {
            return Ok(Some(Addend::None));
        };
        let beta = cx.attrs().float_or("beta", 1.0)?;
        if beta == 0.0 {
            return Ok(Some(Addend::None));
        }
        let (m, n) = (cx.output(0)?.shape[0], cx.output(0)?.shape[1]);
        let found = match c.shape[..] {
            [len] | [1, len] if len == n => Addend::PerCol,
            [rows, 1] if rows == m => Addend::PerRow,
            [rows, cols] if (rows, cols) == (m, n) => Addend::Whole,
            _ => return Ok(None),
        };
        Ok((beta == 1.0).then_some(found))
    }
}

/// The products that a batch is.
enum Products {
    /// One; rows of a batch over one right side are stacked.
    One { m: usize },
    /// Several at equal distances.
    Strided { m: usize, batch: Batch },
    /// Several, each its own pair of matrices.
    Pairs { m: usize, pairs: Vec<(usize, usize)> },
}

impl Products {
    fn new(batch: &matrix::Batch, transpose_a: bool) -> Self {
        let &matrix::Batch { m, k, n, ref pairs } = batch;
        let straight = pairs.iter().enumerate().all(|(i, &(a, _))| a == i);
        let one_b = pairs.iter().all(|&(_, b)| b == 0);
        if pairs.len() == 1 || (straight && one_b && !transpose_a) {
            return Self::One { m: m * pairs.len() };
        }
        let step = |at: fn(&(usize, usize)) -> usize| match pairs.iter().map(at).collect::<Vec<_>>() {
            all if all.iter().all(|&i| i == 0) => Some(0),
            all if all.iter().enumerate().all(|(i, &at)| i == at) => Some(1),
            _ => None,
        };
        match (step(|pair| pair.0), step(|pair| pair.1)) {
            (Some(a), Some(b)) => Self::Strided {
                m,
                batch: Batch {
                    count: pairs.len(),
                    lhs_stride: a * m * k,
                    rhs_stride: b * k * n,
                    out_stride: m * n,
                },
            },
            _ => Self::Pairs {
                m,
                pairs: pairs.clone(),
            },
        }
    }
}

/// A known right side is packed where more than one row will use it; 8-bit ones always.
fn pack(
    cx: &PrepareCx<'_>,
    batch: &matrix::Batch,
    transpose: bool,
    products: &Products,
) -> Result<Option<Rc<PackedB>>, OpError> {
    let &matrix::Batch { k, n, .. } = batch;
    let Products::One { m } = *products else {
        return Ok(None);
    };
    let isa = cx.isa();
    let layout = format!("{k}x{n} transposed {transpose}");
    if let Some(mat) = cx
        .quantised(B)
        .as_ref()
        .and_then(|q| quant_mat(q, k, n, transpose))
    {
        let make = || PackedB::from_int8(isa, &mat).map_err(kernel_error);
        return cx
            .shared(B, format!("int8 right {layout}"), k * n, make)
            .map(Some);
    }
    match cx.constant(B) {
        Some(view) if m > 1 || transpose => {
            let mat = right(view.as_slice()?, k, n, transpose);
            let make = || PackedB::new(isa, mat).map_err(kernel_error);
            cx.shared(B, format!("right {layout}"), view.bytes().len(), make)
                .map(Some)
        }
        _ => Ok(None),
    }
}

fn quant_mat<'q>(q: &'q Quantised<'_>, k: usize, n: usize, transpose: bool) -> Option<QuantMat<'q>> {
    let (rows, cols) = if transpose { (n, k) } else { (k, n) };
    let axis = match q.axis {
        None => QuantAxis::Tensor,
        Some(0) => QuantAxis::Row,
        Some(1) => QuantAxis::Col,
        Some(_) => return None,
    };
    let mat = QuantMat {
        data: q.data,
        rows,
        cols,
        row_stride: cols,
        col_stride: 1,
        scales: q.scales,
        zero_points: &q.zero_points,
        axis,
    };
    let mat = if transpose { mat.transposed() } else { mat };
    // Along k every product has a scale of its own; the panels have one for each column.
    (mat.axis != QuantAxis::Row).then_some(mat)
}

fn right(data: &[f32], k: usize, n: usize, transpose: bool) -> MatRef<'_> {
    if transpose {
        MatRef::row_major(data, n, k).transposed()
    } else {
        MatRef::row_major(data, k, n)
    }
}

struct Kernel {
    products: Products,
    k: usize,
    n: usize,
    transpose: [bool; 2],
    packed: Option<Rc<PackedB>>,
    alpha: f32,
    addend: Addend,
    act: Option<Unary>,
    scratch: usize,
}

impl Kernel {
    fn left<'a>(&self, data: &'a [f32], m: usize) -> MatRef<'a> {
        if self.transpose[0] {
            MatRef::row_major(data, self.k, m).transposed()
        } else {
            MatRef::row_major(data, m, self.k)
        }
    }
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        let (k, n) = (self.k, self.n);
        let (count, m) = match &self.products {
            Products::One { m } => (1, *m),
            Products::Strided { m, batch } => (batch.count, *m),
            Products::Pairs { m, pairs } => (pairs.len(), *m),
        };
        let packed = if self.packed.is_some() { ", packed" } else { "" };
        let act = self.act.map_or(String::new(), |act| format!(", {act:?}"));
        format!("gemm {count} of {m}x{k}x{n}{packed}{act}")
    }

    fn scratch_len(&self) -> usize {
        self.scratch
    }

    fn reads(&self, input: usize) -> bool {
        match input {
            B => self.packed.is_none(),
            C => !matches!(self.addend, Addend::None),
            _ => true,
        }
    }

    fn fuse(&mut self, next: Unary) -> bool {
        let free = self.act.is_none();
        self.act = self.act.or(Some(next));
        free
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (ctx, n, k) = (cx.ctx(), self.n, self.k);
        let c = cx.optional_slice::<f32>(C)?;
        let (bias, residual) = match (&self.addend, c) {
            (Addend::PerRow, Some(c)) => (Bias::PerRow(c), None),
            (Addend::PerCol, Some(c)) => (Bias::PerCol(c), None),
            (Addend::Whole, Some(c)) => (Bias::None, Some(c)),
            _ => (Bias::None, None),
        };
        let epilogue = Epilogue {
            alpha: self.alpha,
            bias,
            residual,
            act: self.act,
        };
        let a = cx.slice::<f32>(A)?;
        let (y, scratch) = (cx.slice_mut::<f32>(0)?, cx.scratch());
        if let (Products::One { m }, Some(packed)) = (&self.products, &self.packed) {
            let lhs = Lhs::Plain(self.left(a, *m));
            return gemm(ctx, lhs, Rhs::Packed(packed), y, n, &epilogue, scratch).map_err(kernel_error);
        }
        let b = cx.slice::<f32>(B)?;
        let product = |m, a, b, y: &mut [f32], scratch: &mut [f32]| {
            let (lhs, rhs) = (
                Lhs::Plain(self.left(a, m)),
                Rhs::Plain(right(b, k, n, self.transpose[1])),
            );
            gemm(ctx, lhs, rhs, y, n, &epilogue, scratch).map_err(kernel_error)
        };
        match &self.products {
            Products::One { m } => product(*m, a, b, y, scratch),
            Products::Strided { m, batch } => {
                let (lhs, rhs) = (self.left(a, *m), right(b, k, n, self.transpose[1]));
                gemm_batched(ctx, *batch, lhs, rhs, y, n, &epilogue, scratch).map_err(kernel_error)
            }
            Products::Pairs { m, pairs } => {
                for (i, &(left, right)) in pairs.iter().enumerate() {
                    let (a, b) = (&a[left * m * k..][..m * k], &b[right * k * n..][..k * n]);
                    product(*m, a, b, &mut y[i * m * n..][..m * n], scratch)?;
                }
                Ok(())
            }
        }
    }
}
