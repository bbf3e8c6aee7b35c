//! What an operator is: a name, a shape rule, a reference.
//!
//! [`Operator::infer`] is called with whatever is known: types always; the data of an input where it is a
//! constant or follows from shapes; at run time all of it. So one rule serves packing (symbolic dimensions),
//! the first run at a shape, and operators whose output shape only the data decides.

use crate::attr::Attrs;
use crate::error::OpError;
use crate::shape::{Dim, TensorType};
use crate::tensor::{TensorView, TensorViewMut};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// An operator: its meaning, not its speed.
pub trait Operator: Sync {
    /// Operator domain; empty for ONNX's own.
    fn domain(&self) -> &'static str {
        ""
    }

    /// ONNX name.
    fn name(&self) -> &'static str;

    /// Opset versions of the domain whose semantics this file has.
    fn opsets(&self) -> RangeInclusive<u16>;

    /// Whether equal inputs give equal outputs; only then is it computed ahead of a run.
    fn deterministic(&self) -> bool {
        true
    }

    /// Whether equal floats among the inputs give equal bytes on every backend: it moves, compares or multiplies once, or
    /// docs/numerics.md says what it computes. Only such an operator's results have a digest where it reads floats.
    fn exact(&self) -> bool {
        false
    }

    /// Types of the outputs from what is known of the inputs.
    ///
    /// # Errors
    /// [`OpError`] where the inputs or attributes do not fit.
    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError>;

    /// The outputs' data, into buffers of the shapes that [`Operator::infer`] gave. Clear before fast.
    ///
    /// # Errors
    /// [`OpError`] where the data does not fit (an index out of range).
    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError>;
}

/// A set of operators, as a value: nothing unlisted is linked.
#[derive(Clone, Copy)]
pub struct OpTable<'a>(pub &'a [&'a dyn Operator]);

impl<'a> OpTable<'a> {
    /// The operator of this domain and name whose versions hold `opset`.
    #[must_use]
    pub fn find(&self, domain: &str, name: &str, opset: u16) -> Option<&'a dyn Operator> {
        // "ai.onnx" is the long form of the default domain.
        let domain = if domain == "ai.onnx" { "" } else { domain };
        self.0
            .iter()
            .copied()
            .find(|op| op.name() == name && op.domain() == domain && op.opsets().contains(&opset))
    }
}

/// What [`Operator::infer`] sees and says.
pub struct InferCx<'a> {
    attrs: Attrs<'a>,
    opset: u16,
    inputs: &'a [Option<InputFact<'a>>],
    outputs: &'a mut [OutputFact],
}

/// What is known of an input.
#[derive(Debug, Clone, Copy)]
pub struct InputFact<'a> {
    /// Type.
    pub ty: &'a TensorType,
    /// Data, where it is known.
    pub data: Option<TensorView<'a>>,
    /// The elements as dimensions, where they are not all numbers (else they are in `data`).
    pub dims: Option<&'a [Dim]>,
}

/// What an operator says of an output.
#[derive(Debug, Clone, Default)]
pub struct OutputFact {
    /// Type.
    pub ty: Option<TensorType>,
    /// The elements, where they are dimensions.
    pub dims: Option<Vec<Dim>>,
}

impl<'a> InferCx<'a> {
    /// For one node. `outputs` has one entry for each output the node names.
    #[must_use]
    pub fn new(
        attrs: Attrs<'a>,
        opset: u16,
        inputs: &'a [Option<InputFact<'a>>],
        outputs: &'a mut [OutputFact],
    ) -> Self {
        Self {
            attrs,
            opset,
            inputs,
            outputs,
        }
    }

    /// Attributes.
    #[must_use]
    pub fn attrs(&self) -> Attrs<'a> {
        self.attrs
    }

    /// Opset version of the operator's domain.
    #[must_use]
    pub fn opset(&self) -> u16 {
        self.opset
    }

    /// Number of inputs, left-out ones included.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Number of outputs the node names.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// Type of a required input.
    ///
    /// # Errors
    /// [`OpError::MissingInput`].
    pub fn input(&self, index: usize) -> Result<&'a TensorType, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index })
    }

    /// Type of an optional input.
    #[must_use]
    pub fn optional(&self, index: usize) -> Option<&'a TensorType> {
        self.fact(index).map(|fact| fact.ty)
    }

    fn fact(&self, index: usize) -> Option<InputFact<'a>> {
        self.inputs.get(index).copied().flatten()
    }

    /// Data of an input, where it is known.
    #[must_use]
    pub fn data(&self, index: usize) -> Option<TensorView<'a>> {
        self.fact(index)?.data
    }

    /// Elements of a small integer input as dimensions, where they are known or named.
    #[must_use]
    pub fn dims(&self, index: usize) -> Option<Vec<Dim>> {
        let fact = self.fact(index)?;
        match fact.data {
            Some(data) => Some(data.to_i64s()?.into_iter().map(Dim::Fixed).collect()),
            None => fact.dims.map(<[Dim]>::to_vec),
        }
    }

    /// Elements of an integer input, where they are all known.
    #[must_use]
    pub fn ints(&self, index: usize) -> Option<Vec<i64>> {
        self.dims(index)?.iter().map(Dim::fixed).collect()
    }

    /// Says what an output is. Outputs that the node does not name are ignored.
    pub fn set_output(&mut self, index: usize, dtype: DType, shape: Vec<Dim>) {
        if let Some(out) = self.outputs.get_mut(index) {
            out.ty = Some(TensorType { dtype, shape });
        }
    }

    /// Says which dimensions an output (a small integer tensor) holds.
    pub fn set_output_dims(&mut self, index: usize, dims: Vec<Dim>) {
        if let Some(out) = self.outputs.get_mut(index) {
            out.dims = Some(dims);
        }
    }
}

/// What [`Operator::eval`] reads and writes.
pub struct EvalCx<'a, 'b> {
    /// Attributes.
    pub attrs: Attrs<'a>,
    /// Opset version of the operator's domain.
    pub opset: u16,
    /// Inputs; none where left out.
    pub inputs: &'b [Option<TensorView<'a>>],
    /// Outputs; none where not wanted.
    pub outputs: &'b mut [Option<TensorViewMut<'a>>],
}

impl<'a> EvalCx<'a, '_> {
    /// A required input.
    ///
    /// # Errors
    /// [`OpError::MissingInput`].
    pub fn input(&self, index: usize) -> Result<TensorView<'a>, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index })
    }

    /// An optional input.
    #[must_use]
    pub fn optional(&self, index: usize) -> Option<TensorView<'a>> {
        self.inputs.get(index).copied().flatten()
    }

    /// Takes an output to write; none where the node does not want it.
    #[must_use]
    pub fn take_output(&mut self, index: usize) -> Option<TensorViewMut<'a>> {
        self.outputs.get_mut(index)?.take()
    }

    /// Takes the first output.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the node names no output.
    pub fn output(&mut self) -> Result<TensorViewMut<'a>, OpError> {
        self.take_output(0)
            .ok_or_else(|| OpError::shape("the node names no output"))
    }
}
