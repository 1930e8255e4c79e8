//! Readers and servers that run while builds are published.

use std::sync::{Mutex, mpsc};

use notify::Watcher;

use super::workshop::{Workshop, complete};
use crate::prelude::*;

/// Publishes builds up to this number, alternately from memory and from the disk. After every second one it
/// waits until readers have seen it.
fn publish_builds(shop: &Workshop, last: u64, seen: &Mutex<BTreeSet<u64>>) {
    for build in 2..=last {
        let way = if build % 2 == 0 { "--disk" } else { "--memory" };
        // Parts come and go.
        shop.write("source/assets/note.txt", &format!("note {}\n", build % 3));
        shop.write(&format!("source/p{}.md", build % 5), "# Page\nText.\n");
        shop.build(&["--build", &build.to_string(), way]).ok();
        if build % 2 == 0 {
            eventually("it is seen", || seen.lock().unwrap().contains(&build));
        }
    }
}

#[test]
fn site_app_manifest_report_and_binary_are_one_generation() {
    let shop = Workshop::served();
    let over = AtomicBool::new(false);
    let (reads, seen) = (AtomicU64::new(0), Mutex::new(BTreeSet::new()));
    let current = shop.store().join("current");
    // The path behind a view, from the generation that `current` was resolved to.
    let behind = |view: &str, tree: &Path| {
        let target = fs::read_link(shop.path(view)).unwrap();
        let part = target.strip_prefix("genstore/current").expect("views lead to current");
        tree.join(part)
    };
    std::thread::scope(|scope| {
        for through_views in [false, true, true] {
            let (over, current, behind) = (&over, &current, &behind);
            let (reads, seen) = (&reads, &seen);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let tree = fs::canonicalize(current).expect("current is never absent");
                    let build = complete(|part| match part.split_once('/') {
                        Some(("site", rest)) if through_views => behind("www", &tree).join(rest),
                        Some(("app", rest)) if through_views => behind("tool", &tree).join(rest),
                        _ => tree.join(part),
                    });
                    let build = build.expect("one generation");
                    seen.lock().unwrap().insert(build);
                    reads.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let done =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| publish_builds(&shop, 41, &seen)));
        over.store(true, Ordering::SeqCst);
        done.unwrap();
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.len() >= 20 && reads.into_inner() > 100, "the readers saw many builds: {seen:?}");
    assert_eq!(shop.current(), 41);
}

#[test]
fn a_server_or_restart_logic_sees_committed_generations_only() {
    let shop = Workshop::served();
    let notice = shop.open().notice_path();
    let store = shop.store();
    let (sender, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.expect("a notice").kind.is_modify() {
            // The receiver ends after the last message.
            let _: Result<(), _> = sender.send(());
        }
    })
    .unwrap();
    watcher.watch(&notice, notify::RecursiveMode::NonRecursive).unwrap();
    let (last, told) = (16, Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        let (notice, store, told) = (&notice, &store, &told);
        scope.spawn(move || {
            while !told.lock().unwrap().contains(&last) {
                events.recv_timeout(Duration::from_secs(20)).expect("each commit sends a notice");
                let text = fs::read_to_string(notice).unwrap();
                let number: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
                let tree = fs::canonicalize(store.join("current")).expect("there is a current one");
                let current: u64 =
                    tree.parent().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
                assert!(current >= number, "{current} is current, but the notice named {number}");
                // Generations and builds have the same numbers here.
                assert_eq!(complete(|part| tree.join(part)), Ok(current));
                told.lock().unwrap().insert(number);
            }
        });
        publish_builds(&shop, last, told);
    });
    let told = told.into_inner().unwrap();
    assert!(told.len() >= 8 && told.iter().all(|number| *number >= 2), "{told:?}");
}
