//! The system's events of single folders, read on request.

use std::path::Path;

use crate::wake::NoEvents;

/// An event of a watched folder.
pub(crate) struct Heard {
    pub(crate) watch: i32,
    pub(crate) what: What,
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "other systems have none"))]
pub(crate) enum What {
    /// A name in it, or a file of it, changed.
    Inside,
    /// A folder with this name was added or removed.
    Folder(Vec<u8>),
    /// The folder's own mode or times changed.
    Itself,
    /// The folder is no longer at its place, or the watch has ended.
    Gone,
}

#[cfg(target_os = "linux")]
mod system {
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    use rustix::io::Errno;

    use super::{Heard, NoEvents, Path, What};

    /// All events that change a folder or a file in it. Symlinks are not followed.
    const ALL: WatchFlags = WatchFlags::ATTRIB
        .union(WatchFlags::CREATE)
        .union(WatchFlags::DELETE)
        .union(WatchFlags::MOVE)
        .union(WatchFlags::MODIFY)
        .union(WatchFlags::CLOSE_WRITE)
        .union(WatchFlags::DELETE_SELF)
        .union(WatchFlags::MOVE_SELF)
        .union(WatchFlags::ONLYDIR)
        .union(WatchFlags::DONT_FOLLOW);

    /// Events that wake no thread.
    pub(crate) struct Queue(OwnedFd);

    impl Queue {
        pub(crate) fn new() -> Result<Queue, NoEvents> {
            let made = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
            made.map(Queue).map_err(|error| match error {
                Errno::MFILE => NoEvents::Instances,
                error => NoEvents::Other(error.to_string()),
            })
        }

        /// Watches a folder. Returns `None` if it does not exist. A folder that is already watched keeps
        /// its number.
        pub(crate) fn add(&self, folder: &Path) -> Result<Option<i32>, NoEvents> {
            match inotify::add_watch(&self.0, folder, ALL) {
                Ok(watch) => Ok(Some(watch)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                Err(Errno::NOSPC) => Err(NoEvents::Watches),
                Err(error) => Err(NoEvents::Other(error.to_string())),
            }
        }

        /// Ends a watch, if it has not ended by itself.
        pub(crate) fn remove(&self, watch: i32) {
            inotify::remove_watch(&self.0, watch).ok();
        }

        /// Reads all events so far, in order. They include everything that another program did before it
        /// reported that. Returns `false` if events were lost.
        pub(crate) fn read(&self, mut heard: impl FnMut(Heard)) -> bool {
            let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
            let mut reader = Reader::new(&self.0, &mut buffer);
            let mut complete = true;
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::AGAIN) => return complete,
                    Err(Errno::INTR) => continue,
                    Err(_) => return false,
                };
                let (flags, name) = (event.events(), event.file_name());
                complete &= !flags.contains(ReadFlags::QUEUE_OVERFLOW);
                let gone =
                    ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED | ReadFlags::UNMOUNT;
                let came_or_went =
                    ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
                let what = match name {
                    _ if flags.intersects(gone) => What::Gone,
                    None => What::Itself,
                    Some(name) if flags.contains(ReadFlags::ISDIR) && flags.intersects(came_or_went) => {
                        What::Folder(name.to_bytes().to_vec())
                    }
                    Some(_) => What::Inside,
                };
                heard(Heard { watch: event.wd(), what });
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Heard, NoEvents, Path};

    /// This system has none.
    pub(crate) enum Queue {}

    impl Queue {
        pub(crate) fn new() -> Result<Queue, NoEvents> {
            Err(NoEvents::Other("this system has no events of single folders".to_owned()))
        }

        pub(crate) fn add(&self, _: &Path) -> Result<Option<i32>, NoEvents> {
            match *self {}
        }

        pub(crate) fn remove(&self, _: i32) {}

        pub(crate) fn read(&self, _: impl FnMut(Heard)) -> bool {
            match *self {}
        }
    }
}

pub(crate) use system::Queue;
