//! What commands for operators share: where the server is, and who is asking.

use crate::commands::serve::read_token;
use anyhow::Context;
use clap::Args;
use sanderling_client::Client;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the fleet server is.
#[derive(Args)]
pub(crate) struct ServerArgs {
    /// Address of the fleet server.
    #[arg(
        long,
        global = true,
        env = "SANDERLING_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    server: String,
    /// File with the operator's token.
    #[arg(long, global = true, env = "SANDERLING_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl ServerArgs {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let path = self.token_file.as_deref().context(
            "the server wants an operator's token: give --token-file (a server on loopback keeps one in DATA/operator.token)",
        )?;
        Ok(Client::new(&self.server, &read_token(path)?)?)
    }
}

/// How long ago, for people.
pub(crate) fn ago(unix: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    match now.saturating_sub(unix) {
        s @ 0..120 => format!("{s} s ago"),
        s @ 120..7200 => format!("{} min ago", s / 60),
        s @ 7200..172_800 => format!("{} h ago", s / 3600),
        s => format!("{} days ago", s / 86_400),
    }
}
