//! Attributes of a node, read alike from the compiler's graph and from a plan's bytes.

use crate::error::OpError;
use crate::graph::Attribute;
use crate::plan::PlanAttrs;
use crate::tensor::Tensor;
use alloc::string::String;
use alloc::vec::Vec;

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
    #[must_use]
    pub fn to_vec(self) -> Vec<T> {
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
    /// Another kind (tensors, graphs, lists of strings): read through [`Attrs::owned`] where the graph is at hand.
    Other,
}

/// All attributes of a node.
#[derive(Debug, Clone, Copy)]
pub struct Attrs<'a>(Repr<'a>);

#[derive(Debug, Clone, Copy)]
enum Repr<'a> {
    Graph(&'a [(String, Attribute)]),
    Plan(PlanAttrs<'a>),
}

impl<'a> Attrs<'a> {
    /// No attributes.
    pub const NONE: Attrs<'static> = Attrs(Repr::Graph(&[]));

    /// Those of a node in the compiler's graph.
    #[must_use]
    pub fn of_graph(attributes: &'a [(String, Attribute)]) -> Self {
        Self(Repr::Graph(attributes))
    }

    pub(crate) fn of_plan(attributes: PlanAttrs<'a>) -> Self {
        Self(Repr::Plan(attributes))
    }

    /// The attribute of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<AttrRef<'a>> {
        match self.0 {
            Repr::Graph(list) => list.iter().find(|(n, _)| n == name).map(|(_, a)| a.as_ref()),
            Repr::Plan(attrs) => attrs.get(name),
        }
    }

    /// A copy that outlives the plan; attributes of other kinds than [`AttrRef`] names are left out.
    #[must_use]
    pub fn to_owned(&self) -> Vec<(String, Attribute)> {
        let owned = |(name, value): (&str, AttrRef<'_>)| {
            let value = match value {
                AttrRef::Int(value) => Attribute::Int(value),
                AttrRef::Float(value) => Attribute::Float(value),
                AttrRef::String(bytes) => Attribute::String(bytes.to_vec()),
                AttrRef::Ints(list) => Attribute::Ints(list.to_vec()),
                AttrRef::Floats(list) => Attribute::Floats(list.to_vec()),
                AttrRef::Other => return None,
            };
            Some((String::from(name), value))
        };
        match self.0 {
            Repr::Graph(list) => list.to_vec(),
            Repr::Plan(attrs) => attrs.iter().filter_map(owned).collect(),
        }
    }

    /// A tensor attribute; only in the compiler's graph (plans hold tensors as constants).
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&'a Tensor> {
        match self.0 {
            Repr::Graph(list) => list.iter().find_map(|(n, a)| match a {
                Attribute::Tensor(tensor) if n == name => Some(tensor),
                _ => None,
            }),
            Repr::Plan(_) => None,
        }
    }

    /// An integer.
    ///
    /// # Errors
    /// [`OpError::Attribute`] where the attribute is of another kind; likewise below.
    pub fn int(&self, name: &str) -> Result<Option<i64>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(AttrRef::Int(value)) => Ok(Some(value)),
            Some(_) => Err(OpError::attribute(name, "is not an integer")),
        }
    }

    /// An integer, or `default` where absent.
    ///
    /// # Errors
    /// As [`Attrs::int`].
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, OpError> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// A float.
    ///
    /// # Errors
    /// As [`Attrs::int`].
    pub fn float(&self, name: &str) -> Result<Option<f32>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(AttrRef::Float(value)) => Ok(Some(value)),
            Some(_) => Err(OpError::attribute(name, "is not a float")),
        }
    }

    /// A float, or `default` where absent.
    ///
    /// # Errors
    /// As [`Attrs::int`].
    pub fn float_or(&self, name: &str, default: f32) -> Result<f32, OpError> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// A text, or `default` where absent.
    ///
    /// # Errors
    /// As [`Attrs::int`]; also where it is not UTF-8.
    pub fn str_or<'b>(&self, name: &str, default: &'b str) -> Result<&'b str, OpError>
    where
        'a: 'b,
    {
        match self.get(name) {
            None => Ok(default),
            Some(AttrRef::String(bytes)) => {
                core::str::from_utf8(bytes).map_err(|_| OpError::attribute(name, "is not UTF-8"))
            }
            Some(_) => Err(OpError::attribute(name, "is not a string")),
        }
    }

    /// Integers.
    ///
    /// # Errors
    /// As [`Attrs::int`].
    pub fn ints(&self, name: &str) -> Result<Option<List<'a, i64>>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(AttrRef::Ints(list)) => Ok(Some(list)),
            Some(_) => Err(OpError::attribute(name, "is not a list of integers")),
        }
    }

    /// Floats.
    ///
    /// # Errors
    /// As [`Attrs::int`].
    pub fn floats(&self, name: &str) -> Result<Option<List<'a, f32>>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(AttrRef::Floats(list)) => Ok(Some(list)),
            Some(_) => Err(OpError::attribute(name, "is not a list of floats")),
        }
    }
}
