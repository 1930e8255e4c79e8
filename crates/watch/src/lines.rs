//! Output of several programs on one terminal, line by line.

/// A line without end is cut into pieces of so many bytes.
const LONGEST: usize = 64 << 10;

/// Puts a prefix before each line, and passes on whole lines only.
pub struct Lines {
    prefix: Vec<u8>,
    rest: Vec<u8>,
}

impl Lines {
    /// Puts this before each line.
    pub fn new(prefix: impl Into<Vec<u8>>) -> Lines {
        Lines { prefix: prefix.into(), rest: Vec::new() }
    }

    /// Takes bytes, and gives the lines that are complete now.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() >= LONGEST {
                out.extend(self.end());
            }
        }
        out
    }

    /// Gives what is left as a line.
    pub fn end(&mut self) -> Vec<u8> {
        if self.rest.is_empty() {
            return vec![];
        }
        let mut line = [&self.prefix[..], &self.rest].concat();
        self.rest.clear();
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_passed_on_whole() {
        let mut lines = Lines::new("api | ");
        assert_eq!(lines.take(b"one"), b"");
        assert_eq!(lines.take(b" line\ntwo\nthr"), b"api | one line\napi | two\n");
        assert_eq!(lines.end(), b"api | thr\n");
        assert_eq!(lines.end(), b"");
        let long = lines.take(&vec![b'x'; LONGEST + 1]);
        assert_eq!(long.len(), "api | ".len() + LONGEST + 2, "cut, with an end");
    }
}
