//! Signatures of records, by the program `ssh-keygen`: so keys, agents, tokens and certificates of ssh work, and
//! their formats are read by the program that defines them.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use genstore_remote::{Sign, Verify};

use crate::text::escape::show;

/// A key of ssh: a private one, or a public one whose private one an agent has.
pub(crate) struct Key(pub(crate) PathBuf);

/// A file of allowed signers, as ssh-keygen(1) describes it.
pub(crate) struct Signers(pub(crate) PathBuf);

/// Runs ssh-keygen with an input.
fn keygen(args: &[&str], input: &[u8]) -> Result<Output, String> {
    let mut command = Command::new("ssh-keygen");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => "the program ssh-keygen is not installed".to_owned(),
        _ => format!("ssh-keygen failed: {e}"),
    };
    let mut child = command.spawn().map_err(failed)?;
    // A record is shorter than a pipe's buffer. If the program does not read it, its status says so.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(failed)?;
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(failed(e)),
        _ => Ok(output),
    }
}

/// Returns the last line of the messages.
fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason was given");
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("the name of {} is not UTF-8", show(path)))
}

impl Sign for Key {
    fn sign(&self, namespace: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let signed = keygen(&["-Y", "sign", "-n", namespace, "-f", text(&self.0)?], bytes)?;
        match signed.status.success() && signed.stdout.starts_with(b"-----BEGIN SSH SIGNATURE") {
            true => Ok(signed.stdout),
            false => Err(format!("{}: {}", show(&self.0), last_line(&signed))),
        }
    }
}

impl Verify for Signers {
    fn verify(&self, namespace: &str, bytes: &[u8], signature: &[u8]) -> Result<(), String> {
        let signers = text(&self.0)?;
        if let Err(e) = std::fs::File::open(&self.0) {
            return Err(format!("the file of signers {} cannot be read: {e}", show(&self.0)));
        }
        let temporary = |e| format!("no temporary file: {e}");
        let mut file = tempfile::NamedTempFile::new().map_err(temporary)?;
        file.write_all(signature).map_err(temporary)?;
        let file = text(file.path())?;
        let found = keygen(&["-Y", "find-principals", "-f", signers, "-s", file], b"")?;
        let names = String::from_utf8_lossy(&found.stdout).into_owned();
        let Some(name) = names.lines().next().filter(|_| found.status.success()) else {
            return Err(format!("its signer is not in {}", show(&self.0)));
        };
        // A name that begins with a dash would be an option.
        let name = format!("-I{name}");
        let verified = keygen(&["-Y", "verify", "-f", signers, &name, "-n", namespace, "-s", file], bytes)?;
        match verified.status.success() {
            true => Ok(()),
            false => Err(format!("its signature is not valid for {namespace}: {}", last_line(&verified))),
        }
    }
}
