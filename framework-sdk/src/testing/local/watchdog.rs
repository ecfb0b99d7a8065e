//! What ends a cluster when the test that started it cannot: it was killed, or it aborted.
//!
//! A process of its own, a shell, that holds the reading end of a pipe whose writing end is the test's. A word through it
//! says that the cluster has cleaned up by itself. Its end without a word says that nobody is left who could: then all
//! processes that run this binary with the cluster's folder among their arguments are ended, and the folder is removed.
//!
//! A pipe and not a signal at the parent's death: that one comes when the *thread* ends that started the daemons (prctl(2),
//! `PR_SET_PDEATHSIG`), and it would not reach the supervisors of tasks.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{LocalClusterError, host};

/// `$0` is the folder, `$1` the binary.
///
/// Daemons are killed first, so that they start nothing more. Supervisors are asked, since they remove the control groups of
/// their containers, and killed if that takes longer than half a minute. A process of another program that has the folder
/// among its arguments, such as an editor, is left alone.
const SCRIPT: &str = r#"
read word && exit 0
ours() {
    for process in /proc/[0-9]*; do
        program=$(readlink "$process/exe") || continue
        case $program in "$1" | "$1 (deleted)") ;; *) continue ;; esac
        tr '\0' '\n' <"$process/cmdline" | grep -qF -- "$0/" || continue
        read name <"$process/comm" || continue
        case $name in
            lonja-super*) kind=supervisor ;;
            lonja-launcher | lonja-init | lonja-nested | lonja-logs | lonja-fetcher) kind=other ;;
            *) kind=daemon ;;
        esac
        case $2 in *$kind*) echo "${process#/proc/}" ;; esac
    done
}
for pid in $(ours "$1" daemon); do kill -s KILL "$pid"; done
for pid in $(ours "$1" supervisor); do kill -s TERM "$pid"; done
tries=0
while pids=$(ours "$1" daemon,supervisor,other) && [ -n "$pids" ] && [ "$tries" -lt 120 ]; do
    [ "$tries" -lt 60 ] || for pid in $pids; do kill -s KILL "$pid"; done
    tries=$((tries + 1))
    sleep 0.5
done
for file in "$0"/*/instance; do
    read instance <"$file" || [ -n "$instance" ] || continue
    case $instance in */* | "") continue ;; esac
    for group in "/sys/fs/cgroup/lonja/$instance" /sys/fs/cgroup/*/lonja/"$instance"; do
        [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} \;
    done
done
rm -rf -- "$0"
"#;

/// The process that watches one cluster.
#[derive(Debug)]
pub(super) struct Watchdog(Child);

impl Watchdog {
    /// Watches over what runs `binary` with a path below `folder` among its arguments, from now on.
    pub(super) fn over(folder: &Path, binary: &Path) -> Result<Self, LocalClusterError> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg(folder).arg(binary).current_dir("/");
        // In a group of its own: what ends the test's, as Ctrl-C does, is not to end this too.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        host("start /bin/sh, which ends the cluster if the test is killed", command.spawn()).map(Self)
    }
}

impl Drop for Watchdog {
    /// The cluster has cleaned up by itself.
    fn drop(&mut self) {
        if let Some(mut line) = self.0.stdin.take() {
            let _gone = line.write_all(b"done\n");
        }
        let _status = self.0.wait();
    }
}
