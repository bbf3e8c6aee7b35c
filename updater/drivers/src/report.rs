//! Reports in words.

use sanderling_agent::Report;

/// The words for a report: what a device's log says.
#[must_use]
pub fn words(report: &Report) -> String {
    match report {
        Report::Event(event) => {
            let kind = format!("{:?}", event.kind);
            let image = event
                .image
                .map(|image| format!(" {}", image.short()))
                .unwrap_or_default();
            let rollout = event
                .rollout
                .map(|rollout| format!(" (rollout {rollout})"))
                .unwrap_or_default();
            format!("{kind}{image}{rollout}: {}", event.detail)
        }
        Report::Trouble(trouble) => trouble.to_string(),
        _ => String::new(),
    }
}
