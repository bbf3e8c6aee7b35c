//! A region of NOR flash that holds a bundle.
//!
//! A bundle comes in pieces, over a radio or a bus, and is longer than memory. [`BundleFlash::install`] erases, writes what comes,
//! and reads all of it back through SHA-256: only then is it said to be there. The bundle's magic is written last, so that
//! a region whose writing was cut short holds no bundle.

use core::fmt;
use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind};
use sanderling_flat::digest::Sha256;
use sanderling_flat::{MAGIC, Sha256Digest};

/// Most bytes that the flash writes at one time; holds the first page while the others are written.
const PAGE: usize = 256;

/// Why a bundle is not in flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlashError {
    /// The bundle is longer than the region, or the region than the flash.
    TooLong {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that there are.
        room: u64,
    },
    /// The flash writes or erases in units that do not fit: larger than a page, or the region is no multiple of them.
    Unaligned,
    /// There were fewer or more bytes than were announced.
    Length {
        /// Bytes announced.
        announced: u32,
        /// Bytes that came, at least.
        came: u32,
    },
    /// What was read back has another digest than the one that was verified.
    Digest,
    /// The flash failed.
    Flash(NorFlashErrorKind),
}

impl fmt::Display for FlashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { needed, room } => {
                write!(f, "{needed} bytes are needed in flash, there are {room}")
            }
            Self::Unaligned => write!(
                f,
                "the region does not fit the flash: begin and length are multiples of its erase size, and it writes at most {PAGE} bytes at a time"
            ),
            Self::Length { announced, came } => write!(f, "{announced} bytes were announced, {came} came"),
            Self::Digest => {
                f.write_str("what was written reads back with another digest; fetch the bundle again")
            }
            Self::Flash(kind) => write!(f, "the flash failed: {kind:?}"),
        }
    }
}

impl core::error::Error for FlashError {}

/// A region of flash.
#[derive(Debug)]
pub struct BundleFlash<F> {
    flash: F,
    start: u32,
    len: u32,
}

impl<F: NorFlash> BundleFlash<F> {
    /// The region of `len` bytes from `start` on.
    ///
    /// # Errors
    /// [`FlashError::TooLong`] where it leaves the flash, [`FlashError::Unaligned`] where it is not of whole sectors.
    pub fn new(flash: F, start: u32, len: u32) -> Result<Self, FlashError> {
        let (needed, room) = (u64::from(start) + u64::from(len), flash.capacity() as u64);
        if needed > room {
            return Err(FlashError::TooLong { needed, room });
        }
        let sector = F::ERASE_SIZE as u32;
        let fits = PAGE.is_multiple_of(F::WRITE_SIZE) && PAGE.is_multiple_of(F::READ_SIZE);
        if !fits
            || !start.is_multiple_of(sector)
            || !len.is_multiple_of(sector)
            || !F::ERASE_SIZE.is_multiple_of(PAGE)
        {
            return Err(FlashError::Unaligned);
        }
        Ok(Self { flash, start, len })
    }

    /// Writes a bundle of `len` bytes, which `pieces` gives in order, and verifies it. Until this returns well, the region holds
    /// no bundle.
    ///
    /// # Errors
    /// [`FlashError::TooLong`] before anything is changed; any other [`FlashError`], and the region holds no bundle, unless the
    /// flash failed before its first sector was erased.
    pub fn install<'p>(
        &mut self,
        len: u32,
        digest: &Sha256Digest,
        pieces: impl Iterator<Item = &'p [u8]>,
    ) -> Result<(), FlashError> {
        if len > self.len {
            let (needed, room) = (u64::from(len), u64::from(self.len));
            return Err(FlashError::TooLong { needed, room });
        }
        let end = len.next_multiple_of(F::ERASE_SIZE as u32);
        self.flash.erase(self.start, self.start + end).map_err(failed)?;
        let (mut first, mut page) = ([0xff; PAGE], [0xff; PAGE]);
        let mut came = 0u32;
        for &byte in pieces.flatten() {
            if came == len {
                let came = came.saturating_add(1);
                return Err(FlashError::Length { announced: len, came });
            }
            page[came as usize % PAGE] = byte;
            came += 1;
            if came.is_multiple_of(PAGE as u32) || came == len {
                let at = (came - 1) / PAGE as u32 * PAGE as u32;
                if at == 0 {
                    first = page;
                } else {
                    self.flash.write(self.start + at, &page).map_err(failed)?;
                }
                page = [0xff; PAGE];
            }
        }
        if came != len {
            return Err(FlashError::Length { announced: len, came });
        }
        // All but the first page is looked at before that one makes a bundle of it; its magic comes last.
        if self.read_back(len, Some(&first))? != *digest {
            return Err(FlashError::Digest);
        }
        let (magic, rest) = first.split_at(MAGIC.len().next_multiple_of(F::WRITE_SIZE));
        if !rest.is_empty() {
            self.flash
                .write(self.start + magic.len() as u32, rest)
                .map_err(failed)?;
        }
        self.flash.write(self.start, magic).map_err(failed)?;
        self.verify(len, digest).or_else(|error| {
            let sector = self.start + F::ERASE_SIZE as u32;
            self.flash.erase(self.start, sector).map_err(failed)?;
            Err(error)
        })
    }

    /// Reads the region's first `len` bytes and compares their digest.
    ///
    /// # Errors
    /// [`FlashError::Digest`], [`FlashError::TooLong`], [`FlashError::Flash`].
    pub fn verify(&mut self, len: u32, digest: &Sha256Digest) -> Result<(), FlashError> {
        if self.read_back(len, None)? == *digest {
            Ok(())
        } else {
            Err(FlashError::Digest)
        }
    }

    /// Whether the region begins as a bundle does: a writing that was cut short does not.
    ///
    /// # Errors
    /// [`FlashError::Flash`].
    pub fn holds_bundle(&mut self) -> Result<bool, FlashError> {
        let mut page = [0; PAGE];
        self.flash.read(self.start, &mut page).map_err(failed)?;
        Ok(page.starts_with(&MAGIC))
    }

    /// Gives the flash back.
    pub fn release(self) -> F {
        self.flash
    }

    fn read_back(&mut self, len: u32, first: Option<&[u8; PAGE]>) -> Result<Sha256Digest, FlashError> {
        if len > self.len {
            let (needed, room) = (u64::from(len), u64::from(self.len));
            return Err(FlashError::TooLong { needed, room });
        }
        let mut hash = Sha256::new();
        let mut page = [0; PAGE];
        for at in (0..len).step_by(PAGE) {
            match first {
                Some(first) if at == 0 => page = *first,
                _ => self.flash.read(self.start + at, &mut page).map_err(failed)?,
            }
            hash.update(&page[..PAGE.min((len - at) as usize)]);
        }
        Ok(hash.finish())
    }
}

fn failed(error: impl NorFlashError) -> FlashError {
    FlashError::Flash(error.kind())
}
