//! `sanderling-agent layers`: the digests by which a board is compared with another device.

use anyhow::Context;
use clap::Args;
use sanderling_serve::{InferRequest, inputs};
use sanderling_session::{Best, ModelBytes, Session, SessionOptions};
use sanderling_wire::Digest;
use serde::Serialize;
use std::path::PathBuf;

/// Print the digest of every integer layer of a run, as `sanderling hash --json` does.
#[derive(Args)]
pub(crate) struct Layers {
    /// A bundle.
    bundle: PathBuf,
    /// The input: a request of the Open Inference Protocol v2 in a file, as programs send it.
    request: PathBuf,
}

/// What `sanderling hash --against` reads.
#[derive(Serialize)]
struct Report {
    model: PathBuf,
    instructions: &'static str,
    layers: Vec<Row>,
    integer_layers: usize,
}

#[derive(Serialize)]
struct Row {
    value: String,
    operator: String,
    #[serde(rename = "type")]
    ty: String,
    digest: Option<String>,
}

impl Layers {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let text = std::fs::read(&self.request)
            .with_context(|| format!("cannot read {}", self.request.display()))?;
        let request: InferRequest =
            serde_json::from_slice(&text).with_context(|| self.request.display().to_string())?;
        let bytes = ModelBytes::read(&self.bundle)
            .with_context(|| format!("cannot read {}", self.bundle.display()))?;
        let named = || self.bundle.display().to_string();
        let mut session = Session::from_bundle(bytes, &SessionOptions::default()).with_context(named)?;
        let found = session.layers(&inputs(&request)).with_context(named)?;
        let rows = found.into_iter().map(|layer| Row {
            ty: layer.ty.to_string(),
            digest: layer.digest.map(|digest| Digest(digest).to_string()),
            value: layer.value,
            operator: layer.operator,
        });
        let layers: Vec<Row> = rows.collect();
        let report = Report {
            instructions: Best::detect().name(),
            integer_layers: layers.iter().filter(|row| row.digest.is_some()).count(),
            layers,
            model: self.bundle,
        };
        println!("{}", serde_json::to_string_pretty(&report)?);
        Ok(())
    }
}
