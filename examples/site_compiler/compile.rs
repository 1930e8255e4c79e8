//! Runs other programs: the compiler of the server, and shell commands.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Creates the server: by the compiler, or as a copy of this program.
pub(crate) fn server(out: &Path, compiler: Option<&str>, build: Option<u64>) -> Result<()> {
    match compiler {
        Some(compiler) => {
            let build = build.map_or(String::new(), |build| build.to_string());
            run(shell(compiler).env("OUT", out).env("BUILD", build)).context("the compiler")?;
        }
        None => {
            let program = std::env::current_exe().context("cannot find this program")?;
            fs::copy(program, out).context("cannot copy this program")?;
        }
    }
    let made = out.metadata().context("the compiler made no server")?;
    if made.permissions().mode() & 0o100 == 0 {
        bail!("the compiler made a server that cannot be executed");
    }
    Ok(())
}

pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null());
    command
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().context("cannot start")?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}
