//! Element-wise operators on floats, of one, two or many inputs.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_kernels::{Binary, Unary, binary, binary_inplace, broadcast_strides, unary, unary_inplace};

/// An operator of one float tensor.
pub(super) struct Pointwise {
    domain: &'static str,
    name: &'static str,
    /// The function, from attributes and constant inputs; none for a case that is the reference's.
    function: fn(&PrepareCx<'_>) -> Result<Option<Unary>, OpError>,
}

macro_rules! pointwise {
    ($($row:ident = $name:literal, $cx:ident => $function:expr;)*) => {
        $(pub(super) const $row: Pointwise =
            Pointwise { domain: "", name: $name, function: |$cx| Ok(Some($function)) };)*
    };
}

pointwise! {
    ABS = "Abs", _cx => Unary::Abs;
    CEIL = "Ceil", _cx => Unary::Ceil;
    ELU = "Elu", cx => Unary::Elu { alpha: cx.attrs().float_or("alpha", 1.0)? };
    ERF = "Erf", _cx => Unary::Erf;
    EXP = "Exp", _cx => Unary::Exp;
    FLOOR = "Floor", _cx => Unary::Floor;
    HARD_SIGMOID = "HardSigmoid", cx => Unary::HardSigmoid {
        alpha: cx.attrs().float_or("alpha", 0.2)?,
        beta: cx.attrs().float_or("beta", 0.5)?,
    };
    HARD_SWISH = "HardSwish", _cx => Unary::HardSwish;
    LEAKY_RELU = "LeakyRelu", cx => Unary::LeakyRelu { alpha: cx.attrs().float_or("alpha", 0.01)? };
    LOG = "Log", _cx => Unary::Log;
    NEG = "Neg", _cx => Unary::Neg;
    RECIPROCAL = "Reciprocal", _cx => Unary::Reciprocal;
    RELU = "Relu", _cx => Unary::Relu;
    ROUND = "Round", _cx => Unary::Round;
    SIGMOID = "Sigmoid", _cx => Unary::Sigmoid;
    SIGN = "Sign", _cx => Unary::Sign;
    SOFTPLUS = "Softplus", _cx => Unary::Softplus;
    SQRT = "Sqrt", _cx => Unary::Sqrt;
    TANH = "Tanh", _cx => Unary::Tanh;
    GELU = "Gelu", cx => match cx.attrs().str_or("approximate", "none")? {
        "tanh" => Unary::GeluTanh,
        _ => Unary::Gelu,
    };
}

pub(super) const MICROSOFT_GELU: Pointwise = Pointwise {
    domain: "com.microsoft",
    name: "Gelu",
    function: |_| Ok(Some(Unary::Gelu)),
};
impl CpuOp for Pointwise {
    fn domain(&self) -> &'static str {
        self.domain
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        if cx.input(0)?.dtype != DType::F32 {
            return Ok(Choice::Reference);
        }
        match (self.function)(cx)? {
            Some(function) => map(function),
            None => Ok(Choice::Reference),
        }
    }
}

/// The kernel of one function.
pub(super) fn map(function: Unary) -> Result<Choice, OpError> {
    Choice::kernel(Map {
        functions: alloc::vec![function],
    })
}

/// Elements of a block to which all functions are applied before the next is read: half of a small L1 cache.
const BLOCK: usize = 4096;

/// One function, or several in a row that fused.
struct Map {
    functions: Vec<Unary>,
}

impl CpuKernel for Map {
    fn describe(&self) -> String {
        let names: Vec<String> = self
            .functions
            .iter()
            .map(|function| format!("{function:?}"))
            .collect();
        names.join(", ")
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn in_place(&self, input: usize) -> bool {
        input == 0
    }

    fn as_unary(&self) -> Option<Unary> {
        match self.functions[..] {
            [function] => Some(function),
            _ => None,
        }
    }

    fn fuse(&mut self, next: Unary) -> bool {
        self.functions.push(next);
        true
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let Some((&first, rest)) = self.functions.split_first() else {
            return Ok(());
        };
        let (ctx, y) = (cx.ctx(), cx.slice_mut::<f32>(0)?);
        let x = match cx.in_place() {
            Some(_) => None,
            None => Some(cx.slice::<f32>(0)?),
        };
        // One function is cut over the threads by its kernel; several stay in the cache, block by block.
        let block = if rest.is_empty() { y.len().max(1) } else { BLOCK };
        for (i, y) in y.chunks_mut(block).enumerate() {
            match x {
                Some(x) => unary(ctx, first, &x[i * block..][..y.len()], y).map_err(kernel_error)?,
                None => unary_inplace(ctx, first, y),
            }
            rest.iter().for_each(|&function| unary_inplace(ctx, function, y));
        }
        Ok(())
    }
}

/// An operator of two (or, where it is associative, any number of) float tensors that broadcast.
pub(super) struct Broadcast {
    name: &'static str,
    function: Binary,
}

pub(super) const ADD: Broadcast = Broadcast {
    name: "Add",
    function: Binary::Add,
};
pub(super) const DIV: Broadcast = Broadcast {
    name: "Div",
    function: Binary::Div,
};
pub(super) const MAX: Broadcast = Broadcast {
    name: "Max",
    function: Binary::Max,
};
pub(super) const MIN: Broadcast = Broadcast {
    name: "Min",
    function: Binary::Min,
};
pub(super) const MUL: Broadcast = Broadcast {
    name: "Mul",
    function: Binary::Mul,
};
pub(super) const POW: Broadcast = Broadcast {
    name: "Pow",
    function: Binary::Pow,
};
pub(super) const SUB: Broadcast = Broadcast {
    name: "Sub",
    function: Binary::Sub,
};
pub(super) const SUM: Broadcast = Broadcast {
    name: "Sum",
    function: Binary::Add,
};

impl CpuOp for Broadcast {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        // Before opset 7 the second input is laid along an axis that an attribute names.
        if !cx.all(DType::F32) || cx.opset() < 7 {
            return Ok(Choice::Reference);
        }
        let output = cx.output(0)?;
        if let (Binary::Pow, Some(exponent)) = (self.function, cx.constant(1)) {
            let function = match exponent.as_slice::<f32>()? {
                [2.0] => Some(Unary::Square),
                [0.5] => Some(Unary::Sqrt),
                _ => None,
            };
            if let Some(function) = function.filter(|_| cx.input(0).is_ok_and(|x| x.shape == output.shape)) {
                return map(function);
            }
        }
        let strides = |index: usize| -> Result<Box<[usize]>, OpError> {
            let mut strides = alloc::vec![0; output.shape.len()];
            broadcast_strides(&cx.input(index)?.shape, &output.shape, &mut strides).map_err(kernel_error)?;
            Ok(strides.into())
        };
        let strides: Vec<_> = (0..cx.input_count()).map(strides).collect::<Result<_, _>>()?;
        let whole = (0..cx.input_count()).map(|i| Ok(cx.input(i)?.shape == output.shape));
        let whole = whole.collect::<Result<_, OpError>>()?;
        let function = self.function;
        Choice::kernel(Zip {
            name: self.name,
            function,
            shape: output.shape.clone(),
            strides,
            whole,
            then: None,
        })
    }
}

struct Zip {
    name: &'static str,
    function: Binary,
    shape: Box<[usize]>,
    strides: Vec<Box<[usize]>>,
    /// Which inputs have the output's shape.
    whole: Vec<bool>,
    then: Option<Unary>,
}

impl Zip {
    /// The same function of exchanged arguments, where there is one.
    fn commutes(&self) -> bool {
        matches!(
            self.function,
            Binary::Add | Binary::Mul | Binary::Min | Binary::Max
        )
    }
}

impl CpuKernel for Zip {
    fn describe(&self) -> String {
        match self.then {
            Some(then) => format!("{}, {then:?}", self.name),
            None => String::from(self.name),
        }
    }

    fn in_place(&self, input: usize) -> bool {
        let position = input == 0 || (input == 1 && self.whole.len() == 2 && self.commutes());
        position && self.whole.get(input) == Some(&true)
    }

    fn fuse(&mut self, next: Unary) -> bool {
        self.then.is_none() && {
            self.then = Some(next);
            true
        }
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (ctx, y) = (cx.ctx(), cx.slice_mut::<f32>(0)?);
        let apply = |y: &mut [f32], input: usize| {
            let b = cx.slice::<f32>(input)?;
            binary_inplace(ctx, self.function, &self.shape, y, b, &self.strides[input]).map_err(kernel_error)
        };
        let next = match (cx.in_place(), self.whole.len()) {
            (Some(taken), 2) => {
                apply(y, 1 - taken)?;
                2
            }
            (Some(_), _) => 1,
            (None, 1) => {
                y.copy_from_slice(cx.slice(0)?);
                1
            }
            (None, _) => {
                let (a, b) = (cx.slice::<f32>(0)?, cx.slice::<f32>(1)?);
                let (shape, strides) = (&self.shape, &self.strides);
                binary(ctx, self.function, shape, a, &strides[0], b, &strides[1], y).map_err(kernel_error)?;
                2
            }
        };
        for input in next..self.whole.len() {
            apply(y, input)?;
        }
        if let Some(then) = self.then {
            unary_inplace(ctx, then, y);
        }
        Ok(())
    }
}
