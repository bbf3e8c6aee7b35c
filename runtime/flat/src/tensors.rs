//! The tensor table: flat little-endian records, read in place without a heap.
//!
//! ```text
//! offset size
//!      0    4  number of tensors n
//!      4    4  number of dimensions d, of all tensors together
//!      8    4  bytes of names s
//!     12    4  zero
//!     16  64n  records: name offset u32, name length u16, dtype u8, rank u8, first dimension u32, zero u32,
//!              data offset u64 (in the tensor data section, a multiple of 64), data length u64, SHA-256
//!          8d  dimensions, u64
//!           s  names, UTF-8
//! ```
//!
//! A plan names a tensor by its index here. A tensor is known by the hash of its canonical bytes: elements in
//! row-major order, little-endian, sub-byte types packed as [`DType`] says; a string is a `u32` length and its
//! UTF-8. Tensors with equal bytes are stored once.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use crate::digest::Sha256Digest;
use crate::dtype::DType;
use crate::error::BundleError;
use crate::format::{ALIGN, SectionKind, array};

/// Bytes of the table's head.
pub const TABLE_HEAD: usize = 16;
/// Bytes of a tensor's record.
pub const RECORD: usize = 64;

/// One tensor of a bundle.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Name in the source graph, or one that the packer made.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub dims: Dims<'a>,
    /// Canonical bytes. Aligned to 64 bytes if the bundle's first byte is.
    pub data: &'a [u8],
    /// SHA-256 that the table states for `data`.
    pub sha256: Sha256Digest,
}

/// A tensor's dimensions, in place.
#[derive(Clone, Copy, Debug)]
pub struct Dims<'a> {
    /// Eight bytes each.
    bytes: &'a [u8],
}

impl<'a> Dims<'a> {
    /// How many there are.
    #[must_use]
    pub const fn rank(self) -> usize {
        self.bytes.len() / 8
    }

    /// The dimensions, outermost first.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u64> + 'a {
        self.bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(array(chunk, 0)))
    }

    /// The dimensions as a vector.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_vec(self) -> Vec<u64> {
        self.iter().collect()
    }
}

/// The checked table: every record is in bounds and its length fits its shape.
#[derive(Clone, Copy, Debug)]
pub struct Tensors<'a> {
    records: &'a [u8],
    dims: &'a [u8],
    names: &'a [u8],
    data: &'a [u8],
}

impl<'a> Tensors<'a> {
    /// Checks every record of `table`, which begins at `offset` in the file. Takes no memory.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] with the first record that cannot be, [`BundleError::TooLarge`] past `max_tensors`, and past
    /// `max_bytes` of all tensors together: those that share their bytes count each time, as each is read.
    pub fn parse(
        table: &'a [u8],
        data: &'a [u8],
        offset: u64,
        max_tensors: u32,
        max_bytes: u64,
    ) -> Result<Self, BundleError> {
        let corrupt = |what| BundleError::Corrupt {
            section: Some(SectionKind::TensorTable),
            offset,
            what,
        };
        let Some((head, body)) = table.split_at_checked(TABLE_HEAD) else {
            return Err(corrupt("the table is shorter than its own head"));
        };
        let count = u32::from_le_bytes(array(head, 0));
        if count > max_tensors {
            let (found, limit) = (u64::from(count), u64::from(max_tensors));
            return Err(BundleError::TooLarge {
                what: "tensors in a bundle",
                found,
                limit,
            });
        }
        let parts = (|| {
            let records = (count as usize).checked_mul(RECORD)?;
            let dims = (u32::from_le_bytes(array(head, 4)) as usize).checked_mul(8)?;
            let (records, rest) = body.split_at_checked(records)?;
            let (dims, names) = rest.split_at_checked(dims)?;
            (names.len() == u32::from_le_bytes(array(head, 8)) as usize).then_some((records, dims, names))
        })();
        let Some((records, dims, names)) = parts else {
            return Err(corrupt("the table's length does not fit its counts"));
        };
        if head[12..] != [0; 4] {
            return Err(corrupt("reserved bytes of the table are set"));
        }
        let tensors = Self {
            records,
            dims,
            names,
            data,
        };
        let mut bytes = 0u64;
        for (index, record) in records.chunks_exact(RECORD).enumerate() {
            bytes = bytes.saturating_add(u64::from_le_bytes(array(record, 24)));
            if bytes > max_bytes {
                let what = "bytes of tensors, shared ones counted each time";
                let (found, limit) = (bytes, max_bytes);
                return Err(BundleError::TooLarge { what, found, limit });
            }
            let sound = tensors
                .decode(record)
                .and_then(|tensor| check_length(tensor.dtype, tensor.dims, tensor.data));
            sound.map_err(|what| BundleError::Corrupt {
                section: Some(SectionKind::TensorTable),
                offset: offset + (TABLE_HEAD + index * RECORD) as u64,
                what,
            })?;
        }
        Ok(tensors)
    }

    /// How many tensors there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len() / RECORD
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The tensor with this index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<TensorView<'a>> {
        let at = index.checked_mul(RECORD)?;
        let record = self.records.get(at..at.checked_add(RECORD)?)?;
        self.decode(record).ok()
    }

    /// The tensor with this name, by linear search.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<TensorView<'a>> {
        self.iter().find(|tensor| tensor.name == name)
    }

    /// All tensors, in order of their index.
    pub fn iter(&self) -> impl Iterator<Item = TensorView<'a>> + use<'a> {
        let tensors = *self;
        (0..tensors.len()).filter_map(move |index| tensors.get(index))
    }

    /// A record, but for whether its length fits its shape: that is checked once.
    fn decode(&self, record: &[u8]) -> Result<TensorView<'a>, &'static str> {
        let u32_at = |at| u32::from_le_bytes(array(record, at)) as usize;
        let name_len = usize::from(u16::from_le_bytes(array(record, 4)));
        let name = slice(self.names, u32_at(0), name_len).ok_or("a tensor's name is out of bounds")?;
        let name = core::str::from_utf8(name).map_err(|_| "a tensor's name is not UTF-8")?;
        let dtype = DType::from_code(i32::from(record[6])).ok_or("a tensor's dtype is unknown")?;
        let rank = usize::from(record[7]);
        let first = u32_at(8)
            .checked_mul(8)
            .ok_or("a tensor's shape is out of bounds")?;
        let dims = slice(self.dims, first, rank * 8).ok_or("a tensor's shape is out of bounds")?;
        let dims = Dims { bytes: dims };
        if u32_at(12) != 0 {
            return Err("reserved bytes of a tensor record are set");
        }
        let at = usize::try_from(u64::from_le_bytes(array(record, 16)));
        let len = usize::try_from(u64::from_le_bytes(array(record, 24)));
        let (Ok(at), Ok(len)) = (at, len) else {
            return Err("a tensor is larger than this machine can address");
        };
        if !at.is_multiple_of(ALIGN) {
            return Err("a tensor's data is not aligned");
        }
        let data = slice(self.data, at, len).ok_or("a tensor's data is out of bounds")?;
        Ok(TensorView {
            name,
            dtype,
            dims,
            data,
            sha256: array(record, 32),
        })
    }
}

/// Checks that the data's length is what dtype and shape call for.
fn check_length(dtype: DType, dims: Dims<'_>, data: &[u8]) -> Result<(), &'static str> {
    let elements = dims
        .iter()
        .try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(dim).ok()?))
        .ok_or("a tensor's shape overflows")?;
    if dtype != DType::String {
        return (dtype.bytes_for(elements) == Some(data.len()))
            .then_some(())
            .ok_or("a tensor's length does not fit its shape");
    }
    let mut strings = Strings::new(data);
    let counted = strings.by_ref().take_while(Option::is_some).count();
    (counted == elements && strings.rest.is_empty())
        .then_some(())
        .ok_or("a string tensor's bytes do not fit its shape")
}

impl<'a> TensorView<'a> {
    /// The elements of a string tensor; nothing for other types.
    pub fn strings(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let data = if self.dtype == DType::String {
            self.data
        } else {
            &[]
        };
        Strings::new(data).map_while(|string| string)
    }
}

/// Length-prefixed strings; yields `None` once at damage, then ends.
struct Strings<'a> {
    rest: &'a [u8],
    done: bool,
}

impl<'a> Strings<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self {
            rest: data,
            done: false,
        }
    }

    fn take(&mut self) -> Option<&'a str> {
        let (len, rest) = self.rest.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.rest = rest;
        core::str::from_utf8(text).ok()
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.rest.is_empty() {
            return None;
        }
        let string = self.take();
        self.done = string.is_none();
        Some(string)
    }
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(len)?)
}
