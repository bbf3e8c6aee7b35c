//! Golden vectors: inputs given or drawn, outputs computed by the references.

use sanderling_bundle::{DType, Expect, GoldenInput, GoldenOutput, GoldenVector, Sha256Digest, value_digest};
use sanderling_core::plan::{Constants, PlanView};
use sanderling_core::{OpTable, Tensor, TensorType, TensorView, reference};

use super::{Progress, Stage};
use crate::error::CompileError;
use crate::recipe::{GoldenInputs, GoldenRecipe, Recipe};

/// Most random vectors of a bundle.
const MAX_RANDOM: u32 = 64;
/// Most bytes of inputs of one vector.
const MAX_INPUT_BYTES: u64 = 256 << 20;

/// A golden vector with its bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Computed {
    pub(super) name: String,
    pub(super) description: String,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<(String, Tensor, Judged)>,
}

/// How an output is judged.
#[derive(Debug, Clone, PartialEq)]
enum Judged {
    Exact(Sha256Digest),
    Close { abs: f32, rel: f32 },
}

impl Computed {
    /// The form that the bundle takes.
    pub(super) fn vector(&self) -> GoldenVector<'_> {
        let dims = |tensor: &Tensor| tensor.shape().iter().map(|&d| d as u64).collect();
        let inputs = self.inputs.iter().map(|(name, tensor)| GoldenInput {
            name,
            dtype: tensor.dtype(),
            dims: dims(tensor),
            bytes: tensor.bytes(),
        });
        let outputs = self.outputs.iter().map(|(name, tensor, judged)| GoldenOutput {
            name,
            dtype: tensor.dtype(),
            dims: dims(tensor),
            expect: match judged {
                Judged::Exact(digest) => Expect::Exact { digest: *digest },
                Judged::Close { abs, rel } => Expect::Close {
                    bytes: tensor.bytes(),
                    abs: *abs,
                    rel: *rel,
                },
            },
        });
        GoldenVector {
            name: &self.name,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
        }
    }
}

/// Refuses vectors that no device would want to download and compute.
fn check_size(types: &[TensorType], random: u32) -> Result<(), CompileError> {
    let refuse = |at: &str, why: String| Err(CompileError::Manifest { at: at.into(), why });
    if random > MAX_RANDOM {
        return refuse(
            "golden.random",
            format!("it is {random}; at most {MAX_RANDOM} are taken"),
        );
    }
    let bytes = types
        .iter()
        .try_fold(0u64, |sum, ty| sum.checked_add(ty.byte_len()? as u64));
    match bytes {
        Some(bytes) if bytes > MAX_INPUT_BYTES => {
            let why = format!(
                "with them a golden vector has {bytes} bytes of inputs, {MAX_INPUT_BYTES} are allowed: give smaller sizes"
            );
            refuse("dims", why)
        }
        _ => Ok(()),
    }
}

/// Computes the vectors that the recipe asks for.
pub(super) fn compute(
    plan: &PlanView<'_>,
    constants: &dyn Constants,
    table: OpTable<'_>,
    types: &[TensorType],
    recipe: &Recipe,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Computed>, CompileError> {
    let GoldenRecipe { random, seed, .. } = recipe.golden;
    check_size(types, random)?;
    let mut sets = Vec::new();
    for given in &recipe.golden.vectors {
        sets.push((
            given.name.clone(),
            given.description.clone(),
            given_inputs(plan, types, given)?,
        ));
    }
    for index in 0..random {
        let seed = seed.wrapping_add(u64::from(index));
        let description = format!("random inputs within the declared ranges, seed {seed}");
        sets.push((
            format!("random-{seed}"),
            description,
            random_inputs(plan, types, recipe, seed)?,
        ));
    }
    let nodes = plan.node_count() as u64;
    let total = nodes * sets.len() as u64;
    let mut vectors = Vec::with_capacity(sets.len());
    for (n, (name, description, inputs)) in (0u64..).zip(sets) {
        let views: Vec<TensorView<'_>> = inputs.iter().map(|(_, tensor)| tensor.view()).collect();
        let mut done = n * nodes;
        progress(Progress {
            stage: Stage::Golden,
            done,
            total,
        });
        let outputs = reference::run(plan, constants, table, &views, &mut |_, _| {
            done = (done + 1).min((n + 1) * nodes);
            progress(Progress {
                stage: Stage::Golden,
                done,
                total,
            });
        })?;
        let names = plan.outputs().map(|id| plan.value(id).name.to_owned());
        let outputs = names
            .zip(outputs)
            .map(|(name, tensor)| judge(name, tensor, &recipe.golden));
        vectors.push(Computed {
            name,
            description,
            inputs,
            outputs: outputs.collect::<Result<_, _>>()?,
        });
    }
    progress(Progress {
        stage: Stage::Golden,
        done: total,
        total,
    });
    Ok(vectors)
}

/// Integers exactly; floats within the recipe's shares of the value and of the largest value.
fn judge(
    name: String,
    tensor: Tensor,
    recipe: &GoldenRecipe,
) -> Result<(String, Tensor, Judged), CompileError> {
    if !tensor.dtype().is_float() {
        let dims: Vec<u64> = tensor.shape().iter().map(|&d| d as u64).collect();
        let digest = value_digest(tensor.dtype(), &dims, tensor.bytes());
        return Ok((name, tensor, Judged::Exact(digest)));
    }
    let largest = largest_finite(&tensor).ok_or_else(|| CompileError::Unsupported {
        what: format!("output '{name}' of type {} in a golden vector", tensor.dtype()),
        advice: "cast the output to float32 in the model",
    })?;
    let judged = Judged::Close {
        abs: largest * recipe.abs,
        rel: recipe.rel,
    };
    Ok((name, tensor, judged))
}

/// Largest absolute finite element; none for types that this does not read.
fn largest_finite(tensor: &Tensor) -> Option<f32> {
    let view = tensor.view();
    let values: Vec<f32> = match tensor.dtype() {
        DType::F32 => view.as_slice::<f32>().ok()?.to_vec(),
        DType::F64 => view.as_slice::<f64>().ok()?.iter().map(|&x| x as f32).collect(),
        DType::F16 => view
            .as_slice::<half::f16>()
            .ok()?
            .iter()
            .map(|x| x.to_f32())
            .collect(),
        DType::BF16 => view
            .as_slice::<half::bf16>()
            .ok()?
            .iter()
            .map(|x| x.to_f32())
            .collect(),
        _ => return None,
    };
    Some(
        values
            .iter()
            .filter(|x| x.is_finite())
            .fold(0.0, |max, x| x.abs().max(max)),
    )
}

fn given_inputs(
    plan: &PlanView<'_>,
    types: &[TensorType],
    given: &GoldenInputs,
) -> Result<Vec<(String, Tensor)>, CompileError> {
    let mut inputs = Vec::new();
    for (id, ty) in plan.inputs().zip(types) {
        let name = plan.value(id).name;
        let fail = |why: String| CompileError::Manifest {
            at: format!("golden vector '{}'", given.name),
            why,
        };
        let bytes = given
            .inputs
            .get(name)
            .ok_or_else(|| fail(format!("input '{name}' is absent")))?;
        let shape = ty
            .concrete()
            .ok_or_else(|| fail(format!("input '{name}' has no fixed shape")))?;
        let tensor = Tensor::from_bytes(ty.dtype, &shape, bytes)
            .map_err(|error| fail(format!("input '{name}': {error}; sizes come from [dims]")))?;
        inputs.push((name.to_owned(), tensor));
    }
    Ok(inputs)
}

fn random_inputs(
    plan: &PlanView<'_>,
    types: &[TensorType],
    recipe: &Recipe,
    seed: u64,
) -> Result<Vec<(String, Tensor)>, CompileError> {
    let mut random = SplitMix64(seed);
    let mut inputs = Vec::new();
    for (id, ty) in plan.inputs().zip(types) {
        let name = plan.value(id).name;
        let unsupported = || CompileError::Unsupported {
            what: format!("a random golden input '{name}' of type {ty}"),
            advice: "set golden.random = 0 and give inputs in golden.vectors",
        };
        let range = recipe
            .inputs
            .get(name)
            .and_then(|input| input.range)
            .or(default_range(ty.dtype));
        let (low, high) = range.ok_or_else(unsupported)?;
        let shape = ty.concrete().ok_or_else(unsupported)?;
        let count = sanderling_core::shape::element_count(&shape).ok_or_else(unsupported)?;
        let bytes: Option<Vec<Vec<u8>>> = (0..count)
            .map(|_| element(ty.dtype, random.within(low, high)))
            .collect();
        let bytes = bytes.ok_or_else(unsupported)?.concat();
        inputs.push((
            name.to_owned(),
            Tensor::from_bytes(ty.dtype, &shape, &bytes).map_err(|_| unsupported())?,
        ));
    }
    Ok(inputs)
}

/// Where a recipe declares no range: whole bytes, else small values that any model takes.
fn default_range(dtype: DType) -> Option<(f64, f64)> {
    match dtype {
        DType::U8 => Some((0.0, 255.0)),
        DType::I8 => Some((-128.0, 127.0)),
        dtype if dtype.is_float() => Some((-1.0, 1.0)),
        dtype if dtype.is_integer() || dtype == DType::Bool => Some((0.0, 1.0)),
        _ => None,
    }
}

/// One element's bytes; integers by rounding down, which `SplitMix64::within` has room for.
fn element(dtype: DType, (real, whole): (f64, i64)) -> Option<Vec<u8>> {
    Some(match dtype {
        DType::F32 => (real as f32).to_le_bytes().to_vec(),
        DType::F64 => real.to_le_bytes().to_vec(),
        DType::F16 => half::f16::from_f64(real).to_le_bytes().to_vec(),
        DType::BF16 => half::bf16::from_f64(real).to_le_bytes().to_vec(),
        DType::I64 | DType::U64 => whole.to_le_bytes().to_vec(),
        DType::I32 | DType::U32 => (whole as i32).to_le_bytes().to_vec(),
        DType::I16 | DType::U16 => (whole as i16).to_le_bytes().to_vec(),
        DType::I8 | DType::U8 => vec![whole as u8],
        DType::Bool => vec![u8::from(whole != 0)],
        _ => return None,
    })
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A real and a whole number between `low` and `high`, both included, from one draw.
    fn within(&mut self, low: f64, high: f64) -> (f64, i64) {
        // 53 bits, the precision of a double.
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        let whole = (low.ceil() + unit * (high.floor() - low.ceil() + 1.0))
            .floor()
            .min(high.floor());
        (low + unit * (high - low), whole as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::SplitMix64;

    #[test]
    fn draws_are_within_bounds_and_reproducible() {
        // First outputs for seed 0, from the reference implementation by S. Vigna.
        let mut random = SplitMix64(0);
        assert_eq!(
            [random.next(), random.next()],
            [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]
        );
        let mut seen = [false; 4];
        for _ in 0..200 {
            let (real, whole) = random.within(-1.0, 2.0);
            assert!((-1.0..=2.0).contains(&real) && (-1..=2).contains(&whole));
            seen[(whole + 1) as usize] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(random.within(3.0, 3.0), (3.0, 3));
    }
}
