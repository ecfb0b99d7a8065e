//! The way from requests to the services: looks and commands, each with a bounded wait.

use std::time::Duration;

use lonja_model::Timestamp;
use lonja_sdk::Link;
use lonja_services_core::definition::Version;
use lonja_services_core::deployment::DeploymentPlan;
use lonja_services_core::{Answer, Change, ChangeOptions, Command, Look, PathId, Refused, Services, Started};

use super::in_place;
use super::problem::Problem;

/// How long the services may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a change is made anew because somebody else was faster.
const TRIES: usize = 5;

/// The way to the services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Door {
    link: Link<Services>,
}

impl Door {
    pub(crate) fn new(link: Link<Services>) -> Self {
        Self { link }
    }

    /// The link itself.
    pub(crate) fn link(&self) -> &Link<Services> {
        &self.link
    }

    /// What `look` sees. It runs where the services decide, so it only takes what is needed; JSON is made elsewhere.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Services, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.ask(|answer| {
            Command::Look(Look(Box::new(move |services, now| answer.give(look(services, now)))))
        })
        .await
    }

    /// The answer to a command.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<T, Problem> {
        let asked = self.link.ask(|reply| command(Answer::to(move |answer| reply.answer(answer))));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Problem::NoAnswer(format!(
                "the services did not answer within {} s; whether it is done is not known",
                PATIENCE.as_secs()
            ))),
        }
    }

    /// Makes a change. `look` takes what the change is made of and `make` makes it, elsewhere; should somebody else change that
    /// in between, it is made anew, some times.
    pub(crate) async fn change<S, L, M>(
        &self,
        options: &ChangeOptions,
        look: L,
        make: M,
    ) -> Result<Started, Problem>
    where
        S: Send + 'static,
        L: Fn(&Services) -> S + Clone + Send + 'static,
        M: Fn(S) -> Result<Change, Problem>,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            let look = look.clone();
            let seen = self.look(move |services, _| look(services)).await?;
            let change = in_place(|| make(seen))?;
            let options = options.clone();
            match self.ask(|answer| Command::Change { change, options, answer }).await? {
                Err(Refused::Stale(_)) if tries < TRIES => {}
                answer => return Ok(answer?),
            }
        }
    }

    /// What a change would do; nothing is changed.
    pub(crate) async fn plan(
        &self,
        options: ChangeOptions,
        change: Change,
    ) -> Result<DeploymentPlan, Problem> {
        Ok(self.ask(|answer| Command::Plan { change, options, answer }).await??)
    }
}

/// The version that an app or pod has now, for [`Change::based_on`].
pub(crate) fn version_of(services: &Services, id: &PathId) -> Option<Version> {
    services.service(id).map(|service| service.spec().version().version)
}
