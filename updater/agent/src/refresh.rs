//! One walk through the metadata: which file to fetch next, and what each answer means.
//!
//! ```text
//! first roots (once) ─► director's roots ─► image repository's roots ─► timestamp ─► snapshot ─► targets ─► delegations
//! ```
//!
//! A walk goes as far as it has to: to the first roots after enrolment, through the director's roots when its
//! document does not verify, to the end before anything is installed. Each file has a limit of bytes, and the walk
//! one of files.

use crate::error::Trouble;
use crate::repositories::{Repositories, Repository};
use alloc::format;
use alloc::string::String;
use sanderling_slots::Storage;
use sanderling_trust::{Fetch, Role, Search, Step, TrustError, UnixTime};
use sanderling_wire::api;

/// Most files fetched in one walk besides roots.
const MAX_FILES: usize = 64;

#[derive(Debug, Clone)]
enum At {
    FirstRoot(Repository),
    Roots(Repository),
    Timestamp,
    Wanted,
    Search(Search),
    End,
}

/// Where a walk ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Both first roots.
    FirstRoots,
    /// The director's newest root; then its document, which did not verify, is tried again.
    DirectorRoots,
    /// Everything that says whether this target may be installed.
    Target(String),
}

/// A walk under way.
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    goal: Goal,
    at: At,
    roots: usize,
    files: usize,
    asked: Option<Fetch>,
}

/// A file to ask the server for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) max_len: usize,
    /// A file that need not be there: the next root.
    pub(crate) optional: bool,
}

impl Refresh {
    pub(crate) fn new(goal: Goal) -> Self {
        let at = match goal {
            Goal::FirstRoots => At::FirstRoot(Repository::Director),
            Goal::DirectorRoots | Goal::Target(_) => At::Roots(Repository::Director),
        };
        Self {
            goal,
            at,
            roots: 0,
            files: 0,
            asked: None,
        }
    }

    pub(crate) fn goal(&self) -> &Goal {
        &self.goal
    }

    /// The next file; none at the end.
    pub(crate) fn next(&mut self, repositories: &Repositories) -> Result<Option<File>, TrustError> {
        loop {
            let fetch = match &mut self.at {
                At::End => return Ok(None),
                At::FirstRoot(repository) if repositories.root_version(*repository) > 0 => {
                    self.at = match repository {
                        Repository::Director => At::FirstRoot(Repository::Images),
                        Repository::Images => At::End,
                    };
                    continue;
                }
                At::FirstRoot(repository) => {
                    let max_len = repositories.limits().max_root_len;
                    return Ok(Some(file(*repository, "1.root.json", max_len, false)));
                }
                At::Roots(repository) => {
                    let repository = *repository;
                    return self.next_root(repository, repositories).map(Some);
                }
                At::Timestamp => images(repositories)?.timestamp_fetch(),
                At::Wanted => match images(repositories)?.wanted() {
                    Some(fetch) => fetch,
                    None => {
                        let Goal::Target(name) = &self.goal else {
                            return Ok(None);
                        };
                        self.at = At::Search(Search::new(name));
                        continue;
                    }
                },
                At::Search(search) => match search.step(images(repositories)?)? {
                    Step::Fetch(fetch) => fetch,
                    Step::Found(_) | Step::Absent => {
                        self.at = At::End;
                        continue;
                    }
                },
            };
            self.files += 1;
            if self.files > MAX_FILES {
                return Err(TrustError::TooMany {
                    what: "metadata files in one refresh",
                    limit: MAX_FILES,
                });
            }
            let file = file(Repository::Images, &fetch.name, fetch.max_len, false);
            self.asked = Some(fetch);
            return Ok(Some(file));
        }
    }

    fn next_root(&mut self, repository: Repository, repositories: &Repositories) -> Result<File, TrustError> {
        self.roots += 1;
        let limit = repositories.limits().max_root_rotations;
        if self.roots > limit {
            return Err(TrustError::TooMany {
                what: "roots in one refresh",
                limit,
            });
        }
        let name = format!("{}.root.json", repositories.root_version(repository) + 1);
        Ok(file(repository, &name, repositories.limits().max_root_len, true))
    }

    /// The file asked for last is not there, which ends the row of roots.
    pub(crate) fn absent(&mut self) {
        self.at = match (&self.at, &self.goal) {
            (At::Roots(Repository::Director), Goal::Target(_)) => At::Roots(Repository::Images),
            (At::Roots(Repository::Images), Goal::Target(_)) => At::Timestamp,
            _ => At::End,
        };
    }

    /// The file asked for last is here.
    pub(crate) fn take<S: Storage>(
        &mut self,
        repositories: &mut Repositories,
        storage: &mut S,
        bytes: &[u8],
        now: UnixTime,
    ) -> Result<(), Trouble> {
        match (&self.at, self.asked.take()) {
            (At::FirstRoot(repository) | At::Roots(repository), _) => {
                repositories.take_root(storage, *repository, bytes)
            }
            (_, Some(fetch)) => {
                repositories.take_file(storage, &fetch, bytes, now)?;
                if fetch.role == Role::Timestamp {
                    self.at = At::Wanted;
                }
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }
}

fn images(repositories: &Repositories) -> Result<&sanderling_trust::TrustedSet, TrustError> {
    repositories
        .images
        .as_ref()
        .ok_or(TrustError::NotLoaded { role: Role::Root })
}

fn file(repository: Repository, name: &str, max_len: usize, optional: bool) -> File {
    let base = match repository {
        Repository::Images => api::TUF_IMAGE,
        Repository::Director => api::TUF_DIRECTOR,
    };
    File {
        path: format!("{base}{name}"),
        max_len,
        optional,
    }
}
