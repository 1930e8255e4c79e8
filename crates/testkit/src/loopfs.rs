//! Real filesystems in files, for tests that run as root: ext4, xfs and btrfs over a loop device.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The limit of copies. Writeback ends once nothing writes; this many copies take longer than that.
const MOST_COPIES: u32 = 100;

/// A filesystem in a file, mounted until it is dropped.
pub struct LoopFs {
    dir: TempDir,
    kind: &'static str,
    mounted: bool,
}

impl LoopFs {
    /// Creates and mounts a filesystem of `size_mib`. Returns `None`, with a printed reason, if that is
    /// impossible. `extra` is passed to mkfs.
    pub fn make(kind: &'static str, size_mib: u64, extra: &[&str]) -> Option<LoopFs> {
        // Not in memory: tmpfs would hide writes that the loop device has not done yet.
        let dir = tempfile::Builder::new().prefix("genstore-loop-").tempdir_in(target_dir()).ok()?;
        std::fs::create_dir(dir.path().join("mnt")).ok()?;
        let mut fs = LoopFs { dir, kind, mounted: false };
        let image = std::fs::File::create(fs.image()).ok()?;
        image.set_len(size_mib << 20).ok()?;
        let mkfs = format!("mkfs.{kind}");
        let quiet: &[&str] = if kind == "ext4" { &["-q", "-F"] } else { &["-q", "-f"] };
        let image = fs.image();
        let done =
            run(Command::new(&mkfs).args(quiet).args(extra).arg(&image)).and_then(|()| fs.mount(&[]));
        match done {
            Ok(()) => Some(fs),
            Err(why) => {
                match Command::new(&mkfs).arg("-V").output() {
                    Ok(_) => crate::skip::skip_on_this_machine(format!("{kind} cannot be mounted: {why}")),
                    Err(_) => crate::skip::skip_without_package(mkfs),
                }
                None
            }
        }
    }

    /// Returns its mount point.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// Returns the file that contains it.
    pub fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Mounts it, with options such as `ro`.
    pub fn mount(&mut self, options: &[&str]) -> Result<(), String> {
        let options = [&["loop"], options].concat().join(",");
        run(Command::new("mount")
            .args(["-t", self.kind, "-o", &options])
            .arg(self.image())
            .arg(self.path()))?;
        self.mounted = true;
        Ok(())
    }

    /// Unmounts it.
    pub fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            run(Command::new("umount").arg(self.path())).expect("unmount");
        }
    }

    /// Copies the current content of the device: the state after a power loss now.
    ///
    /// The kernel may write back while the image is read. A copy with a later write but without an earlier
    /// one is not a state that a power loss can leave. So the copy is repeated until the device had no write
    /// meanwhile.
    pub fn copy_image(&self, to: &Path) {
        if !self.mounted {
            return copy_sparse(&self.image(), to);
        }
        let device = self.device();
        for _ in 0..MOST_COPIES {
            let before = writes(&device);
            copy_sparse(&self.image(), to);
            if before.is_some() && writes(&device) == before {
                return;
            }
        }
        panic!("the device was written to during each of {MOST_COPIES} copies");
    }

    /// Returns the name of the loop device.
    fn device(&self) -> String {
        let table = std::fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
        let here = self.path();
        // The last mount at a path is the visible one.
        let line =
            table.lines().rfind(|line| line.split(' ').nth(4).is_some_and(|at| here == Path::new(at)));
        let (_, source) = line.expect("it is mounted").split_once(" - ").expect("a source");
        let source = source.split(' ').nth(1).expect("a source");
        source.strip_prefix("/dev/").expect("a device").to_owned()
    }

    /// Restores another image. The filesystem must not be mounted.
    pub fn restore_image(&self, from: &Path) {
        assert!(!self.mounted, "unmount first");
        copy_sparse(from, &self.image());
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        if self.mounted {
            // The unmount is lazy, because a failing test may still have open files.
            drop(run(Command::new("umount").arg("-l").arg(self.path())));
        }
    }
}

/// Returns the build's target folder: on a disk, and ignored by git.
pub fn target_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp");
    std::fs::create_dir_all(&here).expect("make target/tmp");
    here.canonicalize().expect("it was made just now")
}

/// Returns the number of completed writes and discards of a device. `None` if one is on its way.
fn writes(device: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/sys/class/block/{device}/stat")).expect("its statistics");
    let field = |number: usize| -> u64 {
        stat.split_whitespace().nth(number).expect("a field").parse().expect("a number")
    };
    // The fields are described in the kernel's Documentation/block/stat.rst.
    let (completed, in_flight) = (field(4) + field(11), field(8));
    (in_flight == 0).then_some(completed)
}

/// Copies a file without its holes.
fn copy_sparse(from: &Path, to: &Path) {
    run(Command::new("cp").args(["--sparse=auto"]).arg(from).arg(to)).expect("copy the image");
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
