//! The MQTT broker in the process: doorbells from server to devices, and nothing else.
//!
//! MQTT 3.1.1 with QoS 0, cut down to what the doorbell needs (docs/adr/0002-mqtt-broker.md): a device logs in with a
//! password that its key signed, may subscribe to its own topic, and may publish nothing. There are no sessions, no
//! retained messages and no wills. A bell that rings while its device is away is remembered, once, and rings when the
//! device subscribes again; what the bell was about is in the store. rumqttc's codec reads and writes the packets.

use crate::app::{App, Shared};
use crate::listen::Io;
use bytes::BytesMut;
use rumqttc::QoS;
use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, Packet, Publish, SubAck, Subscribe, SubscribeReasonCode, UnsubAck,
};
use sanderling_wire::{DeviceId, api, topics};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Longest packet. A login with id, password and client id takes about 300 bytes.
const MAX_PACKET: usize = 2048;
/// Most filters in one SUBSCRIBE.
const MAX_FILTERS: usize = 8;
/// How long a connection may take to log in, or to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Keep-alive of clients that ask for none, seconds.
const DEFAULT_KEEP_ALIVE_S: u16 = 120;
/// Bells remembered for devices that are away; beyond, they find out when they poll.
const MAX_PENDING: usize = 131_072;

/// A connected device: its session's number, and where its bell hangs.
type Bell = (u64, mpsc::Sender<()>);

/// Rings devices.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    bells: Mutex<HashMap<DeviceId, Bell>>,
    pending: Mutex<HashSet<DeviceId>>,
    sessions: AtomicU64,
}

impl Doorbell {
    /// Tells devices to check in now. Bells that ring already are not rung twice.
    pub(crate) fn ring(&self, devices: &[DeviceId]) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for device in devices {
            match bells.get(device) {
                // Full: it rings already. Closed: the session is ending, and its end is no bell heard.
                Some((_, bell))
                    if !matches!(bell.try_send(()), Err(mpsc::error::TrySendError::Closed(()))) => {}
                _ if pending.len() < MAX_PENDING => {
                    pending.insert(*device);
                }
                _ => {}
            }
        }
    }

    /// Ends a device's session.
    pub(crate) fn disconnect(&self, device: DeviceId) {
        self.bells
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&device);
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&device);
    }

    /// Hangs up a bell; a session of the same device ends by it.
    fn hang(&self, device: DeviceId) -> (u64, mpsc::Receiver<()>) {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (bell, rings) = mpsc::channel(1);
        self.bells
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(device, (session, bell));
        (session, rings)
    }

    /// Takes a bell down, unless a newer session hung up its own.
    fn take_down(&self, device: DeviceId, session: u64) {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if bells.get(&device).is_some_and(|(newest, _)| *newest == session) {
            bells.remove(&device);
        }
    }

    /// Whether the bell rang while the device was away.
    fn missed(&self, device: DeviceId) -> bool {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&device)
    }

    /// Devices connected.
    pub(crate) fn connected(&self) -> usize {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Why a session ends; for the log.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("a packet is not MQTT 3.1.1: {0}")]
    Codec(#[from] CodecError),
    #[error("the client did not speak in time")]
    Silent,
    #[error("{0}")]
    Refused(&'static str),
    #[error("the client left")]
    Left,
    #[error("another session of the device began, or it was decommissioned")]
    Replaced,
    #[error("the server stops")]
    Stopped,
}

/// Serves one connection.
pub(crate) async fn serve(app: Shared, stream: Box<dyn Io>) {
    let mut link = Link {
        stream,
        input: BytesMut::with_capacity(512),
        output: BytesMut::with_capacity(128),
    };
    let end = match login(&app, &mut link).await {
        Err(end) => end,
        Ok((device, keep_alive)) => {
            let (session, rings) = app.doorbell.hang(device);
            let end = converse(&app, &mut link, device, keep_alive, rings).await;
            app.doorbell.take_down(device, session);
            end
        }
    };
    tracing::debug!(%end, "an MQTT session ended");
}

/// A connection and its buffers.
struct Link {
    stream: Box<dyn Io>,
    input: BytesMut,
    output: BytesMut,
}

impl Link {
    /// The next packet. Dropped half way, it loses nothing: what was read stays in the buffer.
    async fn receive(&mut self) -> Result<Packet, End> {
        loop {
            match Packet::read(&mut self.input, MAX_PACKET) {
                Ok(packet) => return Ok(packet),
                Err(CodecError::InsufficientBytes(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(End::Left);
            }
        }
    }

    async fn send(&mut self, packet: Packet) -> Result<(), End> {
        self.output.clear();
        packet.write(&mut self.output, MAX_PACKET)?;
        timeout(PATIENCE, self.stream.write_all(&self.output))
            .await
            .map_err(|_| End::Silent)??;
        Ok(())
    }
}

/// Takes the login; answers who it is and the keep-alive.
async fn login(app: &App, link: &mut Link) -> Result<(DeviceId, Duration), End> {
    let first = timeout(PATIENCE, link.receive())
        .await
        .map_err(|_| End::Silent)??;
    let Packet::Connect(connect) = first else {
        return Err(End::Refused("the first packet is no CONNECT"));
    };
    let answer = |code| {
        Packet::ConnAck(ConnAck {
            session_present: false,
            code,
        })
    };
    match authenticate(app, &connect).await {
        Some(device) => {
            link.send(answer(ConnectReturnCode::Success)).await?;
            let seconds = match connect.keep_alive {
                0 => DEFAULT_KEEP_ALIVE_S,
                seconds => seconds,
            };
            // MQTT 3.1.1, 3.1.2.10: one and a half times the keep-alive.
            Ok((device, Duration::from_secs(u64::from(seconds)) * 3 / 2))
        }
        None => {
            link.send(answer(ConnectReturnCode::NotAuthorized)).await?;
            Err(End::Refused(
                "the login is not a device's, or asks for more than a bell",
            ))
        }
    }
}

/// The device that signed the password for itself, not long ago.
async fn authenticate(app: &App, connect: &Connect) -> Option<DeviceId> {
    let login = connect.login.as_ref().filter(|_| connect.last_will.is_none())?;
    let device: DeviceId = login.username.parse().ok()?;
    let (time, signature) = topics::parse_password(&login.password)?;
    if time.abs_diff(app.now()) > api::SIGNATURE_WINDOW_S {
        return None;
    }
    let key = app.guard.key(app, device).await?;
    key.verify(&topics::password_message(&device, time), &signature)
        .then_some(device)
}

/// Serves a device until the session ends.
async fn converse(
    app: &App,
    link: &mut Link,
    device: DeviceId,
    keep_alive: Duration,
    mut rings: mpsc::Receiver<()>,
) -> End {
    let topic = topics::doorbell(&device);
    let (mut listening, mut rung) = (false, false);
    let mut deadline = Instant::now() + keep_alive;
    loop {
        if listening && (rung || app.doorbell.missed(device)) {
            rung = false;
            if let Err(end) = link
                .send(Packet::Publish(Publish::new(&topic, QoS::AtMostOnce, Vec::new())))
                .await
            {
                return end;
            }
            app.metrics.rings.inc();
        }
        tokio::select! {
            packet = link.receive() => {
                deadline = Instant::now() + keep_alive;
                let answered = match packet {
                    Ok(packet) => answer(link, packet, &topic, &mut listening).await,
                    Err(end) => Err(end),
                };
                if let Err(end) = answered {
                    return end;
                }
            }
            ring = rings.recv() => match ring {
                Some(()) => rung = true,
                None => return End::Replaced,
            },
            () = tokio::time::sleep_until(deadline) => return End::Silent,
            () = app.stopped() => return End::Stopped,
        }
    }
}

async fn answer(link: &mut Link, packet: Packet, topic: &str, listening: &mut bool) -> Result<(), End> {
    match packet {
        Packet::PingReq => link.send(Packet::PingResp).await,
        Packet::Subscribe(Subscribe { pkid, filters }) => {
            if filters.len() > MAX_FILTERS {
                return Err(End::Refused("too many filters in one SUBSCRIBE"));
            }
            let code = |path: &str| match path == topic {
                true => SubscribeReasonCode::Success(QoS::AtMostOnce),
                false => SubscribeReasonCode::Failure,
            };
            *listening |= filters.iter().any(|filter| filter.path == topic);
            let return_codes = filters.iter().map(|filter| code(&filter.path)).collect();
            link.send(Packet::SubAck(SubAck { pkid, return_codes })).await
        }
        Packet::Unsubscribe(unsubscribe) => {
            *listening &= !unsubscribe.topics.iter().any(|path| path == topic);
            link.send(Packet::UnsubAck(UnsubAck {
                pkid: unsubscribe.pkid,
            }))
            .await
        }
        Packet::Disconnect => Err(End::Left),
        Packet::Publish(_) => Err(End::Refused("devices publish nothing here")),
        _ => Err(End::Refused("a packet out of place")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bells_are_remembered_and_replaced() {
        let (doorbell, device) = (Doorbell::default(), DeviceId([1; 16]));
        doorbell.ring(&[device]);
        assert!(doorbell.missed(device) && !doorbell.missed(device));
        let (first, mut rings) = doorbell.hang(device);
        doorbell.ring(&[device, device]);
        assert_eq!((rings.try_recv(), rings.try_recv().is_err()), (Ok(()), true));
        let (second, _newer) = doorbell.hang(device);
        assert!(matches!(
            rings.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        ));
        doorbell.take_down(device, first);
        assert_eq!(doorbell.connected(), 1);
        doorbell.take_down(device, second);
        assert_eq!(doorbell.connected(), 0);
    }
}
