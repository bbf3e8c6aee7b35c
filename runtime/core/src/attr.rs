//! Attributes of a node, read alike from the compiler's graph and from a plan's bytes.

use crate::error::OpError;
use crate::graph::Attribute;
use crate::plan::PlanAttrs;
use crate::tensor::Tensor;
use alloc::string::String;
use alloc::vec::Vec;

pub use sanderling_flat::{AttrRef, List, LittleEndian};

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
                _ => return None,
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
