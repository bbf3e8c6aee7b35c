//! Writes bundles. The same contents in the same order give the same bytes.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::digest::{Sha256Digest, sha256};
use crate::dtype::DType;
use crate::error::BundleError;
use crate::format::{
    ALIGN, ENTRY_LEN, FORMAT_MAJOR, FORMAT_MINOR, HEADER_LEN, Header, Section, SectionKind, align_up,
    table_hash,
};
use crate::golden::{self, GoldenVector};
use crate::manifest::Manifest;
use sanderling_flat::Certificate;
use sanderling_flat::container::PLAN_HEAD;
use sanderling_flat::tensors::{RECORD, TABLE_HEAD};

/// Collects a bundle's parts and writes them.
///
/// ```
/// use sanderling_bundle::{BundleBuilder, BundleView, DType, Manifest};
/// let manifest = Manifest { name: "demo".into(), version: "1".into(), ..Manifest::default() };
/// let mut builder = BundleBuilder::new(manifest);
/// let index = builder.tensor("weight", DType::U8, &[2, 2], vec![1, 2, 3, 4])?;
/// builder.plan("any", b"plan bytes".to_vec())?;
/// let bytes = builder.finish()?;
///
/// let view = BundleView::parse(&bytes)?;
/// view.verify_hashes()?;
/// assert_eq!(view.tensors().get(index as usize).unwrap().data, [1, 2, 3, 4]);
/// # Ok::<(), sanderling_bundle::BundleError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BundleBuilder<'a> {
    manifest: Manifest,
    numerics: u32,
    tensors: Vec<Tensor>,
    /// Distinct tensor contents, in order of first use, with their offsets in the data section.
    blobs: Vec<(u64, Cow<'a, [u8]>)>,
    by_hash: BTreeMap<Sha256Digest, usize>,
    data_len: u64,
    plans: Vec<(String, Vec<u8>)>,
    golden: Option<Vec<u8>>,
    model_card: Option<String>,
    notice: Option<String>,
    certificate: Option<Certificate>,
    extra: Vec<(u16, u32, bool, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    dtype: DType,
    dims: Vec<u64>,
    blob: usize,
    sha256: Sha256Digest,
}

impl<'a> BundleBuilder<'a> {
    /// A bundle with this manifest and nothing else, numerics version 1.
    #[must_use]
    pub fn new(manifest: Manifest) -> Self {
        Self {
            manifest,
            numerics: 1,
            tensors: Vec::new(),
            blobs: Vec::new(),
            by_hash: BTreeMap::new(),
            data_len: 0,
            plans: Vec::new(),
            golden: None,
            model_card: None,
            notice: None,
            certificate: None,
            extra: Vec::new(),
        }
    }

    /// States the definition of integer arithmetic that the plan's digests refer to.
    pub fn numerics(&mut self, version: u32) -> &mut Self {
        self.numerics = version;
        self
    }

    /// Replaces the manifest, e.g. once sizes are known.
    pub fn manifest(&mut self, manifest: Manifest) -> &mut Self {
        self.manifest = manifest;
        self
    }

    /// Adds a tensor and returns its index, which plans refer to. `data` is the canonical form that
    /// [`TensorView`](crate::TensorView) describes; equal data is stored once.
    ///
    /// # Errors
    /// [`BundleError::Invalid`] if the length does not fit the shape, or name or rank are too long.
    pub fn tensor(
        &mut self,
        name: &str,
        dtype: DType,
        dims: &[u64],
        data: impl Into<Cow<'a, [u8]>>,
    ) -> Result<u32, BundleError> {
        let data = data.into();
        let invalid = |why| BundleError::Invalid {
            item: name.to_string(),
            why,
        };
        if name.len() > usize::from(u16::MAX) {
            return Err(invalid("a tensor's name has at most 65 535 bytes"));
        }
        if dims.len() > usize::from(u8::MAX) {
            return Err(invalid("a tensor has at most 255 dimensions"));
        }
        let elements = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let elements = elements
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| invalid("shape overflows"))?;
        if dtype != DType::String && dtype.bytes_for(elements) != Some(data.len()) {
            return Err(invalid("the data's length does not fit the shape"));
        }
        let index = u32::try_from(self.tensors.len()).map_err(|_| invalid("too many tensors"))?;
        let sha256 = sha256(&data);
        let blob = match self.by_hash.get(&sha256) {
            Some(&blob) => blob,
            None => {
                let at = align_up(self.data_len).ok_or_else(|| invalid("too much data"))?;
                self.data_len = at + data.len() as u64;
                self.blobs.push((at, data));
                self.by_hash.insert(sha256, self.blobs.len() - 1);
                self.blobs.len() - 1
            }
        };
        self.tensors.push(Tensor {
            name: name.to_string(),
            dtype,
            dims: dims.to_vec(),
            blob,
            sha256,
        });
        Ok(index)
    }

    /// Adds a plan for a target. Names have 1 to 63 bytes; `"any"` is the plan that every backend takes.
    ///
    /// # Errors
    /// [`BundleError::Invalid`] for a name out of bounds or used twice.
    pub fn plan(&mut self, target: &str, plan: Vec<u8>) -> Result<&mut Self, BundleError> {
        let invalid = |why| BundleError::Invalid {
            item: target.to_string(),
            why,
        };
        if target.is_empty() || target.len() >= PLAN_HEAD {
            return Err(invalid("a plan's target name has 1 to 63 bytes"));
        }
        if self.plans.iter().any(|(name, _)| name == target) {
            return Err(invalid("there is a plan for this target already"));
        }
        self.plans.push((target.to_string(), plan));
        Ok(self)
    }

    /// Sets the golden vectors.
    ///
    /// # Errors
    /// [`BundleError::Invalid`] if lengths do not fit shapes.
    pub fn golden(&mut self, vectors: &[GoldenVector<'_>]) -> Result<&mut Self, BundleError> {
        self.golden = Some(golden::encode(vectors)?);
        Ok(self)
    }

    /// Sets the model card (Markdown).
    pub fn model_card(&mut self, text: impl Into<String>) -> &mut Self {
        self.model_card = Some(text.into());
        self
    }

    /// Sets the licence and attribution notices.
    pub fn notice(&mut self, text: impl Into<String>) -> &mut Self {
        self.notice = Some(text.into());
        self
    }

    /// States what a run without a heap takes; for bundles with a static plan.
    pub fn certificate(&mut self, certificate: Certificate) -> &mut Self {
        self.certificate = Some(certificate);
        self
    }

    /// Adds a section of a kind that this crate does not know. Readers that do not know it either skip it, or
    /// refuse the bundle if it is `critical`. Kinds from 0x8000 on are free for private use.
    pub fn section(&mut self, kind: u16, id: u32, critical: bool, bytes: Vec<u8>) -> &mut Self {
        self.extra.push((kind, id, critical, bytes));
        self
    }

    /// Bytes of the tensors' data, each distinct content counted once.
    #[must_use]
    pub fn constant_bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, data)| data.len() as u64).sum()
    }

    /// Bytes of the sections that stay readable while the model runs: plans, tensor table, tensor data.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), for the tensor table.
    pub fn flash_bytes(&self) -> Result<u64, BundleError> {
        let plans: usize = self.plans.iter().map(|(_, plan)| PLAN_HEAD + plan.len()).sum();
        Ok((plans + self.tensor_table()?.len()) as u64 + self.data_len)
    }

    /// Writes the bundle. Metadata comes first and tensor data last, so that a reader over a network can
    /// decide early.
    ///
    /// # Errors
    /// [`BundleError::Invalid`] if the parts do not make a readable bundle.
    pub fn finish(&self) -> Result<Vec<u8>, BundleError> {
        let mut parts: Vec<(SectionKind, u32, bool, Cow<'_, [u8]>)> = Vec::new();
        parts.push((SectionKind::Manifest, 0, true, self.manifest.encode()?.into()));
        parts.push((SectionKind::TensorTable, 0, true, self.tensor_table()?.into()));
        for (id, (target, plan)) in (0u32..).zip(&self.plans) {
            parts.push((SectionKind::Plan, id, true, plan_section(target, plan).into()));
        }
        let text = |text: &'_ Option<String>| text.as_ref().map(|t| t.as_bytes().to_vec());
        let optional = [
            (SectionKind::Golden, self.golden.clone()),
            (SectionKind::ModelCard, text(&self.model_card)),
            (SectionKind::Notice, text(&self.notice)),
        ];
        for (kind, bytes) in optional {
            if let Some(bytes) = bytes {
                parts.push((kind, 0, false, bytes.into()));
            }
        }
        if let Some(certificate) = &self.certificate {
            let bytes = certificate.encode().to_vec();
            parts.push((SectionKind::Certificate, 0, false, bytes.into()));
        }
        for (kind, id, critical, bytes) in &self.extra {
            if !matches!(SectionKind::from_code(*kind), SectionKind::Other(_)) {
                let why = "this crate writes sections of this kind itself";
                return Err(BundleError::Invalid {
                    item: SectionKind::from_code(*kind).to_string(),
                    why,
                });
            }
            parts.push((SectionKind::Other(*kind), *id, *critical, bytes.as_slice().into()));
        }
        parts.push((SectionKind::TensorData, 0, true, self.tensor_data().into()));
        write_container(self.numerics, &parts)
    }

    fn tensor_table(&self) -> Result<Vec<u8>, BundleError> {
        let too_many = || BundleError::Invalid {
            item: "tensor table".into(),
            why: "it is over 4 GiB",
        };
        let u32_of = |n: usize| u32::try_from(n).map_err(|_| too_many());
        let mut records = Vec::with_capacity(self.tensors.len() * RECORD);
        let mut dims: Vec<u8> = Vec::new();
        let mut names: Vec<u8> = Vec::new();
        for tensor in &self.tensors {
            let (at, data) = &self.blobs[tensor.blob];
            records.extend(u32_of(names.len())?.to_le_bytes());
            // Both casts are exact: `tensor` checked the lengths.
            records.extend((tensor.name.len() as u16).to_le_bytes());
            records.extend([tensor.dtype.code(), tensor.dims.len() as u8]);
            records.extend(u32_of(dims.len() / 8)?.to_le_bytes());
            records.extend([0; 4]);
            records.extend(at.to_le_bytes());
            records.extend((data.len() as u64).to_le_bytes());
            records.extend(tensor.sha256);
            dims.extend(tensor.dims.iter().flat_map(|d| d.to_le_bytes()));
            names.extend(tensor.name.as_bytes());
        }
        let mut out = Vec::with_capacity(TABLE_HEAD + records.len() + dims.len() + names.len());
        out.extend(u32_of(self.tensors.len())?.to_le_bytes());
        out.extend(u32_of(dims.len() / 8)?.to_le_bytes());
        out.extend(u32_of(names.len())?.to_le_bytes());
        out.extend([0; 4]);
        out.extend(records);
        out.extend(dims);
        out.extend(names);
        Ok(out)
    }

    fn tensor_data(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize::try_from(self.data_len).unwrap_or_default());
        for (at, data) in &self.blobs {
            // Exact: `at` is at most the sum of lengths that are in memory.
            out.resize(*at as usize, 0);
            out.extend_from_slice(data);
        }
        out
    }
}

fn plan_section(target: &str, plan: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PLAN_HEAD + plan.len());
    // Exact: `BundleBuilder::plan` checked the length.
    out.push(target.len() as u8);
    out.extend_from_slice(target.as_bytes());
    out.resize(PLAN_HEAD, 0);
    out.extend_from_slice(plan);
    out
}

fn write_container(
    numerics: u32,
    parts: &[(SectionKind, u32, bool, Cow<'_, [u8]>)],
) -> Result<Vec<u8>, BundleError> {
    let mut table = Vec::with_capacity(parts.len() * ENTRY_LEN);
    let mut end = HEADER_LEN + parts.len() * ENTRY_LEN;
    let mut rows: Vec<Section> = Vec::with_capacity(parts.len());
    for (kind, id, critical, bytes) in parts {
        if rows.iter().any(|row| row.kind == *kind && row.id == *id) {
            let why = "there is a section of this kind and id already";
            return Err(BundleError::Invalid {
                item: kind.to_string(),
                why,
            });
        }
        let at = end.next_multiple_of(ALIGN);
        end = at + bytes.len();
        let row = Section {
            kind: *kind,
            critical: *critical,
            id: *id,
            offset: at as u64,
            len: bytes.len() as u64,
            sha256: sha256(bytes),
        };
        table.extend(row.encode());
        rows.push(row);
    }
    let header = Header {
        major: FORMAT_MAJOR,
        minor: FORMAT_MINOR,
        numerics,
        total_len: end as u64,
        sections: u32::try_from(parts.len()).map_err(|_| BundleError::Invalid {
            item: "sections".into(),
            why: "there are too many",
        })?,
    };
    let head = header.encode();
    let mut out = Vec::with_capacity(end);
    out.extend(head);
    out.extend(table_hash(&head, &table));
    out.extend(table);
    for (_, _, _, bytes) in parts {
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        out.extend_from_slice(bytes);
    }
    Ok(out)
}
