//! The verdict: read from devices' slots, their answers and the server's ledger, not from what the story believes.

use serde::Serialize;

/// Something that had to happen, and whether it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What had to happen.
    pub what: String,
    /// Whether it did.
    pub holds: bool,
    /// What was found.
    pub found: String,
}

/// All findings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// In the order of the story.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Adds a finding.
    pub fn find(&mut self, what: impl Into<String>, holds: bool, found: impl Into<String>) {
        self.findings.push(Finding {
            what: what.into(),
            holds,
            found: found.into(),
        });
    }

    /// Whether everything holds. Nothing found is nothing proved.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|finding| finding.holds)
    }

    /// What does not hold.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_spoils_it_and_nothing_proves_nothing() {
        let mut verdict = Verdict::default();
        assert!(!verdict.is_good());
        verdict.find("a", true, "");
        assert!(verdict.is_good());
        verdict.find("b", false, "found c");
        assert!(!verdict.is_good());
        assert_eq!(verdict.failures().count(), 1);
    }
}
