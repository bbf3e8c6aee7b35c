//! `sanderling demo`.

use crate::out::Out;
use anyhow::Context;
use clap::Args;
use sanderling_demo::{DemoOptions, run, run_role};
use std::path::PathBuf;

/// A fleet of twelve on this machine, from a packed model to a rollback, in about a minute.
#[derive(Args)]
#[command(
    after_help = "Nothing but loopback is used, and nothing stays behind but what --folder names.\n\n\
    Examples:\n  sanderling demo\n  sanderling demo --keep      stays up at the end, for the browser"
)]
pub(crate) struct Demo {
    /// Leave everything running at the end, for the browser.
    #[arg(long)]
    keep: bool,
    /// Keep state folders and logs here instead of in a temporary folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Be one of the story's processes.
    #[arg(long, hide = true)]
    role: Option<PathBuf>,
}

impl Demo {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        if let Some(role) = &self.role {
            return run_role(role);
        }
        let exe = std::env::current_exe().context("this program does not know where it is")?;
        let verdict = run(&DemoOptions {
            exe,
            keep: self.keep,
            folder: self.folder,
        })?;
        if out.json {
            out.print(&verdict, |_| String::new())
        } else {
            Ok(())
        }
    }
}
