//! Times, shares and states in words.

use crate::api::{EventView, RolloutView};
use sanderling_rollout::StageReading;
use sanderling_rollout::gates::HealthReading;
use sanderling_wire::EventKind;

/// `12 s ago`.
pub(super) fn ago(then: u64, now: u64) -> String {
    match now.saturating_sub(then) {
        0..=1 => "now".to_owned(),
        s @ 2..=119 => format!("{s} s ago"),
        s @ 120..=7199 => format!("{} min ago", s / 60),
        s @ 7200..=172_799 => format!("{} h ago", s / 3600),
        s => format!("{} days ago", s / 86_400),
    }
}

/// Unix seconds as `2026-11-22T15:04:05Z`.
pub(super) fn iso(time: u64) -> String {
    sanderling_trust::UnixTime(time).to_string()
}

/// `3.4 MB`.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..=999 => format!("{count} B"),
        1000..=999_999 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// What a phase means.
pub(super) fn phase(word: Option<&str>) -> &'static str {
    match word {
        None => "not heard of yet",
        Some("idle") => "serving",
        Some("downloading") => "downloading",
        Some("self_test") => "testing itself",
        Some("trial") => "on trial",
        Some("no_model") => "no model",
        Some(_) => "unknown",
    }
}

/// The class that colours a rollout's status.
pub(super) fn tone(status: &str) -> &'static str {
    match status {
        "running" => "live",
        "paused" => "wait",
        "completed" => "good",
        _ => "bad",
    }
}

/// Whether a rollout may still move.
pub(super) fn is_live(view: &RolloutView) -> bool {
    matches!(view.status.as_str(), "running" | "paused")
}

/// Paired agreement in words.
pub(super) fn agreement(view: &RolloutView) -> String {
    let (reading, base) = (&view.assessment.agreement, &view.base_label);
    let (inputs, differ) = (reading.fleet.inputs, reading.fleet.disagreements);
    if inputs == 0 && is_live(view) {
        return format!(
            "No input has been answered by both versions yet; {base} runs beside for comparison."
        );
    }
    if inputs == 0 {
        return "No input was answered by both versions.".to_owned();
    }
    let bound = percent(reading.upper_bound);
    let limit = match is_live(view) {
        true => format!("; going on asks for at most {}", percent(reading.limit)),
        false => String::new(),
    };
    format!(
        "{differ} of {inputs} distinct inputs were answered otherwise than by {base}; {} is allowed. \
         By this evidence at most {bound} differ{limit}.",
        reading.allowed
    )
}

fn devices(n: u64) -> String {
    if n == 1 {
        "1 device".to_owned()
    } else {
        format!("{n} devices")
    }
}

/// How far a stage has come, in words; once a rollout is over, how far it came.
pub(super) fn exposure(view: &RolloutView) -> String {
    let figures = &view.assessment;
    let (has, went) = (figures.on_target, figures.sent_back);
    if !is_live(view) && has == 0 && went > 0 {
        let were = if went == 1 { "was" } else { "were" };
        return format!(
            "{} had the new version and {were} sent back.",
            devices(went as u64)
        );
    }
    if !is_live(view) {
        let have = if has == 1 { "has" } else { "have" };
        return format!("{} {have} the new version.", devices(has as u64));
    }
    let StageReading {
        assigned,
        running,
        exposed,
        needed,
        ..
    } = &figures.stage;
    let have = if *assigned == 1 { "has" } else { "have" };
    format!(
        "{} of this stage {have} been given the new version: {running} running it, {exposed} for long enough; going \
         on asks for {needed}.",
        devices(*assigned as u64)
    )
}

/// The health metrics by which no device failed, in one line.
pub(super) fn calm(readings: &[HealthReading]) -> Option<String> {
    let calm: Vec<_> = readings
        .iter()
        .filter(|r| r.target + r.control == 0)
        .map(|r| r.metric.as_str())
        .collect();
    (!calm.is_empty()).then(|| format!("No device of either version has failed by {}.", calm.join(", ")))
}

/// One health metric in words.
pub(super) fn health(reading: &HealthReading) -> String {
    format!(
        "{}: {} failed on the new version, {} on the old one.",
        reading.metric,
        devices(reading.target),
        devices(reading.control)
    )
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// How far evidence has come towards a stop, in hundredths: 0 where it speaks for the new version.
pub(super) fn towards_stop(ln_e: f64, ln_stop: f64) -> u32 {
    if ln_stop > 0.0 {
        (100.0 * ln_e / ln_stop).clamp(0.0, 100.0) as u32
    } else {
        0
    }
}

/// A rollout's headline.
pub(super) fn headline(view: &RolloutView) -> String {
    match (&view.reason, view.status.as_str()) {
        (Some(reason), _) => reason.clone(),
        (None, "completed") => format!("{} runs everywhere it was meant to", view.target_label),
        _ => format!("{} replaces {}", view.target_label, view.base_label),
    }
}

/// What happened to a device.
pub(super) fn event(view: &EventView) -> String {
    let name = match view.kind {
        EventKind::Started => "agent started",
        EventKind::DownloadStarted => "download began",
        EventKind::DownloadRefused => "download refused",
        EventKind::Verified => "download verified",
        EventKind::SelfTestPassed => "self-test passed",
        EventKind::SelfTestFailed => "self-test failed",
        EventKind::Activated => "answers from the new version",
        EventKind::Confirmed => "keeps the new version",
        EventKind::FellBack => "went back by itself",
        EventKind::RolledBack => "was sent back",
        EventKind::CrashLoop => "crashed again and again",
        EventKind::MetadataRefused => "metadata refused",
        EventKind::StorageFull => "storage full",
        EventKind::CascadeOpen => "gave the cloud up for a while",
        EventKind::CascadeClosed => "the cloud answers again",
        _ => "event",
    };
    if view.detail.is_empty() {
        name.to_owned()
    } else {
        format!("{name}: {}", view.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(ago(100, 99), "now");
        assert_eq!(ago(100, 130), "30 s ago");
        assert_eq!(ago(0, 7300), "2 h ago");
        assert_eq!(bytes(3_400_000), "3.4 MB");
        assert_eq!(towards_stop(-1.0, 3.0), 0);
        assert_eq!(towards_stop(9.0, 3.0), 100);
    }
}
