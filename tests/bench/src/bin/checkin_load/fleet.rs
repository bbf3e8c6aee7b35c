//! The fleet under test: enrolled through the API, as any fleet.

use crate::connection::Connection;
use crate::device::{self, Device, Trust};
use crate::rollout;
use crate::server::{self, Process};
use anyhow::{Context, ensure};
use sanderling_wire::EnrolmentString;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Enrolments at the same time.
const PARALLEL: usize = 64;

/// Enrolled devices, those that wait for their next check-in.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) address: SocketAddr,
    pub(crate) trust: Trust,
    /// How long enrolment took.
    pub(crate) enrolled_in: Duration,
    idle: RefCell<VecDeque<Device>>,
}

/// Makes devices and enrols them: for each an enrolment string by the operator, redeemed by the device's key.
pub(crate) async fn enrol(server: &Process, devices: usize, seed: u64) -> anyhow::Result<Fleet> {
    let (began, image) = (Instant::now(), rollout::base()?);
    let numbers = Rc::new(RefCell::new(0..devices as u64));
    let workers = (0..PARALLEL).map(|_| {
        let (numbers, mut connection) = (Rc::clone(&numbers), Connection::new(server.address()));
        tokio::task::spawn_local(async move {
            let mut enrolled = Vec::new();
            loop {
                let next = numbers.borrow_mut().next();
                let Some(number) = next else {
                    return anyhow::Ok(enrolled);
                };
                let device = Device::new(seed, number, image);
                enrol_one(&mut connection, &device, number).await?;
                enrolled.push(device);
            }
        })
    });
    let mut idle = VecDeque::with_capacity(devices);
    for worker in workers.collect::<Vec<_>>() {
        idle.extend(worker.await??);
    }
    Ok(Fleet {
        address: server.address(),
        trust: Trust::new(server.director_root())?,
        enrolled_in: began.elapsed(),
        idle: RefCell::new(idle),
    })
}

async fn enrol_one(connection: &mut Connection, device: &Device, number: u64) -> anyhow::Result<()> {
    let body = format!("{{\"label\": \"device {number}\"}}");
    let request = format!(
        "POST /v1/enrolments HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        connection.address(),
        server::TOKEN,
        body.len()
    );
    let reply = connection.exchange(request.as_bytes()).await?;
    let text = String::from_utf8_lossy(reply.body).into_owned();
    ensure!(
        reply.status == 201,
        "no enrolment string: {} {text}",
        reply.status
    );
    let created: serde_json::Value = serde_json::from_str(&text)?;
    let string = created["enrolment"]
        .as_str()
        .context("the reply holds no enrolment string")?;
    let token = string.parse::<EnrolmentString>()?.token;
    let reply = connection
        .exchange(&device.enrolment(&token, server::now().0)?)
        .await?;
    let text = String::from_utf8_lossy(reply.body);
    ensure!(
        reply.status == 200,
        "device {number} was not enrolled: {} {text}",
        reply.status
    );
    Ok(())
}

impl Fleet {
    /// The device that has waited longest. It is the caller's until given back: no device has two requests under way.
    pub(crate) fn take(&self) -> Option<Device> {
        self.idle.borrow_mut().pop_front()
    }

    /// A device whose request is over.
    pub(crate) fn give_back(&self, device: Device) {
        self.idle.borrow_mut().push_back(device);
    }

    /// Bytes of telemetry in each check-in.
    pub(crate) fn record_len(&self) -> usize {
        device::record_len()
    }

    /// Checks that the server counts as many stored records as the devices were acknowledged: none lost, none doubled.
    pub(crate) async fn check_totals(&self, server: &Process) -> anyhow::Result<()> {
        let request = format!(
            "GET /metrics HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            server.address(),
            server::TOKEN
        );
        let mut connection = Connection::new(server.address());
        let reply = connection.exchange(request.as_bytes()).await?;
        let text = String::from_utf8_lossy(reply.body);
        let stored = text
            .lines()
            .find_map(|line| line.strip_prefix("sanderling_telemetry_records_total "));
        let stored: u64 = stored
            .context("no counter of records in /metrics")?
            .trim()
            .parse()?;
        let acknowledged: u64 = self.idle.borrow().iter().map(Device::acknowledged).sum();
        ensure!(
            stored == acknowledged,
            "{stored} records are stored, {acknowledged} were acknowledged"
        );
        println!("{stored} records stored, as many acknowledged");
        Ok(())
    }
}
