//! Topics of `genstore help` that are no verbs.

/// A topic.
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) text: &'static str,
}

/// All topics.
pub(crate) const TOPICS: [Topic; 2] = [
    Topic { name: "config", about: "The settings of genstore.toml", text: PROJECT_FILE },
    Topic { name: "refs", about: "The names of generations", text: REFS },
];

/// A project's file with every key as a comment: `init` writes it.
pub(crate) const PROJECT_FILE: &str = include_str!("topics/genstore.toml");

/// The lines of it that name the store.
pub(crate) const STORE_PATH: &str = "#[store]\n# The store.\n#path = \"genstore\"\n";

/// The first steps, and the verbs by their purpose: for a command line without a verb.
pub(crate) const OVERVIEW: &str = include_str!("topics/overview.txt");

const REFS: &str = include_str!("topics/refs.txt");

/// Returns the topic with this name.
pub(crate) fn find(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}
