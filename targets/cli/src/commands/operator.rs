//! What commands for operators share: where the server is, and who is asking.

use anyhow::{Context, anyhow};
use clap::Args;
use sanderling_client::{Client, ClientError};
use sanderling_daemon::settings::read_secret;
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
        Ok(Client::new(&self.server, &read_secret(path)?)?)
    }
}

/// What to type about a problem, by the server's word for it. The server itself speaks to callers of its API, too.
const COMMANDS: &[(&str, &str)] = &[
    ("frozen", "sanderling rollout unfreeze"),
    (
        "no-base",
        "sanderling rollout start TARGET --base NAME@VERSION, or sanderling rollout alias NAME champion NAME@VERSION",
    ),
    ("no-bytes", "sanderling rollout publish --bundle FILE --repo DIR"),
    ("not-listed", "sanderling sign FILE --keys DIR --repo DIR"),
    ("other-model", "sanderling rollout versions"),
    (
        "rollout-live",
        "sanderling rollout watch ID, or sanderling rollout abort ID",
    ),
    ("status", "sanderling rollout show ID"),
    ("superseded", "sanderling rollout rollback ID"),
    ("unknown-device", "sanderling device list"),
    ("unknown-rollout", "sanderling rollout list"),
    ("unknown-version", "sanderling rollout versions"),
];

/// Adds the command to a problem that the server told.
pub(crate) fn with_command(error: anyhow::Error) -> anyhow::Error {
    let kind = error.downcast_ref::<ClientError>().and_then(ClientError::kind);
    let found = COMMANDS.iter().find(|(known, _)| Some(*known) == kind);
    match found {
        Some((_, command)) => anyhow!("{error}\n  with: {command}"),
        None => error,
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
