//! Notices that the kernel has killed somewhere on this host for want of memory.
//!
//! A container that reaches a limit of its own is told so by its control group, and its supervisor ends the whole of it.
//! Where the host's memory ran out the kernel kills whom it likes best: on control groups v2 the whole container, on v1 one
//! process of it, and tells nobody. So its count of such kills is looked at; when it moves, every supervisor looks at its own.
//!
//! Source: /proc/vmstat, `oom_kill`; docs/isolation.md, "Limits".

use std::time::Duration;

/// How often the count is looked at: one small file of the kernel's.
const INTERVAL: Duration = Duration::from_secs(1);

/// Calls `on_kill` after the count has moved, for ever.
pub(crate) async fn watch(on_kill: impl Fn()) {
    let mut known = kills();
    if known.is_none() {
        tracing::warn!(
            "this kernel does not tell of kills for want of memory: half of a container may live on after one"
        );
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = kills();
        if now > known {
            on_kill();
        }
        known = now.or(known);
    }
}

/// Kills for want of memory since the host has started, those by limits of control groups included.
fn kills() -> Option<u64> {
    count_in(&std::fs::read_to_string("/proc/vmstat").ok()?)
}

fn count_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_among_its_neighbours() {
        assert_eq!(count_in("oom_killer 3\nnr_x 1\noom_kill 17\nnuma 0\n"), Some(17));
        assert_eq!(count_in("nr_x 1\n"), None);
        assert!(kills().is_some(), "this host tells");
    }
}
