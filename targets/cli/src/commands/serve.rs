//! `sanderling serve`.

use crate::commands::files;
use crate::out::Out;
use anyhow::Context;
use clap::Args;
use sanderling_bundle::BundleView;
use sanderling_daemon::settings::read_secret;
use sanderling_serve::{ModelSource, ServeOptions, Server};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Serve models by the Open Inference Protocol v2.
#[derive(Args)]
#[command(
    after_help = "The cloud end of a cascade; Triton's and KServe's clients speak to it, too.\n\n\
    Examples:\n  sanderling serve magika-1.sdl\n  sanderling serve magika=magika-1.sdl --listen 127.0.0.1:8600 --threads 2\n  \
    curl -s http://127.0.0.1:8600/v2/models/magika"
)]
pub(crate) struct Serve {
    /// Bundles, as FILE or NAME=FILE; by default a model is served under the name and version it holds.
    #[arg(required = true, value_name = "[NAME=]FILE")]
    models: Vec<String>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8600", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// File with the bearer token that requests must carry; needed for any address but loopback.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Listen on an address other machines reach, by HTTP without TLS: a proxy in front of it ends TLS.
    #[arg(long)]
    allow_plain_http: bool,
    /// Threads a model computes with.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = crate::commands::threads)]
    threads: usize,
    /// Requests that may wait for a model; more are refused with 503.
    #[arg(long, default_value_t = 64, value_name = "N")]
    queue: usize,
}

#[derive(Serialize)]
struct Serving {
    url: String,
    models: Vec<String>,
}

impl Serve {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        sanderling_heap::give_large_blocks_back();
        let models: Vec<ModelSource> = self
            .models
            .iter()
            .map(|word| source(word))
            .collect::<Result<_, _>>()?;
        let token = self.token_file.as_deref().map(read_secret).transpose()?;
        let options = ServeOptions {
            address: Some(self.listen),
            token,
            allow_plain_http: self.allow_plain_http,
            threads: self.threads,
            queue: self.queue,
            ..Default::default()
        };
        let running = Server::load(&models, options)?.start()?;
        let serving = Serving {
            url: format!("http://{}", running.address.unwrap_or(self.listen)),
            models: models
                .iter()
                .map(|model| format!("{} {}", model.name, model.version))
                .collect(),
        };
        out.print(&serving, |s| {
            format!("serving {} at {}/v2 (Ctrl-C ends)", s.models.join(", "), s.url)
        })?;
        Ok(running.wait()?)
    }
}

fn source(word: &str) -> anyhow::Result<ModelSource> {
    let (name, path) = match word.split_once('=') {
        Some((name, path)) => (Some(name.to_string()), PathBuf::from(path)),
        None => (None, PathBuf::from(word)),
    };
    let bytes = files::read(&path, files::MAX_BUNDLE)?;
    let view = BundleView::parse(&bytes).with_context(|| path.display().to_string())?;
    let manifest = view.manifest().with_context(|| path.display().to_string())?;
    Ok(ModelSource {
        name: name.unwrap_or_else(|| manifest.name.clone()),
        version: manifest.version.clone(),
        path,
    })
}
