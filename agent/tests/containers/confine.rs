//! What a task may ask of the kernel.

use lonja_agent::containerizer::{Confinement, FailureReason};
use lonja_agent::launcher::Launcher;
use lonja_agent::supervisor::{Filter, ProcessLimit};
use lonja_model::privileges::{Capability, CapabilitySet};
use lonja_model::profile::Profile;

use crate::host::{Host, need_root};

type Verdict = Result<(), String>;

const STATUS: &str = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr '\\t' ' '";

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {status}"))
}

fn mask(set: &[Capability]) -> String {
    format!("{:016x}", CapabilitySet::of(set).bits())
}

pub async fn a_root_task_holds_the_few_capabilities_of_its_profile(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let status = host.output(host.spec("c1", STATUS)).await;

    let set = Confinement::standard().bounding.unwrap();
    assert_eq!(set.iter().count(), 11);
    let mask = format!("{:016x}", set.bits());
    assert_eq!(field(&status, "CapBnd"), mask);
    assert_eq!(field(&status, "CapEff"), mask);
    assert_eq!(field(&status, "CapInh"), "0000000000000000");
    assert_eq!(field(&status, "CapAmb"), "0000000000000000");
    assert_eq!(field(&status, "NoNewPrivs"), "1");
    assert_eq!(field(&status, "Seccomp"), "2");
    Ok(())
}

pub async fn a_hardened_root_task_holds_nothing(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", STATUS);
    spec.profile = Profile::Hardened;
    spec.user = Some("nobody".into());
    spec.confinement = Confinement::hardened();

    let status = host.output(spec).await;

    for set in ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(field(&status, set), "0000000000000000", "{status}");
    }
    Ok(())
}

pub async fn effective_capabilities_reach_a_task_of_any_user(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let wanted = [Capability::NET_BIND_SERVICE, Capability::CHOWN];
    for (id, user) in [("c1", "nobody"), ("c2", "root")] {
        let mut spec = host.spec(id, STATUS);
        spec.user = Some(user.into());
        spec.confinement.effective = Some(CapabilitySet::of(&wanted));

        let status = host.output(spec).await;

        assert_eq!(field(&status, "CapEff"), mask(&wanted), "{user}: {status}");
    }
    Ok(())
}

pub async fn the_host_profile_leaves_root_its_power(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", STATUS);
    spec.profile = Profile::Host;
    spec.confinement = Confinement::host();

    let status = host.output(spec).await;

    let own = std::fs::read_to_string("/proc/self/status").unwrap().replace('\t', " ");
    assert_eq!(field(&status, "CapEff"), field(&own, "CapEff"));
    assert_eq!(field(&status, "NoNewPrivs"), "0");
    Ok(())
}

pub async fn process_limits_are_the_usual_ones_or_those_asked_for(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let line = "ulimit -Sn; ulimit -Hn; ulimit -Hc";
    assert_eq!(host.output(host.spec("c1", line)).await.lines().next(), Some("1024"));
    let mut spec = host.spec("c2", line);
    spec.confinement.limit(ProcessLimit::asked_for(&"NOFILE=100:200".parse().unwrap()));

    assert_eq!(host.output(spec).await, "100\n200\n0\n");
    Ok(())
}

pub async fn a_limit_beyond_the_agents_own_is_set_or_refused_by_its_name(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let own = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().1;
    let beyond = own + 1;
    let mut spec = host.spec("c1", "ulimit -Hn");
    spec.confinement.limit(ProcessLimit::asked_for(&format!("NOFILE=64:{beyond}").parse().unwrap()));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let effective = CapabilitySet::from_bits(u64::from_str_radix(effective, 16).unwrap());
    if effective.contains(Capability::SYS_RESOURCE) {
        assert_eq!(host.output(spec).await, format!("{beyond}\n"));
        return Ok(());
    }

    let failure = host.fail(spec).await;

    assert_eq!(failure.reason, FailureReason::Confinement);
    let expected = [format!("NOFILE=64:{beyond}"), own.to_string(), "CAP_SYS_RESOURCE".to_owned()];
    assert!(expected.iter().all(|text| failure.message.contains(text)), "{failure}");
    host.assert_no_traces();
    Ok(())
}

pub async fn tasks_go_before_daemons_when_memory_is_short(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let score = host.output(host.spec("c1", "cat /proc/self/oom_score_adj /proc/1/oom_score_adj")).await;
    assert_eq!(score, "300\n300\n");
    Ok(())
}

pub async fn a_filter_implies_no_new_privileges(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", STATUS);
    spec.confinement = Confinement { filter: Filter::Default, ..Confinement::host() };

    let status = host.output(spec).await;

    assert_eq!(field(&status, "NoNewPrivs"), "1");
    assert_eq!(field(&status, "Seccomp"), "2");
    Ok(())
}
