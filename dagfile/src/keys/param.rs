//! The keys of parameters.

use super::{Key, Kind, key};
use tidemill_model::param::FORMATS;

#[rustfmt::skip]
pub(crate) const PARAM_TYPES: &[&str] = &["string", "number", "integer", "boolean", "array", "object", "null"];

/// `[params.NAME]`, JSON Schema's own words.
#[rustfmt::skip]
pub(crate) const PARAM: &[Key] = &[
    key("default", Kind::Any, "", "Its value when a run says nothing."),
    key("type", Kind::Choices(PARAM_TYPES), "", "The type, or several; inferred from the default when absent."),
    key("enum", Kind::Any, "", "The values to choose from."),
    key("title", Kind::Text, "", "What the form calls it."),
    key("description", Kind::Text, "", "What the form says about it."),
    key("description_md", Kind::Text, "", "The same in Markdown, which the form shows as it is written; `description` wins."),
    key("section", Kind::Text, "", "The part of the form it stands in."),
    key("format", Kind::Choice(FORMATS), "", "What a text looks like: `date`, `time`, `email`, `uri` and the like are checked; `multiline` is for the form."),
    key("minimum", Kind::AnyNumber, "", "The smallest number."),
    key("maximum", Kind::AnyNumber, "", "The greatest number."),
    key("exclusiveMinimum", Kind::AnyNumber, "", "Numbers are above this."),
    key("exclusiveMaximum", Kind::AnyNumber, "", "Numbers are below this."),
    key("multipleOf", Kind::AnyNumber, "", "Numbers are multiples of this, which is above 0."),
    key("minLength", Kind::Int(0, 1 << 20), "", "The fewest characters."),
    key("maxLength", Kind::Int(0, 1 << 20), "", "The most characters."),
    key("pattern", Kind::Text, "", "A regular expression that texts match somewhere; `^` and `$` tie it to their ends."),
    key("items", Kind::Any, "", "The schema of each item of an array, in these same words."),
    key("minItems", Kind::Int(0, 1 << 20), "", "The fewest items."),
    key("maxItems", Kind::Int(0, 1 << 20), "", "The most items."),
    key("uniqueItems", Kind::Bool, "", "Are the items all different?"),
    key("properties", Kind::Any, "", "The schemas of an object's keys, in these same words."),
    key("required", Kind::Texts, "", "Keys that an object must have."),
    key("examples", Kind::Any, "", "Values to offer."),
    key("const", Kind::Any, "", "The only value."),
    key("values_display", Kind::Any, "", "What the form calls the values."),
];
