//! The doorbell, rung over a real connection and listened to by rumqttc.

use crate::fixture::{Device, Fleet};
use rumqttc::{Client, ConnectReturnCode, Connection, Event, MqttOptions, Packet, QoS, SubscribeReasonCode};
use sanderling_trust::Signer as _;
use sanderling_wire::topics;
use serde_json::json;
use std::time::Duration;

fn connect(fleet: &Fleet, device: &Device, at: u64) -> (Client, Connection) {
    let address = fleet.server.as_ref().unwrap().mqtt_addr().unwrap();
    let mut options = MqttOptions::new("test", address.ip().to_string(), address.port());
    let signature = device
        .signer
        .sign(&topics::password_message(&device.id, at))
        .unwrap();
    let signature: [u8; 64] = signature.0.try_into().unwrap();
    options.set_credentials(device.id.to_string(), topics::password(at, &signature));
    Client::new(options, 10)
}

/// The first packet of interest, or how the connection ended.
fn next(connection: &mut Connection, wanted: impl Fn(&Packet) -> bool) -> Result<Packet, String> {
    loop {
        match connection.recv_timeout(Duration::from_secs(5)) {
            Ok(Ok(Event::Incoming(packet))) if wanted(&packet) => return Ok(packet),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}

fn subscribed(connection: &mut Connection) -> Vec<SubscribeReasonCode> {
    match next(connection, |packet| matches!(packet, Packet::SubAck(_))) {
        Ok(Packet::SubAck(ack)) => ack.return_codes,
        other => panic!("{other:?}"),
    }
}

/// A rollout of everybody: rings the devices.
fn roll_out(fleet: &Fleet, device: &mut Device) {
    let base = fleet.publish("v1", &["champion"]);
    fleet.publish("v2", &[]);
    device.active = Some(sanderling_wire::ActiveImage {
        digest: base,
        rollout: None,
        confirmed: true,
    });
    device.check_in(fleet);
    fleet.post(
        "/v1/rollouts",
        json!({ "target": "magika@v2", "policy": { "stages": ["100%"], "control": 0 } }),
    );
}

#[test]
fn rings_when_there_is_news_and_remembers_when_the_device_is_away() {
    let fleet = Fleet::new();
    let mut device = fleet.enrol(1);
    let topic = topics::doorbell(&device.id);
    let (client, mut connection) = connect(&fleet, &device, fleet.now());
    client.subscribe(&topic, QoS::AtLeastOnce).unwrap();
    assert_eq!(
        subscribed(&mut connection),
        [SubscribeReasonCode::Success(QoS::AtMostOnce)]
    );
    roll_out(&fleet, &mut device);
    let rung = next(&mut connection, |packet| matches!(packet, Packet::Publish(_))).unwrap();
    assert!(matches!(rung, Packet::Publish(publish) if publish.topic == topic && publish.payload.is_empty()));
    client.disconnect().unwrap();
    let _ = next(&mut connection, |_| false);
    // Away while the rollout is rolled back: the bell rings when it is back.
    device.check_in(&fleet);
    fleet.post("/v1/rollouts/1/rollback", json!({}));
    let (client, mut connection) = connect(&fleet, &device, fleet.now());
    client.subscribe(&topic, QoS::AtMostOnce).unwrap();
    next(&mut connection, |packet| matches!(packet, Packet::Publish(_))).unwrap();
}

#[test]
fn a_device_hears_its_own_bell_only_and_publishes_nothing() {
    let fleet = Fleet::new();
    let (device, other) = (fleet.enrol(1), fleet.enrol(2));
    let (client, mut connection) = connect(&fleet, &device, fleet.now());
    for topic in [
        topics::doorbell(&other.id).as_str(),
        "#",
        "sanderling/v1/+/doorbell",
    ] {
        client.subscribe(topic, QoS::AtMostOnce).unwrap();
        assert_eq!(
            subscribed(&mut connection),
            [SubscribeReasonCode::Failure],
            "{topic}"
        );
    }
    client
        .publish(topics::doorbell(&other.id), QoS::AtMostOnce, false, "")
        .unwrap();
    assert!(next(&mut connection, |_| false).is_err());
}

#[test]
fn logins_are_signed_fresh_and_by_members() {
    let fleet = Fleet::new();
    let (device, stranger) = (fleet.enrol(1), Device::new(&fleet, 9));
    let code = |(_client, mut connection): (Client, Connection)| match next(&mut connection, |packet| {
        matches!(packet, Packet::ConnAck(_))
    }) {
        Ok(Packet::ConnAck(ack)) => format!("{:?}", ack.code),
        other => format!("{other:?}"),
    };
    let refused = format!("{:?}", ConnectReturnCode::NotAuthorized);
    assert_eq!(
        code(connect(&fleet, &device, fleet.now())),
        format!("{:?}", ConnectReturnCode::Success)
    );
    assert!(code(connect(&fleet, &device, fleet.now() - 301)).contains(&refused));
    assert!(code(connect(&fleet, &stranger, fleet.now())).contains(&refused));
    let impostor = Device {
        id: device.id,
        ..Device::new(&fleet, 9)
    };
    assert!(code(connect(&fleet, &impostor, fleet.now())).contains(&refused));
    // Decommissioned: put out, and not let in again.
    let (client, mut connection) = connect(&fleet, &device, fleet.now());
    client
        .subscribe(topics::doorbell(&device.id), QoS::AtMostOnce)
        .unwrap();
    subscribed(&mut connection);
    fleet.post(&format!("/v1/devices/{}/decommission", device.id), json!({}));
    assert!(next(&mut connection, |_| false).is_err());
    assert!(code(connect(&fleet, &device, fleet.now())).contains(&refused));
}

#[test]
fn nonsense_ends_the_connection() {
    use std::io::{Read as _, Write as _};
    let fleet = Fleet::new();
    let address = fleet.server.as_ref().unwrap().mqtt_addr().unwrap();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xC0, 0x00],
        &[0x10, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0x10, 0x02, 0x00, 0x09],
    ] {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{bytes:?}");
    }
}
