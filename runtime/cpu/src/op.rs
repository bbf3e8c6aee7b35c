//! What the backend asks of an operator's file, and what it gives to a kernel.

use crate::env::Env;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::any::Any;
use sanderling_core::DType;
use sanderling_core::attr::Attrs;
use sanderling_core::plan::NodeView;
use sanderling_core::tensor::{Element, TensorView, TensorViewMut};
use sanderling_core::{OpError, ValueId};
use sanderling_kernels::{Best, Ctx, QuantData, Unary};

/// How one operator runs on this backend: one file, one row of the table.
pub trait CpuOp: Sync {
    /// Operator domain; empty for ONNX's own.
    fn domain(&self) -> &'static str {
        ""
    }

    /// ONNX name.
    fn name(&self) -> &'static str;

    /// Chooses how a node runs for these types.
    ///
    /// # Errors
    /// [`OpError`] where the node is wrong. A case that is right but not this file's is [`Choice::Reference`].
    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError>;
}

/// How a node runs.
pub enum Choice {
    /// By a kernel.
    Kernel(Box<dyn CpuKernel>),
    /// Output 0 has the bytes of input 0: nothing runs.
    Alias,
    /// By the operator's reference.
    Reference,
}

impl Choice {
    /// A kernel.
    pub fn kernel(kernel: impl CpuKernel + 'static) -> Result<Self, OpError> {
        Ok(Self::Kernel(Box::new(kernel)))
    }
}

/// A node made ready for one set of types.
pub trait CpuKernel {
    /// Which kernel in which form, for people.
    fn describe(&self) -> String;

    /// Working memory it needs, in f32.
    fn scratch_len(&self) -> usize {
        0
    }

    /// Whether a run reads this input. Not so where all of it went into a packed form.
    fn reads(&self, _input: usize) -> bool {
        true
    }

    /// Whether output 0 may take over this input's bytes.
    fn in_place(&self, _input: usize) -> bool {
        false
    }

    /// The function, where the kernel is one of a single float tensor: another kernel may take it over.
    fn as_unary(&self) -> Option<Unary> {
        None
    }

    /// Takes over a function that follows; false where it cannot.
    fn fuse(&mut self, _next: Unary) -> bool {
        false
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// [`OpError`] where the data does not fit (an index out of range).
    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError>;
}

/// A set of operators, as a value: nothing unlisted is linked.
#[derive(Clone, Copy)]
pub struct CpuTable(pub &'static [&'static dyn CpuOp]);

impl CpuTable {
    pub(crate) fn find(&self, domain: &str, name: &str) -> Option<&'static dyn CpuOp> {
        let domain = if domain == "ai.onnx" { "" } else { domain };
        self.0
            .iter()
            .copied()
            .find(|op| op.name() == name && op.domain() == domain)
    }
}

/// Type of a value, every dimension known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueType {
    /// Element type.
    pub dtype: DType,
    /// Outermost dimension first.
    pub shape: Box<[usize]>,
    /// Packed size.
    pub bytes: usize,
}

impl ValueType {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A constant that the plan holds in 8 bits, to be read as `(q − zero_point) · scale`.
#[derive(Clone)]
pub struct Quantised<'a> {
    /// The integers.
    pub data: QuantData<'a>,
    /// One, or one for each index along `axis`.
    pub scales: &'a [f32],
    /// As many as scales, or none where all are 0.
    pub zero_points: Rc<[i32]>,
    /// Axis of the scales; none for one scale.
    pub axis: Option<usize>,
}

/// What [`CpuOp::prepare`] sees of a node.
pub struct PrepareCx<'a> {
    pub(crate) env: &'a Env<'a>,
    pub(crate) node: NodeView<'a>,
}

impl<'a> PrepareCx<'a> {
    /// Attributes.
    #[must_use]
    pub fn attrs(&self) -> Attrs<'a> {
        self.node.attrs()
    }

    /// Opset version of the operator's domain.
    #[must_use]
    pub fn opset(&self) -> u16 {
        self.node.opset()
    }

    /// Number of inputs, left-out ones included.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.node.inputs().len()
    }

    /// Number of outputs, left-out ones included.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.node.outputs().len()
    }

    fn input_id(&self, index: usize) -> Option<ValueId> {
        self.node.inputs().nth(index).flatten()
    }

    /// Type of an optional input.
    #[must_use]
    pub fn optional(&self, index: usize) -> Option<&'a ValueType> {
        self.env.ty(self.input_id(index)?)
    }

    /// Type of a required input.
    ///
    /// # Errors
    /// [`OpError::MissingInput`].
    pub fn input(&self, index: usize) -> Result<&'a ValueType, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index })
    }

    /// Type of an output.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the node does not name it.
    pub fn output(&self, index: usize) -> Result<&'a ValueType, OpError> {
        let id = self.node.outputs().nth(index).flatten();
        id.and_then(|id| self.env.ty(id))
            .ok_or_else(|| OpError::shape(format!("the node does not name output {index}")))
    }

    /// Whether all inputs and outputs are of this dtype.
    #[must_use]
    pub fn all(&self, dtype: DType) -> bool {
        let mut ids = self.node.inputs().chain(self.node.outputs()).flatten();
        ids.all(|id| self.env.ty(id).is_some_and(|ty| ty.dtype == dtype))
    }

    /// Data of an input, where it is known before a run.
    #[must_use]
    pub fn constant(&self, index: usize) -> Option<TensorView<'a>> {
        self.env.known(self.input_id(index)?)
    }

    /// Elements of a known integer input.
    #[must_use]
    pub fn ints(&self, index: usize) -> Option<alloc::vec::Vec<i64>> {
        self.constant(index)?.to_i64s()
    }

    /// The 8-bit form of an input that the plan dequantises from a constant.
    #[must_use]
    pub fn quantised(&self, index: usize) -> Option<Quantised<'a>> {
        self.env.quantised(self.input_id(index)?)
    }

    /// Instructions that kernels will use.
    #[must_use]
    pub fn isa(&self) -> Best {
        self.env.backend.isa
    }

    /// Instructions and threads that kernels will use.
    #[must_use]
    pub fn ctx(&self) -> Ctx<'a> {
        Ctx::new(self.env.backend.isa, &*self.env.backend.parallel)
    }

    /// Which data a known input holds, in words: part of the `variant` of a form that the data went into.
    #[must_use]
    pub fn content(&self, index: usize) -> String {
        self.input_id(index)
            .map_or(String::new(), |id| self.env.content(id))
    }

    /// A form of a constant input that several executables share: made once for each `variant`, freed with the
    /// last that uses it. `bytes` is its size, counted against the memory limit before it is made.
    ///
    /// `variant` names all that `make` reads but the constant itself. Of a constant that is dequantised, scale, zero point
    /// and axis are told apart here.
    ///
    /// # Errors
    /// What `make` says; [`OpError::Unsupported`] naming the limit where the bytes would exceed it.
    pub fn shared<T: Any>(
        &self,
        input: usize,
        variant: String,
        bytes: usize,
        make: impl FnOnce() -> Result<T, OpError>,
    ) -> Result<Rc<T>, OpError> {
        self.env.take_packed(bytes as u64)?;
        let found = self.input_id(input);
        let source = found.and_then(|id| Some((id, self.env.constant_index(id)?)));
        match source {
            Some((id, index)) => {
                let variant = variant + &self.env.dequantised_by(id);
                self.env
                    .backend
                    .shared
                    .get(self.env.constants, index, variant, make)
            }
            None => make().map(Rc::new),
        }
    }
}

/// What a kernel reads and writes.
pub struct RunCx<'a, 'b> {
    pub(crate) inputs: &'b [Option<TensorView<'a>>],
    pub(crate) outputs: &'b mut [Option<TensorViewMut<'a>>],
    pub(crate) scratch: &'a mut [f32],
    pub(crate) ctx: Ctx<'a>,
    pub(crate) in_place: Option<usize>,
}

impl<'a> RunCx<'a, '_> {
    /// Instructions and threads.
    #[must_use]
    pub fn ctx(&self) -> Ctx<'a> {
        self.ctx
    }

    /// The input whose data output 0 holds at the start, where it took over its bytes. That input is absent.
    #[must_use]
    pub fn in_place(&self) -> Option<usize> {
        self.in_place
    }

    /// An optional input.
    #[must_use]
    pub fn optional(&self, index: usize) -> Option<TensorView<'a>> {
        self.inputs.get(index).copied().flatten()
    }

    /// A required input.
    ///
    /// # Errors
    /// [`OpError::MissingInput`].
    pub fn input(&self, index: usize) -> Result<TensorView<'a>, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index })
    }

    /// The elements of a required input.
    ///
    /// # Errors
    /// [`OpError`] where it is absent or of another dtype.
    pub fn slice<T: Element>(&self, index: usize) -> Result<&'a [T], OpError> {
        self.input(index)?.as_slice()
    }

    /// The elements of an optional input.
    ///
    /// # Errors
    /// [`OpError::Data`] where it is of another dtype.
    pub fn optional_slice<T: Element>(&self, index: usize) -> Result<Option<&'a [T]>, OpError> {
        self.optional(index).map(|view| view.as_slice()).transpose()
    }

    /// Takes an output's packed bytes, once.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the node does not name it.
    pub fn bytes_mut(&mut self, index: usize) -> Result<&'a mut [u8], OpError> {
        let output = self.outputs.get_mut(index).and_then(Option::take);
        output
            .map(TensorViewMut::into_bytes)
            .ok_or_else(|| OpError::shape(format!("the node does not name output {index}")))
    }

    /// Takes an output's elements, once; the kernel knows their type.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the node does not name it.
    pub fn slice_mut<T: Element>(&mut self, index: usize) -> Result<&'a mut [T], OpError> {
        bytemuck::try_cast_slice_mut(self.bytes_mut(index)?)
            .map_err(|_| OpError::shape(format!("output {index} is not made of such elements")))
    }

    /// Takes the working memory, once.
    #[must_use]
    pub fn scratch(&mut self) -> &'a mut [f32] {
        core::mem::take(&mut self.scratch)
    }
}

/// What a kernel refuses, in an operator's words.
pub(crate) fn kernel_error(error: sanderling_kernels::Error) -> OpError {
    OpError::shape(format!("{error}"))
}
