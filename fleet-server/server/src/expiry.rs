//! Metadata that people renew: the warning before it expires, and the word once it has.
//!
//! Expired metadata stops installing, on every device at once, and nothing on the server looks different that day. So it
//! is said a week ahead and from then on: in the log at the start and once a day, on every page, and in `/readyz`, which
//! stays "ready": check-ins, going back and serving need none of it.

use sanderling_trust::UnixTime;

/// Seconds before the expiry at which it is said. A demo's metadata lives a day in all: there it is said afterwards.
pub(crate) const AHEAD_S: u64 = 7 * 86_400;

/// A metadata file's name and what renews it.
type What = (&'static str, &'static str);

/// A file's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    what: What,
    at: UnixTime,
}

impl Expiry {
    pub(crate) const IMAGE_ROOT: What = ("the image repository's root", ROOT);
    pub(crate) const DIRECTOR_ROOT: What = ("the director's root", ROOT);
    pub(crate) const SNAPSHOT: What = ("the image repository's snapshot", RELEASE);
    pub(crate) const TARGETS: What = ("the image repository's list of targets", RELEASE);

    pub(crate) fn new(what: What, at: UnixTime) -> Self {
        Self { what, at }
    }

    /// The warning, if it is time for one: `ahead_s` before the expiry and from then on.
    pub(crate) fn warning(&self, now: u64, ahead_s: u64) -> Option<String> {
        let ((name, action), at) = (self.what, self.at);
        if at.0 <= now {
            return Some(format!(
                "{name} has expired ({at}): devices install nothing until it is renewed; {action}"
            ));
        }
        let days = (at.0 - now).div_ceil(86_400);
        let unit = if days == 1 { "day" } else { "days" };
        (at.0 - now <= ahead_s).then(|| {
            format!(
                "{name} expires within {days} {unit} ({at}); after that devices install nothing: {action}"
            )
        })
    }
}

const ROOT: &str = "have the holders of the root keys sign the next root, and upload it to /v1/metadata";
const RELEASE: &str = "run `sanderling sign` with the offline keys, then `sanderling rollout publish`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_ahead_and_from_then_on() {
        let at = UnixTime(100 * 86_400);
        let warning = |days: u64| Expiry::new(Expiry::TARGETS, at).warning(days * 86_400, AHEAD_S);
        assert_eq!(warning(92), None);
        let ahead = warning(94).unwrap();
        assert!(
            ahead.contains("within 6 days") && ahead.contains("sanderling sign"),
            "{ahead}"
        );
        assert!(warning(99).unwrap().contains("within 1 day ("));
        assert!(warning(100).unwrap().contains("has expired"));
        let in_a_demo = |days: u64| Expiry::new(Expiry::TARGETS, at).warning(days * 86_400, 0);
        assert!(in_a_demo(99).is_none() && in_a_demo(100).is_some());
    }
}
