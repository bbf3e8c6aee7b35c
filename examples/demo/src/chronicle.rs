//! What the server tells: ledger entries and device events, as they come.
//!
//! Two threads hold long polls open; the story waits on what they bring, never on the clock alone.

use sanderling_client::Client;
use sanderling_client::api::{EventView, LedgerView};
use sanderling_wire::{DeviceId, Digest, EventKind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time that one poll is held open.
const POLL: Duration = Duration::from_secs(10);
/// Pause after a poll that failed: the server may be restarting.
const PAUSE: Duration = Duration::from_millis(200);

enum News {
    Ledger(Box<LedgerView>),
    Event(EventView),
}

/// All that was told so far.
pub(crate) struct Chronicle {
    news: Receiver<News>,
    pub(crate) ledger: Vec<LedgerView>,
    pub(crate) events: Vec<EventView>,
}

impl Chronicle {
    /// Listens. The threads end with the process.
    pub(crate) fn follow(client: &Client) -> anyhow::Result<Self> {
        let (sender, news) = channel();
        let (ledger, events) = (client.clone(), client.clone());
        let (to_ledger, to_events) = (sender.clone(), sender);
        thread::Builder::new().name("ledger".to_string()).spawn(move || {
            follow(0, &to_ledger, |after| {
                let page = ledger.ledger(after, POLL).ok()?;
                Some((
                    page.next,
                    page.entries
                        .into_iter()
                        .map(|entry| News::Ledger(Box::new(entry)))
                        .collect(),
                ))
            });
        })?;
        thread::Builder::new().name("events".to_string()).spawn(move || {
            follow(0, &to_events, |after| {
                let page = events.events(after, None, POLL).ok()?;
                Some((page.next, page.events.into_iter().map(News::Event).collect()))
            });
        })?;
        Ok(Self {
            news,
            ledger: Vec::new(),
            events: Vec::new(),
        })
    }

    fn keep(&mut self, news: News) {
        match news {
            News::Ledger(entry) => self.ledger.push(*entry),
            News::Event(event) => self.events.push(event),
        }
    }

    /// Takes what has come; waits up to `patience` for something.
    pub(crate) fn listen(&mut self, patience: Duration) {
        if let Ok(news) = self.news.recv_timeout(patience) {
            self.keep(news);
        }
        while let Ok(news) = self.news.try_recv() {
            self.keep(news);
        }
    }

    /// Listens until `find` finds something, for `limit` at the longest.
    pub(crate) fn wait<T>(&mut self, limit: Duration, mut find: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = find(self) {
                return Some(found);
            }
            if start.elapsed() > limit {
                return None;
            }
            self.listen(Duration::from_millis(100));
        }
    }

    /// Whether a rollout's ledger says that this happened: `complete`, `stop`, `rollback` …
    pub(crate) fn rollout_says(&self, rollout: u64, event: &str) -> bool {
        self.entries_of(rollout)
            .any(|entry| names(entry).any(|name| name == event))
    }

    /// The planner's sentences about a rollout, in order.
    pub(crate) fn sentences(&self, rollout: u64) -> Vec<String> {
        let lists = self
            .entries_of(rollout)
            .filter_map(|entry| entry.body.get("sentences")?.as_array());
        lists
            .flatten()
            .filter_map(|sentence| sentence.as_str().map(str::to_string))
            .collect()
    }

    /// Those about what was done, without the reasons for standing still. The ledger's sentences stand beside its
    /// events, in order.
    pub(crate) fn moves(&self, rollout: u64) -> Vec<String> {
        let told = self.entries_of(rollout).filter_map(|entry| {
            let sentences = entry.body.get("sentences")?.as_array()?;
            Some(names(entry).zip(sentences).filter(|(event, _)| *event != "hold"))
        });
        told.flatten()
            .filter_map(|(_, sentence)| sentence.as_str().map(str::to_string))
            .collect()
    }

    fn entries_of(&self, rollout: u64) -> impl Iterator<Item = &LedgerView> {
        self.ledger
            .iter()
            .filter(move |entry| entry.rollout.is_some_and(|id| id.0 == rollout))
    }

    /// Whether a device, or any, told of this with an image.
    pub(crate) fn device_says(
        &self,
        device: Option<DeviceId>,
        kind: EventKind,
        image: Option<Digest>,
    ) -> bool {
        self.events.iter().any(|event| {
            event.kind == kind
                && device.is_none_or(|id| event.device == id)
                && (image.is_none() || event.image == image)
        })
    }
}

fn names(entry: &LedgerView) -> impl Iterator<Item = &str> {
    entry
        .body
        .get("events")
        .and_then(|list| list.as_array())
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
}

fn follow(mut after: u64, to: &Sender<News>, mut poll: impl FnMut(u64) -> Option<(u64, Vec<News>)>) {
    loop {
        match poll(after) {
            Some((next, news)) => {
                after = next;
                if news.into_iter().any(|news| to.send(news).is_err()) {
                    return;
                }
            }
            None => thread::sleep(PAUSE),
        }
    }
}
