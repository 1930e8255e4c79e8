//! Output of several programs on one terminal, line by line.

/// The length at which an endless line is cut.
const LONGEST: usize = 64 << 10;

/// Puts a prefix before each line of a program.
///
/// A line is buffered until it is complete, so that lines of several programs do not mix. After a pause, an
/// incomplete line is passed on, too ([`Lines::pause`]). A carriage return starts the line over, with its
/// prefix, because programs draw their progress that way.
pub struct Lines {
    prefix: Vec<u8>,
    rest: Vec<u8>,
    /// Whether the prefix of the next line is already written.
    begun: bool,
}

impl Lines {
    /// Creates it with this prefix.
    pub fn new(prefix: impl Into<Vec<u8>>) -> Lines {
        Lines { prefix: prefix.into(), rest: Vec::new(), begun: false }
    }

    /// Takes bytes, and returns the lines that are complete now.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in bytes {
            // The next byte shows whether a carriage return is part of the line's end.
            if self.rest.last() == Some(&b'\r') && byte != b'\n' {
                self.pass(&mut out);
            }
            self.rest.push(byte);
            if byte == b'\n' {
                self.pass(&mut out);
            } else if self.rest.len() >= LONGEST {
                self.rest.push(b'\n');
                self.pass(&mut out);
            }
        }
        out
    }

    /// Returns the incomplete line so far.
    pub fn pause(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.rest.is_empty() && self.rest != b"\r" {
            self.pass(&mut out);
        }
        out
    }

    /// Returns the rest as a line.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.begun || !self.rest.is_empty() {
            self.rest.push(b'\n');
            self.pass(&mut out);
        }
        out
    }

    /// Records that another program ended the line: the next output has the prefix again.
    pub fn interrupted(&mut self) {
        self.begun = false;
    }

    fn pass(&mut self, out: &mut Vec<u8>) {
        let is_return = self.rest == b"\r";
        if !self.begun && !is_return {
            out.extend(&self.prefix);
        }
        out.append(&mut self.rest);
        self.begun = !out.ends_with(b"\n") && !out.ends_with(b"\r");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_are_passed_on_whole() {
        let mut lines = Lines::new("api | ");
        assert_eq!(lines.take(b"one"), b"");
        assert_eq!(text(lines.take(b" line\ntwo\nthr")), "api | one line\napi | two\n");
        assert_eq!(text(lines.end()), "api | thr\n");
        assert_eq!(lines.end(), b"");
        assert_eq!(text(lines.take(b"\nx\r\ny\r\n")), "api | \napi | x\r\napi | y\r\n");
        let long = lines.take(&vec![b'x'; LONGEST + 1]);
        assert_eq!(long.len(), "api | ".len() + LONGEST + 1, "cut, with an end");
    }

    #[test]
    fn a_question_comes_after_a_pause_and_its_answer_on_the_same_line() {
        let mut lines = Lines::new("api | ");
        assert_eq!(lines.take(b"go on? "), b"");
        assert_eq!(text(lines.pause()), "api | go on? ");
        assert_eq!(lines.pause(), b"");
        assert_eq!(text(lines.take(b"yes\nno")), "yes\n");
        assert_eq!(text(lines.pause()), "api | no");
        lines.interrupted();
        assert_eq!(text(lines.take(b"t\n")), "api | t\n");
        assert_eq!(text(lines.take(b"z")), "");
        lines.pause();
        assert_eq!(text(lines.end()), "\n", "the line that was begun has an end");
    }

    #[test]
    fn progress_is_drawn_over_the_line_and_its_prefix() {
        let mut lines = Lines::new("api | ");
        assert_eq!(text(lines.take(b"\r1 of 3")), "\r");
        assert_eq!(text(lines.pause()), "api | 1 of 3");
        assert_eq!(text(lines.take(b"\r2 of 3\r3 of 3")), "\rapi | 2 of 3\r");
        assert_eq!(text(lines.pause()), "api | 3 of 3");
        assert_eq!(text(lines.take(b"\n")), "\n");
        // A carriage return at the end of a piece may be part of a line's end.
        assert_eq!(text(lines.take(b"x\r")), "");
        assert_eq!(text(lines.take(b"\n")), "api | x\r\n");
        assert_eq!(text(lines.take(b"y\r")), "");
        assert_eq!(text(lines.pause()), "api | y\r");
        assert_eq!(text(lines.take(b"z\n")), "api | z\n");
    }
}
