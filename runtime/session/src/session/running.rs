//! Runs, whole or in steps, and what happens when a backend fails.
//!
//! A backend whose failure another may take over (a lost GPU) is left out from then on, and the run begins again without it.

use super::{Ordered, Outputs, Session, collect};
use crate::error::SessionError;
use crate::model::{MAX_PORTS, PortInfo};
use crate::prepared::{Prepared, Preparer, total};
use crate::validate::{InputFlags, check_values};
use sanderling_core::backend::Progress;
use sanderling_core::{CoreError, DType, Dim, Tensor, TensorView};

/// A backend that failed and is used no more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fallback {
    /// Its name.
    pub backend: String,
    /// What it said.
    pub reason: String,
}

/// Inputs of a run that goes on, in the model's order.
pub(super) struct UnderWay {
    inputs: Vec<Tensor>,
    flags: InputFlags,
    done: bool,
}

impl Session {
    /// Starts a run and does not wait: for browsers, which may not. The inputs are copied. A run that was under way is
    /// given up.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn start(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<(), SessionError> {
        let copies: Vec<Tensor> = inputs.iter().map(|(_, view)| view.to_tensor()).collect();
        let named: Vec<_> = inputs
            .iter()
            .zip(&copies)
            .map(|((name, _), copy)| (*name, copy.view()))
            .collect();
        let mut views = [None; MAX_PORTS];
        let count = self.order(&named, &mut views)?;
        let mut flags = InputFlags::default();
        for (port, view) in self.model.inputs.iter().zip(views.iter().flatten()) {
            check_values(port, view, self.policy, &mut flags, &mut self.counters)?;
        }
        let ordered = collect(&views, count);
        let inputs = ordered.as_slice().iter().map(TensorView::to_tensor).collect();
        self.start_with(inputs, flags)
    }

    /// Starts a run on zeros of the shapes that the model states, 1 where it leaves them open; ranges do not apply.
    pub(crate) fn start_warm_up(&mut self) -> Result<(), SessionError> {
        let zeros = |port: &PortInfo| {
            let dims = port.ty.as_ref().map_or(&[][..], |ty| &ty.shape);
            let size = |dim: &Dim| dim.fixed().map_or(1, |n| n as usize);
            let shape: Vec<usize> = dims.iter().map(size).collect();
            Tensor::zeros(port.ty.as_ref().map_or(DType::F32, |ty| ty.dtype), &shape)
        };
        let inputs = self.model.inputs.iter().map(zeros).collect::<Result<_, _>>()?;
        self.start_with(inputs, InputFlags::default())
    }

    fn start_with(&mut self, inputs: Vec<Tensor>, flags: InputFlags) -> Result<(), SessionError> {
        self.under_way = None;
        self.begin(&inputs.iter().map(Tensor::view).collect::<Vec<_>>())?;
        self.under_way = Some(UnderWay {
            inputs,
            flags,
            done: false,
        });
        Ok(())
    }

    fn begin(&mut self, inputs: &[TensorView<'_>]) -> Result<(), SessionError> {
        while let Err(error) = self.make_ready(inputs) {
            if !self.do_without(&error) {
                return Err(error);
            }
        }
        if let Some(prepared) = self.prepared.first_mut() {
            prepared.begin();
        }
        Ok(())
    }

    /// Goes on with the run that was started, until a device is waited for. Ready means that [`Session::results`] has its
    /// outputs, as long as no other run begins.
    ///
    /// # Errors
    /// As [`Session::run`]; the run is over then.
    pub fn poll(&mut self) -> Result<Progress, SessionError> {
        let Some(mut run) = self.under_way.take() else {
            return Ok(Progress::Ready);
        };
        let views: Vec<TensorView<'_>> = run.inputs.iter().map(Tensor::view).collect();
        loop {
            let result = match self.prepared.first_mut() {
                Some(prepared) if !run.done => prepared.advance(&self.model, &views),
                _ => Ok(Progress::Ready),
            };
            match result {
                Ok(progress) => {
                    self.counters.runs += u64::from(progress == Progress::Ready && !run.done);
                    run.done = progress == Progress::Ready;
                    self.under_way = Some(run);
                    return Ok(progress);
                }
                // At once: no device is waited for now, so none would say when to look again.
                Err(error) if self.do_without(&error) => self.begin(&views)?,
                Err(error) => {
                    self.counters.failed += 1;
                    return Err(error);
                }
            }
        }
    }

    /// Outputs of the run that was started, once [`Session::poll`] has called it ready.
    #[must_use]
    pub fn results(&self) -> Option<Outputs<'_>> {
        let run = self.under_way.as_ref().filter(|run| run.done)?;
        Some(Outputs {
            model: &self.model,
            prepared: self.prepared.first(),
            flags: run.flags,
        })
    }

    /// Runs inputs in the model's order; what ran is the first of `prepared` then.
    pub(super) fn run_ordered(&mut self, inputs: &Ordered<'_>) -> Result<(), SessionError> {
        let inputs = inputs.as_slice();
        self.under_way = None;
        loop {
            let result = self
                .make_ready(inputs)
                .and_then(|()| match self.prepared.first_mut() {
                    Some(prepared) => prepared.run(&self.model, inputs),
                    None => Ok(()),
                });
            match result {
                Err(error) if self.do_without(&error) => {}
                result => return result,
            }
        }
    }

    /// Makes the shape of these inputs the first of `prepared`.
    fn make_ready(&mut self, inputs: &[TensorView<'_>]) -> Result<(), SessionError> {
        match self.prepared.iter().position(|prepared| prepared.is_for(inputs)) {
            Some(index) => self.prepared[..=index].rotate_right(1),
            None => {
                let prepared = self.prepare(inputs)?;
                self.prepared.insert(0, prepared);
            }
        }
        Ok(())
    }

    /// Leaves out the backend that failed, where another may take over; the last is never left out.
    pub(super) fn do_without(&mut self, error: &SessionError) -> bool {
        let SessionError::Core(CoreError::Backend {
            backend,
            message,
            recoverable: true,
        }) = error
        else {
            return false;
        };
        let others = self.backends.len().saturating_sub(1);
        let Some(index) = self.backends[..others].iter().position(|b| b.name() == *backend) else {
            return false;
        };
        self.backends.remove(index);
        self.prepared.clear();
        self.fallbacks.push(Fallback {
            backend: backend.clone(),
            reason: message.clone(),
        });
        true
    }

    /// Prepares a shape in what is left of the memory limit; shapes used longest ago give way.
    pub(super) fn prepare(&mut self, inputs: &[TensorView<'_>]) -> Result<Prepared, SessionError> {
        let types: Vec<_> = inputs.iter().map(|view| (view.dtype(), view.shape())).collect();
        self.prepared.truncate(self.shapes_kept - 1);
        loop {
            let held = total(self.memory_use());
            let preparer = Preparer {
                backends: &self.backends,
                operators: self.operators,
                memory_limit: self.memory_limit.saturating_sub(held),
                observe: false,
            };
            match preparer.prepare(&self.model, &types) {
                Err(SessionError::Core(CoreError::TooLarge { .. })) if self.prepared.pop().is_some() => {}
                result => return result,
            }
        }
    }
}
