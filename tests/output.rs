//! The output of a run, and its checks.

use std::process::ExitStatus;

use crate::prelude::*;

/// The output of a run, and its exit status.
pub struct Output {
    /// The status as a shell reports it: 128 and more for a signal.
    pub status: i32,
    /// stdout with placeholders.
    pub stdout: String,
    /// stderr with placeholders.
    pub stderr: String,
    /// stdout unchanged.
    pub bytes: Vec<u8>,
}

impl Output {
    pub fn new(site: &Site, status: ExitStatus, bytes: Vec<u8>, stderr: &[u8]) -> Output {
        Output {
            status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
            stdout: site.replace(&String::from_utf8_lossy(&bytes)),
            stderr: site.replace(&String::from_utf8_lossy(stderr)),
            bytes,
        }
    }

    /// Compares status, stdout and stderr.
    #[track_caller]
    pub fn is(self, status: i32, stdout: &str, stderr: &str) -> Output {
        let found =
            format!("status {}\n--- stdout\n{}--- stderr\n{}", self.status, self.stdout, self.stderr);
        let expected = format!("status {status}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        assert!(found == expected, "found:\n{found}\n\nexpected:\n{expected}");
        self
    }

    /// Checks the status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Output {
        assert!(self.status == status, "status {}\n{}{}", self.status, self.stdout, self.stderr);
        self
    }

    /// Compares stderr of a run without data.
    #[track_caller]
    pub fn says(self, stderr: &str) -> Output {
        let status = self.status;
        self.is(status, "", stderr)
    }

    /// Compares status and stdout of a run without messages.
    #[track_caller]
    pub fn prints(self, stdout: &str) -> Output {
        self.is(0, stdout, "")
    }

    /// Checks that the run succeeded.
    #[track_caller]
    pub fn ok(self) -> Output {
        self.exits(0)
    }

    /// Checks that the run failed with this status, printed no data, and that its message begins like this.
    #[track_caller]
    pub fn fails(self, status: i32, message: &str) -> Output {
        let found = format!("status {}\n{}{}", self.status, self.stdout, self.stderr);
        let is_it = self.status == status && self.stdout.is_empty() && self.stderr.starts_with(message);
        assert!(is_it, "found:\n{found}\n\nexpected:\nstatus {status}\n{message}");
        self
    }

    /// Checks a part of stdout.
    #[track_caller]
    pub fn stdout_has(self, part: &str) -> Output {
        assert!(self.stdout.contains(part), "{part} is not in:\n{}", self.stdout);
        self
    }

    /// Checks the start of stdout.
    #[track_caller]
    pub fn stdout_starts(self, part: &str) {
        assert!(self.stdout.starts_with(part), "{part} is not in:\n{}", self.stdout);
    }

    /// Checks the end of stdout.
    #[track_caller]
    pub fn stdout_ends(self, part: &str) {
        assert!(self.stdout.ends_with(part), "{part} is not in:\n{}", self.stdout);
    }

    /// Checks a part of stderr.
    #[track_caller]
    pub fn stderr_has(self, part: &str) -> Output {
        assert!(self.stderr.contains(part), "{part} is not in:\n{}", self.stderr);
        self
    }

    /// Checks the end of stderr.
    #[track_caller]
    pub fn stderr_ends(self, part: &str) {
        assert!(self.stderr.ends_with(part), "{part} is not in:\n{}", self.stderr);
    }

    /// Parses stdout as one JSON document, whose first field must be this schema.
    #[track_caller]
    pub fn json(&self, schema: &str) -> Value {
        document(&self.bytes, schema)
    }

    /// Parses the document of a run that succeeded without messages.
    #[track_caller]
    pub fn is_json(&self, schema: &str) -> Value {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""));
        self.json(schema)
    }

    /// Parses stderr as one JSON document: an error.
    #[track_caller]
    pub fn json_error(&self) -> Value {
        assert_eq!(self.stdout, "", "an error has no data");
        document(self.stderr.as_bytes(), "genstore.error/1")
    }
}

/// Compares some fields of a document or an event.
#[track_caller]
pub fn has(document: &Value, fields: Value) {
    let found = |name: &String| (name.clone(), document[name].clone());
    let found = fields.as_object().unwrap().keys().map(found).collect();
    assert_eq!(Value::Object(found), fields, "{document:#}");
}

#[track_caller]
fn document(bytes: &[u8], schema: &str) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.starts_with(&format!("{{\"schema\":\"{schema}\",")), "{text}");
    assert_eq!(text.matches('\n').count(), 1, "one line: {text}");
    let document = serde_json::from_str(text).unwrap();
    let (_, root) =
        genstore_cli::schemas::all().into_iter().find(|(name, _)| *name == schema).expect(schema);
    conforms(&document, &root, &root, schema);
    document
}

/// Checks that a document has the fields of its schema, and no other.
#[track_caller]
fn conforms(value: &Value, schema: &Value, root: &Value, at: &str) {
    let parts = parts(schema, root);
    match value {
        Value::Object(fields) => {
            if parts.iter().any(|part| part.get("additionalProperties").is_some_and(|more| *more != false))
            {
                return;
            }
            for (name, field) in fields {
                let known = parts.iter().find_map(|part| part["properties"].get(name));
                let known = known.unwrap_or_else(|| panic!("{at}.{name} is not in the schema"));
                conforms(field, known, root, &format!("{at}.{name}"));
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{at} lacks {name}");
            }
        }
        Value::Array(items) => {
            let item =
                parts.iter().find_map(|part| part.get("items")).unwrap_or_else(|| panic!("{at}: an array"));
            items.iter().for_each(|value| conforms(value, item, root, &format!("{at}[]")));
        }
        _ => {
            let kind = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::String(_) => "string",
                _ => "integer",
            };
            let has = |part: &&Value| {
                let kinds = &part["type"];
                let number = kind == "integer" && *kinds == "number";
                let listed = kinds.as_array().is_some_and(|all| all.iter().any(|one| one == kind));
                number || *kinds == kind || listed || part.get("const") == Some(value) || kinds.is_null()
            };
            assert!(parts.iter().any(has), "{at}: {value} is not of the schema");
        }
    }
}

/// Returns a schema and all that it refers to and chooses from.
fn parts<'s>(schema: &'s Value, root: &'s Value) -> Vec<&'s Value> {
    let mut all = vec![schema];
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
        all.extend(parts(&root["$defs"][name], root));
    }
    for list in ["oneOf", "anyOf", "allOf"] {
        for choice in schema[list].as_array().into_iter().flatten() {
            all.extend(parts(choice, root));
        }
    }
    all
}
