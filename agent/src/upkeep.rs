//! What an agent does by itself, beside its driver: looks at the use of disks, removes old files, and notices when
//! the host was short of memory.

use std::sync::Arc;

use tokio::sync::watch;

use crate::containers::Containers;
use crate::host_memory;

/// Goes on until asked to stop.
pub(crate) async fn run(containers: Arc<Containers>, mut stop: watch::Receiver<bool>) {
    let stopped = async move {
        let _stopping = stop.wait_for(|stop| *stop).await;
    };
    let collecting = containers.sandboxes().collection().clone().run();
    let watching = containers.watch_disks();
    let shortages = host_memory::watch(|| containers.look_for_breaches());
    tokio::select! {
        () = stopped => {}
        () = shortages => {}
        () = collecting => {}
        () = watching => {}
    }
}
