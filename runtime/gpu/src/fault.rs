//! What went wrong on the device, which says so whenever it likes and on any thread.

use sanderling_core::CoreError;
use std::sync::{Arc, Mutex, PoisonError};

/// The first complaint that nobody has heard yet, and whether the device is gone for good.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    complaint: Option<String>,
    lost: Option<String>,
}

impl Faults {
    pub(crate) fn complain(&self, message: String) {
        self.with(|state| {
            state.complaint.get_or_insert(message);
        });
    }

    pub(crate) fn lose(&self, message: String) {
        self.with(|state| {
            state.lost.get_or_insert(message);
        });
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.with(|state| state.lost.is_some())
    }

    /// # Errors
    /// [`CoreError::Backend`] for a device that is lost, and once for each complaint.
    pub(crate) fn check(&self) -> Result<(), CoreError> {
        let found = self.with(|state| {
            let lost = state
                .lost
                .as_ref()
                .map(|why| format!("the device was lost: {why}"));
            lost.or_else(|| state.complaint.take())
        });
        found.map_or(Ok(()), |message| Err(failure(message)))
    }

    fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Another backend may take over.
pub(crate) fn failure(message: impl Into<String>) -> CoreError {
    CoreError::Backend {
        backend: crate::NAME.into(),
        message: message.into(),
        recoverable: true,
    }
}
