//! Products of eight-bit matrices. ONNX `QLinearMatMul` 10, 21; onnxruntime `com.microsoft` `QGemm` 1 with `alpha` 1.
//! Arithmetic: docs/numerics.md.

use super::walk::{Walk, broadcast, joined};
use super::{MICROSOFT, Operator};
use crate::error::Fault;
use crate::node::{Node, Operand, Quantisation};
use crate::rounding::Rounding;
use crate::tensor::{Byte, MAX_RANK, Shape, Signed, Tensor, Unsigned, read};
use sanderling_flat::DType;
use sanderling_flat::requantise::{Multiplier, Requantise};

/// onnxruntime's `QGemm`.
#[must_use]
pub const fn qgemm<R: Rounding>() -> Operator {
    Operator {
        domain: MICROSOFT,
        name: "QGemm",
        since: 1,
        compute: gemm::<R>,
    }
}

/// ONNX `QLinearMatMul`.
#[must_use]
pub const fn qlinear_mat_mul<R: Rounding>() -> Operator {
    Operator {
        domain: "",
        name: "QLinearMatMul",
        since: 10,
        compute: mat_mul::<R>,
    }
}

/// What both are made of: m × k times k × n.
struct Product<'x> {
    a: Operand<'x>,
    b: Tensor<'x>,
    b_signed: bool,
    columns: Quantisation<'x>,
    scale_y: f32,
    output: Requantise,
    sizes: [usize; 3],
    /// Distances of rows and columns in a, and in b.
    a_steps: [usize; 2],
    b_steps: [usize; 2],
}

impl<'x> Product<'x> {
    fn new(node: &Node<'x>, result: usize, turned: [bool; 2]) -> Result<Self, Fault> {
        let (a, b) = (node.operand(0)?, node.input(3)?);
        let b_signed = b.signed(3)?;
        let (columns, (scale_y, output)) = (node.quantisation(4)?, node.result(result)?);
        let matrix = |shape: &Shape, turned: bool| {
            let rank = shape.rank();
            if rank < 2 {
                return Err(Fault::Unsupported("a product with a vector"));
            }
            let (rows, cols) = (shape.dim(rank - 2), shape.dim(rank - 1));
            Ok(if turned {
                (cols, rows, [1, cols])
            } else {
                (rows, cols, [cols, 1])
            })
        };
        let (m, k, a_steps) = matrix(&a.tensor.shape, turned[0])?;
        let (k_of_b, n, b_steps) = matrix(&b.shape, turned[1])?;
        let y = node.shape();
        let rank = y.rank();
        if k != k_of_b || rank < 2 || (y.dim(rank - 2), y.dim(rank - 1)) != (m, n) {
            return Err(Fault::Shape("rows and columns of a product"));
        }
        columns.fit(n, a.scale, scale_y)?;
        Ok(Self {
            a,
            b,
            b_signed,
            columns,
            scale_y,
            output,
            sizes: [m, k, n],
            a_steps,
            b_steps,
        })
    }

    /// One matrix, from `bias` on; operands begin at these elements.
    fn multiply<R: Rounding>(
        &self,
        [a, b]: [usize; 2],
        bias: impl Fn(usize, usize) -> i32,
        out: &mut [u8],
    ) -> Result<(), Fault> {
        let [_, _, n] = self.sizes;
        for column in 0..n {
            let (scale, zero) = self.columns.of(column);
            let multiplier = Multiplier::of_product(self.a.scale, scale, self.scale_y)?;
            let b = self
                .b
                .bytes
                .get(b + column * self.b_steps[1]..)
                .unwrap_or_default();
            for (row, out) in out.iter_mut().skip(column).step_by(n).enumerate() {
                let a = self
                    .a
                    .tensor
                    .bytes
                    .get(a + row * self.a_steps[0]..)
                    .unwrap_or_default();
                let sum = if self.a.signed {
                    self.dot::<Signed>(a, b, zero)
                } else {
                    self.dot::<Unsigned>(a, b, zero)
                };
                *out = R::requantise(&self.output, sum.wrapping_add(bias(row, column)), multiplier) as u8;
            }
        }
        Ok(())
    }

    fn dot<A: Byte>(&self, a: &[u8], b: &[u8], b_zero: i32) -> i32 {
        let pairs = a
            .iter()
            .step_by(self.a_steps[1])
            .zip(b.iter().step_by(self.b_steps[0]));
        let products = pairs
            .take(self.sizes[1])
            .map(|(&a, &b)| (A::read(a) - self.a.zero).wrapping_mul(read(self.b_signed, b) - b_zero));
        products.fold(0, i32::wrapping_add)
    }
}

fn gemm<R: Rounding>(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    if node.float_or("alpha", 1.0)? != 1.0 {
        return Err(Fault::Unsupported("alpha"));
    }
    let turned = [node.int_or("transA", 0)? != 0, node.int_or("transB", 0)? != 0];
    let product = Product::new(node, 7, turned)?;
    if (
        product.a.tensor.shape.rank(),
        product.b.shape.rank(),
        node.shape().rank(),
    ) != (2, 2, 2)
    {
        return Err(Fault::Shape("QGemm takes matrices"));
    }
    let c = node.optional_constant(6)?;
    if c.is_some_and(|c| c.dtype != DType::I32) {
        return Err(Fault::Type(Some(6)));
    }
    let steps = match c {
        Some(c) => broadcast(&c.shape, &node.shape())?,
        None => [0; MAX_RANK],
    };
    let Some(out) = out else { return Ok(()) };
    let bias = |row: usize, column: usize| {
        let at = row * steps[0] as usize + column * steps[1] as usize;
        c.and_then(|c| c.i32(at)).unwrap_or(0)
    };
    product.multiply::<R>([0, 0], bias, out)
}

fn mat_mul<R: Rounding>(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let product = Product::new(node, 6, [false; 2])?;
    let y = node.shape();
    // The axes before the matrices are broadcast: all but the last two.
    let [m, k, n] = product.sizes;
    let outer = |shape: &Shape| {
        let dims = shape.iter().take(shape.rank() - 2).map(|dim| dim as i64);
        Shape::new(dims.chain([1, 1])).ok_or(Fault::Shape("too many dimensions"))
    };
    if joined(&outer(&product.a.tensor.shape)?, &outer(&product.b.shape)?) != Some(outer(&y)?) {
        return Err(Fault::Shape("the output is not what the inputs are broadcast to"));
    }
    let batches = |shape: &Shape, matrix: [usize; 2]| {
        // Distances of matrices of one element, and those of whole ones.
        let mut steps = broadcast(&outer(shape)?, &y)?;
        steps
            .iter_mut()
            .for_each(|step| *step *= (matrix[0] * matrix[1]) as isize);
        Ok::<_, Fault>(steps)
    };
    let steps = [
        batches(&product.a.tensor.shape, [m, k])?,
        batches(&product.b.shape, [k, n])?,
    ];
    let Some(out) = out else { return Ok(()) };
    let outer = Shape::new(y.iter().take(y.rank() - 2).map(|dim| dim as i64));
    let outer = outer.ok_or(Fault::Shape("too many dimensions"))?;
    let walk = Walk::new(outer, [0, 0], steps);
    for (starts, out) in walk.zip(out.chunks_exact_mut((m * n).max(1))) {
        product.multiply::<R>(starts, |_, _| 0, out)?;
    }
    Ok(())
}
