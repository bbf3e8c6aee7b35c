//! The checked view: a bundle's bytes, read in place; manifest and golden vectors decoded.

use alloc::vec::Vec;
use core::ops::Deref;

use crate::error::BundleError;
use crate::format::SectionKind;
use crate::golden::{self, GoldenVector};
use crate::manifest::Manifest;
use sanderling_flat::{Container, Limits};

/// A bundle whose structure has been checked; see [`Container::parse_with`] for what that covers.
///
/// It is a [`Container`] and can all that one can; what it adds takes memory.
#[derive(Clone, Copy, Debug)]
pub struct BundleView<'a> {
    container: Container<'a>,
}

impl<'a> Deref for BundleView<'a> {
    type Target = Container<'a>;

    fn deref(&self) -> &Container<'a> {
        &self.container
    }
}

impl<'a> BundleView<'a> {
    /// Checks the structure with [default limits](Limits::default); see [`Container::parse_with`].
    ///
    /// # Errors
    /// Any [`BundleError`]; the bytes may be anything.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        Self::parse_with(bytes, &Limits::default())
    }

    /// Checks the structure; see [`Container::parse_with`].
    ///
    /// # Errors
    /// Any [`BundleError`]; the bytes may be anything.
    pub fn parse_with(bytes: &'a [u8], limits: &Limits) -> Result<Self, BundleError> {
        let container = Container::parse_with(bytes, limits)?;
        Ok(Self { container })
    }

    /// Decodes the manifest.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] if it does not decode, [`BundleError::WrongVersion`] for another schema.
    pub fn manifest(&self) -> Result<Manifest, BundleError> {
        let section = self.require(SectionKind::Manifest)?;
        Manifest::decode(self.bytes_of(&section), section.offset)
    }

    /// Decodes the golden vectors; none if the bundle has none.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] if they do not decode or lengths do not fit shapes.
    pub fn golden(&self) -> Result<Vec<GoldenVector<'a>>, BundleError> {
        match self.section(SectionKind::Golden) {
            Some(section) => golden::decode(self.bytes_of(&section), section.offset),
            None => Ok(Vec::new()),
        }
    }
}
