//! Programs that watch, build with or serve the current generation: each by its recipe in the book.
//!
//! The npm programs are those of `consumers/package.json`, which `scripts/setup` installs.

mod lazy;
mod next_cache;
mod project;
mod see;
mod started;

use project::Project;
use see::Viewer;

/// A program, and its way of noticing commits.
struct Consumer {
    /// The name in the book's table.
    name: &'static str,
    way: Way,
    view: View,
    /// The folders of `consumers/fixtures` that form its project.
    fixtures: &'static [&'static str],
    /// Waits until everything that it shows is of this version.
    see: fn(&mut Viewer<'_>, &str),
}

/// The recipe in the table, and the command that a shell runs.
enum Way {
    /// A command, and its additional arguments in a test.
    Runs(&'static str, &'static str),
    /// A line of one of the fixtures, and the command.
    Says(&'static str, &'static str),
}

/// The kind of view at `dist/libs`.
enum View {
    Link,
    /// File by file: a program that reads meanwhile sees files of two generations.
    Mirror,
    /// The same with an inode per file: a watch of a file's inode sees the file go.
    Copies,
}

use View::{Copies, Link, Mirror};
use Way::{Runs, Says};

impl Consumer {
    fn shown(&self) -> &'static str {
        match self.way {
            Runs(text, _) | Says(text, _) => text,
        }
    }

    fn command(&self) -> String {
        match self.way {
            Runs(text, more) => format!("{text}{more}"),
            Says(_, command) => command.to_owned(),
        }
    }
}

const NODE: &str = "node --watch-path=genstore/notice server.js";
const TSX_WATCH: &str = "tsx watch --include genstore/notice server.ts";
const TSX: &str = "tsx --watch-path=genstore/notice server.ts";
const NODEMON: &str = "nodemon --watch genstore/notice server.js";
/// Without the option, it drops a change that comes within 50 ms of another.
const CHOKIDAR: &str = "watch(\"genstore/notice\", { awaitWriteFinish: { stabilityThreshold: 100 } })";
const FS_WATCH: &str = "watch(\"genstore/notice\", say)";
const TSC: &str = "tsc --watch --preserveSymlinks --watchFile fixedPollingInterval";
const CADDY: &str = "caddy file-server --root genstore/current";
const CADDY_PORT: &str = " --listen 127.0.0.1:$PORT";
const LOCAL: &str = " -H 127.0.0.1";
const VITE_PORT: &str = " --host 127.0.0.1 --port $PORT --strictPort";

/// Creates a test of each consumer, and the list of them all.
macro_rules! consumers {
    ($($test:ident: $name:literal, $way:expr, $view:expr, $fixtures:expr, $see:ident;)+) => {
        const CONSUMERS: &[Consumer] = &[$(Consumer {
            name: $name,
            way: $way,
            view: $view,
            fixtures: &$fixtures,
            see: |viewer, version| viewer.$see(version),
        },)+];
        $(#[test]
        fn $test() {
            notices_each_commit(CONSUMERS.iter().find(|one| one.name == $name).unwrap());
        })+
    };
}

consumers! {
    node_watch: "`node --watch`", Runs(NODE, ""), Link, ["node"], ready_and_answered;
    tsx_watch: "`tsx watch`", Runs(TSX_WATCH, ""), Link, ["node"], ready_and_answered;
    tsx_dash_watch: "`tsx --watch`", Runs(TSX, ""), Link, ["node"], ready_and_answered;
    nodemon: "nodemon", Runs(NODEMON, ""), Link, ["node"], ready_and_answered;
    chokidar_3: "chokidar 3", Says(CHOKIDAR, "node chokidar.js chokidar3"), Link, ["watch"], said;
    chokidar_4: "chokidar 4", Says(CHOKIDAR, "node chokidar.js chokidar4"), Link, ["watch"], said;
    fs_watch: "`fs.watch`", Says(FS_WATCH, "node fs-watch.js"), Link, ["watch"], said;
    webpack: "webpack 5", Runs("webpack --watch", ""), Link, ["webpack"], bundled;
    tsc: "`tsc --watch`", Runs("tsc --watch", ""), Copies, ["tsc"], said;
    tsc_on_a_link: "`tsc --watch`, on a link", Runs(TSC, ""), Link, ["tsc"], said;
    next_webpack: "Next dev, webpack", Runs("next dev --webpack", LOCAL), Mirror, ["next"], answered;
    next_webpack_on_a_link: "Next dev, webpack, on a link",
        Runs("next dev --webpack", LOCAL), Link, ["next", "next-webpack"], answered;
    next_turbopack: "Next dev, Turbopack", Runs("next dev --turbopack", LOCAL), Link, ["next"], answered;
    vite: "Vite dev", Runs("vite", VITE_PORT), Link, ["vite"], reloaded;
    nginx: "nginx", Says("root genstore/current;", "nginx -p . -c nginx.conf"), Link, ["nginx"], served;
    caddy: "Caddy", Runs(CADDY, CADDY_PORT), Link, [], served;
}

/// Starts it on the first version. Then it must show three more, the last but one again, and the last of
/// two that follow each other at once.
fn notices_each_commit(consumer: &Consumer) {
    let Some(project) = Project::new(consumer) else { return };
    project.publish("1");
    let (kind, may_mix) = match consumer.view {
        Link => ("link", false),
        Mirror => ("mirror", true),
        Copies => ("mirror --copy", true),
    };
    project.site.run(&format!("view add dist/libs --as {kind}")).ok();
    let mut viewer = Viewer::new(&project, project.start(&consumer.command()), may_mix);
    (consumer.see)(&mut viewer, "1");
    for version in ["2", "3", "4"] {
        project.publish(version);
        (consumer.see)(&mut viewer, version);
    }
    // The system's clock is used, like for the publications: an mtime far ahead of the clock is assigned
    // anew.
    project.site.command("rollback").env("GENSTORE_NOW", "").run().ok();
    (consumer.see)(&mut viewer, "3");
    // The two commits follow at once: the program may read a mixture in between, but must end with the
    // last.
    viewer.may_mix = true;
    project.publish("5");
    project.publish("6");
    (consumer.see)(&mut viewer, "6");
}

/// The page with the table and the configurations.
const PAGE: &str = include_str!("../docs/guides/consumers.md");

/// Reads the rows of its table as cells.
fn rows() -> Vec<Vec<String>> {
    let table = PAGE.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| !line.is_empty());
    let cells =
        |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    table.skip(2).map(cells).collect()
}

#[test]
fn the_book_names_them_all_and_their_ways() {
    let rows = rows();
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, CONSUMERS.iter().map(|one| one.name).collect::<Vec<_>>());
    for (row, consumer) in rows.iter().zip(CONSUMERS) {
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(row[1].contains(&format!("`{}`", consumer.shown())), "{row:?}");
        let kind = match consumer.view {
            Link => false,
            Mirror => row[1].contains("`--as mirror`"),
            Copies => row[1].contains("`--as mirror --copy`"),
        };
        assert_eq!(row[1].contains("mirror"), kind, "{row:?}");
        if let Says(text, _) = consumer.way {
            assert!(project::fixtures(consumer).values().any(|file| file.contains(text)), "{row:?}");
        }
    }
}

#[test]
fn the_book_shows_the_configurations_that_are_tested() {
    for text in [
        include_str!("consumers/fixtures/vite/vite.config.js"),
        include_str!("consumers/fixtures/next-webpack/next.config.js"),
    ] {
        assert!(PAGE.contains(text), "{text}");
    }
}
