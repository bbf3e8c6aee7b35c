//! The fleet behind a socket: HTTP/1.1, one request a connection, as plain as can be.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use crate::fleet::{Answer, Fleet};
use sanderling_wire::EnrolmentString;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub struct Server {
    address: SocketAddr,
    fleet: Arc<Mutex<Fleet>>,
    closed: Arc<AtomicBool>,
    /// Answers that come a byte at a time.
    drips: Arc<AtomicUsize>,
    /// Speaks TLS by this configuration.
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Server {
    pub fn start() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let fleet = Arc::new(Mutex::new(Fleet::at(now)));
        Self::listen("127.0.0.1:0".parse().unwrap(), fleet, None)
    }

    pub fn start_tls(tls: rustls::ServerConfig) -> Self {
        let fleet = Self::start().fleet.clone();
        Self::listen("127.0.0.1:0".parse().unwrap(), fleet, Some(Arc::new(tls)))
    }

    fn listen(address: SocketAddr, fleet: Arc<Mutex<Fleet>>, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (closed, drips) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let server = Self {
            address,
            fleet,
            closed,
            drips,
            tls,
        };
        let (fleet, closed) = (server.fleet.clone(), server.closed.clone());
        let (drips, tls) = (server.drips.clone(), server.tls.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), fleet, drips, tls) = (stream, fleet.clone(), drips.clone(), tls.clone())
                else {
                    return;
                };
                thread::spawn(move || match tls {
                    None => serve(stream, &fleet, &drips),
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(tls).ok()?;
                        serve(rustls::StreamOwned::new(connection, stream), &fleet, &drips)
                    }
                });
            }
        });
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap()
    }

    pub fn enrolment(&self) -> EnrolmentString {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.fleet().enrolment(&format!("{scheme}://{}", self.address))
    }

    pub fn drip(&self, answers: usize) {
        self.drips.store(answers, Ordering::SeqCst);
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // The listener sees that it is closed at the next connection.
        drop(TcpStream::connect(self.address));
        while TcpStream::connect(self.address).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn open_again(self, address: SocketAddr) -> Self {
        Self::listen(address, self.fleet.clone(), self.tls.clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(mut stream: impl Read + Write, fleet: &Mutex<Fleet>, drips: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(&mut stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = {
        let mut fleet = fleet.lock().unwrap();
        fleet.now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        fleet.answer(&method, &path, &headers, &body)?
    };
    let slow = drips
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_ok();
    write(stream, &answer, slow)
}

fn write(mut stream: impl Write, answer: &Answer, slow: bool) -> Option<()> {
    let Answer {
        status,
        range_start,
        retry_after_s,
        decommissioned_at,
        body,
        breaks,
    } = answer;
    // A body that breaks off was to be longer.
    let length = body.len() + usize::from(*breaks);
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n");
    if let Some(start) = range_start {
        head += &format!("content-range: bytes {start}-{}/*\r\n", start + length as u64 - 1);
    }
    if let Some(seconds) = retry_after_s {
        head += &format!("retry-after: {seconds}\r\n");
    }
    if let Some(at) = decommissioned_at {
        head += &format!("decommissioned-at: {at}\r\n");
    }
    if *status == 302 {
        head += "location: http://127.0.0.1:9/\r\n";
    }
    head += "\r\n";
    if slow {
        for byte in head.bytes().chain(body.iter().copied()) {
            stream.write_all(&[byte]).ok()?;
            thread::sleep(Duration::from_millis(100));
        }
        return Some(());
    }
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    stream.flush().ok()
}
