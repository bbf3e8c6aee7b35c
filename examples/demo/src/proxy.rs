//! A bad network: a TCP proxy between one agent and the server.
//!
//! It passes bytes through, and can be told to do so slowly, to damage what comes back, or not to connect at all. It
//! counts what came back, so that the story can strike in the middle of a download.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const BLOCK: usize = 8 * 1024;
/// An answer that has come to this many bytes is a download, not a message.
const DOWNLOAD: u64 = 64 * 1024;
/// How long a broken line hangs before it is noticed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the story changes while the proxy runs.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// No connections, and those there are break.
    cut: AtomicBool,
    /// Milliseconds to wait before each block of a download; 0 for none.
    slow_ms: AtomicU64,
    /// One byte of the next download is damaged; then the fault is spent.
    corrupt: AtomicBool,
    /// Bytes of downloads that came back.
    downloaded: AtomicU64,
}

impl Faults {
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    pub(crate) fn slow(&self, per_block: Duration) {
        self.slow_ms.store(
            u64::try_from(per_block.as_millis()).unwrap_or(u64::MAX),
            Ordering::SeqCst,
        );
    }

    pub(crate) fn corrupt_next_download(&self) {
        self.corrupt.store(true, Ordering::SeqCst);
    }

    pub(crate) fn was_corrupted(&self) -> bool {
        !self.corrupt.load(Ordering::SeqCst)
    }

    pub(crate) fn downloaded(&self) -> u64 {
        self.downloaded.load(Ordering::SeqCst)
    }
}

/// A running proxy. Its threads end with the process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) faults: Arc<Faults>,
}

impl Proxy {
    pub(crate) fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let faults = Arc::new(Faults::default());
        let shared = faults.clone();
        thread::Builder::new().name("proxy".to_string()).spawn(move || {
            for client in listener.incoming().flatten() {
                let faults = shared.clone();
                // Dropping the connection is what a full machine's network does, too.
                drop(
                    thread::Builder::new()
                        .name("proxy line".to_string())
                        .spawn(move || serve(&client, server, &faults)),
                );
            }
        })?;
        Ok(Self { address, faults })
    }
}

/// Errors end the line: that is all a network does with them.
fn serve(client: &TcpStream, server: SocketAddr, faults: &Arc<Faults>) {
    if faults.cut.load(Ordering::SeqCst) {
        return;
    }
    let Ok(upstream) = TcpStream::connect(server) else {
        return;
    };
    let (Ok(from_client), Ok(to_server)) = (client.try_clone(), upstream.try_clone()) else {
        return;
    };
    let there = faults.clone();
    let forward = thread::spawn(move || pass(from_client, to_server, &there, false));
    if let Ok(to_client) = client.try_clone() {
        drop(pass(upstream, to_client, faults, true));
    }
    drop(client.shutdown(Shutdown::Both));
    drop(forward.join());
}

fn pass(mut from: TcpStream, mut to: TcpStream, faults: &Faults, back: bool) -> io::Result<()> {
    from.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut block = [0; BLOCK];
    let (mut passed, mut idle) = (0u64, Duration::ZERO);
    loop {
        if faults.cut.load(Ordering::SeqCst) {
            drop(to.shutdown(Shutdown::Both));
            return Ok(());
        }
        let count = match from.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                // What comes next on a connection that is kept alive is another answer.
                passed = 0;
                idle += Duration::from_millis(100);
                if idle > PATIENCE {
                    break;
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        idle = Duration::ZERO;
        passed += count as u64;
        if back && passed > DOWNLOAD {
            faults.downloaded.fetch_add(count as u64, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(faults.slow_ms.load(Ordering::SeqCst)));
            if faults.corrupt.swap(false, Ordering::SeqCst) {
                block[count / 2] ^= 0x20;
            }
        }
        to.write_all(&block[..count])?;
    }
    drop(to.shutdown(Shutdown::Write));
    Ok(())
}
