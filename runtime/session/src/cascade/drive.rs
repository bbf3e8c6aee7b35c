//! A pipeline with a cascade behind it, driven over an endpoint.

use super::machine::{Cascade, CascadeConfig, CascadeCounters, CloudError, Degraded, Source, Step, Verdict};
use super::{BreakerState, Key};
use crate::error::SessionError;
use crate::pipeline::{Answer, Input, Pipeline, Prepared};
use sanderling_bundle::{sha256, value_digest};
use sanderling_core::{Tensor, TensorView};
use std::time::{Duration, Instant};

/// A question to an endpoint.
pub struct CloudRequest<'a> {
    /// Name of the model there.
    pub model: &'a str,
    /// Inputs by name.
    pub inputs: &'a [(&'a str, TensorView<'a>)],
    /// How long to wait at most, connecting included.
    pub timeout: Duration,
}

/// An endpoint's answer: outputs by name.
pub struct CloudReply {
    /// Outputs; the bundle's post-processing reads them as it reads the local ones.
    pub outputs: Vec<(String, Tensor)>,
}

/// A bigger model somewhere else.
pub trait CloudEndpoint {
    /// Asks it.
    ///
    /// # Errors
    /// [`CloudError`], by what the cascade makes of it.
    fn infer(&mut self, request: &CloudRequest<'_>) -> Result<CloudReply, CloudError>;
}

/// Time and randomness.
pub trait CascadeHost {
    /// Since any fixed moment, monotonic.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&mut self, time: Duration);

    /// Uniform in 0..1.
    fn random(&mut self) -> f64;
}

/// The system's clock, and SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators",
/// OOPSLA 2014) for jitter.
#[derive(Debug)]
pub struct SystemHost {
    start: Instant,
    state: u64,
}

impl SystemHost {
    /// `seed` should differ between devices: jitter is there to keep them apart.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            start: Instant::now(),
            state: seed,
        }
    }
}

impl CascadeHost for SystemHost {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn random(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 53 bits: as many as an f64 holds.
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// An answer and how it came about.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CascadeAnswer {
    /// The answer.
    pub answer: Answer,
    /// What the device's model says, where that is not the answer.
    pub local: Option<Answer>,
    /// Who gave the answer.
    pub source: Source,
    /// Set where it is a fallback.
    pub degraded: Option<Degraded>,
}

/// A pipeline whose unsure answers go to an endpoint.
pub struct CascadePipeline {
    pipeline: Pipeline,
    cascade: Cascade<Answer>,
    endpoint: Box<dyn CloudEndpoint>,
    host: Box<dyn CascadeHost>,
    model: String,
}

impl CascadePipeline {
    /// `model` is the endpoint's name for the bigger model.
    #[must_use]
    pub fn new(
        pipeline: Pipeline,
        config: CascadeConfig,
        model: impl Into<String>,
        endpoint: Box<dyn CloudEndpoint>,
        host: Box<dyn CascadeHost>,
    ) -> Self {
        Self {
            pipeline,
            cascade: Cascade::new(config),
            endpoint,
            host,
            model: model.into(),
        }
    }

    /// The pipeline inside.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The pipeline inside, to warm it up or to test it.
    pub fn pipeline_mut(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }

    /// Puts another version of the model on the device; what the cascade has learnt of the endpoint stays: breaker, retry
    /// budget, counters. The endpoint's answers in the cache stay where the new version would have read them alike, by the
    /// same output, labels and thresholds; else they are forgotten.
    pub fn replace_pipeline(&mut self, pipeline: Pipeline) -> Pipeline {
        if !pipeline.classifies_like(&self.pipeline) {
            self.cascade.forget_answers();
        }
        std::mem::replace(&mut self.pipeline, pipeline)
    }

    /// The endpoint's name for the bigger model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> CascadeCounters {
        self.cascade.counters()
    }

    /// What the breaker does at the moment.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.cascade.breaker(self.host.now())
    }

    /// Sets another threshold.
    pub fn set_threshold(&mut self, threshold: f32) {
        self.cascade.set_threshold(threshold);
    }

    /// Answers, asking the endpoint where the device is not sure. Waits for no longer than the deadline.
    ///
    /// # Errors
    /// What the pipeline says of the input. A failing endpoint is no error: the answer is degraded then.
    pub fn answer(&mut self, input: &Input<'_>) -> Result<CascadeAnswer, SessionError> {
        let tensors = match self.pipeline.prepare(input)? {
            Prepared::Answer(answer) => {
                return Ok(CascadeAnswer {
                    answer,
                    local: None,
                    source: Source::Device,
                    degraded: None,
                });
            }
            Prepared::Inputs(tensors) => tensors,
        };
        let views: Vec<(&str, TensorView<'_>)> = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.view()))
            .collect();
        let local = self.pipeline.answer(&Input::Tensors(&views), None)?;
        let key = if self.cascade.is_unsure(local.confidence) {
            key_of(&views)
        } else {
            Key::default()
        };
        let step = self
            .cascade
            .begin(self.host.now(), key, local.clone(), local.confidence);
        let Verdict {
            answer,
            source,
            degraded,
        } = self.drive(step, &views);
        let local = (source != Source::Device).then_some(local);
        Ok(CascadeAnswer {
            answer,
            local,
            source,
            degraded,
        })
    }

    /// Takes steps until one is the last: attempts are bounded, and so is each wait.
    fn drive(&mut self, mut step: Step<Answer>, views: &[(&str, TensorView<'_>)]) -> Verdict<Answer> {
        loop {
            step = match step {
                Step::Done(verdict) => return verdict,
                Step::Wait { ticket, until } => {
                    self.host.sleep(until.saturating_sub(self.host.now()));
                    self.cascade.resume(self.host.now(), ticket)
                }
                Step::Send { ticket, timeout } => {
                    let result = self.ask(views, timeout);
                    let (now, random) = (self.host.now(), self.host.random());
                    self.cascade.reply(now, ticket, result, random)
                }
            };
        }
    }

    fn ask(&mut self, inputs: &[(&str, TensorView<'_>)], timeout: Duration) -> Result<Answer, CloudError> {
        let reply = self.endpoint.infer(&CloudRequest {
            model: &self.model,
            inputs,
            timeout,
        })?;
        let views: Vec<(&str, TensorView<'_>)> = reply
            .outputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.view()))
            .collect();
        self.pipeline
            .classify(&views, None)
            .map_err(|error| CloudError::Server(error.to_string()))
    }
}

/// One hash over names and values.
fn key_of(views: &[(&str, TensorView<'_>)]) -> Key {
    let mut all = Vec::new();
    for (name, view) in views {
        let dims: Vec<u64> = view.shape().iter().map(|&n| n as u64).collect();
        all.extend(sha256(name.as_bytes()));
        all.extend(value_digest(view.dtype(), &dims, view.bytes()));
    }
    sha256(&all)
}
