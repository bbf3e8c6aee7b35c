//! The doorbell at a real broker that is killed and comes back: Debian's mosquitto.
#![allow(clippy::unwrap_used)]

use rumqttc::{Client, MqttOptions, QoS};
use sanderling_drivers::{BellNews, DeviceKey, MqttBell, OsEntropy, SystemClock, listen};
use sanderling_wire::{MqttEndpoint, topics};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A broker on a port of its own.
struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    fn start(folder: &Path, port: u16) -> Self {
        let config = folder.join("mosquitto.conf");
        std::fs::write(
            &config,
            format!("listener {port} 127.0.0.1\nallow_anonymous true\n"),
        )
        .unwrap();
        // Debian installs it where only root's PATH looks.
        let program = [
            "/usr/sbin/mosquitto",
            "/usr/local/sbin/mosquitto",
            "/opt/homebrew/sbin/mosquitto",
        ];
        let program = program
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap_or("mosquitto");
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "this test needs the broker mosquitto ({error}): run `cargo xtask test`, which installs it, \
                 or `apt-get install mosquitto`"
            )
        });
        let broker = Self { child, port };
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "mosquitto does not listen on port {port}");
            thread::sleep(Duration::from_millis(20));
        }
        broker
    }

    /// SIGKILL: no goodbye to anybody.
    fn kill(mut self) -> u16 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.port
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Publishes one empty message as the server does.
fn ring(port: u16, topic: &str) {
    let (client, mut connection) = Client::new(MqttOptions::new("server", "127.0.0.1", port), 4);
    client
        .publish(topic, QoS::AtLeastOnce, false, Vec::new())
        .unwrap();
    for event in connection.iter() {
        if let rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_)) = event.unwrap() {
            return;
        }
    }
}

fn expect(news: &Receiver<BellNews>, wanted: impl Fn(&BellNews) -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let found = news
            .recv_timeout(left)
            .unwrap_or_else(|_| panic!("{what} was not heard"));
        if wanted(&found) {
            return;
        }
    }
}

#[test]
fn a_killed_broker_is_found_again_and_nothing_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let key = DeviceKey::of_folder(folder.path()).unwrap();
    let topic = topics::doorbell(&key.device().unwrap());
    let mut broker = Broker::start(folder.path(), free_port());
    let endpoint = MqttEndpoint {
        host: "127.0.0.1".into(),
        port: broker.port,
        tls: false,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, news) = channel();
    let ends = stop.clone();
    let listener = thread::spawn(move || {
        let connect = || MqttBell::connect(&endpoint, &key, 1_795_348_800);
        let mut entropy = OsEntropy::new().unwrap();
        listen(
            connect,
            |news| tell.send(news).is_ok(),
            &SystemClock::new(),
            &mut entropy,
            &ends,
        );
    });
    expect(&news, |news| *news == BellNews::Up, "the subscription");
    for round in 0..5 {
        ring(broker.port, &topic);
        expect(&news, |news| *news == BellNews::Rang, "the doorbell");
        let port = broker.kill();
        expect(
            &news,
            |news| matches!(news, BellNews::Down(_)),
            "the broker's death",
        );
        // Sometimes at once, sometimes after attempts that failed.
        thread::sleep(Duration::from_millis(300 * round));
        broker = Broker::start(folder.path(), port);
        expect(&news, |news| *news == BellNews::Up, "the broker's return");
        expect(
            &news,
            |news| *news == BellNews::Rang,
            "the ring for what was missed",
        );
    }
    stop.store(true, Ordering::Relaxed);
    listener.join().unwrap();
}
