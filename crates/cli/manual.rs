//! The manual pages of all verbs, made from the command line and its examples. `scripts/docs` writes them to
//! `docs/man`.

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::{args, examples};

/// The date of the pages; a release sets it.
const DATE: &str = "2026-11-30";

/// The beginning of each text of the crate: the quote that a terminal can show.
const QUOTE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Returns the name of each page's file, and its text.
pub fn all() -> Vec<(String, String)> {
    // Without the examples: they get a section of their own here.
    let mut command = args::plain_command_line().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, "", &mut pages);
    pages
}

fn add(command: &clap::Command, words: &str, pages: &mut Vec<(String, String)>) {
    let name =
        if words.is_empty() { "genstore".into() } else { format!("genstore-{}", words.replace(' ', "-")) };
    pages.push((format!("{name}.1"), page(command, words)));
    for verb in command.get_subcommands() {
        add(verb, format!("{words} {}", verb.get_name()).trim_start(), pages);
    }
}

fn page(command: &clap::Command, words: &str) -> String {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    let mut section = |render: fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>| {
        render(&man, &mut text).expect("memory takes everything");
    };
    section(Man::render_name_section);
    section(Man::render_description_section);
    section(Man::render_options_section);
    if command.has_subcommands() {
        section(Man::render_subcommands_section);
    }
    let text = String::from_utf8(text).expect("the sources are UTF-8");
    // Each section begins with the same definition of a quote, and possible values follow two empty lines.
    let text = text.replace(QUOTE, "").replace(".br\n\n.br\n", ".sp\n");
    let (name, rest) = text.split_once(".SH DESCRIPTION").expect("it was just written");

    let name_and_title = man.get_filename();
    let title = name_and_title.trim_end_matches(".1");
    let version = env!("CARGO_PKG_VERSION");
    let mut usage = Roff::new();
    usage.control("SH", ["SYNOPSIS"]);
    let line = command.clone().render_usage().to_string();
    usage.text([roman(line.trim_start_matches("Usage: "))]);
    let usage = usage.to_roff().replace(QUOTE, "");
    let end = end(words).to_roff().replace(QUOTE, "");
    format!(
        "{QUOTE}.TH {title} 1 {DATE} \"genstore {version}\" genstore\n{name}{usage}.SH DESCRIPTION{rest}{end}"
    )
}

/// The sections after those that clap_mangen writes.
fn end(words: &str) -> Roff {
    let mut end = Roff::new();
    end.control("SH", ["EXAMPLES"]);
    for (arguments, effect) in examples::of(words) {
        end.control("TP", []);
        end.text([bold(format!("genstore {arguments}"))]);
        end.text([roman(*effect)]);
    }
    if words.is_empty() {
        end.control("SH", ["NOTES"]);
        for (at, paragraph) in args::AFTER_HELP.split("\n\n").enumerate() {
            if at > 0 {
                end.control("PP", []);
            }
            end.text([roman(paragraph.replace('\n', " "))]);
        }
    }
    end.control("SH", ["SEE ALSO"]);
    let also = match words.split_once(' ') {
        _ if words.is_empty() => {
            "The book: /usr/share/doc/genstore/docs/SUMMARY.md, or docs/SUMMARY.md in the sources"
                .to_owned()
        }
        Some((above, _)) => format!("genstore-{above}(1), genstore(1)"),
        None => "genstore(1)".to_owned(),
    };
    end.text([roman(also)]);
    end
}
