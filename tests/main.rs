//! Black-box tests of the program: one file per verb, one for the global flags, one for the ways of
//! publishing.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests make and break files, and talk"
)]

mod browser;
mod harness;
mod http;
mod output;
mod prelude;

mod audit;
mod bad_input;
mod bisect;
mod blame;
mod book;
mod breakpoints;
mod build;
mod build_at;
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
mod first_minutes;
mod forget;
mod gc;
mod gc_chosen;
mod global;
mod go_module;
mod history;
mod import;
mod init;
mod leases;
mod list;
mod list_chosen;
mod log;
mod lossy;
mod manual;
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
mod remote_forget;
mod remote_hosts;
mod remote_killed;
mod remote_more;
mod remote_python;
mod remote_signed;
mod remote_ssh;
mod reserve;
mod resume;
mod rollback;
mod schema;
mod seams;
mod serve;
mod serve_act;
mod serve_generations;
mod serve_http;
mod serve_live;
mod serve_load;
mod serve_page;
mod services;
mod serving;
mod shared;
mod show;
mod signals;
mod site_compiler;
mod stage_batch;
mod stage_verbs;
mod stale;
mod status;
mod surroundings;
mod switch;
mod terminal;
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
