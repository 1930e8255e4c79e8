//! Mirrors on other filesystems, in projects that are moved, and without hard links.

use super::{ONE, TWO, inode, stat, warnings};
use crate::prelude::*;

#[test]
fn on_another_filesystem_there_are_copies_only() {
    let Some(mut disk) = LoopFs::make("ext4", 16, &[]) else { return };
    let site = Site::of(ONE);
    site.run("publish dist").ok();
    let other = disk.path().canonicalize().unwrap();
    let path = other.join("m").display().to_string();
    let refused = format!(
        "error: {path} is on another filesystem than the store, and hard links cannot cross filesystems\n"
    );
    let hint = "hint: `--copy` makes copies instead of links\n";
    site.run(&format!("view add {path} --as mirror")).is(1, "", &format!("{refused}{hint}"));
    let names = || {
        let names = genstore_testkit::names(&other);
        names.into_iter().filter(|name| name != "lost+found").collect::<Vec<_>>()
    };
    assert_eq!(names(), [""; 0]);
    assert!(site.names("genstore/views").is_empty());
    site.run(&format!("view add {path} --as mirror --copy")).ok();
    assert_eq!(fs::read_to_string(other.join("m/app/file")).unwrap(), "one");
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), "");
    assert_eq!(fs::read_to_string(other.join("m/app/file")).unwrap(), "two");
    assert_eq!(names(), ["m"]);
    disk.unmount();
}

#[test]
fn a_read_only_store_lists_its_mirrors() {
    let Some(mut disk) = LoopFs::make("ext4", 16, &[]) else { return };
    let site = Site::of(ONE);
    let store = disk.path().join("store").display().to_string();
    site.run(&format!("--store {store} publish dist")).ok();
    site.run(&format!("--store {store} view add m --as mirror --copy")).ok();
    disk.unmount();
    disk.mount(&["ro"]).unwrap();
    site.run(&format!("--store {store} view ls")).prints("[DIR]/m  current  mirror of copies  ok\n");
    site.run(&format!("--store {store} view rm m")).fails(1, "error: cannot ");
    assert_eq!(site.read("m/app/file"), "one");
}

#[test]
fn a_project_that_is_copied_keeps_its_mirrors() {
    let site = Site::new();
    site.tree("p/dist", ONE);
    let run = |dir: &str, args: &str| site.command(args).dir(dir).run();
    run("p", "publish dist").ok();
    run("p", "view add m --as mirror").ok();
    site.write("p/m/mine", "mine");
    genstore_testkit::copy_exactly(&site.path("p"), &site.path("q"));
    fs::rename(site.path("p"), site.path("moved")).unwrap();
    for dir in ["q", "moved"] {
        let listed = format!("[DIR]/{dir}/m  current  mirror  ok, with 1 stranger: mine\n");
        run(dir, "view ls").prints(&listed);
        site.tree(&format!("{dir}/dist"), TWO);
        let told = format!(
            "warning: in the view [DIR]/{dir}/m files that are not genstore's were left alone: mine\n"
        );
        assert_eq!(run(dir, "publish dist").ok().stderr, told);
        assert_eq!((site.read(&format!("{dir}/m/app/file")), site.has("q/m/gone")), ("two".into(), false));
    }
}

#[test]
fn where_no_link_can_be_made_there_is_a_copy() {
    let site = Site::of(ONE);
    site.run("publish dist").ok();
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=linkat", "-e", "inject=linkat:error=EMLINK"])
        .arg(env!("CARGO_BIN_EXE_genstore"))
        .args(["view", "add", "m", "--as", "mirror"])
        .current_dir(site.path(""))
        .output();
    let Ok(output) = output else {
        skip_without_package("strace");
        return;
    };
    let said = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(said, (Some(0), String::new()));
    let copy = |path: &str| (stat(&site, path).nlink(), stat(&site, path).mode() & 0o7777);
    assert_eq!((copy("m/app/file"), copy("m/run")), ((1, 0o444), (1, 0o555)));
    let inodes = [inode(&site, "m/app/file"), inode(&site, "m/app/same")];
    site.run("view ls").prints("[DIR]/m  current  mirror  ok\n");
    assert_eq!(warnings(&site), "");
    assert_eq!([inode(&site, "m/app/file"), inode(&site, "m/app/same")], inodes);
    site.tree("dist", TWO);
    assert_eq!(warnings(&site), "");
    assert_eq!((site.read("m/app/file"), inode(&site, "m/app/same")), ("two".into(), inodes[1]));
    assert_eq!(inode(&site, "m/app/file"), inode(&site, "genstore/current/app/file"));
    site.run("view rm m").prints("Removed the view [DIR]/m\n");
}
