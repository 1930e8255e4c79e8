//! Examples of the verbs: for their help, and for the manual pages.

use std::fmt::Write;

/// An example: the arguments after the program's name, and their effect.
pub(crate) type Example = (&'static str, &'static str);

/// The examples of each verb, by its words.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            ("publish dist -m \"release 1.4\"", "Publish a directory, with a note"),
            ("diff", "Compare what is current with the generation before it, by number"),
            ("rollback", "Go back to the generation before"),
        ],
    ),
    (
        "init",
        &[
            ("init", "Create the store ./genstore, and a genstore.toml with all settings as comments"),
            ("init --yes --store /srv/site/store", "Create a store elsewhere, and ask nothing"),
        ],
    ),
    (
        "publish",
        &[
            ("publish dist -m \"release 1.4\"", "Publish a directory, with a note"),
            ("publish dist -n", "Show what a publish would change"),
            ("publish dist --exclude '*.map'", "Leave out all source maps"),
            (
                "publish --root web=apps/web/dist --root api=apps/api/dist",
                "Publish two outputs as one tree",
            ),
            (
                "publish --from-tar site.tar.gz --strip-components 1",
                "Publish an archive without its top folder",
            ),
            ("publish dist --expect 41", "Fail with status 6 unless generation 41 is current"),
        ],
    ),
    (
        "build",
        &[
            ("build -- sh -c 'hugo --destination \"$GENSTORE_OUT\"'", "Publish what a command writes"),
            ("build --output dist -- npm run build", "Publish a folder that the command keeps"),
            ("build", "Run the command under [build] in genstore.toml"),
        ],
    ),
    (
        "watch",
        &[
            ("watch", "Build, publish and run as genstore.toml says"),
            ("watch --output dist --run 'node server.js' -- npm run build", "The same without a file"),
            ("watch --path src --ext ts -- npm run build", "Build only when sources of TypeScript change"),
        ],
    ),
    ("rebuild", &[("rebuild", "Build now, though no source changed")]),
    ("restart", &[("restart api", "Restart the program that the watch calls api")]),
    (
        "begin",
        &[
            ("begin --ttl 10m", "Begin a stage that lasts ten minutes"),
            ("begin --owner-pid $$", "Begin a stage that ends with this shell"),
            ("begin --batch --ttl 30m", "Begin a stage that several writers fill"),
        ],
    ),
    ("put", &[("put 1f3a9c apps/web=apps/web/dist", "Put one output into the batch with this id")]),
    (
        "commit",
        &[
            ("commit 1f3a9c -m \"release 1.4\"", "Publish the stage with this id"),
            ("commit 1f3a9c --base @", "Publish a batch, and keep what no writer has put"),
        ],
    ),
    ("abort", &[("abort 1f3a9c", "Give up the stage with this id")]),
    (
        "list",
        &[
            ("list -n 10", "List the ten newest"),
            ("list --since 7d", "List those of the last seven days"),
            ("list --format '{generation} {note}'", "Print two fields of each"),
        ],
    ),
    (
        "log",
        &[
            ("log", "Show how much each generation changed"),
            ("log assets/app.js", "Show the generations that changed a file"),
            ("log --name-status --since 7d -- docs", "List the changes of a folder in the last week"),
        ],
    ),
    (
        "blame",
        &[
            ("blame index.html", "Show which generation brought each line"),
            ("blame assets 41", "Show which generations last changed the entries of a folder"),
        ],
    ),
    (
        "history",
        &[
            ("history -n 20", "Show the last 20 events"),
            ("history --since 7d --format '{time} {by} {event} {generation}'", "Print four fields of each"),
        ],
    ),
    (
        "bisect start",
        &[
            ("bisect start 31", "Search between generation 31, which is good, and the current one"),
            ("bisect start 31 41", "Search between a good generation and a bad one"),
        ],
    ),
    ("bisect good", &[("bisect good", "The tested generation is good")]),
    ("bisect bad", &[("bisect bad 38", "Generation 38 is bad")]),
    ("bisect skip", &[("bisect skip", "The generation cannot be tested")]),
    (
        "bisect run",
        &[(
            "bisect run sh -c 'grep -q title \"$GENSTORE_ROOT/index.html\"'",
            "Find where a title was lost",
        )],
    ),
    ("bisect status", &[("bisect status", "Show the generation to test, or the result")]),
    ("bisect reset", &[("bisect reset", "Give up the pins of the search")]),
    ("status", &[("status", "Show the current generation, the hold, views, stages and the watch")]),
    (
        "show",
        &[("show", "Show the current generation"), ("show @- --tree", "List the files of the one before")],
    ),
    ("current", &[("current", "Print the number, for a script")]),
    ("path", &[("path stable", "Print the directory of the generation that is pinned as stable")]),
    (
        "diff",
        &[
            ("diff", "Compare what is current with the generation before it, by number"),
            ("diff dist", "Compare the current generation with a directory"),
            ("diff 41 42 -p css/site.css", "Print the changes of one file as a patch"),
            ("diff --stat @-3 @", "Count the changed lines since three generations ago"),
        ],
    ),
    ("cat", &[("cat @- index.html", "Print a file of the generation before")]),
    (
        "export",
        &[
            ("export stable copy", "Copy the generation stable to a new directory"),
            ("export --archive site.tar", "Write all generations to an archive, for import"),
        ],
    ),
    (
        "forget",
        &[
            ("forget -n config/.env", "Show which generations have a leaked file"),
            ("forget config/.env", "Take it out of all of them"),
        ],
    ),
    ("import", &[("import site.tar --activate", "Take in the generations of an archive")]),
    (
        "rollback",
        &[
            ("rollback", "Go back one generation, and mark the one that is left as bad"),
            ("rollback 2 --keep-good", "Go back two, and mark nothing"),
        ],
    ),
    ("resume", &[("resume", "Activate the newest good build since the rollback")]),
    ("switch", &[("switch 42", "Make generation 42 current, older or newer")]),
    ("mark", &[("mark 42 bad -m \"wrong prices\"", "Let rollback skip generation 42")]),
    (
        "pin",
        &[
            ("pin @ stable", "Keep the current generation, under a name"),
            ("pin 42 demo --until 14d", "Keep generation 42 for two weeks"),
        ],
    ),
    ("unpin", &[("unpin demo", "Remove the pin; gc may remove the generation")]),
    (
        "gc",
        &[
            ("gc -n", "Show what would go, and why"),
            ("gc --keep-last 10 --keep-within 30d", "Keep ten, and all of the last thirty days"),
            ("gc 12..20", "Remove these generations"),
        ],
    ),
    (
        "verify",
        &[
            ("verify", "Read every byte, and compare it with its digest"),
            ("verify --quick", "Compare metadata only"),
            ("verify --repair", "Heal what intact copies can heal"),
        ],
    ),
    (
        "exec",
        &[(
            "exec @ -- sh -c 'ls \"$GENSTORE_ROOT\"'",
            "Run a command on a generation that gc leaves alone",
        )],
    ),
    (
        "view add",
        &[
            ("view add site", "Let the link ./site show the current generation"),
            ("view add public --as mirror --from web", "Keep real files of one part in ./public"),
        ],
    ),
    ("view ls", &[("view ls", "List the views")]),
    ("view rm", &[("view rm site", "Remove the view at ./site")]),
    ("du", &[("du", "Show what each generation alone takes")]),
    (
        "doctor",
        &[
            ("doctor", "Check the system, and say which programs each view supports"),
            ("doctor --probe", "Also write to the filesystem to test it"),
        ],
    ),
    (
        "wait",
        &[
            ("wait", "Wait for the next move of current"),
            ("wait --follow", "Print each generation that becomes current"),
        ],
    ),
    (
        "torture",
        &[("torture /mnt/disk", "Kill and fail the program at a sample of its steps on this disk")],
    ),
    (
        "trust",
        &[
            ("trust", "Allow the commands of this project's file, as it is now"),
            ("trust --revoke", "Take that back"),
        ],
    ),
    (
        "push",
        &[
            ("push prod", "Send the current generation to the remote prod"),
            ("push 42 prod staging", "Send generation 42 to the channel staging"),
        ],
    ),
    (
        "pull",
        &[
            ("pull prod --activate", "Fetch the head of the channel, and make it current"),
            ("pull file:///srv/remote staging", "Fetch from an address, without a name"),
        ],
    ),
    ("promote", &[("promote prod staging main", "Make the head of staging that of main")]),
    (
        "remote add",
        &[
            ("remote add prod file:///srv/remote", "Name a directory"),
            ("remote add prod s3://bucket/site", "Name a bucket"),
        ],
    ),
    (
        "serve",
        &[
            ("serve", "Serve the current generation at http://127.0.0.1:8080/"),
            ("serve --addr 3000 --spa --live", "Another port, index.html for all pages, pages that follow"),
            (
                "serve --stdio --allow push /srv/remote",
                "Answer a client on stdin and stdout: ssh runs this for ssh://host/srv/remote",
            ),
        ],
    ),
    ("remote ls", &[("remote ls", "List the remotes")]),
    ("remote rm", &[("remote rm prod", "Forget the name prod")]),
    ("remote log", &[("remote log prod", "List the newest records")]),
    ("remote test", &[("remote test prod", "Check whether the server keeps its promises")]),
    (
        "remote verify",
        &[
            ("remote verify prod", "Read every file of the remote, and check each digest"),
            ("remote verify prod --repair", "Send again what is damaged there"),
        ],
    ),
    (
        "remote forget",
        &[
            ("remote forget prod -n", "Show where the remote has what this store has forgotten"),
            ("remote forget prod config/.env", "Take each content at a path off the remote"),
        ],
    ),
    ("remote gc", &[("remote gc prod --keep-last 20 -n", "Show what would go")]),
    ("remote pin", &[("remote pin prod main stable", "Keep the head of main under a name")]),
    ("remote unpin", &[("remote unpin prod stable", "Remove that pin")]),
    (
        "schema",
        &[
            ("schema", "List the documents"),
            ("schema publish", "Print the schema of the document of publish"),
        ],
    ),
    (
        "completions",
        &[
            (
                "completions bash > ~/.local/share/bash-completion/completions/genstore",
                "Install them for bash",
            ),
            ("completions zsh > ~/.zfunc/_genstore", "Install them in a folder of zsh's fpath"),
            ("completions fish > ~/.config/fish/completions/genstore.fish", "Install them for fish"),
        ],
    ),
];

/// Returns the examples of a verb: `remote add`, say.
pub(crate) fn of(words: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(known, _)| *known == words).map_or(&[], |(_, examples)| examples)
}

/// Adds the examples to the help of each verb.
pub(crate) fn add(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    names
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(&name, |verb| add_below(verb, &name)))
}

fn add_below(command: clap::Command, words: &str) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(&name, |verb| add_below(verb, &format!("{words} {name}")))
    });
    let examples = of(words);
    if examples.is_empty() {
        return command;
    }
    let mut text = String::from("Examples:");
    for (arguments, effect) in examples {
        write!(text, "\n  genstore {arguments}\n      {effect}").expect("a text takes everything");
    }
    command.after_help(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    /// Adds the words of each verb that has no verbs below it.
    fn leaves(command: &clap::Command, words: &str, found: &mut BTreeSet<String>) {
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let words = format!("{words} {}", verb.get_name()).trim_start().to_owned();
            match verb.has_subcommands() {
                true => leaves(verb, &words, found),
                false => drop(found.insert(words)),
            }
        }
    }

    #[test]
    fn every_verb_has_examples_and_all_can_be_parsed() {
        let mut expected = BTreeSet::from([String::new()]);
        leaves(&Cli::command(), "", &mut expected);
        let known: BTreeSet<String> = EXAMPLES.iter().map(|(words, _)| (*words).to_owned()).collect();
        assert_eq!(known, expected);
        for (words, examples) in EXAMPLES {
            for (line, effect) in *examples {
                assert!(line.starts_with(words) && !effect.ends_with('.'), "{line}: {effect}");
                let line = line.split(" > ").next().unwrap();
                let arguments = split(&format!("genstore {line}").replace("$$", "1"));
                assert!(Cli::command().try_get_matches_from(&arguments).is_ok(), "{line}");
            }
        }
    }

    /// Splits a line as a shell does, with the quotes that the examples have.
    fn split(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.chars() {
            match (quote, c) {
                (None, ' ') => words.push(std::mem::take(&mut word)),
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (_, c) => word.push(c),
            }
        }
        words.push(word);
        words
    }
}
