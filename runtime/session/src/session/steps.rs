//! Layers and golden vectors in steps: for browsers, which may not wait.

use super::{Session, collect};
use crate::error::SessionError;
use crate::golden::{self, SelfTest, VectorResult};
use crate::layers::{self, Layer};
use crate::model::{MAX_PORTS, Model};
use crate::prepared::{PAUSE, Prepared, Preparer, total};
use crate::validate::{InputFlags, check_values};
use sanderling_bundle::BundleView;
use sanderling_core::backend::Progress;
use sanderling_core::{OpTable, Tensor, TensorView};

/// A run that keeps every layer, and goes on; see [`Session::start_layers`].
pub struct LayersRun {
    prepared: Prepared,
    /// In the model's order.
    inputs: Vec<Tensor>,
}

impl LayersRun {
    fn advance(&mut self, model: &Model, operators: OpTable<'_>) -> Result<Option<Vec<Layer>>, SessionError> {
        let views: Vec<TensorView<'_>> = self.inputs.iter().map(Tensor::view).collect();
        let done = self.prepared.advance(model, &views)? == Progress::Ready
            && self.prepared.read_observed()? == Progress::Ready;
        done.then(|| layers::collect(&mut self.prepared, model, operators, &views))
            .transpose()
    }
}

/// The golden vectors, one after the other; see [`Session::poll_self_test`].
#[derive(Default)]
pub struct SelfTestRun {
    /// Whether the vector after those that are done was started.
    is_started: bool,
    done: Vec<VectorResult>,
}

impl Session {
    /// Runs the model and gives every layer, in order, with the digests of those that compute integers.
    ///
    /// The model is prepared anew for it, with memory for all values at one time; nothing of that is kept. No other backend
    /// takes over from one that fails: who asks for layers wants to know whose they are.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn layers(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<Vec<Layer>, SessionError> {
        let inputs = self.checked(inputs)?;
        let mut run = self.observe(inputs)?;
        loop {
            if let Some(layers) = run.advance(&self.model, self.operators)? {
                return Ok(layers);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Starts what [`Session::layers`] does, and does not wait. A backend that fails is left out: look at
    /// [`Session::fallbacks`] for whose the layers are.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn start_layers(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<LayersRun, SessionError> {
        let inputs = self.checked(inputs)?;
        self.observe_by_any(inputs)
    }

    /// Goes on with a run of layers, until a device is waited for: none then.
    ///
    /// # Errors
    /// As [`Session::run`]; the run is over then.
    pub fn poll_layers(&mut self, run: &mut LayersRun) -> Result<Option<Vec<Layer>>, SessionError> {
        loop {
            match run.advance(&self.model, self.operators) {
                Err(error) if self.do_without(&error) => {
                    *run = self.observe_by_any(std::mem::take(&mut run.inputs))?;
                }
                result => return result,
            }
        }
    }

    /// Goes on with the bundle's golden vectors, as [`Session::self_test`] runs them, until a device is waited for: none then.
    ///
    /// # Errors
    /// As [`Session::self_test`].
    pub fn poll_self_test(&mut self, run: &mut SelfTestRun) -> Result<Option<SelfTest>, SessionError> {
        let Some(bytes) = self.model.bundle().map(|(bytes, _)| bytes.clone()) else {
            return Ok(Some(SelfTest::default()));
        };
        let polled = match run.is_started.then(|| self.poll()) {
            Some(Ok(Progress::Pending)) => return Ok(None),
            Some(Err(error)) => Err(error.to_string()),
            _ => Ok(()),
        };
        let vectors = BundleView::parse(&bytes)?.golden()?;
        let mut polled = run.is_started.then_some(polled);
        while let Some(vector) = vectors.get(run.done.len()) {
            if let Some(result) = polled.take() {
                let nothing = || "the run has no outputs".to_string();
                let outputs = result.and_then(|()| self.results().ok_or_else(nothing));
                run.done.push(golden::result(vector, outputs));
                continue;
            }
            if let Err(failed) = golden::start(self, vector) {
                run.done.push(failed);
                continue;
            }
            polled = match self.poll() {
                Ok(Progress::Pending) => {
                    run.is_started = true;
                    return Ok(None);
                }
                result => Some(result.map(drop).map_err(|error| error.to_string())),
            };
        }
        run.is_started = false;
        Ok(Some(SelfTest {
            vectors: std::mem::take(&mut run.done),
        }))
    }

    /// Copies of inputs that fit the model, in its order.
    fn checked(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<Vec<Tensor>, SessionError> {
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
        Ok(ordered.as_slice().iter().map(TensorView::to_tensor).collect())
    }

    fn observe_by_any(&mut self, inputs: Vec<Tensor>) -> Result<LayersRun, SessionError> {
        loop {
            match self.observe(inputs.clone()) {
                Err(error) if self.do_without(&error) => {}
                result => return result,
            }
        }
    }

    /// Prepares the model with every value observed, in what is left of the memory limit.
    fn observe(&self, inputs: Vec<Tensor>) -> Result<LayersRun, SessionError> {
        let types: Vec<_> = inputs
            .iter()
            .map(|input| (input.dtype(), input.shape()))
            .collect();
        let preparer = Preparer {
            backends: &self.backends,
            operators: self.operators,
            memory_limit: self.memory_limit.saturating_sub(total(self.memory_use())),
            observe: true,
        };
        let mut prepared = preparer.prepare(&self.model, &types)?;
        prepared.begin();
        Ok(LayersRun { prepared, inputs })
    }
}
