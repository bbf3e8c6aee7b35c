//! The search for a target through delegations (TUF 1.0, 5.6.7): pre-order, depth first, in the order of the
//! delegator's list, each role once, at most [`super::Limits::max_delegations`] of them.
//!
//! Roles are fetched when the search reaches them and not before, so a repository with ten thousand delegated
//! roles costs a device the few that cover its target.

use super::{Fetch, TrustedSet};
use crate::error::TrustError;
use crate::metadata::{Header, Role, TargetFile};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// Where a search stands.
#[derive(Debug, Clone)]
pub struct Search {
    path: String,
    /// (delegator, role), the next to visit last. The top has no delegator.
    stack: Vec<(Option<Role>, Role)>,
    visited: BTreeSet<Role>,
}

/// What a search says.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<'a> {
    /// The target, by the first role that lists it.
    Found(&'a TargetFile),
    /// Fetch this file, give it to [`TrustedSet::update`], then step again.
    Fetch(Fetch),
    /// No role that may list it does.
    Absent,
}

impl Search {
    /// A search for the target `path`.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let stack = alloc::vec![(None, Role::Targets)];
        Self {
            path: path.to_owned(),
            stack,
            visited: BTreeSet::new(),
        }
    }

    /// Goes on as far as the metadata in `set` allows. Looks at no expiry; [`crate::decide`] does.
    ///
    /// # Errors
    /// [`TrustError::NotLoaded`] without current top-level metadata, [`TrustError::NotListed`] for a role that
    /// the snapshot does not list, [`TrustError::TooMany`] past the limit.
    pub fn step<'a>(&mut self, set: &'a TrustedSet) -> Result<Step<'a>, TrustError> {
        self.step_by(set, |_, _| Ok(()))
    }

    /// `check` sees each role that the outcome leans on.
    pub(super) fn step_by<'a>(
        &mut self,
        set: &'a TrustedSet,
        check: impl Fn(&Role, &Header) -> Result<(), TrustError>,
    ) -> Result<Step<'a>, TrustError> {
        let limit = set.limits().max_delegations;
        while let Some((delegator, role)) = self.stack.last().cloned() {
            if self.visited.contains(&role) {
                self.stack.pop();
                continue;
            }
            // The targets role itself is no delegation.
            if self.visited.len() > limit {
                return Err(TrustError::TooMany {
                    what: "delegated roles in one search",
                    limit,
                });
            }
            let targets = match &delegator {
                None => set.current_targets()?,
                Some(by) => match set.delegated.get(&(by.clone(), role.clone())) {
                    Some(targets) => targets,
                    None => return set.delegated_fetch(by, &role).map(Step::Fetch),
                },
            };
            check(&role, &targets.header)?;
            self.stack.pop();
            if let Some(target) = targets.targets.get(&self.path) {
                return Ok(Step::Found(target));
            }
            let children = targets
                .delegations
                .as_ref()
                .map(|d| d.roles_for(&self.path))
                .unwrap_or_default();
            self.descend(role, children);
        }
        Ok(Step::Absent)
    }

    fn descend(&mut self, role: Role, children: Vec<(Role, bool)>) {
        let mut below = Vec::new();
        for (child, terminating) in children {
            below.push((Some(role.clone()), child));
            if terminating {
                self.stack.clear();
                break;
            }
        }
        self.stack.extend(below.into_iter().rev());
        self.visited.insert(role);
    }
}

impl TrustedSet {
    fn delegated_fetch(&self, delegator: &Role, role: &Role) -> Result<Fetch, TrustError> {
        let unlisted = || TrustError::NotListed {
            role: role.clone(),
            by: "the snapshot".to_owned(),
        };
        let meta = self.current_snapshot()?.get(role).ok_or_else(unlisted)?;
        Ok(self.fetch(
            role.clone(),
            Some(delegator.clone()),
            meta,
            self.limits().max_targets_len,
        ))
    }
}
