//! The inputs of tasks, as long as they run: who types leaves, and another goes on.
//!
//! Invariants
//! - An input is taken from its container once. It is closed when somebody who types says so, or when the container has ended; a
//!   client that leaves, or sends what makes no sense, closes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::programs::Input;
use crate::containerizer::{ContainerId, NestedInput};

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Inputs(Arc<Mutex<BTreeMap<ContainerId, Input>>>);

impl Inputs {
    /// The input of a container that has not ended, taken now if it was not before; `None`: it has none. Errors: those of `take`.
    pub(super) async fn of<E>(
        &self,
        container: &ContainerId,
        mut ended: watch::Receiver<bool>,
        take: impl AsyncFnOnce() -> Result<Option<NestedInput>, E>,
    ) -> Result<Option<Input>, E> {
        if let Some(known) = self.all().get(container) {
            return Ok(Some(known.clone()));
        }
        let Some(taken) = take().await? else {
            // Unless another has just taken it.
            return Ok(self.all().get(container).cloned());
        };
        let input: Input = Arc::new(tokio::sync::Mutex::new(Some(taken)));
        self.all().insert(container.clone(), input.clone());
        let (all, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            // An error: the agent has stopped.
            let _ended = ended.wait_for(|ended| *ended).await;
            all.all().remove(&container);
        });
        Ok(Some(input))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Input>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[tokio::test]
    async fn an_input_is_taken_once_and_outlives_who_types() {
        let (mut reads, writes) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)
            .map(|(reads, writes)| (std::fs::File::from(reads), writes))
            .unwrap();
        let (inputs, container) = (Inputs::default(), ContainerId::new("c1").unwrap());
        let (ends, ended) = watch::channel(false);
        let take = async || Ok::<_, ()>(Some(NestedInput::of(writes).unwrap()));
        let first = inputs.of(&container, ended.clone(), take).await.unwrap().unwrap();
        let typing = first.clone().try_lock_owned().unwrap();
        let never = async || -> Result<Option<NestedInput>, ()> { panic!("it is taken once") };
        let second = inputs.of(&container, ended.clone(), never).await.unwrap().unwrap();
        assert!(second.clone().try_lock_owned().is_err(), "somebody types");
        drop(typing);
        second.lock().await.as_mut().unwrap().write_all(b"x").await.unwrap();
        let mut read = [0; 2];
        assert_eq!(std::io::Read::read(&mut reads, &mut read).unwrap(), 1);

        drop((first, second));
        ends.send_replace(true);
        while !inputs.all().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(std::io::Read::read(&mut reads, &mut read).unwrap(), 0, "it is closed");
    }
}
