//! What the server's answers mean: enrolment, check-in, metadata.

use crate::agent::Agent;
use crate::error::Trouble;
use crate::io::{Action, Now};
use crate::refresh::{Goal as Walk, Refresh};
use sanderling_slots::Storage;
use sanderling_trust::{TrustError, UnixTime};
use sanderling_wire::{CheckInReply, EnrolReply, decode};
use serde::de::DeserializeOwned;

impl<S: Storage> Agent<S> {
    pub(crate) fn on_enrolled(&mut self, body: &[u8], now: Now) {
        let Some(reply) = self.message::<EnrolReply>("enrolment", body, now) else {
            return;
        };
        if reply.device != self.device {
            return self.failed(now, Trouble::OtherDevice, 0);
        }
        if let Err(error) = self.keep_enrolment(&reply) {
            return self.storage_failed(now, error);
        }
        self.backoff.success();
        if let Some(endpoint) = reply.mqtt.clone() {
            self.act(Action::Listen(endpoint));
        }
        self.check_in_at = now.uptime_ms;
        self.enrolled = Some(reply);
    }

    pub(crate) fn on_checked_in(&mut self, body: &[u8], more: bool, now: Now) {
        let Some(reply) = self.message::<CheckInReply>("check-in", body, now) else {
            return;
        };
        self.backoff.success();
        if let Err(error) = self.slots.acknowledge(reply.acknowledged, self.entropy.number()) {
            self.trouble(Trouble::Slots(error));
        }
        let at_most = self.config.network.max_check_in_s;
        let wait = u64::from(reply.next_check_in_s.clamp(1, at_most.max(1))) * 1_000;
        let soon = more || core::mem::take(&mut self.ring_again);
        self.check_in_at = if soon { now.uptime_ms } else { now.uptime_ms + wait };
        self.take_document(&reply.director, false, now);
    }

    fn message<T: DeserializeOwned>(&mut self, what: &'static str, body: &[u8], now: Now) -> Option<T> {
        match decode(body) {
            Ok(message) => Some(message),
            Err(error) => {
                self.failed(now, Trouble::Answer { what, error }, 0);
                None
            }
        }
    }

    /// Verifies the director's document; once more after its roots were fetched, if that may help.
    pub(crate) fn take_document(&mut self, bytes: &[u8], roots_are_new: bool, now: Now) {
        let (identity, time) = (self.identity(), UnixTime(now.unix_s));
        match self
            .repositories
            .take_document(self.slots.storage(), bytes, &identity, time)
        {
            Ok(()) => self.follow_document(now),
            Err(Trouble::Trust(
                TrustError::Signatures { .. } | TrustError::Expired { .. } | TrustError::Rollback { .. },
            )) if !roots_are_new => {
                self.unverified = Some(bytes.to_vec());
                self.refresh = Some(Refresh::new(Walk::DirectorRoots));
            }
            Err(Trouble::Trust(error)) => self.refused(now, &error),
            Err(Trouble::Slots(error)) => self.storage_failed(now, error),
            Err(trouble) => self.trouble(trouble),
        }
    }

    pub(crate) fn on_metadata(&mut self, body: &[u8], now: Now) {
        let Some(refresh) = &mut self.refresh else { return };
        let taken = refresh.take(
            &mut self.repositories,
            self.slots.storage(),
            body,
            UnixTime(now.unix_s),
        );
        match taken {
            Ok(()) => self.backoff.success(),
            Err(trouble) => {
                self.refresh = None;
                self.unverified = None;
                if let Trouble::Trust(error) = &trouble {
                    self.refused(now, error);
                }
                self.failed(now, trouble, 0);
            }
        }
    }
}
