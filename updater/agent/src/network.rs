//! The network strand: one request at a time, what its answer means, and when the next one goes out.

use crate::agent::Agent;
use crate::error::Trouble;
use crate::io::{Action, HttpRequest, Method, Now, RequestId, ResponseHead, TransportError};
use crate::refresh::{File, Goal as Walk, Refresh};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sanderling_slots::{SlotsError, Storage, StorageError};
use sanderling_trust::http_sig;
use sanderling_wire::{CheckIn, EnrolRequest, EventKind, api, encode};

/// Most bytes of telemetry in one check-in; the rest of [`api::MAX_MESSAGE_LEN`] is the state's.
const MAX_BATCH_LEN: usize = api::MAX_MESSAGE_LEN / 2;
/// Milliseconds past a request's own time limit after which the agent stops waiting for its driver.
const GRACE_MS: u64 = 10_000;
/// The status of a device that was decommissioned.
const GONE: u16 = 410;
/// Milliseconds between two checks whether a full disk has room again.
const FULL_DISK_MS: u64 = 60_000;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Enrol,
    CheckIn {
        more: bool,
    },
    Metadata {
        optional: bool,
    },
    /// A chunk of the image: its first byte and the one after its last.
    Chunk {
        from: u64,
        to: u64,
    },
}

impl Purpose {
    fn what(self) -> &'static str {
        match self {
            Self::Enrol => "enrolment",
            Self::CheckIn { .. } => "check-in",
            Self::Metadata { .. } => "metadata",
            Self::Chunk { .. } => "download",
        }
    }
}

/// The request under way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) id: RequestId,
    pub(crate) purpose: Purpose,
    pub(crate) deadline_ms: u64,
    max_body: u64,
    /// A status that lets the body count has come.
    accepted: bool,
    body: Vec<u8>,
}

impl<S: Storage> Agent<S> {
    /// Sends what is to be sent next, if nothing is under way and the time has come.
    pub(crate) fn advance(&mut self, now: Now) {
        if let Some(request) = &self.in_flight {
            if now.uptime_ms < request.deadline_ms {
                return;
            }
            let id = request.id;
            self.act(Action::Cancel(id));
            self.on_failed(id, TransportError::TimedOut, now);
        }
        // Each turn does one thing; what needs the network or the host ends the row.
        for _ in 0..16 {
            if self.in_flight.is_some() || now.uptime_ms < self.quiet_until {
                return;
            }
            if self.enrolled.is_none() {
                return self.enrol(now);
            }
            if self.refresh.is_some() {
                self.walk(now);
            } else if now.uptime_ms >= self.check_in_at {
                if self.repositories.images.is_none() || self.repositories.director.is_none() {
                    self.refresh = Some(Refresh::new(Walk::FirstRoots));
                } else {
                    return self.check_in(now);
                }
            } else if !self.pursue(now) {
                return;
            }
        }
    }

    /// The doorbell rang: the server is there, so a back-off ends early as long as retries are left.
    pub(crate) fn ring(&mut self, now: Now) {
        self.check_in_at = self.check_in_at.min(now.uptime_ms);
        let checking_in = |request: &InFlight| matches!(request.purpose, Purpose::CheckIn { .. });
        self.ring_again |= self.in_flight.as_ref().is_some_and(checking_in);
        if self.backoff.has_retries() {
            let jitter = self.entropy.number() % self.config.network.backoff_base_ms.max(1);
            self.quiet_until = self.quiet_until.min(now.uptime_ms + jitter);
        }
    }

    /// News that the fleet should have now and not at the next poll.
    pub(crate) fn check_in_soon(&mut self, now: Now) {
        self.check_in_at = self.check_in_at.min(now.uptime_ms);
    }

    fn enrol(&mut self, now: Now) {
        let Some(public_key) = self.signer.public_key().ed25519_bytes() else {
            return;
        };
        let body = encode(&EnrolRequest {
            token: self.enrolment.token.clone(),
            public_key,
            hardware: self.config.hardware.clone(),
            runtime: self.config.runtime.clone(),
        });
        self.send(Purpose::Enrol, Method::Post, api::ENROL, body, None, now);
    }

    fn check_in(&mut self, now: Now) {
        let batch = match self.slots.batch(api::MAX_RECORDS, MAX_BATCH_LEN) {
            Ok(batch) => batch,
            Err(error) => return self.failed(now, Trouble::Slots(error), FULL_DISK_MS),
        };
        let body = encode(&CheckIn {
            incarnation: self.slots.outbox().incarnation(),
            state: self.state_report(),
            records: batch.records,
        });
        self.ring_again = false;
        self.send(
            Purpose::CheckIn { more: batch.more },
            Method::Post,
            api::CHECK_IN,
            body,
            None,
            now,
        );
    }

    fn walk(&mut self, now: Now) {
        let Some(refresh) = &mut self.refresh else { return };
        match refresh.next(&self.repositories) {
            Ok(Some(File {
                path,
                max_len,
                optional,
            })) => {
                self.send(
                    Purpose::Metadata { optional },
                    Method::Get,
                    &path,
                    Vec::new(),
                    Some(max_len as u64),
                    now,
                );
            }
            Ok(None) => {
                let done = self.refresh.take();
                self.walked(done.map(|refresh| refresh.goal().clone()), now);
            }
            Err(error) => {
                self.refresh = None;
                self.refused(now, &error);
                self.failed(now, Trouble::Trust(error), 0);
            }
        }
    }

    fn walked(&mut self, walk: Option<Walk>, now: Now) {
        match walk {
            Some(Walk::DirectorRoots) => {
                if let Some(document) = self.unverified.take() {
                    self.take_document(&document, true, now);
                }
            }
            Some(Walk::Target(_)) => self.set_goal(now),
            Some(Walk::FirstRoots) | None => {}
        }
    }

    /// Asks for the next chunk of the image, whose bytes are reserved already.
    pub(crate) fn request_chunk(&mut self, path: &str, from: u64, to: u64, now: Now) {
        self.send(
            Purpose::Chunk { from, to },
            Method::Get,
            path,
            Vec::new(),
            Some(to - from),
            now,
        );
    }

    fn send(
        &mut self,
        purpose: Purpose,
        method: Method,
        path: &str,
        body: Vec<u8>,
        max_body: Option<u64>,
        now: Now,
    ) {
        let mut nonce = [0; 16];
        self.entropy.fill(&mut nonce);
        let signed = http_sig::Request {
            method: method.as_str(),
            path,
            query: None,
            body: &body,
        };
        let signature = match http_sig::sign_request(&*self.signer, &signed, now.unix_s, &nonce) {
            Ok(signature) => signature,
            Err(error) => {
                return self.failed(
                    now,
                    Trouble::Key {
                        detail: error.to_string(),
                    },
                    0,
                );
            }
        };
        let entries = signature.entries();
        let mut headers: Vec<(String, String)> = entries
            .iter()
            .map(|(name, value)| ((*name).to_string(), (*value).to_string()))
            .collect();
        if method == Method::Post {
            headers.push(("content-type".to_string(), api::CONTENT_TYPE.to_string()));
        }
        if let Purpose::Chunk { from, to } = purpose {
            headers.push(("range".to_string(), format!("bytes={from}-{}", to - 1)));
        }
        let timeout_s = match purpose {
            Purpose::Chunk { .. } => self.config.network.chunk_timeout_s,
            _ => self.config.network.message_timeout_s,
        };
        let id = self.request_id();
        let max_body = max_body.unwrap_or(api::MAX_MESSAGE_LEN as u64);
        let deadline_ms = now.uptime_ms + u64::from(timeout_s) * 1_000 + GRACE_MS;
        self.in_flight = Some(InFlight {
            id,
            purpose,
            deadline_ms,
            max_body,
            accepted: false,
            body: Vec::new(),
        });
        let path = path.to_string();
        self.act(Action::Http(HttpRequest {
            id,
            method,
            path,
            headers,
            body,
            max_body,
            timeout_s,
        }));
    }

    pub(crate) fn on_response(&mut self, id: RequestId, head: ResponseHead, now: Now) {
        let Some(request) = self.in_flight.as_mut().filter(|request| request.id == id) else {
            return;
        };
        let wanted = match request.purpose {
            Purpose::Chunk { from, .. } => match (head.status, head.range_start) {
                (206, Some(start)) if start == from => Ok(()),
                // A server that knows no ranges sends all of it: right for the first chunk.
                (200, _) if from == 0 => Ok(()),
                (200 | 206, found) => Err(Trouble::Range { wanted: from, found }),
                (status, _) => Err(Trouble::Status {
                    what: "download",
                    status,
                }),
            },
            _ if head.status == 200 => Ok(()),
            purpose if head.status == GONE => Err(Trouble::Decommissioned {
                what: purpose.what(),
                at: head.decommissioned_at,
            }),
            purpose => Err(Trouble::Status {
                what: purpose.what(),
                status: head.status,
            }),
        };
        if wanted.is_ok() {
            request.accepted = true;
            return;
        }
        let purpose = request.purpose;
        self.in_flight = None;
        self.act(Action::Cancel(id));
        // Some servers hide what is absent behind 403.
        if let (Purpose::Metadata { optional: true }, 403 | 404) = (purpose, head.status) {
            self.backoff.success();
            if let Some(refresh) = &mut self.refresh {
                refresh.absent();
            }
            return;
        }
        if let Err(trouble) = wanted {
            self.keep_chunk();
            self.give_up_walk(purpose, now);
            let gone = if head.status == GONE {
                self.config.network.backoff_max_ms
            } else {
                0
            };
            let retry_after = u64::from(head.retry_after_s.unwrap_or(0)) * 1_000;
            self.failed(now, trouble, retry_after.max(gone));
        }
    }

    pub(crate) fn on_body(&mut self, id: RequestId, bytes: &[u8], now: Now) {
        let Some(request) = self
            .in_flight
            .as_mut()
            .filter(|request| request.id == id && request.accepted)
        else {
            return;
        };
        if let Purpose::Chunk { to, .. } = request.purpose {
            return self.on_chunk(id, bytes, to, now);
        }
        if request.body.len() as u64 + bytes.len() as u64 > request.max_body {
            let (purpose, limit) = (request.purpose, request.max_body);
            self.in_flight = None;
            self.act(Action::Cancel(id));
            self.give_up_walk(purpose, now);
            let error = TransportError::TooLong { limit };
            return self.failed(
                now,
                Trouble::Transport {
                    what: purpose.what(),
                    error,
                },
                0,
            );
        }
        request.body.extend_from_slice(bytes);
    }

    fn on_chunk(&mut self, id: RequestId, bytes: &[u8], to: u64, now: Now) {
        let received = self.slots.incoming().map_or(to, |(_, received)| received);
        let room = usize::try_from(to - received.min(to)).unwrap_or(usize::MAX);
        let (wanted, excess) = bytes.split_at(room.min(bytes.len()));
        if let Err(error) = self.slots.write(wanted) {
            self.in_flight = None;
            self.act(Action::Cancel(id));
            return self.storage_failed(now, error);
        }
        if !excess.is_empty() {
            // Only the bytes reserved are taken.
            self.act(Action::Cancel(id));
            self.on_end(id, now);
        }
    }

    pub(crate) fn on_end(&mut self, id: RequestId, now: Now) {
        let Some(request) = self.in_flight.take_if(|request| request.id == id) else {
            return;
        };
        if !request.accepted {
            let error = TransportError::Broken {
                detail: "the answer has no head".to_string(),
            };
            return self.failed(
                now,
                Trouble::Transport {
                    what: request.purpose.what(),
                    error,
                },
                0,
            );
        }
        match request.purpose {
            Purpose::Enrol => self.on_enrolled(&request.body, now),
            Purpose::CheckIn { more } => self.on_checked_in(&request.body, more, now),
            Purpose::Metadata { .. } => self.on_metadata(&request.body, now),
            Purpose::Chunk { to, .. } => {
                let short = self.slots.incoming().is_some_and(|(_, received)| received < to);
                self.keep_chunk();
                if short {
                    let detail = "the answer ended early".to_string();
                    let error = TransportError::Broken { detail };
                    self.failed(
                        now,
                        Trouble::Transport {
                            what: "download",
                            error,
                        },
                        0,
                    );
                } else {
                    self.backoff.success();
                }
            }
        }
    }

    pub(crate) fn on_failed(&mut self, id: RequestId, error: TransportError, now: Now) {
        let Some(request) = self.in_flight.take_if(|request| request.id == id) else {
            return;
        };
        self.keep_chunk();
        self.give_up_walk(request.purpose, now);
        self.failed(
            now,
            Trouble::Transport {
                what: request.purpose.what(),
                error,
            },
            0,
        );
    }

    /// Makes durable what has come of the image.
    fn keep_chunk(&mut self) {
        if self.slots.incoming().is_some()
            && let Err(error) = self.slots.checkpoint()
        {
            self.trouble(Trouble::Slots(error));
        }
    }

    /// A walk whose file did not come is begun again by a check-in after the back-off, with a fresh look at the
    /// director.
    fn give_up_walk(&mut self, purpose: Purpose, now: Now) {
        if matches!(purpose, Purpose::Metadata { .. }) {
            self.refresh = None;
            self.unverified = None;
            self.check_in_at = self.check_in_at.min(now.uptime_ms);
        }
    }

    /// Notes a failure and waits; a check-in comes first afterwards.
    pub(crate) fn failed(&mut self, now: Now, trouble: Trouble, at_least_ms: u64) {
        self.trouble(trouble);
        let wait = self.backoff.failure(
            &self.config.network,
            &mut *self.entropy,
            now.uptime_ms,
            at_least_ms,
        );
        self.quiet_until = now.uptime_ms.saturating_add(wait.max(1));
    }

    /// The medium failed or is full: whatever was under way stops for a while.
    pub(crate) fn storage_failed(&mut self, now: Now, error: SlotsError) {
        let is_full = matches!(error, SlotsError::Storage(StorageError::Full { .. }));
        if is_full {
            self.event(now, EventKind::StorageFull, None, error.to_string());
        }
        self.failed(now, Trouble::Slots(error), if is_full { FULL_DISK_MS } else { 0 });
        if let Some(goal) = &mut self.goal {
            goal.not_before_ms = self.quiet_until;
        }
    }
}
