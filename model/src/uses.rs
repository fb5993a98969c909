//! What a task names that is not in its file: connections, variables, earlier runs.

/// What a task needs from outside of its file, found by static analysis of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Names of connections.
    pub connections: Vec<String>,
    /// Names of variables.
    pub variables: Vec<String>,
    /// Names of variables that may be missing: the file says what holds then.
    pub optional_variables: Vec<String>,
    /// Does it look at the last run that has succeeded?
    pub last_success: bool,
    /// Does it ask how many instances it has?
    pub n_instances: bool,
}

impl Uses {
    /// Does it need no connection and no variable?
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
            && self.variables.is_empty()
            && self.optional_variables.is_empty()
    }

    /// One more connection.
    pub fn add_connection(&mut self, id: &str) {
        add(&mut self.connections, id);
    }

    /// One more variable, which may be missing or not.
    pub fn add_variable(&mut self, key: &str, is_optional: bool) {
        if is_optional {
            add(&mut self.optional_variables, key);
        } else {
            add(&mut self.variables, key);
        }
    }

    /// The secret that `conn.NAME`, `conn.NAME.FIELD` or `var.NAME` means.
    pub fn add_secret(&mut self, from: &str) {
        match from.split_once('.') {
            Some(("conn", rest)) => {
                self.add_connection(rest.split('.').next().unwrap_or_default());
            }
            Some(("var", key)) => self.add_variable(key, false),
            _ => {}
        }
    }
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_string());
    }
}
