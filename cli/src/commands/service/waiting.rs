//! Waiting for the outcome of a change: it looks again and again at the deployment and at what it touches.
//!
//! The wanted state is reached when the deployment is done *and* as many instances run, and are healthy, as are wanted:
//! a deployment that says it is done is not taken at its word. An instance that no health check looks at counts once it has
//! run for a moment: one that fails as soon as it is started runs as well, again and again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::api::{Api, ApiError, escape};
use super::explain::{self, Explanation};
use super::progress::Progress as Display;
use super::standing::{Counts, End, Standing, affected, standing};
use crate::commands::Signals;
use crate::output;

/// Between two looks, at first and later on.
const FIRST_LOOKS: Duration = Duration::from_millis(100);
const LATER_LOOKS: Duration = Duration::from_millis(500);

/// After this much time it is no more a matter of a moment.
const SOON: Duration = Duration::from_secs(3);

/// What no health check looks at is up when it has run for so long.
const A_MOMENT: Duration = Duration::from_secs(1);

/// How often it is asked why instances are not launched.
const REASONS_EVERY: Duration = Duration::from_secs(2);

/// More services than this are looked at in one listing.
const MOST_SINGLY: usize = 8;

/// What is waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Goal {
    /// The deployment, if the change began one.
    pub(super) deployment: Option<String>,
    /// Apps and pods, which are all to be up.
    pub(super) services: Vec<Named>,
    /// They are to be gone.
    pub(super) gone: bool,
    /// They may be gone at the end: before the deployment that is taken back there was nothing.
    pub(super) may_go: bool,
}

/// An app or pod by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) is_pod: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// All is as it is wanted.
    Reached(Vec<Counts>),
    /// What was there before is there again: nothing.
    Removed,
    /// What is new is in good health, and waits for somebody to promote it.
    Promotable,
    RolledBack {
        by: Option<String>,
        reason: String,
    },
    Failed {
        reason: String,
    },
    /// No deployment is under way, and it is not as it is wanted; nor will it be, for this reason.
    Stuck {
        reason: String,
    },
    /// In time it was not; what is missing.
    TimedOut {
        missing: Vec<String>,
    },
    /// Instances found no place in time.
    Unplaceable(Vec<Explanation>),
    /// Somebody asked this process to end.
    Interrupted,
}

/// Waits. Errors: the API refuses to tell.
pub(super) async fn until(api: &Api, goal: &Goal, timeout: Duration) -> anyhow::Result<Verdict> {
    let mut display = Display::new();
    let verdict = look_on(api, goal, timeout, &mut display).await;
    display.clear();
    verdict
}

async fn look_on(
    api: &Api,
    goal: &Goal,
    timeout: Duration,
    display: &mut Display,
) -> anyhow::Result<Verdict> {
    let mut signals = Signals::new()?;
    let (up, outdated) = (None, None);
    let moment = A_MOMENT.min(timeout);
    let mut watcher = Watcher { api, goal, reasons: Vec::new(), asked: None, moment, up, outdated };
    let (started, mut away) = (Instant::now(), false);
    loop {
        let seen = match watcher.look(display) {
            Ok(Some(verdict)) => return Ok(verdict),
            Ok(None) => true,
            Err(ApiError::Refused(refusal)) if !matches!(refusal.status, 500..) => {
                return Err(ApiError::Refused(refusal).into());
            }
            // A framework that is restarted goes on where it stood.
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    display.suspend(|| output::warn(&format!("{error}; waiting goes on")));
                }
                false
            }
        };
        if seen && std::mem::take(&mut away) {
            display.suspend(|| output::note("the services are back"));
        }
        if started.elapsed() >= timeout {
            return watcher.too_late();
        }
        let pause = if started.elapsed() < SOON { FIRST_LOOKS } else { LATER_LOOKS };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = signals.asked() => return Ok(Verdict::Interrupted),
        }
    }
}

struct Watcher<'a> {
    api: &'a Api,
    goal: &'a Goal,
    /// Why instances are not launched, as of when it was last asked.
    reasons: Vec<Explanation>,
    asked: Option<Instant>,
    /// How long what nobody checks is to run before it counts, and what nobody replaces is to be there before that is said.
    moment: Duration,
    /// The tasks that nobody checks, all up, and since when they have been.
    up: Option<(BTreeSet<String>, Instant)>,
    /// Since when instances of an older version are there and nothing replaces them.
    outdated: Option<Instant>,
}

impl Watcher<'_> {
    /// Looks once, and shows what is seen; a verdict if there is one.
    fn look(&mut self, display: &mut Display) -> Result<Option<Verdict>, ApiError> {
        let standing = match &self.goal.deployment {
            Some(id) => deployment(self.api, id)?,
            None => Standing::Ended(End::Forgotten),
        };
        match standing {
            Standing::Running(progress) if progress.promotable => Ok(Some(Verdict::Promotable)),
            Standing::Running(progress) => {
                let counts = self.counts()?;
                self.ask_reasons(&counts)?;
                display.show(Some(&progress), &counts, &self.reasons);
                Ok(None)
            }
            Standing::Ended(End::RolledBack { by, reason }) => Ok(Some(Verdict::RolledBack { by, reason })),
            Standing::Ended(End::Failed { reason }) => {
                let counts = self.counts()?;
                self.asked = None;
                self.ask_reasons(&counts)?;
                let unplaceable = self.unplaceable();
                Ok(Some(if unplaceable.is_empty() {
                    Verdict::Failed { reason }
                } else {
                    Verdict::Unplaceable(unplaceable)
                }))
            }
            Standing::Ended(End::Done | End::Forgotten) => {
                let counts = self.counts()?;
                let verdict = self.settled(&counts);
                if verdict.is_none() {
                    self.ask_reasons(&counts)?;
                    display.show(None, &counts, &self.reasons);
                }
                Ok(verdict)
            }
        }
    }

    /// What came of it, once the deployment has ended.
    fn settled(&mut self, counts: &[Counts]) -> Option<Verdict> {
        if counts.is_empty() && self.goal.gone {
            return Some(Verdict::Reached(Vec::new()));
        }
        if counts.is_empty() && self.goal.may_go {
            return Some(Verdict::Removed);
        }
        let all = counts.len() == self.goal.services.len() && !self.goal.gone;
        let settled = all && counts.iter().all(|one| one.deployments.is_empty());
        let is_reached = settled && counts.iter().all(Counts::is_reached);
        let unchecked = counts.iter().filter(|one| one.healthy.is_none() && one.wanted > 0);
        let unchecked: BTreeSet<String> = unchecked.flat_map(|one| one.up.iter().cloned()).collect();
        if !is_reached {
            self.up = None;
        } else if self.has_been_up(counts, unchecked) {
            return Some(Verdict::Reached(counts.to_vec()));
        }
        let Some(outdated) = counts.iter().find(|one| settled && one.outdated > 0) else {
            self.outdated = None;
            return None;
        };
        let since = *self.outdated.get_or_insert_with(Instant::now);
        // The deployment that is to replace them may be about to begin.
        (since.elapsed() >= self.moment).then(|| Verdict::Stuck {
            reason: format!(
                "{}: no deployment replaces them any more; `lonja service restart {}` begins one, \
                 `lonja service rollback {}` goes back to the version before",
                outdated.words(),
                outdated.id,
                outdated.id
            ),
        })
    }

    /// Have the same tasks been up for a moment, those that nobody checks?
    fn has_been_up(&mut self, counts: &[Counts], unchecked: BTreeSet<String>) -> bool {
        if counts.iter().all(|one| one.healthy.is_some() || one.wanted == 0) {
            return true;
        }
        if self.up.as_ref().is_none_or(|(tasks, _)| *tasks != unchecked) {
            self.up = Some((unchecked, Instant::now()));
        }
        self.up.as_ref().is_some_and(|(_, since)| since.elapsed() >= self.moment)
    }

    /// How many instances there are of each service that is there.
    fn counts(&self) -> Result<Vec<Counts>, ApiError> {
        counts(self.api, &self.goal.services)
    }

    fn ask_reasons(&mut self, counts: &[Counts]) -> Result<(), ApiError> {
        let lacking: Vec<&Counts> = counts.iter().filter(|one| one.running < one.wanted).collect();
        if lacking.is_empty() {
            self.reasons.clear();
            return Ok(());
        }
        if self.asked.is_none_or(|asked| asked.elapsed() >= REASONS_EVERY) {
            let known = explain::all(self.api)?;
            self.reasons =
                known.into_iter().filter(|why| lacking.iter().any(|one| one.id == why.id)).collect();
            self.asked = Some(Instant::now());
        }
        Ok(())
    }

    /// Those that wait for offers alone, and have been shown some or none.
    fn unplaceable(&self) -> Vec<Explanation> {
        self.reasons.iter().filter(|why| why.count > 0 && why.delay_seconds.is_none()).cloned().collect()
    }

    fn too_late(&mut self) -> anyhow::Result<Verdict> {
        let counts = self.counts()?;
        self.asked = None;
        self.ask_reasons(&counts)?;
        let unplaceable = self.unplaceable();
        if !unplaceable.is_empty() {
            return Ok(Verdict::Unplaceable(unplaceable));
        }
        let under_way = match &self.goal.deployment {
            Some(id) => deployment(self.api, id)?,
            None => Standing::Ended(End::Forgotten),
        };
        let mut missing = Vec::new();
        if let (Standing::Running(progress), Some(id)) = (&under_way, &self.goal.deployment) {
            missing.push(format!("deployment {id} is under way: {}", progress.words()));
        }
        let is_there = |service: &&Named| counts.iter().any(|one| one.id == service.id);
        for service in self.goal.services.iter().filter(|service| !self.goal.gone && !is_there(service)) {
            missing.push(format!("{}: it is not there", service.id));
        }
        let all = self.goal.gone || !missing.is_empty() || counts.iter().all(Counts::is_reached);
        let lacking = counts.iter().filter(|one| all || !one.is_reached());
        missing.extend(lacking.map(|one| format!("{}: {}", one.id, one.words_and_failure())));
        Ok(Verdict::TimedOut { missing })
    }
}

/// Where a deployment stands.
pub(super) fn deployment(api: &Api, id: &str) -> Result<Standing, ApiError> {
    if let Some(known) = api.find(&format!("/v2/deployments/{}", escape(id)))? {
        return Ok(standing(&known));
    }
    // One that does not tell of those that have ended lists those that have not.
    let listed = api.get("/v2/deployments")?;
    let mut listed = listed.as_array().into_iter().flatten();
    let found = listed.find(|deployment| deployment["id"] == id);
    Ok(found.map_or(Standing::Ended(End::Forgotten), standing))
}

/// The deployments under way that touch this app, pod or anything in this group.
pub(super) fn deployments_of(api: &Api, id: &str) -> Result<Vec<serde_json::Value>, ApiError> {
    let listed = api.get("/v2/deployments")?;
    let mut listed = listed.as_array().cloned().unwrap_or_default();
    listed.retain(|deployment| affected(deployment).iter().any(|touched| super::ids::is_within(touched, id)));
    Ok(listed)
}

/// How many instances there are of each of these that is there.
pub(super) fn counts(api: &Api, services: &[Named]) -> Result<Vec<Counts>, ApiError> {
    let pods = services.iter().filter(|one| one.is_pod);
    let apps: Vec<&str> = services.iter().filter(|one| !one.is_pod).map(|one| one.id.as_str()).collect();
    let mut counts = Vec::new();
    if apps.len() > MOST_SINGLY {
        let listed = api.get(
            "/v2/apps?embed=apps.counts&embed=apps.deployments&embed=apps.tasks&embed=apps.lastTaskFailure",
        )?;
        let listed = listed["apps"].as_array().into_iter().flatten().map(Counts::of_app);
        counts.extend(listed.filter(|one| apps.contains(&one.id.as_str())));
    } else {
        for id in apps {
            counts.extend(
                api.find(&format!("/v2/apps{}", escape(id)))?.map(|found| Counts::of_app(&found["app"])),
            );
        }
    }
    for pod in pods {
        let status = api.find(&format!("/v2/pods{}::status", escape(&pod.id)))?;
        counts.extend(status.map(|status| Counts::of_pod(&status)));
    }
    Ok(counts)
}
