//! Packed weights that executables of one model share.
//!
//! A model prepared for several shapes has one executable for each. Their packed weights are the same: they are
//! made once and live as long as the last executable that uses them.

use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use core::any::Any;
use core::cell::RefCell;
use sanderling_core::OpError;
use sanderling_core::plan::Constants;

/// Which constants (by address: an executable keeps its constants alive), which one of them, in which form.
type Key = (usize, u32, String);

#[derive(Default)]
pub(crate) struct SharedForms(RefCell<BTreeMap<Key, Weak<dyn Any>>>);

impl SharedForms {
    /// The form of this name, made where it is not there yet.
    pub(crate) fn get<T: Any>(
        &self,
        constants: &Rc<dyn Constants>,
        index: u32,
        variant: String,
        make: impl FnOnce() -> Result<T, OpError>,
    ) -> Result<Rc<T>, OpError> {
        let address = Rc::as_ptr(constants).cast::<()>() as usize;
        let key = (address, index, variant);
        let found = self.0.borrow().get(&key).and_then(Weak::upgrade);
        if let Some(form) = found.and_then(|form| form.downcast::<T>().ok()) {
            return Ok(form);
        }
        let form = Rc::new(make()?);
        let any: Rc<dyn Any> = form.clone();
        let mut map = self.0.borrow_mut();
        map.retain(|_, form| form.strong_count() > 0);
        map.insert(key, Rc::downgrade(&any));
        Ok(form)
    }
}
