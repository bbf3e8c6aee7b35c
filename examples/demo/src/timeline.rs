//! What a person sees: one line for each thing that happened, with the time it happened at.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// Prints the story as it goes.
pub(crate) struct Timeline {
    start: Instant,
    bar: ProgressBar,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is fixed and known to parse; without it the spinner is merely plainer.
        if let Ok(style) = ProgressStyle::with_template("          {spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            start: Instant::now(),
            bar,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// A new chapter.
    pub(crate) fn chapter(&self, title: &str) {
        self.print(format!("\n{title}"));
    }

    /// A line of a list, without a time.
    pub(crate) fn list(&self, line: &str) {
        self.print(line.to_string());
    }

    /// Something happened.
    pub(crate) fn tell(&self, text: impl AsRef<str>) {
        let line = format!("{:>7.1} s  {}", self.start.elapsed().as_secs_f64(), text.as_ref());
        self.print(line);
    }

    /// What is waited for.
    pub(crate) fn waiting(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// The end: no more spinner.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn print(&self, line: String) {
        self.bar.suspend(|| println!("{line}"));
    }
}
