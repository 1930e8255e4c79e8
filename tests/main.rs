//! Black-box tests of the program: one file per verb, one for the global flags, one for the ways of
//! publishing.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests make and break files, and talk"
)]

mod harness;
mod http;
mod output;
mod prelude;

mod audit;
mod bad_input;
mod book;
mod breakpoints;
mod build;
mod cat;
mod clients;
mod completions;
mod consumers;
mod current;
mod diff;
mod doctor;
mod doctor_lines;
mod doctor_tools;
mod du;
mod emptied;
mod exec;
mod export;
mod find;
mod gc;
mod gc_chosen;
mod global;
mod go_module;
mod init;
mod leases;
mod list;
mod list_chosen;
mod lossy;
mod mark;
mod mounts;
mod nx_monorepo;
mod packages;
mod pin;
mod publish;
mod publish_archives;
mod publish_base;
mod publish_plan;
mod publish_roots;
mod publish_tar;
mod python_reader;
mod reach;
mod remote;
mod reserve;
mod resume;
mod rollback;
mod schema;
mod seams;
mod serving;
mod shared;
mod show;
mod signals;
mod site_compiler;
mod stage_verbs;
mod stale;
mod status;
mod surroundings;
mod switch;
mod torture;
mod trust;
mod trust_memory;
mod verify;
mod view;
mod view_mirror;
mod wait;
mod watch;
mod watch_asked;
mod watch_events;
mod watch_programs;
mod watch_run;
mod watch_serving;
mod watch_sources;
mod watch_store;
mod ways;
