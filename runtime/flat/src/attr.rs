//! Attributes as a plan has them: numbers, texts and lists, little-endian.

/// A list of eight- or four-byte numbers, in memory or in a plan's bytes.
#[derive(Debug, Clone, Copy)]
pub enum List<'a, T> {
    /// In memory.
    Slice(&'a [T]),
    /// Little-endian, as a plan has it.
    Bytes(&'a [u8]),
}

/// A number that lies in a plan as little-endian bytes.
pub trait LittleEndian: Copy {
    /// Reads the `i`th number of `bytes`; none past the end.
    fn read(bytes: &[u8], i: usize) -> Option<Self>;
}

macro_rules! little_endian {
    ($($t:ty),*) => {$(
        impl LittleEndian for $t {
            fn read(bytes: &[u8], i: usize) -> Option<Self> {
                const N: usize = size_of::<$t>();
                bytes.get(i * N..)?.first_chunk::<N>().map(|chunk| Self::from_le_bytes(*chunk))
            }
        }
    )*};
}
little_endian!(i64, f32, u32);

impl<'a, T: LittleEndian + 'a> List<'a, T> {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Slice(slice) => slice.len(),
            Self::Bytes(bytes) => bytes.len() / size_of::<T>(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `i`th.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<T> {
        match self {
            Self::Slice(slice) => slice.get(i).copied(),
            Self::Bytes(bytes) => T::read(bytes, i),
        }
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = T> + 'a {
        (0..self.len()).filter_map(move |i| self.get(i))
    }

    /// All of them, copied.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_vec(self) -> alloc::vec::Vec<T> {
        self.iter().collect()
    }
}

/// One attribute's value.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum AttrRef<'a> {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// Bytes, mostly UTF-8.
    String(&'a [u8]),
    /// Integers.
    Ints(List<'a, i64>),
    /// Floats.
    Floats(List<'a, f32>),
    /// Another kind (tensors, graphs, lists of strings): read through `core::Attrs` where the graph is at hand.
    Other,
}
