//! Tensors: owned bytes with a type, and borrowed views of them.
//!
//! Everything is row-major and contiguous; other layouts are a backend's own business. Sub-byte elements are
//! packed, first element in the low bits, as ONNX stores them.

use crate::shape::element_count;
use crate::{OpError, TensorType};
use alloc::format;
use alloc::vec::Vec;
use bytemuck::Pod;
use sanderling_bundle::{DType, Sha256Digest, value_digest};

/// Bytes aligned to eight, so that any element type can be read in place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Buffer {
    words: Vec<u64>,
    len: usize,
}

impl Buffer {
    /// `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self {
            words: alloc::vec![0; len.div_ceil(8)],
            len,
        }
    }

    /// A copy of `bytes`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeroed(bytes.len());
        buffer.as_mut().copy_from_slice(bytes);
        buffer
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}

/// A Rust type that is the in-memory form of a dtype's elements.
pub trait Element: Pod + PartialEq {
    /// The dtype.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),* $(,)?) => {
        $(impl Element for $rust { const DTYPE: DType = DType::$dtype; })*
    };
}

elements! {
    f32 => F32, f64 => F64, half::f16 => F16, half::bf16 => BF16,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64,
}

/// Bools are bytes 0 and 1; views of `DType::Bool` are read as `u8`.
fn same_storage(dtype: DType, element: DType) -> bool {
    dtype == element || (dtype == DType::Bool && element == DType::U8)
}

/// An owned tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Buffer,
}

impl Tensor {
    /// Zeros.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the shape is too large or the dtype has no fixed size.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Self, OpError> {
        Ok(Self {
            dtype,
            shape: shape.to_vec(),
            data: Buffer::zeroed(byte_len(dtype, shape)?),
        })
    }

    /// A tensor over a copy of packed little-endian bytes.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the length is not that of the shape.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self, OpError> {
        TensorView::new(dtype, shape, bytes)?;
        Ok(Self {
            dtype,
            shape: shape.to_vec(),
            data: Buffer::from_bytes(bytes),
        })
    }

    /// A tensor of Rust values.
    ///
    /// # Errors
    /// [`OpError::Shape`] where their number is not that of the shape.
    pub fn from_slice<T: Element>(shape: &[usize], values: &[T]) -> Result<Self, OpError> {
        Self::from_bytes(T::DTYPE, shape, bytemuck::cast_slice(values))
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Outermost dimension first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Packed bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.data.as_ref()
    }

    /// Type.
    #[must_use]
    pub fn ty(&self) -> TensorType {
        TensorType::fixed(self.dtype, &self.shape)
    }

    /// A view.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        TensorView {
            dtype: self.dtype,
            shape: &self.shape,
            bytes: self.data.as_ref(),
        }
    }

    /// A view that can be written.
    #[must_use]
    pub fn view_mut(&mut self) -> TensorViewMut<'_> {
        TensorViewMut {
            dtype: self.dtype,
            shape: &self.shape,
            bytes: self.data.as_mut(),
        }
    }

    /// The same bytes under another shape of as many elements.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the number of elements differs.
    pub fn reshaped(mut self, shape: &[usize]) -> Result<Self, OpError> {
        TensorView::new(self.dtype, shape, self.data.as_ref())?;
        self.shape = shape.to_vec();
        Ok(self)
    }
}

fn byte_len(dtype: DType, shape: &[usize]) -> Result<usize, OpError> {
    element_count(shape)
        .and_then(|count| dtype.bytes_for(count))
        .ok_or_else(|| {
            OpError::shape(format!(
                "a {} tensor of shape {shape:?} has no size in bytes",
                dtype.name()
            ))
        })
}

/// A borrowed tensor.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    dtype: DType,
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// A view of packed bytes.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the length is not that of the shape.
    pub fn new(dtype: DType, shape: &'a [usize], bytes: &'a [u8]) -> Result<Self, OpError> {
        let expected = byte_len(dtype, shape)?;
        if bytes.len() != expected {
            return Err(OpError::shape(format!(
                "a {} tensor of shape {shape:?} has {expected} bytes, these are {}",
                dtype.name(),
                bytes.len()
            )));
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Outermost dimension first.
    #[must_use]
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// Packed bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Digest of type, shape and bytes: docs/numerics.md, section 5.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        let dims: Vec<u64> = self.shape.iter().map(|&dim| dim as u64).collect();
        value_digest(self.dtype, &dims, self.bytes)
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements. Bools are read as `u8`.
    ///
    /// # Errors
    /// [`OpError::Data`] for another dtype, or bytes that do not lie at a multiple of the element's size.
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T], OpError> {
        if !same_storage(self.dtype, T::DTYPE) {
            return Err(type_mismatch(self.dtype, T::DTYPE));
        }
        bytemuck::try_cast_slice(self.bytes).map_err(|_| misaligned(self.dtype))
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_tensor(&self) -> Tensor {
        Tensor {
            dtype: self.dtype,
            shape: self.shape.to_vec(),
            data: Buffer::from_bytes(self.bytes),
        }
    }

    /// The elements as integers, of any integer dtype or bool; none for other dtypes.
    #[must_use]
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        fn widen<T: Element + Into<i64>>(view: &TensorView<'_>) -> Option<Vec<i64>> {
            Some(
                view.bytes
                    .chunks_exact(size_of::<T>())
                    .map(|c| bytemuck::pod_read_unaligned::<T>(c).into())
                    .collect(),
            )
        }
        match self.dtype {
            DType::I64 => widen::<i64>(self),
            DType::I32 => widen::<i32>(self),
            DType::I16 => widen::<i16>(self),
            DType::I8 => widen::<i8>(self),
            DType::U32 => widen::<u32>(self),
            DType::U16 => widen::<u16>(self),
            DType::U8 | DType::Bool => widen_u8(self.bytes),
            _ => None,
        }
    }
}

fn widen_u8(bytes: &[u8]) -> Option<Vec<i64>> {
    Some(bytes.iter().map(|&b| i64::from(b)).collect())
}

fn type_mismatch(found: DType, wanted: DType) -> OpError {
    OpError::Data {
        message: format!(
            "the tensor holds {}, it is read as {}",
            found.name(),
            wanted.name()
        ),
    }
}

fn misaligned(dtype: DType) -> OpError {
    OpError::Data {
        message: format!(
            "the bytes of a {} tensor do not lie on an element's boundary",
            dtype.name()
        ),
    }
}

/// A borrowed tensor to write into.
#[derive(Debug)]
pub struct TensorViewMut<'a> {
    dtype: DType,
    shape: &'a [usize],
    bytes: &'a mut [u8],
}

impl<'a> TensorViewMut<'a> {
    /// A view of packed bytes.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the length is not that of the shape.
    pub fn new(dtype: DType, shape: &'a [usize], bytes: &'a mut [u8]) -> Result<Self, OpError> {
        TensorView::new(dtype, shape, bytes)?;
        Ok(Self { dtype, shape, bytes })
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Outermost dimension first.
    #[must_use]
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// Packed bytes.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// Packed bytes, for as long as the view was made for.
    #[must_use]
    pub fn into_bytes(self) -> &'a mut [u8] {
        self.bytes
    }

    /// The elements. Bools are read as `u8`.
    ///
    /// # Errors
    /// As [`TensorView::as_slice`].
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], OpError> {
        if !same_storage(self.dtype, T::DTYPE) {
            return Err(type_mismatch(self.dtype, T::DTYPE));
        }
        let dtype = self.dtype;
        bytemuck::try_cast_slice_mut(self.bytes).map_err(|_| misaligned(dtype))
    }

    /// What is written so far.
    #[must_use]
    pub fn as_view(&self) -> TensorView<'_> {
        TensorView {
            dtype: self.dtype,
            shape: self.shape,
            bytes: self.bytes,
        }
    }
}
