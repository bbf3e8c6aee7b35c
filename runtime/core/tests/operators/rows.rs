//! A row of a table, and how it is checked.

use sanderling_core::op::InputFact;
use sanderling_core::ops::common::codec::{Wide, reader};
use sanderling_core::{Attribute, Attrs, DType, OpTable, Tensor, TensorType, infer, ops};

/// One operator applied to small inputs.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) domain: &'static str,
    pub(crate) op: &'static str,
    opset: u16,
    attributes: Vec<(String, Attribute)>,
    inputs: Vec<Option<Tensor>>,
    want: Want,
}

#[derive(Debug, Clone)]
enum Want {
    Outputs(Vec<Tensor>),
    Refusal(&'static str),
}

/// A row of ONNX's own domain at opset 17.
pub(crate) fn row(op: &'static str) -> Row {
    Row {
        domain: "",
        op,
        opset: 17,
        attributes: Vec::new(),
        inputs: Vec::new(),
        want: Want::Outputs(Vec::new()),
    }
}

/// What an attribute of a row can be made of.
pub(crate) trait IntoAttribute {
    fn into_attribute(self) -> Attribute;
}

macro_rules! attributes {
    ($($t:ty => |$value:ident| $made:expr;)*) => {$(
        impl IntoAttribute for $t {
            fn into_attribute(self) -> Attribute {
                let $value = self;
                $made
            }
        }
    )*};
}

attributes! {
    i64 => |n| Attribute::Int(n);
    f32 => |x| Attribute::Float(x);
    &str => |text| Attribute::String(text.as_bytes().to_vec());
    &[i64] => |list| Attribute::Ints(list.to_vec());
    &[f32] => |list| Attribute::Floats(list.to_vec());
    Tensor => |tensor| Attribute::Tensor(tensor);
}

impl Row {
    pub(crate) fn microsoft(mut self) -> Self {
        (self.domain, self.opset) = ("com.microsoft", 1);
        self
    }

    pub(crate) fn ours(mut self) -> Self {
        (self.domain, self.opset) = ("ai.sanderling", 1);
        self
    }

    pub(crate) fn opset(mut self, opset: u16) -> Self {
        self.opset = opset;
        self
    }

    pub(crate) fn attr(mut self, name: &str, value: impl IntoAttribute) -> Self {
        self.attributes.push((name.into(), value.into_attribute()));
        self
    }

    pub(crate) fn ints(self, name: &str, list: &[i64]) -> Self {
        self.attr(name, list)
    }

    pub(crate) fn with(mut self, input: Tensor) -> Self {
        self.inputs.push(Some(input));
        self
    }

    pub(crate) fn without(mut self) -> Self {
        self.inputs.push(None);
        self
    }

    pub(crate) fn gives(self, output: Tensor) -> Self {
        self.gives_all(vec![output])
    }

    pub(crate) fn gives_all(mut self, outputs: Vec<Tensor>) -> Self {
        self.want = Want::Outputs(outputs);
        self
    }

    /// It is refused with an error that holds this text.
    pub(crate) fn refuses(mut self, text: &'static str) -> Self {
        self.want = Want::Refusal(text);
        self
    }

    /// Whether the row holds; else why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let found = self.run();
        let title = format!("{} {} {:?}", self.op, self.opset, self.attributes);
        match (&self.want, found) {
            (Want::Refusal(text), Err(error)) if error.contains(text) => Ok(()),
            (Want::Refusal(text), Err(error)) => {
                Err(format!("{title}: refused with '{error}', not '{text}'"))
            }
            (Want::Refusal(text), Ok(_)) => Err(format!("{title}: it is not refused with '{text}'")),
            (Want::Outputs(_), Err(error)) => Err(format!("{title}: {error}")),
            (Want::Outputs(want), Ok(found)) => {
                let mut pairs = want.iter().zip(&found).enumerate();
                match pairs.find(|(_, (want, found))| !close(want, found)) {
                    Some((i, (want, found))) => Err(format!(
                        "{title}: output {i} is {} {:?}, not {} {:?}",
                        found.ty(),
                        values(found),
                        want.ty(),
                        values(want)
                    )),
                    None => Ok(()),
                }
            }
        }
    }

    fn run(&self) -> Result<Vec<Tensor>, String> {
        let op = OpTable(ops::ALL)
            .find(self.domain, self.op, self.opset)
            .ok_or("no such operator")?;
        let attrs = Attrs::of_graph(&self.attributes);
        let types: Vec<Option<TensorType>> = self.inputs.iter().map(|t| t.as_ref().map(Tensor::ty)).collect();
        let facts: Vec<Option<InputFact<'_>>> = types
            .iter()
            .zip(&self.inputs)
            .map(|(ty, tensor)| {
                let data = tensor.as_ref().map(Tensor::view);
                ty.as_ref().map(|ty| InputFact { ty, data, dims: None })
            })
            .collect();
        let count = if let Want::Outputs(outputs) = &self.want {
            outputs.len()
        } else {
            1
        };
        // What the shape rule computes itself must agree with the reference.
        let inferred = infer::apply(op, attrs, self.opset, &facts, count, 0).map_err(|e| e.to_string())?;
        let types: Vec<TensorType> = inferred.iter().filter_map(|fact| fact.ty.clone()).collect();
        let views: Vec<_> = self.inputs.iter().map(|t| t.as_ref().map(Tensor::view)).collect();
        let found = infer::eval(op, attrs, self.opset, &views, &types).map_err(|e| e.to_string())?;
        for (fact, tensor) in inferred.iter().zip(&found) {
            if fact.data.as_ref().is_some_and(|data| data != tensor) {
                return Err("the shape rule says other data than the reference".into());
            }
        }
        Ok(found)
    }
}

fn values(tensor: &Tensor) -> Vec<Wide> {
    let read = reader(tensor.dtype()).unwrap();
    (0..tensor.view().len())
        .map(|i| read(tensor.bytes(), i))
        .collect()
}

/// Floats to within 2⁻²⁰ relative (2⁻⁹ for 16 bits), everything else exactly.
fn close(want: &Tensor, found: &Tensor) -> bool {
    let unit = if want.dtype().bits() <= 16 {
        1.0 / 512.0
    } else {
        1.0 / 1_048_576.0
    };
    let near = |pair| match pair {
        (Wide::Float(a), Wide::Float(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= unit * a.abs().max(1e-3)
        }
        (a, b) => a == b,
    };
    want.dtype() == found.dtype()
        && want.shape() == found.shape()
        && values(want).into_iter().zip(values(found)).all(near)
}

/// A tensor of binary32.
pub(crate) fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(shape, values).unwrap()
}

/// A list of binary32.
pub(crate) fn list(values: &[f32]) -> Tensor {
    f32s(&[values.len()], values)
}

/// A scalar.
pub(crate) fn scalar(value: f32) -> Tensor {
    f32s(&[], &[value])
}

/// A list of int64.
pub(crate) fn ints(values: &[i64]) -> Tensor {
    Tensor::from_slice(&[values.len()], values).unwrap()
}

/// A tensor of int64.
pub(crate) fn i64s(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_slice(shape, values).unwrap()
}

/// A list of bools.
pub(crate) fn bools(values: &[bool]) -> Tensor {
    let bytes: Vec<u8> = values.iter().map(|&b| u8::from(b)).collect();
    Tensor::from_bytes(DType::Bool, &[values.len()], &bytes).unwrap()
}

/// 1, 2, 3, … as binary32.
pub(crate) fn counting(shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (1..=shape.iter().product::<usize>()).map(|n| n as f32).collect();
    f32s(shape, &values)
}
