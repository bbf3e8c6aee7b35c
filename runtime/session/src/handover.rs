//! Answering by one session while another gets ready: on the CPU at once, on the GPU when its pipelines are compiled.

use crate::error::SessionError;
use crate::session::Session;
use sanderling_core::backend::Progress;

/// The session that answers, and the one that will.
pub struct Handover {
    coming: Option<Session>,
    reason: Option<SessionError>,
}

impl Handover {
    /// Starts to warm `coming` up: one run on zeros, for the shapes that the model states (1 where it leaves them open).
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn new(mut coming: Session) -> Result<Self, SessionError> {
        coming.start_warm_up()?;
        Ok(Self {
            coming: Some(coming),
            reason: None,
        })
    }

    /// Looks whether the coming session is ready, and gives it once.
    pub fn poll(&mut self) -> Option<Session> {
        let coming = self.coming.as_mut()?;
        match coming.poll() {
            Ok(Progress::Pending) => None,
            Ok(Progress::Ready) => self.coming.take(),
            Err(error) => {
                self.reason = Some(error);
                self.coming = None;
                None
            }
        }
    }

    /// Whether it still may come.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.coming.is_some()
    }

    /// Why it never came.
    #[must_use]
    pub fn reason(&self) -> Option<&SessionError> {
        self.reason.as_ref()
    }
}
