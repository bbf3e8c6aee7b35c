//! Activations that onnxruntime fuses behind a convolution or a matrix product.

use super::number::Float;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::ops::sigmoid::sigmoid;
use alloc::format;

/// A fused activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// None.
    Identity,
    /// max(x, 0).
    Relu,
    /// tanh x.
    Tanh,
    /// 1 ÷ (1 + e⁻ˣ).
    Sigmoid,
    /// x, or alpha·x below zero.
    LeakyRelu(f32),
    /// Between two bounds.
    Clip(f32, f32),
    /// max(0, min(1, alpha·x + beta)).
    HardSigmoid(f32, f32),
}

impl Activation {
    /// From the attributes `activation` and `activation_params`, or `activation_alpha` and `activation_beta`.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] for an activation that is not one of these.
    pub fn new(attrs: Attrs<'_>) -> Result<Self, OpError> {
        let listed = attrs
            .floats("activation_params")?
            .map(|list| list.to_vec())
            .unwrap_or_default();
        let param = |i: usize, name: &str, default: f32| -> Result<f32, OpError> {
            Ok(match listed.get(i) {
                Some(&value) => value,
                None => attrs.float_or(name, default)?,
            })
        };
        Ok(match attrs.str_or("activation", "")? {
            "" => Self::Identity,
            "Relu" => Self::Relu,
            "Tanh" => Self::Tanh,
            "Sigmoid" => Self::Sigmoid,
            "LeakyRelu" => Self::LeakyRelu(param(0, "activation_alpha", 0.01)?),
            "Clip" => Self::Clip(
                param(0, "activation_alpha", f32::NEG_INFINITY)?,
                param(1, "activation_beta", f32::INFINITY)?,
            ),
            "HardSigmoid" => Self::HardSigmoid(
                param(0, "activation_alpha", 0.2)?,
                param(1, "activation_beta", 0.5)?,
            ),
            other => return Err(OpError::unsupported(format!("the fused activation '{other}'"))),
        })
    }

    /// Applies it in place.
    pub fn apply<F: Float>(self, x: &mut [F]) {
        let mut each = |f: &dyn Fn(F) -> F| x.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Self::Identity => {}
            Self::Relu => each(&|x| if x < F::ZERO { F::ZERO } else { x }),
            Self::Tanh => each(&|x| x.tanh()),
            Self::Sigmoid => each(&sigmoid),
            Self::LeakyRelu(alpha) => each(&|x| if x < F::ZERO { F::of(alpha) * x } else { x }),
            Self::Clip(min, max) => each(&|x| x.greatest(F::of(min)).least(F::of(max))),
            Self::HardSigmoid(alpha, beta) => {
                each(&|x| (F::of(alpha) * x + F::of(beta)).least(F::ONE).greatest(F::ZERO));
            }
        }
    }
}
