//! `sanderling completions`.

use clap::{Args, CommandFactory};
use std::io::Write as _;

/// Print a completion script for a shell.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sanderling completions bash > /etc/bash_completion.d/sanderling\n  sanderling completions zsh > ~/.zfunc/_sanderling"
)]
pub(crate) struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        // Through memory: the generator panics where a reader has closed the pipe.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "sanderling", &mut script);
        match std::io::stdout().write_all(&script) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            done => Ok(done?),
        }
    }
}
