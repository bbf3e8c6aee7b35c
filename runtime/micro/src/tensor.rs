//! Tensors as they lie: bytes, an element type, a shape of bounded rank.

use crate::error::Fault;
use sanderling_flat::DType;

/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 6;

/// Dimensions, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    dims: [u32; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// Of these dimensions; none for more than [`MAX_RANK`], for negative ones, and where the elements are 2³¹ or more.
    pub fn new(dims: impl Iterator<Item = i64>) -> Option<Self> {
        let mut shape = Self::default();
        let mut elements = 1u32;
        for dim in dims {
            let dim = u32::try_from(dim).ok()?;
            elements = elements.checked_mul(dim.max(1)).filter(|&n| n < 1 << 31)?;
            *shape.dims.get_mut(usize::from(shape.rank))? = dim;
            shape.rank += 1;
        }
        Some(shape)
    }

    /// How many there are.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The dimensions.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + Clone + '_ {
        self.dims[..self.rank()].iter().map(|&dim| dim as usize)
    }

    /// The dimension of an axis; 1 behind the last.
    #[must_use]
    pub fn dim(&self, axis: usize) -> usize {
        if axis < self.rank() {
            self.dims[axis] as usize
        } else {
            1
        }
    }

    /// Elements of the axes in a range.
    #[must_use]
    pub fn product(&self, axes: core::ops::Range<usize>) -> usize {
        axes.map(|axis| self.dim(axis)).product()
    }

    /// Elements in all.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.product(0..self.rank())
    }

    /// An axis in `-rank..rank`.
    ///
    /// # Errors
    /// [`Fault::Attribute`] naming the attribute that holds it.
    pub fn axis(&self, name: &'static str, axis: i64) -> Result<usize, Fault> {
        let rank = self.rank() as i64;
        let shifted = if axis < 0 { axis + rank } else { axis };
        match usize::try_from(shifted) {
            Ok(axis) if axis < self.rank() => Ok(axis),
            _ => Err(Fault::Attribute(name)),
        }
    }
}

/// A tensor where it lies. Of a value that is not computed yet the bytes are empty: shape and type are known before.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'x> {
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Shape,
    /// Elements, row-major, little-endian.
    pub bytes: &'x [u8],
    /// Whether it lies in the bundle.
    pub constant: bool,
}

impl Tensor<'_> {
    /// Whether elements are signed bytes; an error for what has not eight bits.
    ///
    /// # Errors
    /// [`Fault::Type`] naming the input.
    pub const fn signed(&self, input: usize) -> Result<bool, Fault> {
        match self.dtype {
            DType::U8 => Ok(false),
            DType::I8 => Ok(true),
            _ => Err(Fault::Type(Some(input))),
        }
    }

    /// The `i`th element of a binary32 tensor.
    #[must_use]
    pub fn f32(&self, i: usize) -> Option<f32> {
        Some(f32::from_le_bytes(self.word(i)?))
    }

    /// The `i`th element of an int32 tensor.
    #[must_use]
    pub fn i32(&self, i: usize) -> Option<i32> {
        Some(i32::from_le_bytes(self.word(i)?))
    }

    /// The `i`th element of an int64 tensor.
    #[must_use]
    pub fn i64(&self, i: usize) -> Option<i64> {
        let bytes = self.bytes.get(i * 8..)?.first_chunk::<8>()?;
        Some(i64::from_le_bytes(*bytes))
    }

    fn word(&self, i: usize) -> Option<[u8; 4]> {
        self.bytes.get(i * 4..)?.first_chunk::<4>().copied()
    }
}

/// How an eight-bit element is read.
pub(crate) trait Byte: Copy {
    fn read(byte: u8) -> i32;
}

/// u8.
#[derive(Clone, Copy)]
pub(crate) struct Unsigned;

/// i8.
#[derive(Clone, Copy)]
pub(crate) struct Signed;

impl Byte for Unsigned {
    fn read(byte: u8) -> i32 {
        i32::from(byte)
    }
}

impl Byte for Signed {
    fn read(byte: u8) -> i32 {
        i32::from(byte as i8)
    }
}

/// An eight-bit element whose signedness is only known now.
pub(crate) fn read(signed: bool, byte: u8) -> i32 {
    if signed {
        Signed::read(byte)
    } else {
        Unsigned::read(byte)
    }
}
