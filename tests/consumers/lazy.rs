//! A process that loads modules late gets all of them from one generation, whatever is published meanwhile.

use super::project::{Project, has_node, path};

const MODULES: usize = 40;

/// The number of modules that are loaded between two commits.
const BETWEEN: usize = 8;

/// Publishes all modules with changes.
fn publish(project: &Project, version: usize) {
    for nth in 0..MODULES {
        let text = format!("export const version = {version};\n");
        project.site.write(&format!("build/lazy/{nth}.js"), text);
    }
    project.site.run("publish --root lazy=build/lazy").ok();
}

/// Loads module after module in a process with these arguments, and counts those of the first generation.
/// After every few modules another generation is published, and unused generations are collected.
fn loaded(args: &[&str]) -> Option<(usize, Vec<String>)> {
    if !has_node() {
        return None;
    }
    let project = Project::empty();
    project.site.write("app.mjs", include_str!("fixtures/node/app.mjs"));
    publish(&project, 1);
    let mut node = project.site.command("").args(args).env("PATH", path()).spawn();
    let mut answers = Vec::new();
    for nth in 0..MODULES {
        node.send(format!("{nth}\n").as_bytes());
        answers.push(node.line());
        if nth % BETWEEN == BETWEEN - 1 {
            publish(&project, 2 + nth / BETWEEN);
            project.site.run("gc --keep-last 1 --grace 0s").ok();
        }
    }
    let good = answers.iter().enumerate().filter(|(nth, line)| **line == format!("{nth} of 1")).count();
    Some((good, answers))
}

#[test]
fn a_process_loads_its_modules_from_the_generation_that_it_holds() {
    let Some((good, answers)) = loaded(&["exec", "--", "node", "app.mjs"]) else { return };
    assert_eq!(good, MODULES, "{answers:?}");
}

#[test]
fn without_a_hold_they_are_gone() {
    let node = ["exec", "--", "sh", "-c", "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec node app.mjs"];
    let Some((good, answers)) = loaded(&node) else { return };
    assert_eq!(good, BETWEEN, "{answers:?}");
    assert!(answers[BETWEEN].ends_with("ERR_MODULE_NOT_FOUND"), "{answers:?}");
}
