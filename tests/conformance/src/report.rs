//! What a run of the suite says.

use crate::case::{Case, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// All cases of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order of their names.
    pub cases: Vec<Case>,
}

impl Report {
    /// How many passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.passed()).count()
    }

    /// Passed and all cases, by operator.
    #[must_use]
    pub fn by_operator(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut counts = BTreeMap::new();
        for case in &self.cases {
            let (passed, all) = counts.entry(case.operator.as_str()).or_insert((0, 0));
            *passed += usize::from(case.passed());
            *all += 1;
        }
        counts
    }

    /// Of these names, the cases that fail or are not there, each with the reason.
    #[must_use]
    pub fn regressions<'a>(&self, must_pass: impl Iterator<Item = &'a str>) -> Vec<(&'a str, String)> {
        let failed: BTreeMap<&str, Option<&str>> = self
            .cases
            .iter()
            .map(|case| match &case.outcome {
                Outcome::Passed => (case.name.as_str(), None),
                Outcome::Failed(why) => (case.name.as_str(), Some(why.as_str())),
            })
            .collect();
        must_pass
            .filter_map(|name| match failed.get(name) {
                Some(None) => None,
                Some(Some(why)) => Some((name, (*why).to_owned())),
                None => Some((name, "the case is not in the suite's folder".to_owned())),
            })
            .collect()
    }

    /// Cases that pass and are not among these names.
    #[must_use]
    pub fn news<'a>(&self, known: impl Iterator<Item = &'a str>) -> Vec<&str> {
        let known: BTreeSet<&'a str> = known.collect();
        let passed = self
            .cases
            .iter()
            .filter(|case| case.passed())
            .map(|case| case.name.as_str());
        passed.filter(|name| !known.contains(name)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (operator, (passed, all)) in self.by_operator() {
            writeln!(f, "{passed:>5} of {all:>4}  {operator}")?;
        }
        write!(f, "{:>5} of {:>4}  in all", self.passed(), self.cases.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let case = |name: &str, operator: &str, outcome| Case {
            name: name.to_owned(),
            operator: operator.to_owned(),
            outcome,
        };
        Report {
            cases: vec![
                case("test_abs", "Abs", Outcome::Passed),
                case("test_exp", "Exp", Outcome::Failed("why".to_owned())),
                case("test_exp_example", "Exp", Outcome::Passed),
            ],
        }
    }

    #[test]
    fn what_passed_may_not_fail() {
        let found = report().regressions(["test_abs", "test_exp", "test_gone"].into_iter());
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["test_exp", "test_gone"]);
        assert_eq!(report().news(["test_abs"].into_iter()), ["test_exp_example"]);
    }

    #[test]
    fn counts_by_operator() {
        let report = report();
        assert_eq!(report.by_operator().get("Exp"), Some(&(1, 2)));
        assert!(report.to_string().ends_with("2 of    3  in all"));
    }
}
