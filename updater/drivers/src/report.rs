//! Reports in words.

use sanderling_agent::Report;

/// The words for a report: what a device's log says.
#[must_use]
pub fn words(report: &Report) -> String {
    report.to_string()
}
