//! A model behind HTTP, by the Open Inference Protocol v2 (KServe's, Triton's): server and client.
//!
//! The server ([`Server`]) is the cloud end of a cascade: it holds sessions, one thread each, behind bounded
//! queues, and answers `/v2/models/{name}/infer`; connections, bodies and waiting requests are bounded. What it serves
//! is a table ([`Models`]) that may change while it runs: a device's daemon serves what its agent has made active, over
//! a Unix socket to the programs on the board. The client ([`HttpEndpoint`]) is the device's end: one attempt a
//! call, with a timeout; whether to try again, and when to give up, is the cascade's business. Either end works
//! with another implementation of the protocol at the other.
//!
//! Tensors travel as JSON numbers here; the binary extension may come beside it.
#![forbid(unsafe_code)]

mod client;
mod error;
mod listen;
mod models;
mod protocol;
mod server;
mod socket;
mod tensor_data;
mod worker;

pub use client::HttpEndpoint;
pub use error::ServeError;
pub use models::{Answered, Job, Line, Model, Models, Refusal, inputs, outputs};
pub use protocol::{
    ErrorBody, InferRequest, InferResponse, ModelMetadata, RequestedOutput, ServerMetadata, TensorMetadata,
    datatype_name, parse_datatype,
};
pub use server::{ModelSource, Running, ServeOptions, Server};
pub use tensor_data::TensorData;

#[cfg(test)]
mod tests;
