//! What the device has to say, which it does whenever it likes and on any thread: faults, and that there is news.

use sanderling_core::CoreError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The first complaint that nobody has heard yet, and whether the device is gone for good.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    complaint: Option<String>,
    lost: Option<String>,
    /// How often there was news.
    news: u64,
    waiting: Vec<Waker>,
}

/// Waits for the next news of a device: outputs that can be read, a complaint, or its loss. What it is, polling tells.
///
/// It counts from where it was made: news between a poll and the first look at this is not missed.
#[derive(Debug)]
pub struct News {
    faults: Faults,
    heard: u64,
}

impl Future for News {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.faults.with(|state| {
            if state.news != self.heard {
                return Poll::Ready(());
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
    }
}

impl Faults {
    pub(crate) fn complain(&self, message: String) {
        self.with(|state| {
            state.complaint.get_or_insert(message);
        });
        self.tell();
    }

    pub(crate) fn lose(&self, message: String) {
        self.with(|state| {
            state.lost.get_or_insert(message);
        });
        self.tell();
    }

    /// Something can be read, or went wrong: whoever waits for news looks again.
    pub(crate) fn tell(&self) {
        let waiting = self.with(|state| {
            state.news += 1;
            std::mem::take(&mut state.waiting)
        });
        // Outside of the lock: who is woken may ask at once.
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The next news from here on.
    pub(crate) fn news(&self) -> News {
        News {
            faults: self.clone(),
            heard: self.with(|state| state.news),
        }
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
