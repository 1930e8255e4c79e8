//! Texts with fields in braces, for `--format`: `{generation} {note}`.

/// A field's name, and its text for a value.
pub(crate) type Field<T> = (&'static str, fn(&T) -> String);

/// A value whose fields a [`Template`] may name.
pub(crate) trait Fields: Sized + 'static {
    /// The fields, in the order of the help.
    const FIELDS: &'static [Field<Self>];
}

/// A text with fields of a value.
#[derive(Clone)]
pub(crate) struct Template<T>(Vec<Piece<T>>);

#[derive(Clone)]
enum Piece<T> {
    Text(String),
    Field(fn(&T) -> String),
}

impl<T: Fields> Template<T> {
    /// Parses the text. `{{` and `}}` are braces.
    ///
    /// # Errors
    /// If a brace stands alone, or there is no such field.
    pub(crate) fn parse(text: &str) -> Result<Template<T>, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if after.starts_with(brace) {
                plain.push_str(brace);
                rest = &after[1..];
                continue;
            }
            let name = after.split_once('}').filter(|_| brace == "{");
            let Some((name, after)) = name else { return Err(format!("a `{brace}` stands alone")) };
            let Some((_, value)) = T::FIELDS.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = T::FIELDS.iter().map(|(known, _)| *known).collect();
                let shown = genstore::tree::show_path(name.as_bytes());
                return Err(format!("there is no field {shown}; known here: {}", known.join(", ")));
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Field(*value));
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain + "\n"));
        Ok(Template(pieces))
    }

    /// Returns the line of a value, with its end.
    pub(crate) fn line(&self, of: &T) -> String {
        let text = |piece: &Piece<T>| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(value) => value(of),
        };
        self.0.iter().map(text).collect()
    }
}
