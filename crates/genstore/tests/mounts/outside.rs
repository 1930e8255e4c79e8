//! Mounts outside the store: in consumed sources, in mirrors, and below views.

use std::ffi::OsStr;

use super::Site;
use crate::prelude::*;

#[test]
fn nothing_is_consumed_across_a_mount_point() {
    needs!(in_own_mounts(nothing_is_consumed_across_a_mount_point));
    let site = Site::new();
    let given = site.path("given");
    fs::create_dir_all(given.join("mounted")).unwrap();
    fs::write(given.join("file"), "1").unwrap();
    bind(site.outside.path(), &given.join("mounted"));
    let plan = Plan::scan(&given, &ScanRules::default()).unwrap();
    let consume = StageOptions::default().consume();
    let Err(Error::BadPlan { problems }) = site.store.stage(&plan, consume.clone()) else {
        panic!("not refused")
    };
    assert_eq!((&*problems[0].path, problems.len()), (&b"mounted"[..], 1));
    site.outside.check("refused");
    // It may be copied.
    let staged = site.store.stage(&plan, StageOptions::default()).unwrap();
    drop(staged.unaudited().commit(&CommitOptions::default()).unwrap());
    site.outside.check("copied");
    assert_eq!(fs::read(site.path("store/current/mounted/file")).unwrap(), b"bystander");
    // Also not if it is mounted after the plan was made.
    unmount(&given.join("mounted"));
    fs::write(given.join("mounted/file"), "mine").unwrap();
    let plan = Plan::scan(&given, &ScanRules::default()).unwrap();
    let staged = site.store.stage(&plan, consume).unwrap();
    bind(site.outside.path(), &given.join("mounted"));
    let done = staged.unaudited().commit(&CommitOptions::default()).unwrap();
    assert_eq!(done.warnings.len(), 1, "{:?}", done.warnings);
    assert!(done.warnings[0].message.contains("cannot cross the mount point"), "{:?}", done.warnings);
    site.outside.check("mounted meanwhile");
    // A symlink or another file in the place of a consumed one.
    unmount(&given.join("mounted"));
    write_tree(&given, &things(1_000, &[("sub/a", "=a"), ("b", "=b")]));
    let plan = Plan::scan(&given, &ScanRules::default()).unwrap();
    let staged = site.store.stage(&plan, StageOptions::default().consume()).unwrap();
    fs::rename(given.join("sub"), given.join("moved")).unwrap();
    symlink(site.outside.path(), given.join("sub")).unwrap();
    fs::remove_file(given.join("b")).unwrap();
    fs::write(given.join("b"), "newer").unwrap();
    drop(staged.unaudited().commit(&CommitOptions::default()).unwrap());
    site.outside.check("through a symlink");
    assert_eq!(fs::read(given.join("b")).unwrap(), b"newer");
}

fn mirror(copy: bool) -> ViewOptions {
    let mirror = ViewOptions::mirror();
    if copy { mirror.copy() } else { mirror }
}

#[test]
fn a_mirror_is_updated_around_what_is_mounted_in_it() {
    needs!(in_own_mounts(a_mirror_is_updated_around_what_is_mounted_in_it));
    for copy in [false, true] {
        let site = Site::new();
        drop(site.publish("one"));
        let view = site.path("view");
        drop(site.store.add_view(&view, &mirror(copy)).unwrap());
        bind(site.outside.path(), &view.join("up"));
        let done = site.publish("two");
        assert!(done.warnings.iter().any(|w| w.message.ends_with("were left alone: up")), "{done:?}");
        assert_eq!(fs::read(view.join("a")).unwrap(), b"two");
        site.outside.check("update");
        // The folder is removed from the tree.
        write_tree(&site.path("dist"), &things(1_000, &[("a", "=three")]));
        let plan = Plan::scan(&site.path("dist"), &ScanRules::default()).unwrap();
        let staged = site.store.stage(&plan, StageOptions::default()).unwrap();
        drop(staged.unaudited().commit(&CommitOptions::default()).unwrap());
        site.outside.check("removal");
        unmount(&view.join("up"));
        let done = site.publish("four");
        assert_eq!(fs::read(view.join("up/b")).unwrap(), b"b", "{done:?}");
        assert_eq!(site.store.views().unwrap()[0].state, ViewState::Ok, "it converges again: {done:?}");
        // On the mirror itself.
        bind(site.outside.path(), &view);
        let done = site.publish("five");
        assert!(done.warnings.iter().any(|w| w.message.contains("something is mounted there")), "{done:?}");
        assert_eq!(site.store.views().unwrap()[0].state, ViewState::Mounted);
        site.outside.check("on the mirror itself");
        unmount(&view);
        drop(site.publish("six"));
        assert_eq!(fs::read(view.join("a")).unwrap(), b"six");
        assert_eq!(site.store.views().unwrap()[0].state, ViewState::Ok);
    }
}

#[test]
fn a_view_waits_for_its_filesystem() {
    needs!(in_own_mounts(a_view_waits_for_its_filesystem));
    for options in [mirror(true), ViewOptions::default()] {
        let site = Site::new();
        let (device, disk) = (site.path("device"), site.path("disk"));
        fs::create_dir(&device).unwrap();
        fs::create_dir(&disk).unwrap();
        mount(
            &["-t", "tmpfs", "none"]
                .map(OsStr::new)
                .into_iter()
                .chain([device.as_os_str()])
                .collect::<Vec<_>>(),
        );
        bind(&device, &disk);
        drop(site.publish("one"));
        let view = disk.join("m");
        drop(site.store.add_view(&view, &options).unwrap());
        unmount(&disk);
        let done = site.publish("two");
        assert_eq!(names(&disk), [""; 0], "nothing is put below the mount point");
        let nothing = |text: &str| text.contains("nothing is mounted on");
        assert!(done.warnings.iter().any(|warning| nothing(&warning.message)), "{done:?}");
        assert_eq!(site.store.views().unwrap()[0].state, ViewState::Unmounted);
        drop(site.store.rollback(1, MarkLeft::Unchanged).unwrap());
        let Err(Error::Refused { kind, .. }) = site.store.add_view(&view, &options) else {
            panic!("it was added below the mount point")
        };
        assert_eq!((kind, names(&disk)), (RefusedKind::ViewNotMounted, vec![]));
        // Not even the directory exists, which is recreated if a project was cleaned.
        fs::remove_dir(&disk).unwrap();
        drop(site.publish("three"));
        assert!(!disk.try_exists().unwrap());
        // The filesystem is mounted again.
        fs::create_dir(&disk).unwrap();
        bind(&device, &disk);
        let done = site.publish("four");
        assert_eq!(fs::read(view.join("a")).unwrap(), b"four", "{done:?}");
        assert_eq!(site.store.views().unwrap()[0].state, ViewState::Ok);
        // If the view is removed while the filesystem is not mounted, its files stay.
        unmount(&disk);
        assert!(!site.store.remove_view(&view).unwrap().unlinked);
        assert_eq!(names(&disk), [""; 0]);
    }
}
