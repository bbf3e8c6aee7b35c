//! A model ready to run: everything checked, nothing copied.

use crate::arena::{Memory, Place, lend, place};
use crate::error::MicroError;
use crate::node::Node;
use crate::ops::Operator;
use crate::tensor::Tensor;
use core::ops::Range;
use sanderling_flat::plan::{NodeView, PlanView, VALUE_LEN, ValueKind, scratch_len};
use sanderling_flat::{Certificate, Container, Tensors, ValueId};

/// The plan that every backend takes.
const TARGET_ANY: &str = "any";

/// What the device has, beside the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of stack left for a run.
    pub stack_bytes: usize,
}

/// A value that a node has written.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'x> {
    /// Its name in the graph.
    pub name: &'x str,
    /// The operator that wrote it.
    pub operator: &'x str,
    /// The value.
    pub tensor: Tensor<'x>,
}

/// A model in flash and its arena.
pub struct Session<'a, 'm> {
    plan: PlanView<'a>,
    tensors: Tensors<'a>,
    certificate: Certificate,
    operators: &'a [Operator],
    arena: &'m mut [u8],
}

impl<'a, 'm> Session<'a, 'm> {
    /// Checks a bundle against the operators, the arena and the limits. Nothing is computed, and nothing written but scratch
    /// into the arena. Hashes of sections are not checked: see [`Container::verify_hashes`].
    ///
    /// # Errors
    /// [`MicroError`] with the first thing that does not fit.
    pub fn new(
        bundle: &'a [u8],
        operators: &'a [Operator],
        arena: &'m mut [u8],
        limits: &Limits,
    ) -> Result<Self, MicroError<'a>> {
        let container = Container::parse(bundle)?;
        let certificate = container.certificate()?.ok_or(MicroError::NotStatic)?;
        let bytes = container.plan(TARGET_ANY).ok_or(MicroError::NotStatic)?;
        // A bit a value, before the arena holds any. Values share places, so that this may be more than they take; the count that
        // a damaged plan states is held to what fits into its bytes.
        let scratch = scratch_len(bytes).min((bytes.len() / VALUE_LEN).div_ceil(8));
        let values = certificate.arena_bytes as usize;
        let (needed, given) = (values.max(scratch), arena.len());
        if needed > given {
            return Err(MicroError::Arena { needed, given });
        }
        let (needed, given) = (certificate.stack_bytes as usize, limits.stack_bytes);
        if needed > given {
            return Err(MicroError::Stack { needed, given });
        }
        let plan = PlanView::parse_with(bytes, arena.get_mut(..scratch).unwrap_or_default())?;
        if plan.arena_len() != u64::from(certificate.arena_bytes) {
            let what = "its arena is not as long as the plan's";
            return Err(MicroError::Certificate { what });
        }
        if certificate.scratch_bytes != 0 {
            let what = "it asks for memory beside the arena";
            return Err(MicroError::Certificate { what });
        }
        let session = Self {
            plan,
            tensors: container.tensors(),
            certificate,
            operators,
            arena: arena.get_mut(..values).unwrap_or_default(),
        };
        session.check()?;
        Ok(session)
    }

    /// What the bundle says a run takes.
    #[must_use]
    pub const fn certificate(&self) -> Certificate {
        self.certificate
    }

    /// Writes an input's elements. Its place is used again during a run: write all inputs before each.
    ///
    /// # Errors
    /// [`MicroError::NoSuchValue`], [`MicroError::Input`] for another length.
    pub fn set_input(&mut self, index: usize, bytes: &[u8]) -> Result<(), MicroError<'a>> {
        let id = self.plan.inputs().nth(index);
        let value = self.plan.value(id.ok_or(MicroError::NoSuchValue { index })?);
        let place = place(&value, self.arena.len())?;
        let (needed, given) = (place.bytes.len(), bytes.len());
        match self.arena.get_mut(place.bytes).filter(|_| needed == given) {
            Some(to) => to.copy_from_slice(bytes),
            None => {
                return Err(MicroError::Input {
                    name: value.name,
                    needed,
                    given,
                });
            }
        }
        Ok(())
    }

    /// Computes the outputs from the inputs.
    ///
    /// # Errors
    /// None that [`Session::new`] would not have found.
    pub fn run(&mut self) -> Result<(), MicroError<'a>> {
        self.run_observed(&mut |_| {})
    }

    /// The same; `observe` sees each value as it is written.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_observed(&mut self, observe: &mut dyn FnMut(Layer<'_>)) -> Result<(), MicroError<'a>> {
        for view in self.plan.nodes() {
            let operator = find(self.operators, &view)?;
            for (output, id) in view.outputs().enumerate() {
                let Some(id) = id else { continue };
                let name = self.plan.value(id).name;
                let Place { dtype, shape, bytes } = place(&self.plan.value(id), self.arena.len())?;
                let arena_len = self.arena.len();
                let Some((before, out, after)) = lend(self.arena, bytes.clone()) else {
                    let what = "its place is outside of the arena";
                    return Err(MicroError::Value { name, what });
                };
                let node = Node {
                    view,
                    memory: Memory {
                        plan: self.plan,
                        tensors: self.tensors,
                        arena_len,
                        before,
                        after: (bytes.end, after),
                    },
                    dtype,
                    shape,
                    output,
                };
                (operator.compute)(&node, Some(out)).map_err(|fault| at(&view, fault))?;
                observe(Layer {
                    name,
                    operator: view.op_type(),
                    tensor: Tensor {
                        dtype,
                        shape,
                        bytes: out,
                        constant: false,
                    },
                });
            }
        }
        Ok(())
    }

    /// An output of the last run.
    ///
    /// # Errors
    /// [`MicroError::NoSuchValue`].
    pub fn output(&self, index: usize) -> Result<Tensor<'_>, MicroError<'a>> {
        let id = self.plan.outputs().nth(index);
        let id = id.ok_or(MicroError::NoSuchValue { index })?;
        let value = self.plan.value(id);
        if let ValueKind::Constant(index) = value.kind {
            return crate::arena::constant(&self.tensors, index, value.name);
        }
        let Place { dtype, shape, bytes } = place(&value, self.arena.len())?;
        Ok(Tensor {
            dtype,
            shape,
            bytes: self.arena.get(bytes).unwrap_or_default(),
            constant: false,
        })
    }

    /// Every value has a place, every node an operator that takes it, and no node writes what it reads.
    fn check(&self) -> Result<(), MicroError<'a>> {
        let ends = self.plan.inputs().chain(self.plan.outputs());
        ends.into_iter().try_for_each(|id| self.lies(id).map(drop))?;
        for view in self.plan.nodes() {
            let operator = find(self.operators, &view)?;
            for (output, id) in view.outputs().enumerate() {
                let Some(id) = id else { continue };
                let Place { dtype, shape, bytes } = place(&self.plan.value(id), self.arena.len())?;
                for read in view.inputs().flatten() {
                    let read_at = self.lies(read)?;
                    if read_at.is_some_and(|at| at.start < bytes.end && bytes.start < at.end) {
                        return Err(MicroError::Value {
                            name: self.plan.value(id).name,
                            what: "it lies where its node reads",
                        });
                    }
                }
                let node = Node {
                    view,
                    memory: Memory {
                        plan: self.plan,
                        tensors: self.tensors,
                        arena_len: self.arena.len(),
                        before: &[],
                        after: (0, &[]),
                    },
                    dtype,
                    shape,
                    output,
                };
                (operator.compute)(&node, None).map_err(|fault| at(&view, fault))?;
            }
        }
        Ok(())
    }

    /// Where a value lies in the arena; none for a constant, which is checked to be there.
    fn lies(&self, id: ValueId) -> Result<Option<Range<usize>>, MicroError<'a>> {
        let value = self.plan.value(id);
        match value.kind {
            ValueKind::Constant(index) => {
                crate::arena::constant(&self.tensors, index, value.name).map(|_| None)
            }
            _ => place(&value, self.arena.len()).map(|place| Some(place.bytes)),
        }
    }
}

fn at<'a>(view: &NodeView<'a>, fault: crate::Fault) -> MicroError<'a> {
    MicroError::Node {
        node: view.name(),
        operator: view.op_type(),
        fault,
    }
}

fn find<'a>(operators: &'a [Operator], view: &NodeView<'a>) -> Result<&'a Operator, MicroError<'a>> {
    let fits =
        |op: &&Operator| op.name == view.op_type() && op.domain == view.domain() && view.opset() >= op.since;
    operators.iter().find(fits).ok_or(MicroError::UnknownOperator {
        node: view.name(),
        domain: view.domain(),
        operator: view.op_type(),
    })
}
