//! The checked view: a bundle's bytes, read in place.

use crate::certificate::Certificate;
use crate::digest::{Sha256Digest, sha256};
use crate::error::BundleError;
use crate::format::{ENTRY_LEN, HEADER_LEN, Header, Section, SectionKind, align_up, array, table_hash};
use crate::tensors::Tensors;

/// Bytes of a plan section's head: one length byte, then the target's name, zero-padded.
pub const PLAN_HEAD: usize = 64;

/// What a reader accepts, checked before anything is read that could take memory or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole bundle; also of all tensors, those that share theirs counted each time.
    pub total_bytes: u64,
    /// Number of sections.
    pub sections: u32,
    /// Number of tensors.
    pub tensors: u32,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// Bytes of the golden vectors.
    pub golden_bytes: u64,
}

impl Default for Limits {
    /// 16 GiB, 1024 sections, 1 Mi tensors, 16 MiB of manifest, 256 MiB of golden vectors.
    fn default() -> Self {
        Self {
            total_bytes: 16 << 30,
            sections: 1024,
            tensors: 1 << 20,
            manifest_bytes: 16 << 20,
            golden_bytes: 256 << 20,
        }
    }
}

/// A bundle whose structure has been checked, without what takes a heap to read: manifest and golden vectors. See [`parse`](Container::parse) for what that covers.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    bytes: &'a [u8],
    header: Header,
    tensors: Tensors<'a>,
}

impl<'a> Container<'a> {
    /// Checks the structure with [default limits](Limits::default); see [`parse_with`](Self::parse_with).
    ///
    /// # Errors
    /// Any [`BundleError`]; the bytes may be anything.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        Self::parse_with(bytes, &Limits::default())
    }

    /// Checks header, section table and their hash, the layout of all sections, zero padding, and every record
    /// of the tensor table. Takes no memory. The sections' contents are checked when they are read, and their
    /// hashes by [`verify_hashes`](Self::verify_hashes): a bundle whose own digest has been verified against
    /// a signature needs no second pass.
    ///
    /// # Errors
    /// Any [`BundleError`]; the bytes may be anything.
    pub fn parse_with(bytes: &'a [u8], limits: &Limits) -> Result<Self, BundleError> {
        let header = Header::decode(bytes)?;
        let at_most = |what, found: u64, limit: u64| {
            (found <= limit)
                .then_some(())
                .ok_or(BundleError::TooLarge { what, found, limit })
        };
        at_most("bytes in a bundle", header.total_len, limits.total_bytes)?;
        at_most(
            "sections in a bundle",
            u64::from(header.sections),
            u64::from(limits.sections),
        )?;
        let (expected, found) = (header.total_len, bytes.len() as u64);
        if found < expected {
            return Err(BundleError::Truncated { expected, found });
        }
        if found > expected {
            return Err(BundleError::TrailingBytes { expected, found });
        }
        let table_len = header.sections as usize * ENTRY_LEN;
        let Some(table) = bytes.get(HEADER_LEN..HEADER_LEN + table_len) else {
            return Err(BundleError::Truncated {
                expected: (HEADER_LEN + table_len) as u64,
                found,
            });
        };
        if table_hash(&bytes[..32], table) != bytes[32..HEADER_LEN] {
            let what = "the hash of header and section table does not match";
            return Err(BundleError::Corrupt {
                section: None,
                offset: 32,
                what,
            });
        }
        let tensors = Tensors::parse(&[0; 16], &[], 0, 0, 0)?;
        let mut view = Self {
            bytes,
            header,
            tensors,
        };
        view.check_layout()?;
        at_most(
            "bytes of manifest",
            view.require(SectionKind::Manifest)?.len,
            limits.manifest_bytes,
        )?;
        if let Some(golden) = view.section(SectionKind::Golden) {
            at_most("bytes of golden vectors", golden.len, limits.golden_bytes)?;
        }
        view.check_plans()?;
        let table = view.require(SectionKind::TensorTable)?;
        let data = view.require(SectionKind::TensorData)?;
        view.tensors = Tensors::parse(
            view.bytes_of(&table),
            view.bytes_of(&data),
            table.offset,
            limits.tensors,
            limits.total_bytes,
        )?;
        Ok(view)
    }

    /// Checks that sections follow each other without gap, overlap or repetition, and that padding is zero.
    fn check_layout(&self) -> Result<(), BundleError> {
        let overflow = |offset| BundleError::Corrupt {
            section: None,
            offset,
            what: "a length overflows",
        };
        let mut end = (HEADER_LEN + self.header.sections as usize * ENTRY_LEN) as u64;
        for index in 0..self.header.sections as usize {
            let section = self.section_at(index)?;
            let corrupt = |what| BundleError::Corrupt {
                section: Some(section.kind),
                offset: section.offset,
                what,
            };
            if matches!(section.kind, SectionKind::Other(_)) && section.critical {
                return Err(BundleError::UnknownCritical {
                    kind: section.kind.code(),
                });
            }
            if section.offset != align_up(end).ok_or_else(|| overflow(end))? {
                return Err(corrupt("the section does not begin where the one before it ends"));
            }
            let padding = usize::try_from(end)
                .ok()
                .zip(usize::try_from(section.offset).ok());
            let Some(padding) = padding.and_then(|(from, to)| self.bytes.get(from..to)) else {
                return Err(corrupt("the section begins behind the end of the file"));
            };
            if padding.iter().any(|&b| b != 0) {
                return Err(corrupt("padding before the section is not zero"));
            }
            end = section
                .offset
                .checked_add(section.len)
                .ok_or_else(|| overflow(section.offset))?;
            if end > self.header.total_len {
                return Err(corrupt("the section ends behind the end of the file"));
            }
            let same = |s: &Section| s.kind == section.kind && (!s.kind.may_repeat() || s.id == section.id);
            if self.sections().take(index).any(|s| same(&s)) {
                return Err(corrupt("the section is there twice"));
            }
        }
        if end != self.header.total_len {
            let what = "bytes after the last section";
            return Err(BundleError::Corrupt {
                section: None,
                offset: end,
                what,
            });
        }
        Ok(())
    }

    fn check_plans(&self) -> Result<(), BundleError> {
        for section in self.sections().filter(|s| s.kind == SectionKind::Plan) {
            if split_plan(self.bytes_of(&section)).is_none() {
                let what = "the plan's target name is damaged";
                return Err(BundleError::Corrupt {
                    section: Some(SectionKind::Plan),
                    offset: section.offset,
                    what,
                });
            }
        }
        Ok(())
    }

    /// Checks every section's hash and every tensor's hash against the bytes. Reads the whole bundle, the
    /// tensor data twice.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] with the first section or tensor that does not match.
    pub fn verify_hashes(&self) -> Result<(), BundleError> {
        let corrupt = |section: &Section, offset, what| BundleError::Corrupt {
            section: Some(section.kind),
            offset,
            what,
        };
        for section in self.sections() {
            if sha256(self.bytes_of(&section)) != section.sha256 {
                return Err(corrupt(
                    &section,
                    section.offset,
                    "the section's hash does not match",
                ));
            }
        }
        let data = self.require(SectionKind::TensorData)?;
        for tensor in self.tensors.iter() {
            if sha256(tensor.data) != tensor.sha256 {
                let offset = tensor.data.as_ptr() as usize - self.bytes.as_ptr() as usize;
                return Err(corrupt(&data, offset as u64, "a tensor's hash does not match"));
            }
        }
        Ok(())
    }

    /// The header's fields.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// The whole bundle's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// SHA-256 of the whole bundle: the name that signatures and updates know it by. Reads all bytes.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        sha256(self.bytes)
    }

    /// The section table's rows, unknown kinds included.
    pub fn sections(&self) -> impl Iterator<Item = Section> + use<'a> {
        let view = *self;
        (0..view.header.sections as usize).filter_map(move |index| view.section_at(index).ok())
    }

    /// A section's bytes.
    #[must_use]
    pub fn bytes_of(&self, section: &Section) -> &'a [u8] {
        let range = usize::try_from(section.offset)
            .ok()
            .zip(usize::try_from(section.len).ok());
        range
            .and_then(|(at, len)| self.bytes.get(at..at.checked_add(len)?))
            .unwrap_or_default()
    }

    /// The tensors.
    #[must_use]
    pub const fn tensors(&self) -> Tensors<'a> {
        self.tensors
    }

    /// The plans: target name and bytes. The bytes are aligned to 64 if the bundle's first byte is.
    pub fn plans(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let view = *self;
        view.sections()
            .filter(|section| section.kind == SectionKind::Plan)
            .filter_map(move |section| split_plan(view.bytes_of(&section)))
    }

    /// The plan for a target; `"any"` is the one that every backend takes.
    #[must_use]
    pub fn plan(&self, target: &str) -> Option<&'a [u8]> {
        self.plans()
            .find(|(name, _)| *name == target)
            .map(|(_, bytes)| bytes)
    }

    /// What a run without a heap takes; none in bundles without a static plan.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] if it does not decode.
    pub fn certificate(&self) -> Result<Option<Certificate>, BundleError> {
        let section = self.section(SectionKind::Certificate);
        let decode = |section: Section| Certificate::decode(self.bytes_of(&section), &section);
        section.map(decode).transpose()
    }

    /// The model card, Markdown.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] if it is not UTF-8.
    pub fn model_card(&self) -> Result<Option<&'a str>, BundleError> {
        self.text(SectionKind::ModelCard)
    }

    /// Licence and attribution notices.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] if they are not UTF-8.
    pub fn notice(&self) -> Result<Option<&'a str>, BundleError> {
        self.text(SectionKind::Notice)
    }

    fn text(&self, kind: SectionKind) -> Result<Option<&'a str>, BundleError> {
        let Some(section) = self.section(kind) else {
            return Ok(None);
        };
        core::str::from_utf8(self.bytes_of(&section))
            .map(Some)
            .map_err(|_| BundleError::Corrupt {
                section: Some(kind),
                offset: section.offset,
                what: "the text is not UTF-8",
            })
    }

    /// The first section of a kind.
    #[must_use]
    pub fn section(&self, kind: SectionKind) -> Option<Section> {
        self.sections().find(|section| section.kind == kind)
    }

    /// The first section of a kind that must be there.
    ///
    /// # Errors
    /// [`BundleError::MissingSection`].
    pub fn require(&self, section: SectionKind) -> Result<Section, BundleError> {
        self.section(section)
            .ok_or(BundleError::MissingSection { section })
    }

    fn section_at(&self, index: usize) -> Result<Section, BundleError> {
        let at = HEADER_LEN + index * ENTRY_LEN;
        let row: [u8; ENTRY_LEN] = array(self.bytes, at);
        Section::decode(&row, at as u64)
    }
}

/// A plan section's target name and bytes.
fn split_plan(section: &[u8]) -> Option<(&str, &[u8])> {
    let (head, plan) = section.split_at_checked(PLAN_HEAD)?;
    let (name, padding) = head[1..].split_at_checked(usize::from(head[0]))?;
    let clean = !name.is_empty() && padding.iter().all(|&b| b == 0);
    clean.then_some((core::str::from_utf8(name).ok()?, plan))
}
