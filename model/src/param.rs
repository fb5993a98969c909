//! Parameters of a DAG: a default and a JSON Schema each.

/// A parameter: a name, a default and a JSON Schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value when a run says nothing; JSON null when there is none.
    pub default: serde_json::Value,
    /// The JSON Schema that values must satisfy, with `type`, `enum`, `title` and the like.
    pub schema: serde_json::Value,
}

impl Param {
    /// Does a value fit? Of JSON Schema, `type`, `enum`, `minimum`, `maximum`, `minLength` and
    /// `maxLength` are looked at.
    ///
    /// # Errors
    /// What is wrong, to be read after the parameter's name.
    pub fn accepts(&self, value: &serde_json::Value) -> Result<(), String> {
        let types: Vec<&str> = match self.schema.get("type") {
            Some(serde_json::Value::String(one)) => vec![one],
            Some(serde_json::Value::Array(several)) => {
                several.iter().filter_map(|one| one.as_str()).collect()
            }
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|one| is_of_type(value, one)) {
            if value.is_null() {
                return Err("needs a value".to_string());
            }
            return Err(format!("must be {}, not {value}", types.join(" or ")));
        }
        if let Some(choices) = self
            .schema
            .get("enum")
            .and_then(|choices| choices.as_array())
            && !choices.contains(value)
        {
            return Err(format!(
                "must be one of {}, not {value}",
                serde_json::Value::from(choices.clone())
            ));
        }
        let bound = |key: &str| self.schema.get(key).and_then(serde_json::Value::as_f64);
        let sizes = [
            (value.as_f64(), "minimum", "maximum"),
            (
                value.as_str().map(|text| text.chars().count() as f64),
                "minLength",
                "maxLength",
            ),
        ];
        for (size, low, high) in sizes {
            let Some(size) = size else { continue };
            if let Some(low) = bound(low).filter(|low| size < *low) {
                return Err(format!("is below its minimum of {low}"));
            }
            if let Some(high) = bound(high).filter(|high| size > *high) {
                return Err(format!("is above its maximum of {high}"));
            }
        }
        Ok(())
    }
}

/// JSON Schema's types; an integer may be written as `2.0`.
fn is_of_type(value: &serde_json::Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}
