//! `sanderling server`.

use crate::commands::until_stopped;
use crate::out::Out;
use anyhow::Context;
use clap::Args;
use sanderling_daemon::settings::read_secret;
use sanderling_server::{Operator, Server, ServerConfig, TlsFiles, TrustConfig};
use sanderling_sign::file::{self, Replace};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Run the fleet server.
#[derive(Args)]
#[command(
    after_help = "Keys: the folder of `sanderling keys init`, without its offline/ part.\n\
    Without --token-file a token is made at the first start and kept in DATA/operator.token.\n\
    Any address but loopback needs TLS (--tls-cert, --tls-key) and a token file of yours.\n\n\
    Examples:\n  sanderling server --trust trust --data fleet\n  sanderling server --config /etc/sanderling/server.toml"
)]
pub(crate) struct ServerCommand {
    /// A TOML file instead of the options below.
    #[arg(long, conflicts_with_all = ["trust", "data"])]
    config: Option<PathBuf>,
    /// Folder with online/, image/1.root.json and director/1.root.json.
    #[arg(long, required_unless_present = "config", value_name = "DIR")]
    trust: Option<PathBuf>,
    /// Folder for the database and bundles; made where there is none.
    #[arg(long, required_unless_present = "config", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where HTTP listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the MQTT broker listens.
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "ADDRESS")]
    mqtt: SocketAddr,
    /// No MQTT broker: devices poll.
    #[arg(long)]
    no_mqtt: bool,
    /// What devices and browsers call the server.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Origin of pages that may update themselves here (https://app.example); once for each.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// File with the operator's token (at least 16 characters on the first line).
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Name of that operator in ledger and audit trail.
    #[arg(long, default_value = "operator", value_name = "NAME")]
    operator: String,
    /// Certificate chain, PEM.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key, PEM.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Seconds between a device's check-ins while nothing rings.
    #[arg(long, value_name = "SECONDS")]
    poll_interval: Option<u32>,
}

#[derive(Serialize)]
struct Started {
    url: String,
    mqtt: Option<SocketAddr>,
    token_file: Option<PathBuf>,
}

impl ServerCommand {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        let (config, token_file) = self.config()?;
        let server = Server::start_blocking(config)?;
        let started = Started {
            url: server.url().to_string(),
            mqtt: server.mqtt_addr(),
            token_file,
        };
        out.print(&started, |s| {
            let mut text = format!("fleet server at {}\n", s.url);
            if let Some(mqtt) = s.mqtt {
                text += &format!("MQTT doorbell at {mqtt}\n");
            }
            if let Some(file) = &s.token_file {
                text += &format!("operator's token in {}\n", file.display());
            }
            text + "Ctrl-C ends"
        })?;
        until_stopped()?;
        Ok(server.stop()?)
    }

    fn config(&self) -> anyhow::Result<(ServerConfig, Option<PathBuf>)> {
        let (Some(trust), Some(data)) = (&self.trust, &self.data) else {
            let path = self
                .config
                .as_deref()
                .context("give --config, or --trust and --data")?;
            return Ok((ServerConfig::from_file(path)?, None));
        };
        let mut config = ServerConfig::new(data, TrustConfig::from_folder(trust, false)?);
        config.http = self.listen;
        config.mqtt = (!self.no_mqtt).then_some(self.mqtt);
        config.public_url.clone_from(&self.public_url);
        config.allow_origins.clone_from(&self.allow_origin);
        if let (Some(certificates), Some(key)) = (&self.tls_cert, &self.tls_key) {
            config.tls = Some(TlsFiles {
                certificates: certificates.clone(),
                key: key.clone(),
                authority: None,
            });
        }
        if let Some(seconds) = self.poll_interval {
            config.timing.poll_interval_s = seconds;
        }
        let token_file = match &self.token_file {
            Some(path) => Some(path.clone()),
            None if self.listen.ip().is_loopback() => Some(first_token(data)?),
            None => None,
        };
        if let Some(path) = &token_file {
            config
                .operators
                .push(Operator::with_token(&self.operator, &read_secret(path)?));
        }
        Ok((config, token_file))
    }
}

/// The token of the first start, readable by its owner alone.
fn first_token(data: &Path) -> anyhow::Result<PathBuf> {
    let path = data.join("operator.token");
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    let mut bytes = [0; 32];
    sanderling_sign::os_random(&mut bytes)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // Whole or absent: an empty file would fail every later start.
    file::write(&path, text.as_bytes(), 0o600, Replace::Never)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_cut_short_leaves_no_empty_token() {
        let folder = tempfile::tempdir().unwrap();
        // What a crash in the middle of the write leaves behind is not the token.
        std::fs::write(folder.path().join("operator.token.new"), "").unwrap();
        let path = first_token(folder.path()).unwrap();
        let token = read_secret(&path).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(first_token(folder.path()).unwrap(), path);
        assert_eq!(read_secret(&path).unwrap(), token);
    }
}
