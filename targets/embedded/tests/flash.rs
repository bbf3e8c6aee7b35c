//! A bundle goes into flash, whatever the pieces, and nothing else does; a writing that is cut at any place leaves none.
#![allow(missing_docs, clippy::unwrap_used)]

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use sanderling_embedded::{BundleFlash, Classifier, FlashError, Fpu, Limits, NoFpu, Session, sha256};
use std::path::Path;

const SECTOR: usize = 4096;

/// NOR flash: erased to ones, writing clears bits. Fails when its operations, each on a unit, are used up.
struct Nor {
    bytes: Vec<u8>,
    operations: usize,
    /// A cell that reads as zero whatever is written.
    worn: Option<usize>,
}

impl Nor {
    fn new(operations: usize) -> Self {
        Self {
            bytes: vec![0; 64 * SECTOR],
            operations,
            worn: None,
        }
    }

    fn operate(&mut self) -> Result<(), NorFlashErrorKind> {
        self.operations = self.operations.checked_sub(1).ok_or(NorFlashErrorKind::Other)?;
        Ok(())
    }
}

impl ErrorType for Nor {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let from = self.bytes.get(offset as usize..offset as usize + bytes.len());
        bytes.copy_from_slice(from.ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        for sector in (from as usize..to as usize).step_by(SECTOR) {
            self.operate()?;
            self.bytes[sector..sector + SECTOR].fill(0xff);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let to = self.bytes[offset as usize..].chunks_mut(Self::WRITE_SIZE);
        for (to, unit) in to.zip(bytes.chunks(Self::WRITE_SIZE)) {
            self.operations = self.operations.checked_sub(1).ok_or(NorFlashErrorKind::Other)?;
            assert!(
                to.iter().all(|&byte| byte == 0xff),
                "written twice without an erase"
            );
            to.copy_from_slice(unit);
        }
        let written = offset as usize..offset as usize + bytes.len();
        if let Some(at) = self.worn.filter(|at| written.contains(at)) {
            self.bytes[at] = 0;
        }
        Ok(())
    }
}

fn model() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cortex-m/model")
}

fn bundle() -> Vec<u8> {
    use sanderling_compiler::onnx::{Limits, read_file};
    use sanderling_compiler::{OptimiseOptions, Recipe, pack};
    let table = sanderling_core::OpTable(sanderling_core::ops::ALL);
    let read = read_file(&model().join("model.onnx"), table, &Limits::default()).unwrap();
    pack::pack(
        read,
        &Recipe::named("fashion"),
        table,
        &OptimiseOptions::default(),
        &mut |_| {},
    )
    .unwrap()
    .bytes
}

#[test]
fn a_bundle_is_installed_and_runs_from_flash() {
    let bundle = bundle();
    for piece in [1, 100, 256, 4096, bundle.len()] {
        let mut flash = BundleFlash::new(Nor::new(usize::MAX), 8192, 48 * SECTOR as u32).unwrap();
        assert!(!flash.holds_bundle().unwrap());
        flash
            .install(bundle.len() as u32, &sha256(&bundle), bundle.chunks(piece))
            .unwrap();
        assert!(flash.holds_bundle().unwrap());
        let nor = flash.release();
        let mapped = &nor.bytes[8192..8192 + bundle.len()];
        let images = std::fs::read(model().join("images.bin")).unwrap();
        let (mut with, mut without) = (vec![0; 32 * 1024], vec![0; 32 * 1024]);
        let limits = Limits { stack_bytes: 8192 };
        let mut fpu = Session::new(mapped, Classifier::<Fpu>::TABLE, &mut with, &limits).unwrap();
        let mut none = Session::new(mapped, Classifier::<NoFpu>::TABLE, &mut without, &limits).unwrap();
        for session in [&mut fpu, &mut none] {
            session.set_input(0, &images[1..785]).unwrap();
            session.run().unwrap();
        }
        assert_eq!(fpu.output(0).unwrap().bytes, none.output(0).unwrap().bytes);
    }
}

#[test]
fn what_is_not_the_bundle_is_refused() {
    let bundle = bundle();
    let (len, digest) = (bundle.len() as u32, sha256(&bundle));
    let mut flash = BundleFlash::new(Nor::new(usize::MAX), 0, 48 * SECTOR as u32).unwrap();
    let mut damaged = bundle.clone();
    damaged[300] ^= 1;
    let tries: [(&[u8], u32, FlashError); 4] = [
        (&damaged, len, FlashError::Digest),
        (
            &bundle[1..],
            len,
            FlashError::Length {
                announced: len,
                came: len - 1,
            },
        ),
        (
            &bundle,
            len - 1,
            FlashError::Length {
                announced: len - 1,
                came: len,
            },
        ),
        (
            &bundle,
            1 << 20,
            FlashError::TooLong {
                needed: 1 << 20,
                room: 48 * SECTOR as u64,
            },
        ),
    ];
    for (bytes, announced, error) in tries {
        assert_eq!(flash.install(announced, &digest, bytes.chunks(64)), Err(error));
        assert!(!flash.holds_bundle().unwrap(), "{error}");
    }
    let nor = || Nor::new(usize::MAX);
    assert_eq!(
        BundleFlash::new(nor(), 100, 4096).err(),
        Some(FlashError::Unaligned)
    );
    assert!(matches!(
        BundleFlash::new(nor(), 0, 1 << 20).err(),
        Some(FlashError::TooLong { .. })
    ));
}

#[test]
fn a_cut_at_any_operation_leaves_no_bundle() {
    let bundle = bundle();
    let (len, digest) = (bundle.len() as u32, sha256(&bundle));
    let install = |nor: Nor, bytes: &[u8]| {
        let mut flash = BundleFlash::new(nor, 0, 48 * SECTOR as u32).unwrap();
        let done = flash.install(len, &digest, bytes.chunks(512));
        (done, flash.holds_bundle().unwrap(), flash.release())
    };
    let (done, _, old) = install(Nor::new(usize::MAX), &bundle);
    done.unwrap();
    // Over another bundle, cut at the first operations, here and there, and at each of the first page, which is last.
    let sectors = bundle.len().div_ceil(SECTOR);
    let operations = sectors + bundle.len().next_multiple_of(256) / Nor::WRITE_SIZE;
    let rare = (0..operations).step_by(997);
    for cut in (0..40).chain(rare).chain(operations - 80..operations) {
        let nor = Nor {
            bytes: old.bytes.clone(),
            ..Nor::new(cut)
        };
        let (done, holds, _) = install(nor, &bundle);
        assert_eq!(done, Err(FlashError::Flash(NorFlashErrorKind::Other)), "{cut}");
        // Before the first sector was erased the old one is there.
        assert_eq!(holds, cut == 0, "{cut}");
    }
    install(Nor::new(operations), &bundle).0.unwrap();
}

#[test]
fn what_reads_back_wrong_is_no_bundle() {
    let bundle = bundle();
    // In the first page behind the magic, which is looked at last; and further on.
    for worn in [40, 9000] {
        let mut at = worn;
        while bundle[at] == 0 {
            at += 1;
        }
        let nor = Nor {
            worn: Some(at),
            ..Nor::new(usize::MAX)
        };
        let mut flash = BundleFlash::new(nor, 0, 48 * SECTOR as u32).unwrap();
        let digest = sha256(&bundle);
        let result = flash.install(bundle.len() as u32, &digest, bundle.chunks(512));
        assert_eq!(result, Err(FlashError::Digest));
        assert!(!flash.holds_bundle().unwrap());
    }
}
