//! What people want to read of a connection: that it is waited for, and that it stands.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{Handle, Notice};

/// How long there is no master until that is said.
const LASTS: Duration = Duration::from_secs(1);

impl Handle {
    /// Has each line of how the connection fares given to `say`, from now until the run ends: that a master is waited for,
    /// once for each time that there is none, and that one has been reached. For programs that people watch; those that
    /// want more read [`Handle::notices`].
    ///
    /// ```no_run
    /// # fn show(driver: &lonja_sdk::Driver) {
    /// driver.handle().tell_connection(|line| eprintln!("{line}"));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn tell_connection(&self, mut say: impl FnMut(String) + Send + 'static) {
        let mut notices = self.notices();
        tokio::spawn(async move {
            let mut told = Told::Nothing;
            // That one waits is said once it has lasted: a run that ends loses its connection just before.
            let mut waits: Option<(Instant, String)> = None;
            loop {
                let next = match &waits {
                    Some((until, _)) => timeout_at(*until, notices.next()).await,
                    None => Ok(notices.next().await),
                };
                match next {
                    Ok(None) => return,
                    Err(_lasted) => waits.take().into_iter().for_each(|(_, line)| say(line)),
                    // What was lost of many is repeated by the next that matters.
                    Ok(Some(notice)) => match notice.ok().and_then(|notice| told.line(&notice)) {
                        Some(line) if told == Told::Waiting => waits = Some((Instant::now() + LASTS, line)),
                        Some(line) => {
                            waits = None;
                            say(line);
                        }
                        None => {}
                    },
                }
            }
        });
    }
}

/// What was said last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Waiting,
    Connected,
}

impl Told {
    /// What is to be said of this, if it is new.
    fn line(&mut self, notice: &Notice) -> Option<String> {
        let (now, line) = match notice {
            Notice::Disconnected { master, why } => {
                (Self::Waiting, format!("waiting for the master at {master}: {why}"))
            }
            Notice::Subscribed { framework, master } => {
                (Self::Connected, format!("connected to the master at {master} as framework {framework}"))
            }
            Notice::Connected { .. }
            | Notice::Problem(_)
            | Notice::Panicked { .. }
            | Notice::Blocked { .. } => return None,
        };
        (std::mem::replace(self, now) != now).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[test]
    fn that_a_master_is_waited_for_is_said_once_and_that_it_was_reached() {
        let (master, why) = ("http://127.0.0.1:5050".to_owned(), "refused".to_owned());
        let lost = Notice::Disconnected { master: master.clone(), why };
        let framework = "F1".parse().unwrap();
        let found = Notice::Subscribed { framework, master: master.clone() };
        let mut told = Told::Nothing;

        let story = [lost.clone(), lost.clone(), Notice::Connected { master }, found, lost.clone(), lost];
        let said: Vec<_> = story.iter().filter_map(|notice| told.line(notice)).collect();

        let waiting = "waiting for the master at http://127.0.0.1:5050: refused";
        let connected = "connected to the master at http://127.0.0.1:5050 as framework F1";
        assert_eq!(said, [waiting, connected, waiting]);
    }

    /// Nobody listens on a port that was bound and let go of.
    #[tokio::test]
    async fn a_driver_without_a_master_says_for_what_it_waits() {
        struct Idle;
        impl Scheduler for Idle {
            fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
                Plan::new()
            }

            fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
                Plan::new()
            }
        }
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let driver = Driver::new(address.to_string(), FrameworkOptions::named("idle"));
        let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
        driver.handle().tell_connection(move |line| {
            let _sent = sender.send(line);
        });

        let line = tokio::select! {
            _ = driver.run(Idle) => None,
            line = lines.recv() => line,
        };

        let line = line.expect("it says so");
        assert!(
            line.starts_with("waiting for the master at") && line.contains(&address.to_string()),
            "{line}"
        );
    }
}
