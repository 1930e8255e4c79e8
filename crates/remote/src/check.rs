//! The checks of a remote, by name.

/// A check of a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A create-only put creates a file once.
    CreateOnly,
    /// A file is visible once it was created.
    Visible,
    /// A part of a file is that part.
    Range,
    /// A listing has the files.
    List,
    /// The log does not go back.
    WentBack,
    /// The log is the one that was seen before.
    Forked,
    /// The newest record is not too old.
    Frozen,
    /// A record changes what it names, and nothing else.
    Heads,
    /// The signature is a trusted one.
    Signature,
}

impl Check {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Check::CreateOnly => "create-only",
            Check::Visible => "visible",
            Check::Range => "range",
            Check::List => "list",
            Check::WentBack => "went-back",
            Check::Forked => "forked",
            Check::Frozen => "frozen",
            Check::Heads => "heads",
            Check::Signature => "signature",
        }
    }
}
