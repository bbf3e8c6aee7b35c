//! Plain data in, answers out: sessions, pipelines and the cascade.
//!
//! # Mental model
//!
//! Three layers, each usable without the one above:
//!
//! - A [`Session`] is a loaded model: named tensors in, named tensors out. It checks what a bundle says it needs
//!   before it takes memory, checks its inputs, keeps a few prepared shapes, and runs the golden vectors.
//! - A [`Pipeline`] puts the bundle's own pre- and post-processing around it: a file or an image in, labels out.
//! - A [`Cascade`] decides which answers are good enough, and what happens when the bigger model in the cloud is slow,
//!   wrong or away. It is a state machine without I/O; [`CascadePipeline`] drives it over a [`CloudEndpoint`].
//!
//! Backends are values (default: the CPU's), as are clocks, randomness and transports. A session belongs to one
//! thread (it is not `Send`: a backend in a browser is not); serve from several threads with one session each.
//! After [`Session::warm_up`] for a shape, a run at that shape allocates nothing on the CPU.
//!
//! # Interface
//!
//! ```text
//! // bytes: 64-byte aligned, cheap to clone (Rc) --------------------------------------------------------------
//! ModelBytes::read(path) -> io::Result<ModelBytes>; ModelBytes::copy_of(&[u8]); derefs to [u8]
//!
//! // session ---------------------------------------------------------------------------------------------------
//! SessionOptions { threads: usize /* 1 */, memory_limit: u64 /* bytes, 4 GiB */, backends: Vec<Rc<dyn Backend>> /* CPU */,
//!                  operators: OpTable<'static>, kernels: CpuTable, shapes_kept: usize /* 4 */, limits: bundle::Limits,
//!                  verify_hashes: bool /* true */, non_finite: OnBadInput, out_of_range: OnBadInput /* Reject | Flag */,
//!                  profile: Option<Rc<Profile>> }                                   // Default
//! Session::from_bundle(ModelBytes, &SessionOptions) -> Result<Session, SessionError>
//! Session::from_graph(core::Graph, &SessionOptions) -> Result<Session, SessionError> // an imported ONNX, unpacked
//! session.inputs() / outputs() -> &[PortInfo { name: String, ty: Option<TensorType>, range: Option<(f64, f64)> }]
//! session.run(&[("name", TensorView)]) -> Result<Outputs<'_>, SessionError>
//! Outputs: get(name) -> Option<TensorView>, iter() -> (&str, TensorView), flags() -> InputFlags
//! session.warm_up(&[("name", &[1, 2048])]) -> Result<(), SessionError>               // prepares a shape, runs it once
//! session.self_test() -> Result<SelfTest, SessionError>      // SelfTest { vectors: Vec<VectorResult>, .passed() }
//! session.manifest() -> Option<&Manifest>; .counters() -> Counters; .kernels() -> Vec<KernelRow>;
//! session.memory_use() -> MemoryUse; .digest() -> Option<Sha256Digest> (of the bundle's bytes)
//! RUNTIME_VERSION: RuntimeVersion; operators() -> Vec<String>   // "ai.onnx:Conv" …: what an agent reports
//!
//! // pipeline --------------------------------------------------------------------------------------------------
//! Pipeline::new(Session) -> Result<Pipeline, SessionError>          // refuses a bundle without classification
//! enum Input<'a> { Bytes(&'a [u8]), Ends(FileEnds<'a> { start, end, len }), Image(ImageRgb<'a> { width, height, rgb }),
//!                  Tensors(&'a [(&'a str, TensorView<'a>)]) }
//! FileBlocks::read(path, block) -> io::Result<FileBlocks>; .ends() -> FileEnds;  pipeline.block() -> Option<usize>
//! pipeline.answer(&Input, top_k: Option<usize>) -> Result<Answer, SessionError>
//! Answer { label: String, confidence: f32, top: Vec<Scored { label, index, score }>, rule, below_threshold, flagged: bool }
//! pipeline.prepare(&Input) -> Result<Prepared, _>   // Prepared::Answer(Answer) | Prepared::Inputs(Vec<(String, Tensor)>)
//! pipeline.classify(outputs: &[(&str, TensorView)], top_k) -> Result<Answer, _>  // post-processing alone
//!
//! // cascade ---------------------------------------------------------------------------------------------------
//! trait CloudEndpoint { fn infer(&mut self, &CloudRequest { model, inputs, timeout }) -> Result<CloudReply { outputs }, CloudError> }
//! enum CloudError { Unreachable(String), Timeout, Overloaded { retry_after }, Server(String), Rejected(String) }
//! CascadeConfig { threshold, deadline, attempt_timeout, max_attempts, backoff_base, backoff_cap, retry_budget, breaker, cache }
//! Cascade::new(config); .begin(now, key, local, confidence) -> Step; .reply(now, ticket, result, random); .resume(now, ticket)
//! CascadePipeline::new(Pipeline, CascadeConfig, model: &str, Box<dyn CloudEndpoint>, Box<dyn CascadeHost>)
//! CascadePipeline::answer(&Input) -> Result<CascadeAnswer { answer, local, source: Device | Cloud | Cache, degraded: Option<Degraded> }, _>
//! trait CascadeHost { fn now(&self) -> Duration; fn sleep(&mut self, Duration); fn random(&mut self) -> f64 }; SystemHost::new(seed)
//! ```
#![forbid(unsafe_code)]

mod bytes;
pub mod cascade;
mod error;
mod golden;
mod handover;
mod layers;
mod model;
mod options;
pub mod pipeline;
mod prepared;
mod session;
mod validate;

pub use bytes::ModelBytes;
pub use cascade::{
    Cascade, CascadeAnswer, CascadeConfig, CascadeHost, CascadePipeline, CloudEndpoint, CloudError,
    CloudReply, CloudRequest, Degraded, Source, SystemHost,
};
pub use error::SessionError;
pub use golden::{SelfTest, VectorResult};
pub use handover::Handover;
pub use layers::Layer;
pub use model::{MAX_PORTS, PortInfo};
pub use options::{OnBadInput, SessionOptions};
pub use pipeline::{Answer, FileBlocks, FileEnds, ImageRgb, Input, Pipeline, Prepared, Scored};
pub use sanderling_core::backend::{MemoryUse, Progress};
pub use sanderling_core::{CoreError, DType, Dim, Graph, NUMERICS, OpTable, Tensor, TensorType, TensorView};
pub use sanderling_cpu::{Best, CpuTable, Profile, ProfileRow};
pub use session::{Fallback, KernelRow, LayersRun, Outputs, SelfTestRun, Session};
pub use validate::{Counters, InputFlags, element_at};

use sanderling_bundle::RuntimeVersion;

/// Version of this runtime, against which bundles state the oldest that may run them.
pub const RUNTIME_VERSION: RuntimeVersion = RuntimeVersion {
    major: 0,
    minor: 1,
    patch: 0,
};

/// The operators of this build as `domain:OpType`, sorted: what an agent reports.
#[must_use]
pub fn operators() -> Vec<String> {
    operators_of(OpTable(sanderling_core::ops::ALL))
}

/// The operators of a table as `domain:OpType`, sorted: what an agent reports whose sessions take no others.
#[must_use]
pub fn operators_of(table: OpTable<'_>) -> Vec<String> {
    let mut names: Vec<String> = table
        .0
        .iter()
        .map(|op| qualified(op.domain(), op.name()))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// ONNX's own domain is written out.
fn qualified(domain: &str, name: &str) -> String {
    format!("{}:{name}", if domain.is_empty() { "ai.onnx" } else { domain })
}
