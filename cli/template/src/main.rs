//! Runs the scheduler against a master until Ctrl-C is pressed: `my-scheduler [MASTER]`. Its tasks run on; the next start
//! takes them over.

use lonja_sdk::prelude::*;
use my_scheduler::Keeper;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let master = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:5050".to_owned());
    let task = Task::shell("echo here I am; sleep 3600")?.cpus(0.1)?.mem_mib(32.0)?;
    let driver = Driver::new(&master, FrameworkOptions::named("my-scheduler"));
    let handle = driver.handle();
    let interrupted = async move {
        let _pressed = tokio::signal::ctrl_c().await;
        handle.leave().await;
    };
    let run = driver.run(Keeper::restore(task, 3, &State::default()));
    let ((), run) = tokio::join!(interrupted, run);
    let (keeper, outcome) = run?;
    println!("{} tasks are live; {outcome:?}", keeper.live());
    Ok(())
}
