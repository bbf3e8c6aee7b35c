//! What goes into a product: strided views, packed weights, 8-bit weights, and what follows the sum.

use sanderling_simd::{Best, Isa, SimdOp};

use super::pack::{self, Quant};
use super::tile;
use crate::aligned::Aligned;
use crate::error::{Error, Result, holds, product, rule};
use crate::unary::Unary;

/// A matrix seen through strides: element (r, c) is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// From one row to the next.
    pub row_stride: usize,
    /// From one column to the next.
    pub col_stride: usize,
}

impl<'a> MatRef<'a> {
    /// Rows side by side, without gaps.
    pub fn row_major(data: &'a [f32], rows: usize, cols: usize) -> Self {
        MatRef {
            data,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
        }
    }

    /// The same elements, rows and columns exchanged.
    pub fn transposed(self) -> Self {
        MatRef {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// `Ok` if every element lies in the slice.
    pub(crate) fn check(&self) -> Result<()> {
        let len = extent(self.rows, self.cols, self.row_stride, self.col_stride)?;
        holds("gemm", "matrix", len, self.data.len())
    }
}

/// Elements from the first to the last of a strided matrix.
pub(crate) fn extent(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Result<usize> {
    if rows == 0 || cols == 0 {
        return Ok(0);
    }
    let down = product("gemm", &[rows - 1, row_stride])?;
    let across = product("gemm", &[cols - 1, col_stride])?;
    let last = down.checked_add(across).and_then(|l| l.checked_add(1));
    // Addresses are computed as offsets in bytes.
    last.filter(|&l| l <= isize::MAX as usize / 4)
        .ok_or(Error::Overflow { kernel: "gemm" })
}

/// 8-bit values.
#[derive(Clone, Copy, Debug)]
pub enum QuantData<'a> {
    /// Signed.
    I8(&'a [i8]),
    /// Unsigned.
    U8(&'a [u8]),
}

impl QuantData<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            QuantData::I8(q) => q.len(),
            QuantData::U8(q) => q.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `i`th as a signed number; unsigned ones are shifted down by 128.
    pub(crate) fn get(&self, i: usize) -> i8 {
        match self {
            QuantData::I8(q) => q[i],
            QuantData::U8(q) => (q[i] ^ 0x80) as i8,
        }
    }

    /// What [`Self::get`] takes away.
    pub(crate) fn shift(&self) -> i32 {
        match self {
            QuantData::I8(_) => 0,
            QuantData::U8(_) => 128,
        }
    }
}

/// Which dimension of a matrix has a scale and zero point of its own for each index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantAxis {
    /// None: one for all.
    Tensor,
    /// Each row.
    Row,
    /// Each column.
    Col,
}

/// A matrix of 8-bit weights: element = (q − zero_point) · scale, rounded once to f32.
#[derive(Clone, Copy, Debug)]
pub struct QuantMat<'a> {
    /// The values.
    pub data: QuantData<'a>,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// From one row to the next.
    pub row_stride: usize,
    /// From one column to the next.
    pub col_stride: usize,
    /// One scale, or one for each index along `axis`.
    pub scales: &'a [f32],
    /// None (all zero), one, or one for each index along `axis`.
    pub zero_points: &'a [i32],
    /// What the scales go along.
    pub axis: QuantAxis,
}

impl QuantMat<'_> {
    /// The same elements, rows and columns exchanged.
    pub fn transposed(self) -> Self {
        QuantMat {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            axis: match self.axis {
                QuantAxis::Tensor => QuantAxis::Tensor,
                QuantAxis::Row => QuantAxis::Col,
                QuantAxis::Col => QuantAxis::Row,
            },
            ..self
        }
    }

    fn check(&self) -> Result<()> {
        let len = extent(self.rows, self.cols, self.row_stride, self.col_stride)?;
        holds("gemm", "weights", len, self.data.len())?;
        let along = match self.axis {
            QuantAxis::Tensor => 1,
            QuantAxis::Row => self.rows,
            QuantAxis::Col => self.cols,
        };
        let fits = |n: usize| n == 1 || n == along;
        rule(
            "gemm",
            fits(self.scales.len()),
            "scales: one, or one for each index along the axis",
        )?;
        let zeros = self.zero_points.len();
        rule(
            "gemm",
            zeros == 0 || fits(zeros),
            "zero points: none, one, or one for each index along the axis",
        )
    }
}

/// Panels of `width` columns of a [k, outer] matrix, each `[k][width]`, the last one padded with zeros.
#[derive(Clone)]
pub(crate) struct Packed {
    pub(crate) isa: Best,
    pub(crate) outer: usize,
    pub(crate) k: usize,
    pub(crate) panels: Panels,
}

/// The elements of [`Packed`].
#[derive(Clone)]
pub(crate) enum Panels {
    F32(Aligned),
    I8(Quant),
}

impl core::fmt::Debug for Packed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let eight_bit = matches!(self.panels, Panels::I8(_));
        f.debug_struct("Packed")
            .field("isa", &self.isa.name())
            .field("outer", &self.outer)
            .field("k", &self.k)
            .field("eight_bit", &eight_bit)
            .finish_non_exhaustive()
    }
}

/// Which operand is packed: it decides the width of a panel.
#[derive(Clone, Copy)]
enum Side {
    A,
    B,
}

struct Width(Side);

impl SimdOp for Width {
    type Output = usize;
    #[inline(always)]
    fn eval<I: Isa>(self, _: I) -> usize {
        let (mr, nv) = tile::shape::<I>();
        match self.0 {
            Side::A => mr,
            Side::B => nv * I::LANES,
        }
    }
}

struct PackAll<'a> {
    from: MatRef<'a>,
    width: usize,
    to: &'a mut [f32],
}

impl SimdOp for PackAll<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let k = self.from.rows;
        for (p, panel) in self.to.chunks_exact_mut((k * self.width).max(1)).enumerate() {
            pack::panel(isa, &self.from, 0..k, p * self.width, self.width, panel);
        }
    }
}

impl Packed {
    fn new(isa: Best, side: Side, from: MatRef<'_>) -> Result<Self> {
        from.check()?;
        let (k, outer, width) = (from.rows, from.cols, isa.dispatch(Width(side)));
        let len = product("gemm", &[outer.div_ceil(width), k, width])?;
        let mut data = Aligned::zeroed(len);
        isa.dispatch(PackAll {
            from,
            width,
            to: &mut data,
        });
        Ok(Packed {
            isa,
            outer,
            k,
            panels: Panels::F32(data),
        })
    }

    fn from_int8(isa: Best, side: Side, from: &QuantMat<'_>) -> Result<Self> {
        from.check()?;
        let (k, outer, width) = (from.rows, from.cols, isa.dispatch(Width(side)));
        let panels = Panels::I8(Quant::new(from, width)?);
        Ok(Packed {
            isa,
            outer,
            k,
            panels,
        })
    }

    fn check(&self, isa: Best) -> Result<()> {
        if self.isa == isa {
            Ok(())
        } else {
            Err(Error::OtherIsa {
                kernel: "gemm",
                packed: self.isa.name(),
                wanted: isa.name(),
            })
        }
    }

    fn bytes(&self) -> usize {
        match &self.panels {
            Panels::F32(data) => data.len() * 4,
            Panels::I8(quant) => quant.bytes(),
        }
    }
}

/// A left-hand operand [m, k], packed once.
#[derive(Clone, Debug)]
pub struct PackedA(pub(crate) Packed);

impl PackedA {
    /// Packs f32 weights.
    ///
    /// # Errors
    /// A slice too short for its shape.
    pub fn new(isa: Best, from: MatRef<'_>) -> Result<Self> {
        Packed::new(isa, Side::A, from.transposed()).map(PackedA)
    }

    /// Packs 8-bit weights; they stay 8 bit in memory and are expanded panel by panel when used.
    ///
    /// # Errors
    /// A slice too short for its shape, scales or zero points that do not fit their axis.
    pub fn from_int8(isa: Best, from: &QuantMat<'_>) -> Result<Self> {
        Packed::from_int8(isa, Side::A, &from.transposed()).map(PackedA)
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// A right-hand operand [k, n], packed once.
#[derive(Clone, Debug)]
pub struct PackedB(pub(crate) Packed);

impl PackedB {
    /// Packs f32 weights.
    ///
    /// # Errors
    /// A slice too short for its shape.
    pub fn new(isa: Best, from: MatRef<'_>) -> Result<Self> {
        Packed::new(isa, Side::B, from).map(PackedB)
    }

    /// Packs 8-bit weights; they stay 8 bit in memory and are expanded panel by panel when used.
    ///
    /// # Errors
    /// A slice too short for its shape, scales or zero points that do not fit their axis.
    pub fn from_int8(isa: Best, from: &QuantMat<'_>) -> Result<Self> {
        Packed::from_int8(isa, Side::B, from).map(PackedB)
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// The left-hand operand [m, k].
#[derive(Clone, Copy, Debug)]
pub enum Lhs<'a> {
    /// As it lies in memory.
    Plain(MatRef<'a>),
    /// Packed before.
    Packed(&'a PackedA),
}

impl Lhs<'_> {
    /// m.
    pub fn rows(&self) -> usize {
        match self {
            Lhs::Plain(a) => a.rows,
            Lhs::Packed(a) => a.0.outer,
        }
    }

    /// k.
    pub fn cols(&self) -> usize {
        match self {
            Lhs::Plain(a) => a.cols,
            Lhs::Packed(a) => a.0.k,
        }
    }

    pub(crate) fn check(&self, isa: Best) -> Result<()> {
        match self {
            Lhs::Plain(a) => a.check(),
            Lhs::Packed(a) => a.0.check(isa),
        }
    }
}

/// The right-hand operand [k, n].
#[derive(Clone, Copy, Debug)]
pub enum Rhs<'a> {
    /// As it lies in memory.
    Plain(MatRef<'a>),
    /// Packed before.
    Packed(&'a PackedB),
}

impl Rhs<'_> {
    /// k.
    pub fn rows(&self) -> usize {
        match self {
            Rhs::Plain(b) => b.rows,
            Rhs::Packed(b) => b.0.k,
        }
    }

    /// n.
    pub fn cols(&self) -> usize {
        match self {
            Rhs::Plain(b) => b.cols,
            Rhs::Packed(b) => b.0.outer,
        }
    }

    pub(crate) fn check(&self, isa: Best) -> Result<()> {
        match self {
            Rhs::Plain(b) => b.check(),
            Rhs::Packed(b) => b.0.check(isa),
        }
    }
}

/// What is added to each row or column of the output.
#[derive(Clone, Copy, Debug, Default)]
pub enum Bias<'a> {
    /// Nothing.
    #[default]
    None,
    /// `bias[m]`, one for each row.
    PerRow(&'a [f32]),
    /// `bias[n]`, one for each column.
    PerCol(&'a [f32]),
}

impl Bias<'_> {
    pub(crate) fn transposed(self) -> Self {
        match self {
            Bias::None => Bias::None,
            Bias::PerRow(b) => Bias::PerCol(b),
            Bias::PerCol(b) => Bias::PerRow(b),
        }
    }
}

/// What follows the sum, in registers: `act(alpha · sum + bias + residual)`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Multiplies the sum.
    pub alpha: f32,
    /// Added to it.
    pub bias: Bias<'a>,
    /// Added to it, element by element; laid out as the output.
    pub residual: Option<&'a [f32]>,
    /// Applied last.
    pub act: Option<Unary>,
}

impl Default for Epilogue<'_> {
    fn default() -> Self {
        Epilogue {
            alpha: 1.0,
            bias: Bias::None,
            residual: None,
            act: None,
        }
    }
}
