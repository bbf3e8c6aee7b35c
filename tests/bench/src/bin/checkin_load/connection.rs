//! The least HTTP/1.1 client that a generator needs: one request at a time over a connection that is kept.
//!
//! By hand, because the generator shares two processors with what it measures: a request is one write, a reply with
//! a `Content-Length` is one read, mostly.

use anyhow::{Context, bail};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest time for one exchange.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest reply.
const MAX_REPLY: usize = 4 << 20;

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    /// Status code.
    pub(crate) status: u16,
    /// Body.
    pub(crate) body: &'a [u8],
}

/// A connection; made at the first request, and again after an error.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::with_capacity(8 * 1024),
        }
    }

    /// The server's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request and reads its reply.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Reply<'_>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        self.buffer.clear();
        let exchange = async {
            stream.write_all(request).await?;
            read_reply(&mut stream, &mut self.buffer).await
        };
        let (status, head) = tokio::time::timeout(PATIENCE, exchange)
            .await
            .context("no reply in time")??;
        // Only a connection whose reply was read to its end is used again.
        self.stream = Some(stream);
        Ok(Reply {
            status,
            body: &self.buffer[head..],
        })
    }
}

/// Reads a whole reply; its status and the length of its head.
async fn read_reply(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<(u16, usize)> {
    let mut searched = 0;
    let head = loop {
        if let Some(at) = find_end(&buffer[searched..]) {
            break searched + at;
        }
        // The end of the head may be cut anywhere in its four bytes.
        searched = buffer.len().saturating_sub(3);
        read_more(stream, buffer).await?;
    };
    let text = std::str::from_utf8(&buffer[..head]).context("the reply's head is not text")?;
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("the reply has no status")?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.context("the reply has no Content-Length")?;
    while buffer.len() < head + length {
        read_more(stream, buffer).await?;
    }
    Ok((status, head))
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    if buffer.len() > MAX_REPLY {
        bail!("the reply is too long");
    }
    if stream.read_buf(buffer).await? == 0 {
        bail!("the server closed the connection");
    }
    Ok(())
}

/// Where the head ends.
fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}
