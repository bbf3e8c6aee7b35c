//! Power cuts for tests: a wrapper around any medium.
//!
//! [`FaultyStorage`] keeps two copies of the medium: `live`, what the program sees, and `durable`, what is promised.
//! Writes change `live` and are noted; a sync applies the notes of its object to `durable`. At a chosen operation
//! the power fails: that operation is done in part, and every later one fails. [`FaultyStorage::survivors`] then lists
//! the media that may be found afterwards: of the noted writes all may have persisted, none, every prefix, all but
//! one, or one alone; the operation under way at any of several lengths.
//!
//! [`Mutation`]s take a promise away, to show that the tests would notice.

use crate::storage::{PAGE_LEN, Page, Region, Storage, StorageError};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{RefCell, RefMut};

/// A write that no sync has covered yet.
#[derive(Clone)]
enum Op {
    Clear(Region),
    Truncate(Region, u64),
    Write(Region, u64, Vec<u8>),
    Page(Page, Box<[u8; PAGE_LEN]>),
    Blob(String, Option<Vec<u8>>),
}

/// What a sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    Region(Region),
    Page(Page),
    Blob,
}

impl Op {
    fn object(&self) -> Object {
        match self {
            Self::Clear(region) | Self::Truncate(region, _) | Self::Write(region, _, _) => {
                Object::Region(*region)
            }
            Self::Page(page, _) => Object::Page(*page),
            Self::Blob(..) => Object::Blob,
        }
    }

    fn apply<S: Storage>(&self, storage: &mut S) -> Result<(), StorageError> {
        match self {
            Self::Clear(region) => storage.clear(*region),
            Self::Truncate(region, length) => storage.truncate(*region, *length),
            Self::Write(region, offset, bytes) => storage.write(*region, *offset, bytes),
            Self::Page(page, bytes) => storage.write_page(*page, bytes),
            Self::Blob(name, Some(bytes)) => storage.write_blob(name, bytes),
            Self::Blob(name, None) => storage.remove_blob(name),
        }
    }

    /// The operation cut off after some of its bytes. Blobs, truncations and clearings happen or do not.
    fn torn<S: Storage>(&self, storage: &mut S) -> Vec<Self> {
        let lengths = |n: usize| {
            [1, n / 3, n / 2, n.saturating_sub(1)]
                .into_iter()
                .filter(move |&l| l < n)
        };
        match self {
            Self::Write(region, offset, bytes) => lengths(bytes.len())
                .map(|l| Self::Write(*region, *offset, bytes[..l].to_vec()))
                .collect(),
            Self::Page(page, bytes) => {
                let mut before = Box::new([0; PAGE_LEN]);
                if storage.read_page(*page, &mut before).is_err() {
                    return Vec::new();
                }
                let mix = |l: usize| {
                    let mut torn = before.clone();
                    torn[..l].copy_from_slice(&bytes[..l]);
                    Self::Page(*page, torn)
                };
                lengths(PAGE_LEN).chain([14, 20, 64, 100]).map(mix).collect()
            }
            Self::Clear(_) | Self::Truncate(..) | Self::Blob(..) => Vec::new(),
        }
    }
}

/// A promise taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutation {
    /// [`Storage::sync`] of the image slots does nothing.
    NoSlotSync,
    /// [`Storage::sync`] of the outbox does nothing.
    NoOutboxSync,
    /// [`Storage::sync_page`] does nothing.
    NoPageSync,
    /// A journal page's checksum holds whatever the page says.
    NoPageChecksum,
}

/// A medium whose power fails at a chosen operation. Clones are handles on the same medium, so that a test still
/// holds one when the program has dropped its own.
#[derive(Clone)]
pub struct FaultyStorage<S>(Rc<RefCell<State<S>>>);

struct State<S> {
    durable: S,
    live: S,
    pending: Vec<Op>,
    under_way: Option<Op>,
    operations: usize,
    cut_at: Option<usize>,
    cut: bool,
    mutation: Option<Mutation>,
}

fn power_cut() -> StorageError {
    StorageError::Failed {
        what: "power".to_string(),
        detail: "cut by the test".to_string(),
    }
}

impl<S: Storage + Clone> FaultyStorage<S> {
    /// Wraps a medium; the power fails at operation `cut_at`, counted from 0 over everything that writes or syncs.
    pub fn new(storage: S, cut_at: Option<usize>) -> Self {
        Self(Rc::new(RefCell::new(State {
            durable: storage.clone(),
            live: storage,
            pending: Vec::new(),
            under_way: None,
            operations: 0,
            cut_at,
            cut: false,
            mutation: None,
        })))
    }

    /// The same with a promise taken away.
    #[must_use]
    pub fn with_mutation(self, mutation: Option<Mutation>) -> Self {
        self.0.borrow_mut().mutation = mutation;
        self
    }

    /// Operations so far.
    pub fn operations(&self) -> usize {
        self.0.borrow().operations
    }

    /// Whether the power has failed.
    pub fn is_cut(&self) -> bool {
        self.0.borrow().cut
    }

    /// The medium as the program sees it.
    pub fn live(&self) -> RefMut<'_, S> {
        RefMut::map(self.0.borrow_mut(), |state| &mut state.live)
    }

    /// Every medium that may be found after the cut.
    pub fn survivors(&self) -> Vec<S> {
        self.0.borrow().survivors()
    }

    fn powered(&self) -> Result<RefMut<'_, S>, StorageError> {
        if self.is_cut() {
            Err(power_cut())
        } else {
            Ok(self.live())
        }
    }
}

impl<S: Storage + Clone> State<S> {
    fn survivors(&self) -> Vec<S> {
        let n = self.pending.len();
        let mut choices: Vec<Vec<bool>> = Vec::new();
        choices.extend((0..=n).map(|prefix| (0..n).map(|i| i < prefix).collect()));
        choices.extend((0..n).map(|dropped| (0..n).map(|i| i != dropped).collect()));
        choices.extend((0..n).map(|alone| (0..n).map(|i| i == alone).collect()));
        choices.sort();
        choices.dedup();
        let mut found = Vec::new();
        for choice in &choices {
            let mut storage = self.durable.clone();
            let kept = self.pending.iter().zip(choice).filter(|(_, kept)| **kept);
            // A write whose room was never made has no effect: the medium refuses it.
            kept.for_each(|(op, _)| drop(op.apply(&mut storage)));
            found.push(storage);
        }
        if let Some(op) = &self.under_way {
            let mut all = self.durable.clone();
            self.pending.iter().for_each(|op| drop(op.apply(&mut all)));
            for base in [self.durable.clone(), all] {
                let variants = op.torn(&mut base.clone()).into_iter().chain(vec![op.clone()]);
                for variant in variants {
                    let mut storage = base.clone();
                    drop(variant.apply(&mut storage));
                    found.push(storage);
                }
            }
        }
        found
    }

    fn step(&mut self, op: Option<Op>) -> Result<(), StorageError> {
        if self.cut {
            return Err(power_cut());
        }
        let here = self.operations;
        self.operations += 1;
        if self.cut_at == Some(here) {
            self.cut = true;
            self.under_way = op;
            return Err(power_cut());
        }
        if let Some(op) = op {
            op.apply(&mut self.live)?;
            self.pending.push(op);
        }
        Ok(())
    }

    fn sync(&mut self, object: Object) -> Result<(), StorageError> {
        self.step(None)?;
        if !self.ignores(object) {
            self.persist(object);
        }
        Ok(())
    }

    fn persist(&mut self, object: Object) {
        let mut rest = Vec::new();
        for op in core::mem::take(&mut self.pending) {
            if op.object() == object {
                drop(op.apply(&mut self.durable));
            } else {
                rest.push(op);
            }
        }
        self.pending = rest;
    }

    fn ignores(&self, object: Object) -> bool {
        matches!(
            (self.mutation, object),
            (Some(Mutation::NoSlotSync), Object::Region(Region::Slot(_)))
                | (Some(Mutation::NoOutboxSync), Object::Region(Region::Outbox(_)))
                | (Some(Mutation::NoPageSync), Object::Page(_))
        )
    }
}

impl<S: Storage + Clone> Storage for FaultyStorage<S> {
    fn capacity(&self, region: Region) -> u64 {
        self.0.borrow().live.capacity(region)
    }

    fn granule(&self, region: Region) -> u64 {
        self.0.borrow().live.granule(region)
    }

    fn extent(&mut self, region: Region) -> Result<u64, StorageError> {
        self.powered()?.extent(region)
    }

    fn clear(&mut self, region: Region) -> Result<(), StorageError> {
        self.0.borrow_mut().step(Some(Op::Clear(region)))
    }

    fn truncate(&mut self, region: Region, length: u64) -> Result<(), StorageError> {
        self.0.borrow_mut().step(Some(Op::Truncate(region, length)))
    }

    fn write(&mut self, region: Region, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.0
            .borrow_mut()
            .step(Some(Op::Write(region, offset, bytes.to_vec())))
    }

    fn sync(&mut self, region: Region) -> Result<(), StorageError> {
        self.0.borrow_mut().sync(Object::Region(region))
    }

    fn read(&mut self, region: Region, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.powered()?.read(region, offset, buffer)
    }

    fn read_page(&mut self, page: Page, buffer: &mut [u8; PAGE_LEN]) -> Result<(), StorageError> {
        self.powered()?.read_page(page, buffer)?;
        if self.0.borrow().mutation == Some(Mutation::NoPageChecksum) {
            crate::journal::forge_checksum(buffer);
        }
        Ok(())
    }

    fn write_page(&mut self, page: Page, bytes: &[u8; PAGE_LEN]) -> Result<(), StorageError> {
        self.0.borrow_mut().step(Some(Op::Page(page, Box::new(*bytes))))
    }

    fn sync_page(&mut self, page: Page) -> Result<(), StorageError> {
        self.0.borrow_mut().sync(Object::Page(page))
    }

    fn read_blob(&mut self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.powered()?.read_blob(name)
    }

    fn write_blob(&mut self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let mut state = self.0.borrow_mut();
        state.step(Some(Op::Blob(name.to_string(), Some(bytes.to_vec()))))?;
        state.persist(Object::Blob);
        Ok(())
    }

    fn remove_blob(&mut self, name: &str) -> Result<(), StorageError> {
        let mut state = self.0.borrow_mut();
        state.step(Some(Op::Blob(name.to_string(), None)))?;
        state.persist(Object::Blob);
        Ok(())
    }
}
