//! What an attempt leaves behind, without its secrets.

use serde_json::Value;
use tidemill_connection::Masker;
use tidemill_model::Outcome;

/// Hides secrets in everything of an outcome that is stored or shown.
pub(crate) fn outcome(masker: &Masker, outcome: &mut Outcome) {
    if masker.is_idle() {
        return;
    }
    let hide = |text: &mut String| *text = masker.text(text).into_owned();
    outcome.message.iter_mut().for_each(hide);
    outcome.follows.iter_mut().flatten().for_each(hide);
    for (key, value) in &mut outcome.values {
        hide(key);
        masker.value(value);
    }
    for item in outcome.items.iter_mut().flatten() {
        item.label.iter_mut().for_each(hide);
        let mut values = Value::Object(std::mem::take(&mut item.values));
        masker.value(&mut values);
        if let Value::Object(values) = values {
            item.values = values;
        }
    }
}
