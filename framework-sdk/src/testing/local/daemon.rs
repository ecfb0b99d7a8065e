//! One process of a local cluster, which ends with its value.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{LocalClusterError, host};

/// How long a process that has closed its standard output is waited for, to say how it ended.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// How much of a log is shown, in bytes.
const SHOWN: u64 = 8 << 10;

/// A running daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    url: String,
}

impl Daemon {
    /// Starts it and waits until it says where it listens. Its log is added to what is in `log`.
    pub(super) fn start(
        name: &str,
        mut command: Command,
        log: &Path,
        within: Duration,
    ) -> Result<Self, LocalClusterError> {
        let file = File::options().create(true).append(true).open(log);
        let file = host(format!("write {}", log.display()), file)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = host(format!("start {}", command.get_program().to_string_lossy()), command.spawn())?;
        let stdout = child.stdout.take();
        // From here on a return ends the process.
        let mut daemon = Self { child, url: String::new() };
        let (say, said) = mpsc::channel();
        if let Some(stdout) = stdout {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stdout);
                let mut line = String::new();
                let _none = reader.read_line(&mut line);
                let _gone = say.send(line);
                // Whatever else it says is read, so that it never waits for a reader.
                let _all = std::io::copy(&mut reader, &mut std::io::sink());
            });
        }
        let said = said.recv_timeout(within).unwrap_or_default();
        match said.split_whitespace().find(|word| word.starts_with("http://")) {
            Some(url) => url.clone_into(&mut daemon.url),
            None => {
                let ended = daemon.how_it_ended();
                drop(daemon);
                let (name, command, log) = (name.to_owned(), in_words(&command), end_of(log));
                return Err(LocalClusterError::NotStarted { name, command, ended, said, log });
            }
        }
        Ok(daemon)
    }

    /// How it ended by itself, if it has or does so soon.
    fn how_it_ended(&mut self) -> String {
        let began = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("ended with {status}"),
                Ok(None) if began.elapsed() < ENDS_WITHIN => std::thread::yield_now(),
                Ok(None) => return "still ran and was killed".to_owned(),
                Err(error) => return format!("ended in a way that is not known ({error})"),
            }
        }
    }

    /// Where it listens.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended before: fine.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A command as it would be typed.
fn in_words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The end of a log, as far as it can be read.
pub(super) fn end_of(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SHOWN)))?;
        let mut bytes = Vec::new();
        file.take(SHOWN).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_or_else(|error| format!("({error})\n"), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
