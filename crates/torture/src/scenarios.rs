//! The scenarios: the state before, and the command that is killed or failed.

use std::io;
use std::path::Path;

use crate::trees::{self, Lines, TREE_A, TREE_C};

/// One step at a place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The program runs. `{stage}` stands for the open stage, `{pid}` for this process.
    Run(&'static str),
    /// Another program writes to the open stage.
    Build,
    /// Another program writes through a link to the file with these bytes.
    Damage(&'static str),
    /// The project gets an audit that refuses everything.
    Refuse,
    /// The project recycles generations that retention gives up.
    Recycle,
    /// A folder is created.
    Folder(&'static str),
    /// A link is removed.
    Unlink(&'static str),
    /// A user's files are put into a mirror.
    Strangers(&'static str),
    /// The folder `given` is created with this tree, to be consumed.
    Give(Lines),
}

use Step::{Build, Damage, Folder, Give, Recycle, Refuse, Run, Strangers, Unlink};

/// The points of the faults.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Points {
    /// The calls that change the disk.
    Calls,
    /// The beginnings of the stages of a publication.
    Stages,
}

/// One function of the store.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    pub(crate) points: Points,
    /// The steps that lead to the initial state.
    pub(crate) before: &'static [Step],
    /// The tested steps: each run among them is killed and failed, after all earlier ones.
    pub(crate) acts: &'static [Step],
    /// The exit status without a fault.
    pub(crate) exit: u8,
    /// Whether readers see damaged bytes at first, which are repaired path by path.
    pub(crate) mends: bool,
    /// The error codes that the repeated command may return if it was done before.
    pub(crate) again: &'static [&'static str],
    /// Whether the copies of the place are settled before the command. Otherwise the command may or may not
    /// record the stamps of their folders, depending on how soon it comes.
    pub(crate) settled: bool,
    /// Whether readers may see the new state although the command failed: a disk that fails for good cannot
    /// take a step back.
    pub(crate) no_way_back: bool,
}

impl Scenario {
    /// Copies the prepared place for one run of the command.
    pub(crate) fn copy(&self, prepared: &Path, place: &Path) -> io::Result<()> {
        trees::copy_exactly(prepared, place)?;
        if self.settled { trees::settle(place) } else { Ok(()) }
    }
}

const PLAIN: Scenario = Scenario {
    name: "",
    points: Points::Calls,
    before: &[Run("publish ../a")],
    acts: &[],
    exit: 0,
    mends: false,
    again: &[],
    settled: false,
    no_way_back: false,
};

/// Every scenario, in the order of the trials.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "first publish", before: &[], acts: &[Run("publish ../a")], ..PLAIN },
    Scenario { name: "publish over another", acts: &[Run("publish ../b")], ..PLAIN },
    Scenario {
        name: "each stage of a publish",
        points: Points::Stages,
        before: &[Run("publish ../a"), Run("view add site")],
        acts: &[Run("publish ../b")],
        ..PLAIN
    },
    Scenario {
        name: "each stage, recycled and consumed",
        points: Points::Stages,
        before: &[Recycle, Run("publish ../a"), Run("publish ../b"), Run("view add site"), Give(TREE_C)],
        acts: &[Run("publish given --consume")],
        ..PLAIN
    },
    Scenario { name: "publish of what is current", acts: &[Run("publish ../a")], settled: true, ..PLAIN },
    Scenario { name: "publish that is only kept", acts: &[Run("publish ../b --no-activate")], ..PLAIN },
    Scenario {
        name: "publish, recycled",
        before: &[Recycle, Run("publish ../a"), Run("publish ../b")],
        acts: &[Run("publish ../a")],
        ..PLAIN
    },
    Scenario { name: "publish, read again", acts: &[Run("publish ../b --rehash")], ..PLAIN },
    Scenario {
        name: "publish, recycled and read again",
        before: &[Recycle, Run("publish ../a"), Run("publish ../b")],
        acts: &[Run("publish ../a --rehash")],
        ..PLAIN
    },
    Scenario {
        name: "publish, consumed",
        before: &[Run("publish ../a"), Give(TREE_C)],
        acts: &[Run("publish given --consume")],
        ..PLAIN
    },
    Scenario {
        name: "publish, recycled and consumed",
        before: &[Recycle, Run("publish ../a"), Run("publish ../b"), Give(TREE_C)],
        acts: &[Run("publish given --consume")],
        ..PLAIN
    },
    Scenario {
        name: "publish, consumed over damage",
        before: &[Run("publish ../b"), Run("publish ../a"), Damage("same"), Give(TREE_A)],
        acts: &[Run("publish given --consume --rehash")],
        mends: true,
        ..PLAIN
    },
    Scenario {
        name: "publish over a damaged object",
        before: &[Run("publish ../b"), Run("publish ../a"), Damage("same")],
        acts: &[Run("publish ../a")],
        mends: true,
        ..PLAIN
    },
    Scenario {
        name: "publish refused by an audit",
        before: &[Run("publish ../a"), Refuse],
        acts: &[Run("publish ../b")],
        exit: 5,
        ..PLAIN
    },
    Scenario {
        name: "rollback",
        before: &[Run("publish ../a"), Run("publish ../b")],
        acts: &[Run("rollback")],
        again: &["nothing-older"],
        ..PLAIN
    },
    Scenario {
        name: "switch",
        before: &[Run("publish ../a"), Run("publish ../b"), Run("rollback")],
        acts: &[Run("switch 2")],
        ..PLAIN
    },
    Scenario {
        name: "gc",
        before: &[Run("publish ../a"), Run("publish ../b"), Run("mark 1 bad")],
        acts: &[Run("gc --keep-last 0 --grace 0s")],
        ..PLAIN
    },
    Scenario {
        name: "mark, pin, unpin",
        acts: &[Run("mark @ good -m looked-at"), Run("pin @ keep"), Run("unpin keep")],
        again: &["no-such-pin", "pin-taken"],
        ..PLAIN
    },
    Scenario {
        name: "begin, build, commit",
        acts: &[Run("begin --ttl 1h"), Build, Run("commit {stage}")],
        again: &["stage-committed"],
        ..PLAIN
    },
    Scenario {
        name: "commit of a stage that was left",
        before: &[Run("publish ../a"), Run("begin --owner-pid {pid}"), Build],
        acts: &[Run("commit {stage}")],
        again: &["stage-committed"],
        ..PLAIN
    },
    Scenario { name: "view add", acts: &[Run("view add site"), Run("view add part --from dir")], ..PLAIN },
    Scenario {
        name: "view add --replace",
        before: &[Run("publish ../a"), Folder("site")],
        acts: &[Run("view add site --replace")],
        ..PLAIN
    },
    Scenario {
        name: "view rm",
        before: &[Run("publish ../a"), Run("view add site")],
        acts: &[Run("view rm site")],
        again: &["no-such-view"],
        no_way_back: true,
        ..PLAIN
    },
    Scenario {
        name: "publish with a view that was removed",
        before: &[Run("publish ../a"), Run("view add site"), Unlink("site")],
        acts: &[Run("publish ../b")],
        ..PLAIN
    },
    Scenario {
        name: "view add --as mirror",
        acts: &[Run("view add mirror --as mirror"), Run("view add copies --as mirror --copy --from dir")],
        ..PLAIN
    },
    Scenario {
        name: "publish to a mirror",
        before: &[Run("publish ../a"), Run("view add mirror --as mirror"), Strangers("mirror")],
        acts: &[Run("publish ../b"), Run("switch 1")],
        ..PLAIN
    },
    Scenario {
        name: "view rm of a mirror",
        before: &[Run("publish ../a"), Run("view add mirror --as mirror"), Strangers("mirror")],
        acts: &[Run("view rm mirror")],
        again: &["no-such-view"],
        no_way_back: true,
        ..PLAIN
    },
    Scenario {
        name: "verify --repair",
        // The same bytes are also an executable's: a copy to heal from.
        before: &[Run("publish ../a"), Run("publish ../b"), Damage("second")],
        acts: &[Run("verify --repair")],
        mends: true,
        ..PLAIN
    },
];
