//! The scenes: each starts something, waits for what the ledger and the devices tell, and writes down what it found.

use crate::chronicle::Chronicle;
use crate::fleet::{DEVICES, Fate, Member, fate};
use crate::judge::Verdict;
use crate::models::Version;
use crate::strikes::Strikes;
use crate::timeline::Timeline;
use anyhow::{Context, bail};
use sanderling_client::api::{NewRollout, check_ledger};
use sanderling_client::{Client, Publish};
use sanderling_rollout::{Policy, Ppm, Stage};
use sanderling_wire::{Digest, EventKind};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Longest time for a scene. The demo takes less than a minute; a slow machine may take longer and still be right.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything the scenes act on.
pub(crate) struct World {
    pub(crate) timeline: Timeline,
    pub(crate) chronicle: Chronicle,
    pub(crate) client: Client,
    pub(crate) members: Vec<Member>,
    pub(crate) versions: [Version; 4],
    pub(crate) cloud: Option<Child>,
    pub(crate) exe: PathBuf,
    pub(crate) repo: PathBuf,
    pub(crate) token_file: PathBuf,
    pub(crate) verdict: Verdict,
}

impl World {
    /// Publishes a version; the bundle must be signed.
    pub(crate) fn publish(&mut self, version: &Version, aliases: &[&str]) -> anyhow::Result<()> {
        let aliases: Vec<String> = aliases.iter().map(|alias| (*alias).to_string()).collect();
        let target = format!("magika-{}.sdl", version.name);
        let publish = Publish {
            bundle: &version.path,
            repo: &self.repo,
            target: &target,
            parent: None,
            aliases: &aliases,
        };
        self.client.publish(&publish)?;
        Ok(())
    }

    /// Starts a rollout by stages of one device, a quarter and all.
    fn start(&mut self, version: &Version, base: &Version) -> anyhow::Result<u64> {
        let policy = Policy {
            stages: vec![
                Stage::Count(1),
                Stage::Share(Ppm::percent(25)),
                Stage::Share(Ppm::ONE),
            ],
            dwell_s: 2,
            min_inputs: 50,
            margin: Ppm::percent(8),
            ..Policy::default()
        };
        let request = NewRollout {
            target: version.label(),
            base: Some(base.label()),
            policy,
        };
        Ok(self.client.start_rollout(&request)?.id.0)
    }

    pub(crate) fn serving(&self, number: usize) -> Option<Digest> {
        self.members[number].look()?.serving.map(|at| at.image.digest)
    }

    fn all_serve(&self, image: Digest) -> bool {
        (0..DEVICES).all(|number| self.serving(number) == Some(image))
    }

    /// Waits until every device has checked in and answers from the factory image.
    pub(crate) fn wait_for_fleet(&mut self) -> anyhow::Result<()> {
        self.timeline.waiting("devices enrol and check in");
        let image = self.versions[0].digest;
        let client = self.client.clone();
        let ready = self.chronicle.wait(PATIENCE, |_| {
            let devices = client.devices().ok()?;
            let ready = devices
                .iter()
                .filter(|device| device.active == Some(image))
                .count();
            (ready == DEVICES).then_some(())
        });
        let answering = |world: &Self| world.members.iter().all(|member| !member.answers().is_empty());
        let deadline = Instant::now() + PATIENCE;
        while ready.is_some() && !answering(self) && Instant::now() < deadline {
            self.chronicle.listen(Duration::from_millis(100));
        }
        let holds = ready.is_some() && answering(self);
        self.verdict.find(
            "twelve devices enrol and answer from the factory image",
            holds,
            "not all did in time",
        );
        if !holds {
            bail!("the devices did not all start; their logs are beside their state folders");
        }
        let answers: usize = self.members.iter().map(|member| member.answers().len()).sum();
        self.timeline.tell(format!(
            "{DEVICES} devices are enrolled and answer from v1; {answers} answers so far"
        ));
        Ok(())
    }

    /// Version 2: by stages, through kills, a damaged download and a lost network.
    pub(crate) fn roll_out_good(&mut self) -> anyhow::Result<u64> {
        let [v1, v2, ..] = self.versions.clone();
        self.publish(&v2, &[])?;
        if let Some(faults) = self.faults_of(Fate::KilledInDownload) {
            faults.slow(Duration::from_millis(25));
        }
        if let Some(faults) = self.faults_of(Fate::Corrupted) {
            faults.corrupt_next_download();
        }
        let id = self.start(&v2, &v1)?;
        self.timeline
            .tell("v2 (int8 weights) starts: one device, a quarter, all");
        let mut strikes = Strikes::default();
        let start = Instant::now();
        let mut told = 0;
        while !(self.chronicle.rollout_says(id, "complete")
            && self.all_serve(v2.digest)
            && strikes.reconnected)
        {
            self.timeline.waiting(self.holding(id));
            self.chronicle.listen(Duration::from_millis(20));
            self.strike(&mut strikes, v2.digest)?;
            told = self.tell_moves(id, told);
            if self.chronicle.rollout_says(id, "stop") || start.elapsed() > PATIENCE {
                break;
            }
        }
        self.tell_moves(id, told);
        let complete = self.chronicle.rollout_says(id, "complete");
        let found = format!(
            "the rollout said: {}",
            self.chronicle.sentences(id).last().cloned().unwrap_or_default()
        );
        self.verdict.find(
            "v2 reaches every device",
            complete && self.all_serve(v2.digest),
            found,
        );
        self.judge_strikes(&strikes);
        self.client.set_alias("magika", "champion", &v2.label())?;
        Ok(id)
    }

    fn holding(&self, id: u64) -> String {
        self.chronicle
            .sentences(id)
            .last()
            .cloned()
            .unwrap_or_else(|| "the planner looks at the fleet".to_string())
    }

    fn tell_moves(&mut self, id: u64, told: usize) -> usize {
        let moves = self.chronicle.moves(id);
        moves
            .iter()
            .skip(told)
            .for_each(|sentence| self.timeline.tell(format!("server: {sentence}")));
        moves.len()
    }

    /// Version 3: its golden vectors show nothing, its answers do.
    pub(crate) fn roll_out_bad(&mut self) -> anyhow::Result<()> {
        let [_, v2, v3, _] = self.versions.clone();
        self.publish(&v3, &[])?;
        let id = self.start(&v3, &v2)?;
        self.timeline
            .tell("v3 starts: one layer has wrong scales, and its own golden vectors agree with it");
        let stopped = self.wait_for_stop(id);
        let exposed = self
            .chronicle
            .events
            .iter()
            .filter(|e| e.kind == EventKind::Activated && e.image == Some(v3.digest))
            .count();
        self.verdict.find(
            "v3 is stopped at its first stage",
            stopped && exposed == 1,
            format!("devices that ran it: {exposed}"),
        );
        let back = self.wait_for_all(v2.digest);
        self.verdict
            .find("v3 is rolled back", back, "a device still answers from it");
        if back {
            self.timeline.tell("every device answers from v2 again");
        }
        Ok(())
    }

    /// Version 4: the self-test refuses it.
    pub(crate) fn roll_out_broken(&mut self) -> anyhow::Result<()> {
        let [_, v2, _, v4] = self.versions.clone();
        self.publish(&v4, &[])?;
        let id = self.start(&v4, &v2)?;
        self.timeline
            .tell("v4 starts: its golden vectors do not match what it computes");
        let stopped = self.wait_for_stop(id);
        let refused = self
            .chronicle
            .device_says(None, EventKind::SelfTestFailed, Some(v4.digest));
        self.verdict.find(
            "v4 fails its self-test and is stopped",
            stopped && refused,
            "no device refused it",
        );
        let back = self.wait_for_all(v2.digest);
        self.verdict.find(
            "every device goes on with v2",
            back,
            "a device does not answer from v2",
        );
        Ok(())
    }

    fn wait_for_stop(&mut self, id: u64) -> bool {
        self.timeline.waiting("the first device's evidence");
        let stopped = self
            .chronicle
            .wait(PATIENCE, |told| told.rollout_says(id, "stop").then_some(()))
            .is_some();
        self.tell_moves(id, 0);
        stopped
    }

    fn wait_for_all(&mut self, image: Digest) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.all_serve(image) {
                return true;
            }
            self.chronicle.listen(Duration::from_millis(50));
        }
        false
    }

    /// The drill: back to version 1 by one command, timed.
    pub(crate) fn roll_back(&mut self, rollout: u64) -> anyhow::Result<()> {
        let start = Instant::now();
        let output = Command::new(&self.exe)
            .args(["rollout", "rollback", &rollout.to_string(), "--why", "a drill"])
            .args(["--server", self.client.base(), "--token-file"])
            .arg(&self.token_file)
            .output()
            .context("cannot run `sanderling rollout rollback`")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_string();
            self.verdict.find("`rollout rollback` is taken", false, words);
            return Ok(());
        }
        self.timeline
            .tell(format!("$ sanderling rollout rollback {rollout} --why 'a drill'"));
        self.timeline.waiting("devices flip back");
        let back = self.wait_for_all(self.versions[0].digest);
        let seconds = start.elapsed().as_secs_f64();
        self.verdict.find(
            "one command takes the fleet back to v1",
            back,
            "a device does not answer from v1",
        );
        if back {
            self.timeline.tell(format!(
                "all {DEVICES} devices answer from v1 again, {seconds:.1} s after the command"
            ));
        }
        Ok(())
    }

    /// The cascade: unsure answers go to the cloud; without the cloud they go on, marked.
    pub(crate) fn lose_the_cloud(&mut self) -> anyhow::Result<()> {
        let asked = |world: &Self| world.cascade_answers(|line| line.source == "cloud");
        self.timeline.waiting("an answer that a device is not sure of");
        let before = self.wait_for_some(asked);
        self.verdict
            .find("unsure answers come from the cloud", before > 0, "none did");
        self.timeline.tell(format!(
            "{before} answers that devices were not sure of came from `sanderling serve`"
        ));
        if let Some(mut cloud) = self.cloud.take() {
            cloud.kill()?;
            cloud.wait()?;
        }
        self.timeline.tell("that server is killed");
        let degraded = self.wait_for_some(|world| world.cascade_answers(|line| line.degraded.is_some()));
        self.verdict.find(
            "without the cloud answers go on, marked degraded",
            degraded > 0,
            "none was marked",
        );
        self.timeline
            .tell(format!("answers go on: {degraded} marked `degraded` so far"));
        Ok(())
    }

    fn cascade_answers(&self, wanted: impl Fn(&sanderling_daemon::AnswerLine) -> bool) -> usize {
        let members = self
            .members
            .iter()
            .filter(|member| fate(member.number) == Fate::Cascade);
        members
            .map(|member| member.answers().iter().filter(|line| wanted(line)).count())
            .sum()
    }

    fn wait_for_some(&mut self, count: impl Fn(&Self) -> usize) -> usize {
        let start = Instant::now();
        loop {
            let found = count(self);
            if found > 0 || start.elapsed() > PATIENCE {
                return found;
            }
            self.chronicle.listen(Duration::from_millis(100));
        }
    }

    /// Device 4's accounts: as many answers at the server as the device gave, none lost, none twice.
    pub(crate) fn settle_accounts(&mut self) -> anyhow::Result<()> {
        self.timeline
            .waiting("device 4 delivers what waits in its outbox");
        let member = &mut self.members[3];
        member.stop();
        member.role.inputs.clear();
        member.start()?;
        let given = member.answers().len() as u64;
        let device = member.device().context("device 4 is enrolled")?;
        let client = self.client.clone();
        let counted = || -> Option<u64> {
            Some(
                client
                    .device(device)
                    .ok()?
                    .serving
                    .values()
                    .map(|totals| totals.answers)
                    .sum(),
            )
        };
        let settled = self
            .chronicle
            .wait(Duration::from_secs(20), |_| (counted()? >= given).then_some(()));
        let counted = counted().unwrap_or(0);
        let found = format!("it gave {given} answers, the server counted {counted}");
        self.verdict.find(
            "no telemetry is lost or doubled",
            settled.is_some() && counted == given,
            found.clone(),
        );
        self.timeline.tell(format!("device 4: {found}"));
        Ok(())
    }

    /// What must hold over the whole story.
    pub(crate) fn judge_all(&mut self) {
        let [v1, _, v3, v4] = &self.versions;
        let (v4_hex, v3_hex) = (v4.digest.to_string(), v3.digest.to_string());
        let lines: Vec<_> = self.members.iter().map(Member::answers).collect();
        let from_v4 = lines.iter().flatten().filter(|line| line.image == v4_hex).count();
        let by_v3 = lines
            .iter()
            .filter(|lines| lines.iter().any(|line| line.image == v3_hex))
            .count();
        let activated = self
            .chronicle
            .device_says(None, EventKind::Activated, Some(v4.digest));
        let slots = (0..DEVICES)
            .filter(|&number| self.serving(number) == Some(v1.digest))
            .count();
        self.verdict.find(
            "no device ever answers from v4",
            from_v4 == 0 && !activated,
            format!("{from_v4} answers came from it"),
        );
        self.verdict.find(
            "v3 never left its first stage",
            by_v3 <= 1,
            format!("{by_v3} devices answered from it"),
        );
        self.verdict.find(
            "every slot ends at v1",
            slots == DEVICES,
            format!("{slots} of {DEVICES} do"),
        );
        let chained = check_ledger(&self.chronicle.ledger);
        self.verdict.find(
            "the ledger's hash chain is whole",
            chained.is_ok(),
            chained.err().map_or_else(String::new, |error| error.to_string()),
        );
    }
}
