//! Delegations: who else may list which targets (TUF 1.0, 4.5), with hash bins and succinct roles (TAP 15).

use super::{Reader, Role, RoleKeys};
use crate::error::TrustError;
use crate::json::Value;
use crate::key::{KeyId, PublicKey};
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sanderling_wire::Digest;

/// Most roles of one delegating role that are read.
const MAX_ROLES: usize = 4096;

/// Keys and roles that a targets role delegates to.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegations {
    /// Keys of the roles, by id.
    pub keys: BTreeMap<KeyId, PublicKey>,
    roles: Roles,
    value: Value,
}

/// Roles one by one, in order of priority, or all bins of a succinct delegation.
#[derive(Debug, Clone, PartialEq)]
enum Roles {
    Listed(Vec<DelegatedRole>),
    Succinct {
        keys: RoleKeys,
        prefix: String,
        bits: u32,
    },
}

/// A role that may list targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// Its name.
    pub name: String,
    /// Who signs for it.
    pub keys: RoleKeys,
    /// Whether the search ends with this role and those below it.
    pub terminating: bool,
    /// Which targets it may list.
    pub scope: Scope,
}

/// Which targets a delegated role may list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Shell-style patterns over the path; `*` and `?` do not match `/`.
    Paths(Vec<String>),
    /// Prefixes of the SHA-256 of the path, in lower-case hexadecimal digits.
    HashPrefixes(Vec<String>),
}

impl Scope {
    fn covers(&self, path: &str) -> bool {
        match self {
            Self::Paths(patterns) => patterns.iter().any(|pattern| matches_path(pattern, path)),
            Self::HashPrefixes(prefixes) => {
                let hash = Digest::of(path.as_bytes()).to_string();
                prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str()))
            }
        }
    }
}

impl Delegations {
    /// The roles to ask for `path`, in order, each with whether it ends the search.
    #[must_use]
    pub fn roles_for(&self, path: &str) -> Vec<(Role, bool)> {
        match &self.roles {
            Roles::Listed(roles) => {
                let covering = roles.iter().filter(|role| role.scope.covers(path));
                covering
                    .map(|role| (Role::Delegated(role.name.clone()), role.terminating))
                    .collect()
            }
            Roles::Succinct { prefix, bits, .. } => {
                let Digest([a, b, c, d, ..]) = Digest::of(path.as_bytes());
                let bin = u64::from(u32::from_be_bytes([a, b, c, d])) >> (32 - bits);
                alloc::vec![(Role::Delegated(bin_name(prefix, *bits, bin)), true)]
            }
        }
    }

    /// Who signs for the delegated role `name`.
    #[must_use]
    pub fn role_keys(&self, name: &str) -> Option<&RoleKeys> {
        match &self.roles {
            Roles::Listed(roles) => roles.iter().find(|role| role.name == name).map(|role| &role.keys),
            Roles::Succinct { keys, prefix, bits } => {
                let bin = u64::from_str_radix(name.rsplit_once('-')?.1, 16).ok()?;
                (bin < 1 << *bits && bin_name(prefix, *bits, bin) == name).then_some(keys)
            }
        }
    }

    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, TrustError> {
        let roles = match (reader.optional("roles"), reader.optional("succinct_roles")) {
            (Some(list), None) => Roles::Listed(read_listed(&list)?),
            (None, Some(succinct)) => read_succinct(&succinct)?,
            _ => return Err(reader.error("must have either `roles` or `succinct_roles`")),
        };
        Ok(Self {
            keys: reader.keys()?,
            roles,
            value: reader.value().clone(),
        })
    }

    pub(crate) fn to_value(&self) -> &Value {
        &self.value
    }
}

fn read_listed(list: &Reader<'_>) -> Result<Vec<DelegatedRole>, TrustError> {
    let mut names = BTreeSet::new();
    let mut roles = Vec::new();
    for item in list.items()? {
        if roles.len() == MAX_ROLES {
            return Err(TrustError::TooMany {
                what: "roles in one delegation",
                limit: MAX_ROLES,
            });
        }
        let name = item.field("name")?;
        if matches!(name.str()?, "" | "root" | "timestamp" | "snapshot" | "targets") {
            return Err(name.error("is not a name for a delegated role"));
        }
        if !names.insert(name.str()?) {
            return Err(name.error("names a role twice"));
        }
        let texts = |list: Reader<'_>| -> Result<Vec<String>, TrustError> {
            list.items()?.map(|item| Ok(item.str()?.to_owned())).collect()
        };
        let scope = match (item.optional("paths"), item.optional("path_hash_prefixes")) {
            (Some(paths), None) => Scope::Paths(texts(paths)?),
            (None, Some(prefixes)) => Scope::HashPrefixes(texts(prefixes)?),
            _ => return Err(item.error("must have either `paths` or `path_hash_prefixes`")),
        };
        roles.push(DelegatedRole {
            name: name.str()?.to_owned(),
            keys: item.role_keys()?,
            terminating: item.field("terminating")?.bool()?,
            scope,
        });
    }
    Ok(roles)
}

fn read_succinct(reader: &Reader<'_>) -> Result<Roles, TrustError> {
    let bits = reader.field("bit_length")?;
    let count = u32::try_from(bits.u64()?)
        .ok()
        .filter(|bits| (1..=32).contains(bits));
    Ok(Roles::Succinct {
        keys: reader.role_keys()?,
        prefix: reader.field("name_prefix")?.str()?.to_owned(),
        bits: count.ok_or_else(|| bits.error("must be from 1 to 32"))?,
    })
}

/// `prefix-0a3`: as many hexadecimal digits as the highest bin needs.
fn bin_name(prefix: &str, bits: u32, bin: u64) -> String {
    let digits = bits.div_ceil(4) as usize;
    format!("{prefix}-{bin:0digits$x}")
}

/// Segment by segment; both must have as many.
fn matches_path(pattern: &str, path: &str) -> bool {
    let mut patterns = pattern.split('/');
    let mut segments = path.split('/');
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if matches_segment(pattern, segment) => {}
            _ => return false,
        }
    }
}

/// Glob of one segment in O(pattern × segment): on a mismatch only the last `*` takes one character more.
fn matches_segment(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, wanted) in [
            ("*", "a.sdl", true),
            ("*", "", true),
            ("*", "x/a.sdl", false),
            ("*/*", "x/a.sdl", true),
            ("x/*.sdl", "x/a.sdl", true),
            ("x/*.sdl", "y/a.sdl", false),
            ("foo-?.tgz", "foo-1.tgz", true),
            ("foo-?.tgz", "foo-.tgz", false),
            ("foo-?.tgz", "foo-é.tgz", true),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXbXbY", false),
            ("*.MD", "a.md", false),
            ("[ab]", "a", false),
            ("", "", true),
            ("a/", "a", false),
        ] {
            assert_eq!(matches_path(pattern, path), wanted, "{pattern} {path}");
        }
        // Exponential in naive matchers.
        assert!(!matches_path(&"*a".repeat(200), &"a".repeat(199)));
    }

    #[test]
    fn bins_are_named_by_as_many_digits_as_the_highest_needs() {
        assert_eq!(bin_name("bin", 1, 1), "bin-1");
        assert_eq!(bin_name("bin", 4, 15), "bin-f");
        assert_eq!(bin_name("bin", 5, 3), "bin-03");
        assert_eq!(bin_name("bin", 16, 0xabc), "bin-0abc");
    }
}
