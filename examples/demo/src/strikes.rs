//! What befalls single devices during the first rollout: kills, damaged bytes, a lost network.

use crate::fleet::{Fate, fate};
use crate::scenes::World;
use sanderling_wire::{Digest, EventKind};
use std::time::Duration;

/// A download is in its middle when this much has come.
const MIDDLE: u64 = 200 * 1024;
/// Answers that a device must give while it has no network.
const ANSWERS_ALONE: usize = 6;

/// What befell devices during the first rollout.
#[derive(Default)]
pub(crate) struct Strikes {
    killed_in_download: bool,
    killed_in_activation: bool,
    refused: bool,
    cut_at: Option<usize>,
    pub(crate) reconnected: bool,
}

impl World {
    pub(crate) fn faults_of(&self, whose: Fate) -> Option<std::sync::Arc<crate::proxy::Faults>> {
        self.members
            .iter()
            .find(|member| fate(member.number) == whose)?
            .faults()
            .cloned()
    }

    pub(crate) fn strike(&mut self, strikes: &mut Strikes, image: Digest) -> anyhow::Result<()> {
        let downloaded = self
            .faults_of(Fate::KilledInDownload)
            .map_or(0, |faults| faults.downloaded());
        if !strikes.killed_in_download && downloaded > MIDDLE {
            strikes.killed_in_download = true;
            let member = &mut self.members[0];
            member.kill();
            self.timeline.tell(format!(
                "{} is killed in the middle of its download, and starts again",
                member.name()
            ));
            if let Some(faults) = member.faults() {
                faults.slow(Duration::ZERO);
            }
            member.start()?;
        }
        let activating = || self.members[1].look().is_some_and(|view| view.trial.is_some());
        if !strikes.killed_in_activation && activating() {
            strikes.killed_in_activation = true;
            let member = &mut self.members[1];
            member.kill();
            self.timeline.tell(format!(
                "{} is killed in the middle of its activation, and starts again",
                member.name()
            ));
            member.start()?;
        }
        if !strikes.refused
            && let Some(device) = self.members[2].device()
            && self
                .chronicle
                .device_says(Some(device), EventKind::DownloadRefused, Some(image))
        {
            strikes.refused = true;
            self.timeline
                .tell("device 3 got damaged bytes, refused them and fetches again");
        }
        self.cut_off(strikes);
        Ok(())
    }

    /// Takes the network away from one device until it has answered alone for a while.
    fn cut_off(&mut self, strikes: &mut Strikes) {
        let Some(faults) = self.faults_of(Fate::CutOff) else {
            return;
        };
        let answers = self.members[3].answers().len();
        match strikes.cut_at {
            None => {
                faults.cut(true);
                strikes.cut_at = Some(answers);
                self.timeline.tell("device 4 loses its network");
            }
            Some(before) if !strikes.reconnected && answers >= before + ANSWERS_ALONE => {
                faults.cut(false);
                strikes.reconnected = true;
                self.timeline.tell(format!(
                    "device 4 has its network again; it answered {} times without",
                    answers - before
                ));
            }
            Some(_) => {}
        }
    }

    pub(crate) fn judge_strikes(&mut self, strikes: &Strikes) {
        let v2 = self.versions[1].digest;
        let serves = |number: usize| self.serving(number) == Some(v2);
        let (one, two, three) = (serves(0), serves(1), serves(2));
        let damaged = self
            .faults_of(Fate::Corrupted)
            .is_some_and(|faults| faults.was_corrupted());
        let resumed = "it was not struck, or did not come to v2";
        self.verdict.find(
            "killed in a download, device 1 recovers and finishes",
            strikes.killed_in_download && one,
            resumed,
        );
        self.verdict.find(
            "killed in an activation, device 2 recovers and finishes",
            strikes.killed_in_activation && two,
            resumed,
        );
        self.verdict.find(
            "device 3 refuses a damaged download and fetches again",
            damaged && strikes.refused && three,
            resumed,
        );
        self.verdict.find(
            "device 4 answers without its network",
            strikes.reconnected,
            "its answers stopped",
        );
    }
}
