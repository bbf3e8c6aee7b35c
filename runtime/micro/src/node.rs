//! A node as its operator sees it.

use crate::arena::Memory;
use crate::error::Fault;
use crate::tensor::{Shape, Tensor};
use sanderling_flat::plan::{NodeView, PlanAttrs};
use sanderling_flat::requantise::{Multiplier, Requantise};
use sanderling_flat::{AttrRef, DType, List};

/// A node, its inputs, and the type of the output that is to be computed.
pub struct Node<'x> {
    pub(crate) view: NodeView<'x>,
    pub(crate) memory: Memory<'x>,
    pub(crate) dtype: DType,
    pub(crate) shape: Shape,
    pub(crate) output: usize,
}

impl<'x> Node<'x> {
    /// Element type of the output.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape of the output, as the plan states it.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Which output is to be computed, from 0.
    #[must_use]
    pub const fn output(&self) -> usize {
        self.output
    }

    /// Opset version of the operator's domain.
    #[must_use]
    pub fn opset(&self) -> u16 {
        self.view.opset()
    }

    /// Number of inputs, left-out ones included.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.view.inputs().len()
    }

    /// Number of outputs, left-out ones included.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.view.outputs().len()
    }

    /// A required input.
    ///
    /// # Errors
    /// [`Fault::MissingInput`].
    pub fn input(&self, index: usize) -> Result<Tensor<'x>, Fault> {
        self.optional(index).ok_or(Fault::MissingInput(index))
    }

    /// An optional input.
    #[must_use]
    pub fn optional(&self, index: usize) -> Option<Tensor<'x>> {
        let id = self.view.inputs().nth(index).flatten()?;
        // Checked when the session was made.
        self.memory.tensor(id).ok()
    }

    /// A required input that lies in the bundle.
    ///
    /// # Errors
    /// [`Fault::MissingInput`], [`Fault::NotConstant`].
    pub fn constant(&self, index: usize) -> Result<Tensor<'x>, Fault> {
        let tensor = self.input(index)?;
        if tensor.constant {
            Ok(tensor)
        } else {
            Err(Fault::NotConstant(index))
        }
    }

    /// An optional input that lies in the bundle, where it is there.
    ///
    /// # Errors
    /// [`Fault::NotConstant`].
    pub fn optional_constant(&self, index: usize) -> Result<Option<Tensor<'x>>, Fault> {
        match self.optional(index) {
            Some(_) => self.constant(index).map(Some),
            None => Ok(None),
        }
    }

    fn attrs(&self) -> PlanAttrs<'x> {
        self.view.plan_attrs()
    }

    /// An integer attribute, or `default`.
    ///
    /// # Errors
    /// [`Fault::Attribute`] where it is of another kind; likewise below.
    pub fn int_or(&self, name: &'static str, default: i64) -> Result<i64, Fault> {
        match self.attrs().get(name) {
            None => Ok(default),
            Some(AttrRef::Int(value)) => Ok(value),
            Some(_) => Err(Fault::Attribute(name)),
        }
    }

    /// A float attribute, or `default`.
    ///
    /// # Errors
    /// [`Fault::Attribute`].
    pub fn float_or(&self, name: &'static str, default: f32) -> Result<f32, Fault> {
        match self.attrs().get(name) {
            None => Ok(default),
            Some(AttrRef::Float(value)) => Ok(value),
            Some(_) => Err(Fault::Attribute(name)),
        }
    }

    /// A list of integers, where it is there.
    ///
    /// # Errors
    /// [`Fault::Attribute`].
    pub fn ints(&self, name: &'static str) -> Result<Option<List<'x, i64>>, Fault> {
        match self.attrs().get(name) {
            None => Ok(None),
            Some(AttrRef::Ints(list)) => Ok(Some(list)),
            Some(_) => Err(Fault::Attribute(name)),
        }
    }

    /// A text, or `default`.
    ///
    /// # Errors
    /// [`Fault::Attribute`].
    pub fn bytes_or(&self, name: &'static str, default: &'x [u8]) -> Result<&'x [u8], Fault> {
        match self.attrs().get(name) {
            None => Ok(default),
            Some(AttrRef::String(bytes)) => Ok(bytes),
            Some(_) => Err(Fault::Attribute(name)),
        }
    }

    /// Scales and zero points: inputs `scale` and the one behind it.
    ///
    /// # Errors
    /// [`Fault`] for scales that are not positive, finite binary32 constants, and zero points that are not as many.
    pub fn quantisation(&self, scale: usize) -> Result<Quantisation<'x>, Fault> {
        let (scales, zeros) = (self.constant(scale)?, self.optional_constant(scale + 1)?);
        if scales.dtype != DType::F32 {
            return Err(Fault::Type(Some(scale)));
        }
        let signed = zeros.map(|zeros| zeros.signed(scale + 1)).transpose()?;
        let count = scales.shape.elements();
        if count == 0 || zeros.is_some_and(|zeros| zeros.shape.elements() != count) {
            return Err(Fault::Shape("scales and zero points are not as many"));
        }
        let sound = |i| scales.f32(i).is_some_and(|s: f32| s.is_finite() && s > 0.0);
        if !(0..count).all(sound) {
            return Err(Fault::Unsupported("a scale that is not positive and finite"));
        }
        Ok(Quantisation {
            scales,
            zeros,
            signed: signed.unwrap_or(false),
            count,
        })
    }

    /// The result's scale, and how sums become elements of it. Its zero point has the output's type.
    ///
    /// # Errors
    /// As [`Node::quantisation`]; [`Fault::Unsupported`] where there is a scale a channel.
    pub fn result(&self, scale: usize) -> Result<(f32, Requantise), Fault> {
        let (scale_y, zero) = self.quantisation(scale)?.single()?;
        if self
            .optional(scale + 1)
            .is_some_and(|zero| zero.dtype != self.dtype)
        {
            return Err(Fault::Type(None));
        }
        Ok((scale_y, Requantise::to(self.dtype, zero)?))
    }

    /// The eight-bit tensor at an input, and the one scale and zero point behind it.
    ///
    /// # Errors
    /// As [`Node::quantisation`], and for other types.
    pub fn operand(&self, index: usize) -> Result<Operand<'x>, Fault> {
        let tensor = self.input(index)?;
        let signed = tensor.signed(index)?;
        let (scale, zero) = self.quantisation(index + 1)?.single()?;
        Ok(Operand {
            tensor,
            signed,
            scale,
            zero,
        })
    }
}

/// An eight-bit tensor with one scale and zero point.
#[derive(Clone, Copy)]
pub struct Operand<'x> {
    /// The tensor.
    pub tensor: Tensor<'x>,
    /// Whether its elements are signed.
    pub signed: bool,
    /// Its scale.
    pub scale: f32,
    /// Its zero point.
    pub zero: i32,
}

/// Scales and zero points: one for all, or one a channel.
#[derive(Clone, Copy)]
pub struct Quantisation<'x> {
    scales: Tensor<'x>,
    zeros: Option<Tensor<'x>>,
    signed: bool,
    count: usize,
}

impl Quantisation<'_> {
    /// The scale and zero point of a channel.
    #[must_use]
    pub fn of(&self, channel: usize) -> (f32, i32) {
        let i = if self.count == 1 { 0 } else { channel };
        let zero = self.zeros.and_then(|zeros| zeros.bytes.get(i).copied());
        let zero = zero.map_or(0, |byte| crate::tensor::read(self.signed, byte));
        (self.scales.f32(i).unwrap_or(1.0), zero)
    }

    /// The only scale and zero point.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] where there is one a channel.
    pub fn single(&self) -> Result<(f32, i32), Fault> {
        if self.count == 1 {
            Ok(self.of(0))
        } else {
            Err(Fault::Unsupported(
                "a scale for each channel of a computed tensor",
            ))
        }
    }

    /// Holds that there is one for all, or `channels`, and that the products' multipliers are sound.
    ///
    /// # Errors
    /// [`Fault::Shape`], [`Fault::Scale`].
    pub fn fit(&self, channels: usize, scale_x: f32, scale_y: f32) -> Result<(), Fault> {
        if self.count != 1 && self.count != channels {
            return Err(Fault::Shape("scales are not as many as channels"));
        }
        (0..self.count).try_for_each(|i| Multiplier::of_product(scale_x, self.of(i).0, scale_y).map(drop))?;
        Ok(())
    }
}
