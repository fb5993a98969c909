//! What stands in queries and bodies, read strictly.

use crate::error::Fault;
use serde_json::{Map, Value};
use tidemill_model::{MapIndex, Ts};
use tidemill_store::{Between, RunColumn, RunOrder};

/// Does a text hold a pattern, as Airflow's `*_pattern` means it: any of several parts with `|`
/// between them, in any case, `%` for anything and `_` for one character? `~` is everything.
pub(crate) fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let is_part = |part: &str| {
        let part: Vec<char> = format!("%{}%", part.trim().to_lowercase())
            .chars()
            .collect();
        matches_from(&text, &part)
    };
    pattern == "~" || pattern.split('|').any(is_part)
}

/// Matches without going back more than to the last `%`: the work is bounded by both lengths.
fn matches_from(text: &[char], pattern: &[char]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(of) {
            Some('%') => {
                last = Some((of, at));
                of += 1;
            }
            Some(one) if *one == '_' || *one == text[at] => {
                at += 1;
                of += 1;
            }
            _ => match &mut last {
                Some((percent, from)) => {
                    *from += 1;
                    (at, of) = (*from, *percent + 1);
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|one| *one == '%')
}

/// The pairs of a query; a key may come more than once.
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl Pairs {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, key: &str, default: u32) -> Result<u32, Fault> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| Fault::invalid("query", key, "a whole number from 0")),
        }
    }

    /// `limit` (50, at most 100) and `offset`.
    pub(crate) fn paging(&self) -> Result<(u32, u32), Fault> {
        Ok((
            self.number("limit", 50)?.min(100),
            self.number("offset", 0)?,
        ))
    }

    fn instant(&self, key: &str) -> Result<Option<Ts>, Fault> {
        let at = self
            .get(key)
            .map(|text| Ts::parse(text, &jiff::tz::TimeZone::UTC));
        let at = at.transpose();
        at.map_err(|err| Fault::invalid("query", key, err.to_string()))
    }

    /// `KEY_gte`, `KEY_gt`, `KEY_lte` and `KEY_lt`, as instants with both ends included.
    pub(crate) fn between(&self, key: &str) -> Result<Between, Fault> {
        let read = |end: &str| self.instant(&format!("{key}_{end}"));
        let from = read("gte")?.max(read("gt")?.map(|at| Ts(at.0.saturating_add(1))));
        let below = read("lt")?.map(|at| Ts(at.0.saturating_sub(1)));
        let until = match (read("lte")?, below) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Ok((from, until))
    }

    /// `order_by` of runs: a name, with `-` before it from the last to the first.
    pub(crate) fn run_order(&self) -> Result<Option<RunOrder>, Fault> {
        let mut asked = self.all("order_by");
        let Some(first) = asked.next() else {
            return Ok(None);
        };
        if asked.next().is_some() {
            return Err(Fault::invalid(
                "query",
                "order_by",
                "one name; more are not built yet",
            ));
        }
        let name = match first.trim_start_matches('-') {
            "run_id" | "dag_run_id" => "id",
            name => name,
        };
        let known = RunColumn::ALL.iter().find(|column| column.name() == name);
        let Some(by) = known else {
            let names: Vec<&str> = RunColumn::ALL.iter().map(|column| column.name()).collect();
            let what = format!("one of {}", names.join(", "));
            return Err(Fault::invalid("query", "order_by", what));
        };
        Ok(Some(RunOrder {
            by: *by,
            descending: first.starts_with('-'),
        }))
    }

    pub(crate) fn map_index(&self) -> Result<MapIndex, Fault> {
        match self.get("map_index") {
            None => Ok(MapIndex::NONE),
            Some(text) => text
                .parse()
                .map(MapIndex)
                .map_err(|_| Fault::invalid("query", "map_index", "a whole number")),
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Fault> {
        match self.get(key) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(_) => Err(Fault::invalid("query", key, "true or false")),
        }
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Pairs {
    type Rejection = crate::error::ApiError;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Pairs, Self::Rejection> {
        let pairs =
            axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        pairs
            .map(|pairs| Pairs(pairs.0))
            .map_err(|err| Fault::invalid("query", "", err.to_string()).into())
    }
}

/// A body that must be an object with these keys and no others.
pub(crate) struct Body(Map<String, Value>);

impl Body {
    pub(crate) fn read(bytes: &[u8], known: &[&str]) -> Result<Body, Fault> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|err| Fault::invalid("body", "", format!("not JSON: {err}")))?;
        let Value::Object(map) = value else {
            return Err(Fault::invalid("body", "", "an object is wanted"));
        };
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Fault::invalid(
                "body",
                key,
                format!("unknown key; known are {}", known.join(", ")),
            )),
            None => Ok(Body(map)),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The value under a key; null is as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, Fault> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Fault::invalid("body", key, "a text is wanted")),
        }
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, Fault> {
        Ok(self.maybe_flag(key)?.unwrap_or(default))
    }

    pub(crate) fn maybe_flag(&self, key: &str) -> Result<Option<bool>, Fault> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Fault::invalid("body", key, "true or false is wanted")),
        }
    }

    pub(crate) fn instant(&self, key: &str) -> Result<Option<Ts>, Fault> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let at = Ts::parse(&text, &jiff::tz::TimeZone::UTC);
        at.map(Some)
            .map_err(|err| Fault::invalid("body", key, err.to_string()))
    }

    /// Refuses a key whose meaning is not built yet, unless it is false or empty.
    pub(crate) fn refuse(&self, keys: &[&str]) -> Result<(), Fault> {
        let is_asked = |key: &str| !matches!(self.get(key), None | Some(Value::Bool(false)));
        match keys.iter().find(|key| is_asked(key)) {
            Some(key) => Err(Fault::invalid("body", key, "this is not built yet")),
            None => Ok(()),
        }
    }
}
