//! quick
#![allow(clippy::all, clippy::print_stdout, clippy::unwrap_used, missing_docs, clippy::disallowed_methods, clippy::disallowed_types)]
use lonja_allocator::*;
use lonja_model::*;
use std::time::Instant;
fn main() {
    for (agents, frameworks) in [(1000, 50), (10_000, 200), (10_000, 1000), (50_000, 200), (50_000, 1000)] {
        let mut a = Allocator::new(Options::default());
        let total: Resources = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]".parse().unwrap();
        for i in 0..agents {
            a.add_agent(AgentId::new(format!("a{i:06}")).unwrap(), total.clone(), AgentFacts::default());
        }
        for f in 0..frameworks {
            let facts = FrameworkFacts { roles: [Role::new(format!("r{f:04}")).unwrap()].into(), ..Default::default() };
            a.add_framework(FrameworkId::new(format!("f{f:04}")).unwrap(), facts);
        }
        let mut best = f64::MAX;
        let mut back = f64::MAX;
        let mut incr = f64::MAX;
        for _ in 0..5 {
            let t = Instant::now();
            let all = a.allocate(Timestamp::ZERO);
            best = best.min(t.elapsed().as_secs_f64());
            assert_eq!(all.len(), agents);
            let t = Instant::now();
            for x in &all[1..] {
                a.recover(Timestamp::ZERO, &x.agent, &x.framework, &x.role, &x.resources, None).unwrap();
            }
            back = back.min(t.elapsed().as_secs_f64());
            let all2 = a.allocate(Timestamp::ZERO);
            for x in all2.iter().take(200) {
            let t = Instant::now();
            a.recover(Timestamp::ZERO, &x.agent, &x.framework, &x.role, &x.resources, None).unwrap();
            let again = a.allocate(Timestamp::ZERO);
            incr = incr.min(t.elapsed().as_secs_f64());
            for y in &again { a.recover(Timestamp::ZERO, &y.agent, &y.framework, &y.role, &y.resources, None).unwrap(); }
            let _ = a.allocate(Timestamp::ZERO);
            }
            for id in 0..agents { let id = AgentId::new(format!("a{id:06}")).unwrap(); a.remove_agent(&id); a.add_agent(id, total.clone(), AgentFacts::default()); }
        }
        println!("{agents} x {frameworks}: pass {:.2} ms, back {:.2} ms, incremental {:.1} us", best * 1e3, back * 1e3, incr * 1e6);
    }
}
