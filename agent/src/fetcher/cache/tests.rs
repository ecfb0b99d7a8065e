//! What is kept, for how long, and how often it comes.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

fn key(name: &str) -> Key {
    Key { uid: Some(1), uri: name.to_owned(), sha256: None }
}

fn cache(folder: &Path, size: u64) -> Arc<Cache> {
    Arc::new(Cache::new(&folder.join("cache"), size).unwrap())
}

/// Brings a file of so many bytes.
async fn bring(cache: &Arc<Cache>, name: &str, bytes: u64) -> Result<Arc<CachedFile>, String> {
    let name = name.to_owned();
    cache
        .get(key(&name), move |path| async move {
            fs::write(path, vec![b'x'; usize::try_from(bytes).unwrap()]).unwrap();
            Ok(Fetched { bytes, sha256: name })
        })
        .await
}

/// Whether it is kept: nothing is brought anew.
async fn is_kept(cache: &Arc<Cache>, name: &str) -> bool {
    cache.get(key(name), |_| async { Err("it is not".to_owned()) }).await.is_ok()
}

fn files(cache: &Cache) -> usize {
    fs::read_dir(&cache.folder).unwrap().count()
}

#[tokio::test]
async fn what_was_used_least_recently_goes_first_and_takes_its_file_along() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path(), 100);
    for name in ["a", "b"] {
        drop(bring(&cache, name, 40).await.unwrap());
    }
    assert!(is_kept(&cache, "a").await);

    drop(bring(&cache, "c", 40).await.unwrap());

    assert!(is_kept(&cache, "a").await && is_kept(&cache, "c").await && !is_kept(&cache, "b").await);
    assert_eq!(files(&cache), 2);
    drop(bring(&cache, "all", 100).await.unwrap());
    assert_eq!(files(&cache), 1);
}

#[tokio::test]
async fn a_file_in_use_stays_on_the_disk_until_its_last_user_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path(), 100);
    let used = bring(&cache, "a", 100).await.unwrap();
    drop(bring(&cache, "b", 100).await.unwrap());
    assert!(used.path().exists() && !is_kept(&cache, "a").await);
    let path = used.path().to_owned();
    drop(used);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_larger_than_the_cache_is_used_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path(), 100);
    drop(bring(&cache, "a", 10).await.unwrap());
    let large = bring(&cache, "large", 101).await.unwrap();
    assert!(large.path().exists());
    drop(large);
    assert_eq!(files(&cache), 1);
    assert!(is_kept(&cache, "a").await, "and takes nobody's place");
}

#[tokio::test]
async fn whoever_asks_for_what_is_coming_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path(), 100);
    let (begun, count) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let go = Arc::new(Notify::new());
    let ask = || {
        let (cache, begun, count, go) = (cache.clone(), begun.clone(), count.clone(), go.clone());
        tokio::spawn(async move {
            let download = move |path: PathBuf| async move {
                count.fetch_add(1, Ordering::Relaxed);
                begun.notify_one();
                go.notified().await;
                fs::write(path, "x").unwrap();
                Ok(Fetched { bytes: 1, sha256: String::new() })
            };
            cache.get(key("a"), download).await.map(|file| file.path().to_owned())
        })
    };
    let first = ask();
    begun.notified().await;
    let second = ask();
    tokio::task::yield_now().await;
    go.notify_one();
    assert_eq!(first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path(), 100);
    let (begun, given_up) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    struct Tells(Arc<Notify>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (says, tells) = (begun.clone(), Tells(given_up.clone()));
    let asking = cache.clone();
    let waiting = tokio::spawn(async move {
        let download = |_| async move {
            let _tells = tells;
            says.notify_one();
            std::future::pending().await
        };
        asking.get(key("a"), download).await.map(drop)
    });
    begun.notified().await;
    waiting.abort();
    given_up.notified().await;
    assert!(bring(&cache, "a", 1).await.is_ok(), "and whoever asks next begins anew");
}

#[tokio::test]
async fn a_failure_is_told_to_all_and_kept_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache(dir.path(), 100);
    let failed = cache.get(key("a"), |_| async { Err("no".to_owned()) }).await;
    assert_eq!(failed.unwrap_err(), "no");
    assert_eq!(files(&cache), 0);
    assert!(bring(&cache, "a", 1).await.is_ok());
    cache.evict(&key("a"));
    assert!(!is_kept(&cache, "a").await);
}

#[tokio::test]
async fn nothing_is_kept_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = cache(dir.path(), 100);
    drop(bring(&first, "a", 1).await.unwrap());
    fs::write(first.folder.join("left"), "x").unwrap();
    let second = cache(dir.path(), 100);
    assert_eq!(files(&second), 0);
    assert!(!is_kept(&second, "a").await);
}
