//! The doorbell: a subscription that says "check in now", and survives its broker.
//!
//! A [`Bell`] is one connection; [`listen`] keeps one up. The client's own reconnection is never used (rumqttc 0.25.1
//! can spin for ever after a lost session, rumqtt #1014 and #1056): each connection is a new client with a new
//! signed password, and one that has been silent for longer than its keep-alive allows is given up, however
//! healthy it looks. After a reconnection the agent checks in once, for what rang meanwhile.

use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS, RecvTimeoutError};
use sanderling_agent::Entropy;
use sanderling_trust::Signer;
use sanderling_wire::{DeviceId, MqttEndpoint, topics};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::key::DeviceKey;
use crate::system::{Clock, millis};

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Milliseconds of silence after which a connection is given up: two keep-alives and a half.
const SILENCE_MS: u64 = 37_500;
/// Most bytes of a message on the doorbell, which has none.
const MAX_PACKET_LEN: usize = 4 * 1024;
const BACKOFF_BASE_MS: u64 = 250;
const BACKOFF_MAX_MS: u64 = 60_000;
/// How often a listener looks whether it shall end.
const STEP: Duration = Duration::from_millis(500);

/// Why there is no connection, or none any more. Never fatal: the agent polls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BellError {
    /// The broker is away, refuses the log-in, or broke the connection.
    #[error("doorbell: {detail}; the agent polls meanwhile")]
    Broken {
        /// The client's words.
        detail: String,
    },
    /// Nothing was heard for longer than the keep-alive allows.
    #[error("doorbell: the broker has been silent for {seconds} s; the connection is made anew")]
    Silent {
        /// Seconds of silence.
        seconds: u64,
    },
    /// The broker wants TLS, which this build's MQTT client has not.
    #[error("doorbell: {host} speaks MQTT over TLS, which this build has not; the agent polls instead")]
    NoTls {
        /// The broker.
        host: String,
    },
    /// The device's key did not sign the password.
    #[error("doorbell: {detail}")]
    Key {
        /// The signer's words.
        detail: String,
    },
}

/// What a connection heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The subscription stands.
    Subscribed,
    /// It rang.
    Rang,
    /// Something else, which shows that the broker lives.
    Alive,
    /// Nothing in the time given.
    Nothing,
}

/// One connection to a broker.
pub trait Bell {
    /// Waits for something, at most `timeout`.
    ///
    /// # Errors
    /// [`BellError`] when the connection is gone.
    fn wait(&mut self, timeout: Duration) -> Result<Heard, BellError>;
}

/// A connection by rumqttc.
pub struct MqttBell {
    client: Client,
    connection: Connection,
    topic: String,
}

impl MqttBell {
    /// Begins a connection in the name of the device that `key` belongs to. Whether it comes about is heard later.
    ///
    /// # Errors
    /// [`BellError::NoTls`], [`BellError::Key`].
    pub fn connect(endpoint: &MqttEndpoint, key: &DeviceKey, unix_s: u64) -> Result<Self, BellError> {
        if endpoint.tls {
            return Err(BellError::NoTls {
                host: endpoint.host.clone(),
            });
        }
        let device: DeviceId = key.device().ok_or_else(|| BellError::Key {
            detail: "the key is no Ed25519 key".into(),
        })?;
        let signed = key.sign(&topics::password_message(&device, unix_s));
        let signature = signed.map_err(|error| BellError::Key {
            detail: error.to_string(),
        })?;
        let signature = <[u8; 64]>::try_from(signature.0.as_slice()).map_err(|_| BellError::Key {
            detail: "the signature has not 64 bytes".into(),
        })?;
        let mut options = MqttOptions::new(device.to_string(), endpoint.host.clone(), endpoint.port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_clean_session(true);
        options.set_max_packet_size(MAX_PACKET_LEN, MAX_PACKET_LEN);
        options.set_credentials(device.to_string(), topics::password(unix_s, &signature));
        let (client, connection) = Client::new(options, 4);
        Ok(Self {
            client,
            connection,
            topic: topics::doorbell(&device),
        })
    }
}

impl Bell for MqttBell {
    fn wait(&mut self, timeout: Duration) -> Result<Heard, BellError> {
        let broken = |detail: String| BellError::Broken { detail };
        match self.connection.recv_timeout(timeout) {
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                let asked = self.client.try_subscribe(self.topic.clone(), QoS::AtLeastOnce);
                asked
                    .map(|()| Heard::Alive)
                    .map_err(|error| broken(error.to_string()))
            }
            Ok(Ok(Event::Incoming(Packet::SubAck(ack)))) => {
                let granted = ack
                    .return_codes
                    .iter()
                    .all(|code| *code != rumqttc::SubscribeReasonCode::Failure);
                if granted {
                    Ok(Heard::Subscribed)
                } else {
                    Err(broken("the broker refuses the subscription".into()))
                }
            }
            Ok(Ok(Event::Incoming(Packet::Publish(message)))) if message.topic == self.topic => {
                Ok(Heard::Rang)
            }
            Ok(Ok(Event::Incoming(Packet::Disconnect))) => Err(broken("the broker says goodbye".into())),
            Ok(Ok(Event::Incoming(_))) => Ok(Heard::Alive),
            Ok(Ok(Event::Outgoing(_))) => Ok(Heard::Nothing),
            Ok(Err(error)) => Err(broken(error.to_string())),
            Err(RecvTimeoutError::Timeout) => Ok(Heard::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(broken("the client has ended".into())),
        }
    }
}

/// What [`listen`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BellNews {
    /// It rang, or might have rung while there was no connection.
    Rang,
    /// The connection stands, or stands again.
    Up,
    /// The connection is gone and will be made anew.
    Down(BellError),
}

/// Keeps a connection up until `stop` is set, and tells what it hears. `tell` returns false when nobody listens.
pub fn listen<B: Bell>(
    mut connect: impl FnMut() -> Result<B, BellError>,
    mut tell: impl FnMut(BellNews) -> bool,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
    stop: &AtomicBool,
) {
    let mut failures: u32 = 0;
    let mut was_up = false;
    while !stop.load(Ordering::Relaxed) {
        let outcome = connect().and_then(|mut bell| {
            hear(&mut bell, clock, stop, |news| {
                failures = 0;
                // What rang while the connection was down is not heard again.
                let missed = news == BellNews::Up && core::mem::replace(&mut was_up, true);
                tell(news) && (!missed || tell(BellNews::Rang))
            })
        });
        let error = match outcome {
            Ok(()) => return,
            Err(error) => error,
        };
        let is_final = matches!(error, BellError::NoTls { .. });
        if !tell(BellNews::Down(error)) || is_final {
            return;
        }
        let bound = BACKOFF_BASE_MS
            .saturating_mul(1 << failures.min(16))
            .min(BACKOFF_MAX_MS);
        failures = failures.saturating_add(1);
        let wait = BACKOFF_BASE_MS / 2 + entropy.number() % bound;
        let until = clock.now().uptime_ms.saturating_add(wait);
        while clock.now().uptime_ms < until && !stop.load(Ordering::Relaxed) {
            let left = until.saturating_sub(clock.now().uptime_ms);
            std::thread::sleep(Duration::from_millis(left.min(millis(STEP))));
        }
    }
}

/// Listens on one connection until it breaks (an error) or nobody listens any more.
fn hear<B: Bell>(
    bell: &mut B,
    clock: &dyn Clock,
    stop: &AtomicBool,
    mut tell: impl FnMut(BellNews) -> bool,
) -> Result<(), BellError> {
    let mut last = clock.now().uptime_ms;
    while !stop.load(Ordering::Relaxed) {
        let heard = bell.wait(STEP)?;
        let now = clock.now().uptime_ms;
        let silent = now.saturating_sub(last);
        if heard != Heard::Nothing {
            last = now;
        } else if silent > SILENCE_MS {
            return Err(BellError::Silent {
                seconds: silent / 1_000,
            });
        }
        let goes_on = match heard {
            Heard::Rang => tell(BellNews::Rang),
            Heard::Subscribed => tell(BellNews::Up),
            Heard::Alive | Heard::Nothing => true,
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_agent::Now;
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU64;

    struct Ticking(AtomicU64);
    impl Clock for Ticking {
        fn now(&self) -> Now {
            // Each look takes a second, so that nothing here really waits.
            Now {
                unix_s: 0,
                uptime_ms: self.0.fetch_add(1_000, Ordering::Relaxed),
            }
        }
    }

    struct Zero;
    impl Entropy for Zero {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    struct Scripted(VecDeque<Result<Heard, BellError>>);
    impl Bell for Scripted {
        fn wait(&mut self, _timeout: Duration) -> Result<Heard, BellError> {
            self.0.pop_front().unwrap_or(Ok(Heard::Nothing))
        }
    }

    /// Connections by script; at the end of the script somebody stops listening.
    fn news(connections: Vec<Result<Vec<Result<Heard, BellError>>, BellError>>) -> Vec<BellNews> {
        let stop = AtomicBool::new(false);
        let mut connections = VecDeque::from(connections);
        let told = Mutex::new(Vec::new());
        let connect = || match connections.pop_front() {
            Some(script) => script.map(|script| Scripted(script.into())),
            None => {
                stop.store(true, Ordering::Relaxed);
                Err(BellError::Broken {
                    detail: "the end".into(),
                })
            }
        };
        let tell = |news| {
            told.lock().unwrap().push(news);
            true
        };
        listen(connect, tell, &Ticking(AtomicU64::new(0)), &mut Zero, &stop);
        told.into_inner().unwrap()
    }

    fn broken(detail: &str) -> BellError {
        BellError::Broken {
            detail: detail.into(),
        }
    }

    #[test]
    fn a_reconnection_rings_for_what_was_missed() {
        let first = vec![
            Ok(Heard::Alive),
            Ok(Heard::Subscribed),
            Ok(Heard::Rang),
            Err(broken("gone")),
        ];
        let second = vec![Ok(Heard::Subscribed), Err(broken("gone"))];
        let told = news(vec![Ok(first), Err(broken("refused")), Ok(second)]);
        use BellNews::{Down, Rang, Up};
        let expected = [
            Up,
            Rang,
            Down(broken("gone")),
            Down(broken("refused")),
            Up,
            Rang,
            Down(broken("gone")),
            Down(broken("the end")),
        ];
        assert_eq!(told, expected);
    }

    /// The livelock of rumqtt #1056 looks like this from outside: a connection that never breaks and never speaks.
    #[test]
    fn silence_ends_a_connection() {
        let told = news(vec![Ok(vec![Ok(Heard::Subscribed)])]);
        assert!(
            matches!(told[1], BellNews::Down(BellError::Silent { seconds: 38.. })),
            "{told:?}"
        );
    }

    #[test]
    fn a_broker_with_tls_is_told_once() {
        let told = news(vec![Err(BellError::NoTls { host: "b".into() }), Ok(vec![])]);
        assert_eq!(told.len(), 1);
    }
}
