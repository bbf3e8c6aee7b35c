//! Random inputs: the same for a seed on every machine, within the ranges that the model declares.

use anyhow::{Context, bail};
use sanderling_session::{CascadeHost, DType, PortInfo, SystemHost, Tensor};

/// Draws tensors from one stream.
pub(super) struct Draw(SystemHost);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(SystemHost::new(seed))
    }

    /// A tensor for an input; without a declared range small values that any model takes.
    pub(super) fn tensor(&mut self, port: &PortInfo, shape: &[usize]) -> anyhow::Result<Tensor> {
        let dtype = port.ty.as_ref().map_or(DType::F32, |ty| ty.dtype);
        let unknown = || {
            format!(
                "input '{}' is of type {}: random elements are not known for it; give --input",
                port.name,
                dtype.name()
            )
        };
        let (low, high) = port.range.or(default_range(dtype)).with_context(unknown)?;
        let mut tensor = Tensor::zeros(dtype, shape).with_context(|| format!("input '{}'", port.name))?;
        let width = dtype.bits() / 8;
        for slot in tensor.view_mut().bytes_mut().chunks_exact_mut(width.max(1)) {
            let unit = self.0.random();
            let value = if dtype.is_float() {
                low + unit * (high - low)
            } else {
                whole(low, high, unit)
            };
            if super::arrays::put(dtype, value, slot).is_none() {
                bail!(unknown());
            }
        }
        Ok(tensor)
    }
}

/// A whole number between `low` and `high`, both included.
fn whole(low: f64, high: f64, unit: f64) -> f64 {
    let (low, high) = (low.ceil(), high.floor());
    (low + unit * (high - low + 1.0)).floor().min(high)
}

/// As the golden vectors have it: whole bytes, else small values.
fn default_range(dtype: DType) -> Option<(f64, f64)> {
    match dtype {
        DType::U8 => Some((0.0, 255.0)),
        DType::I8 => Some((-128.0, 127.0)),
        dtype if dtype.is_float() => Some((-1.0, 1.0)),
        dtype if dtype.is_integer() || dtype == DType::Bool => Some((0.0, 1.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_session::TensorType;

    #[test]
    fn elements_stay_within_the_range_and_repeat() {
        let port = |dtype, range| PortInfo {
            name: "x".into(),
            ty: Some(TensorType::fixed(dtype, &[64])),
            range,
        };
        let ints = Draw::new(1)
            .tensor(&port(DType::I32, Some((3.0, 5.0))), &[64])
            .unwrap();
        let seen = ints.view().to_i64s().unwrap();
        assert!(
            (3..=5).all(|n| seen.contains(&n)) && seen.iter().all(|n| (3..=5).contains(n)),
            "{seen:?}"
        );
        let floats = port(DType::F32, None);
        let (one, two) = (
            Draw::new(7).tensor(&floats, &[64]).unwrap(),
            Draw::new(7).tensor(&floats, &[64]).unwrap(),
        );
        assert_eq!(one, two);
        assert!(
            one.view()
                .as_slice::<f32>()
                .unwrap()
                .iter()
                .all(|x| (-1.0..=1.0).contains(x))
        );
        assert!(Draw::new(0).tensor(&port(DType::String, None), &[1]).is_err());
    }
}
