//! Runs the scheduler against a master until Ctrl-C is pressed: `my-scheduler [MASTER]`. Its tasks run on; the next start
//! takes them over.

use std::time::Duration;

use lonja_sdk::prelude::*;
use my_scheduler::Keeper;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let master = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:5050".to_owned());
    let task = Task::shell("echo here I am; sleep 3600")?
        .cpus(0.1)?
        .mem_mib(32.0)?;
    // So long may it be away and find its tasks running; after that the master ends them.
    let options =
        FrameworkOptions::named("my-scheduler").failover_timeout(Duration::from_hours(7 * 24));
    let driver = Driver::new(&master, options).store(FileStore::at("my-scheduler.state"));
    let handle = driver.handle();
    handle.tell_connection(|line| eprintln!("{line}"));
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.leave().await;
        }
    });
    let run = driver.run_from(move |state| Keeper::restore(task.clone(), 3, state));
    let (keeper, outcome) = run.await?;
    if let Outcome::EndedByMaster { why } = outcome {
        return Err(why.into());
    }
    println!("{} tasks are live", keeper.live());
    Ok(())
}
