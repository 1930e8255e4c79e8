//! The test program itself, run once more with one of its tests.

use std::any::type_name;
use std::ffi::OsString;

/// Returns the words of a command that runs one test of this program, and no other.
pub fn itself<T: Fn()>(_test: T) -> Vec<OsString> {
    let program = std::env::current_exe().expect("this program");
    // The first part of the path is the name of the program.
    let (_, test) = type_name::<T>().split_once("::").expect("the path of a test");
    [program.into(), "--exact".into(), test.into(), "--nocapture".into(), "--test-threads=1".into()].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_one_test() {
        if std::env::var_os("GENSTORE_TEST_ITSELF").is_some() {
            return;
        }
        let words = itself(it_runs_one_test);
        let mut command = std::process::Command::new(&words[0]);
        let output = command.args(&words[1..]).env("GENSTORE_TEST_ITSELF", "1").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("it_runs_one_test ... ok") && text.contains("1 passed"), "{text}");
    }
}
