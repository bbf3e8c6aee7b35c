//! `sanderling completions`.

use clap::{Args, CommandFactory};

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
        clap_complete::generate(
            self.shell,
            &mut crate::Cli::command(),
            "sanderling",
            &mut std::io::stdout(),
        );
        Ok(())
    }
}
