//! Texts as the server takes them. PostgreSQL stores every character but NUL; people and programs
//! write that one too, so it stands escaped. A text without NUL and without the escape is as it is.

use std::borrow::Cow;

const ESCAPE: char = '\u{1}';

/// The text in the form that is stored. Different texts have different forms.
pub(crate) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut form = String::with_capacity(text.len() + 1);
    for char in text.chars() {
        match char {
            '\0' => form.extend([ESCAPE, '0']),
            ESCAPE => form.extend([ESCAPE, '1']),
            other => form.push(other),
        }
    }
    Cow::Owned(form)
}

/// The same for a text that may be missing.
pub(crate) fn maybe_stored(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().map(stored)
}

/// The text that was stored.
pub(crate) fn original(form: String) -> String {
    if !form.contains(ESCAPE) {
        return form;
    }
    let mut text = String::with_capacity(form.len());
    let mut chars = form.chars();
    while let Some(char) = chars.next() {
        match char {
            ESCAPE => text.push(if chars.next() == Some('0') {
                '\0'
            } else {
                ESCAPE
            }),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{original, stored};

    #[test]
    fn every_text_comes_back_and_none_has_a_nul() {
        for text in [
            "",
            "plain",
            "a\0b",
            "\0",
            "\u{1}",
            "\u{1}0",
            "\0\u{1}1\0",
            "naïve 🦀",
        ] {
            let form = stored(text).into_owned();
            assert!(!form.contains('\0'), "{text:?}");
            assert_eq!(original(form), text);
        }
    }

    #[test]
    fn different_texts_have_different_forms() {
        assert_ne!(stored("\0"), stored("\u{1}0"));
        assert_ne!(stored("\u{1}"), stored("\u{1}1"));
    }
}
