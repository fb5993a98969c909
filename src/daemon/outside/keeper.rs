//! The connections and variables of the database: sealed when they come in, opened for attempts.

use super::key_place::KeyPlace;
use super::probe;
use super::records::{open_connection, open_variable, seal_connection, variable_place};
use crate::daemon::clock;
use crate::exit::chain;
use std::sync::{Arc, PoisonError, RwLock};
use tidemill_connection::{Connection, Found, Keys, Kind, Places, Secret, Unusable, Variable};
use tidemill_model::Uses;
use tidemill_store::{
    Answer, ConnectionChange, ConnectionRecord, OutsideChange, OutsideStore, OutsideWish, Refusal,
    StoreError, VariableChange, VariableRecord,
};

/// A value has at most so many bytes.
const VALUE_MAX: usize = 1024 * 1024;

/// Keeps connections and variables, and the key that opens them.
pub struct Keeper {
    store: Arc<dyn OutsideStore>,
    place: KeyPlace,
    keys: RwLock<Option<Keys>>,
    /// Changes come one after the other: each is made from what was there.
    turn: tokio::sync::Mutex<()>,
}

/// What the database has of what an attempt uses, still sealed.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    connections: Vec<ConnectionRecord>,
    variables: Vec<VariableRecord>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keeper({})", self.place)
    }
}

impl Keeper {
    /// With the keys that are there.
    ///
    /// # Errors
    /// When there are some that cannot be read.
    pub fn open(store: Arc<dyn OutsideStore>, place: KeyPlace) -> Result<Keeper, Unusable> {
        Ok(Keeper {
            store,
            keys: RwLock::new(place.read()?),
            place,
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// The keys, if there are any yet.
    pub fn keys(&self) -> Option<Keys> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn keep_keys(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }

    /// The keys, made now if nothing is sealed yet.
    async fn keys_to_seal(&self) -> Result<Keys, Refusal> {
        if let Some(keys) = self.keys() {
            return Ok(keys);
        }
        let connections = self.store.connections().await.map_err(away)?;
        let is_sealed = |one: &ConnectionRecord| one.password.is_some() || one.extra.is_some();
        if connections.iter().any(is_sealed)
            || !self.store.variables().await.map_err(away)?.is_empty()
        {
            let what = "the database holds values that another key has sealed".to_string();
            return Err(self.shut(&Unusable { what }));
        }
        let keys = Keys::generate().map_err(conflict)?;
        self.place.write(&keys).map_err(conflict)?;
        tracing::info!(place = %self.place, "Made the key of the secrets; without it they cannot be opened, so keep a copy");
        self.keep_keys(keys.clone());
        Ok(keys)
    }

    /// Reads what the database has of what is open.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, open: &Uses) -> Result<Stored, StoreError> {
        let mut stored = Stored::default();
        if !open.connections.is_empty() {
            stored.connections = self.store.connections_named(&open.connections).await?;
        }
        let mut keys = open.variables.clone();
        keys.extend(open.optional_variables.iter().cloned());
        if !keys.is_empty() {
            stored.variables = self.store.variables_named(&keys).await?;
        }
        Ok(stored)
    }

    /// Opens what was read.
    pub fn unseal(&self, stored: &Stored, found: &mut Found) {
        let keys = self.keys();
        for record in &stored.connections {
            match open_connection(keys.as_ref(), record) {
                Ok(connection) => {
                    found.connections.insert(record.id.clone(), connection);
                }
                Err(err) => found.wrong.push(self.locked(&err)),
            }
        }
        for record in &stored.variables {
            match open_variable(keys.as_ref(), record) {
                Ok(variable) => {
                    found.variables.insert(record.key.clone(), variable);
                }
                Err(err) => found.wrong.push(self.locked(&err)),
            }
        }
    }

    fn locked(&self, err: &Unusable) -> String {
        format!("{err}; the key is looked for in {}", self.place)
    }

    /// Does what people ask. `may_write` is false where another process is the scheduler.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn answer(&self, wish: OutsideWish, may_write: bool) -> Result<Answer, Refusal> {
        if wish.changes() && !may_write {
            let what = "this server is not the scheduler, and no database carries secrets there: change connections and variables at the scheduler's own server";
            return Err(Refusal::Unavailable {
                what: what.to_string(),
            });
        }
        let _turn = match wish {
            // The other end may take its time: nobody waits for it but who asks.
            OutsideWish::Test { .. } => None,
            _ => Some(self.turn.lock().await),
        };
        match wish {
            OutsideWish::Connections => Ok(Answer::Connections(
                self.store.connections().await.map_err(away)?,
            )),
            OutsideWish::Variables => self.variables(false).await.map(Answer::Variables),
            OutsideWish::Export => {
                let connections = self.all_connections().await?;
                let variables = self.variables(true).await?;
                Ok(Answer::Export(connections, variables))
            }
            OutsideWish::SetConnection { id, change, is_new } => {
                self.set_connection(id, *change, is_new).await
            }
            OutsideWish::DeleteConnection { id } => self.delete_connection(id).await,
            OutsideWish::SetVariable {
                key,
                change,
                is_new,
            } => self.set_variable(key, change, is_new).await,
            OutsideWish::DeleteVariable { key } => self.delete_variable(key).await,
            OutsideWish::Test { id, change } => self.test(id, *change).await,
            OutsideWish::Rotate => self.rotate().await,
        }
    }

    async fn all_connections(&self) -> Result<Vec<Connection>, Refusal> {
        let keys = self.keys();
        let records = self.store.connections().await.map_err(away)?;
        let opened = records
            .iter()
            .map(|record| open_connection(keys.as_ref(), record));
        opened
            .collect::<Result<_, _>>()
            .map_err(|err| self.shut(&err))
    }

    /// All variables; of the secret ones the value only if it is asked for.
    async fn variables(&self, with_secrets: bool) -> Result<Vec<Variable>, Refusal> {
        let keys = self.keys();
        let records = self.store.variables().await.map_err(away)?;
        let mut variables = Vec::with_capacity(records.len());
        for record in &records {
            let blank = Variable {
                description: record.description.clone(),
                is_marked: record.is_marked,
                ..Variable::new(&record.key, "")
            };
            if blank.is_secret() && !with_secrets {
                variables.push(blank);
                continue;
            }
            let opened = open_variable(keys.as_ref(), record);
            variables.push(opened.map_err(|err| self.shut(&err))?);
        }
        Ok(variables)
    }

    fn shut(&self, err: &Unusable) -> Refusal {
        Refusal::Conflict {
            what: self.locked(err),
        }
    }

    /// The stored connection of this name, with what it becomes.
    async fn changed(
        &self,
        id: &str,
        change: ConnectionChange,
    ) -> Result<(bool, Connection), Refusal> {
        let name = [id.to_string()];
        let stored = self.store.connections_named(&name).await.map_err(away)?;
        let before = match stored.first() {
            None => None,
            // Secrets that are replaced need no key to be opened.
            Some(record) => {
                let keys = self.keys();
                let needed = ConnectionRecord {
                    password: record
                        .password
                        .clone()
                        .filter(|_| change.password.is_none()),
                    extra: record.extra.clone().filter(|_| change.extra.is_none()),
                    ..record.clone()
                };
                Some(open_connection(keys.as_ref(), &needed).map_err(|err| self.shut(&err))?)
            }
        };
        let was_there = before.is_some();
        let mut connection = before.unwrap_or_else(|| Connection {
            id: id.to_string(),
            ..Connection::default()
        });
        change.apply_to(&mut connection);
        check(&connection).map_err(invalid)?;
        Ok((was_there, connection))
    }

    async fn set_connection(
        &self,
        id: String,
        change: ConnectionChange,
        is_new: Option<bool>,
    ) -> Result<Answer, Refusal> {
        let (was_there, connection) = self.changed(&id, change).await?;
        check_new(Kind::Connection, &id, was_there, is_new)?;
        let keys = self.keys_to_seal().await?;
        let record = seal_connection(&keys, &connection).map_err(conflict)?;
        self.write(OutsideChange {
            connections: vec![record.clone()],
            ..OutsideChange::default()
        })
        .await?;
        Ok(Answer::Connections(vec![record]))
    }

    async fn delete_connection(&self, id: String) -> Result<Answer, Refusal> {
        let name = [id.clone()];
        let stored = self.store.connections_named(&name).await.map_err(away)?;
        check_new(Kind::Connection, &id, !stored.is_empty(), Some(false))?;
        self.write(OutsideChange {
            forget_connections: vec![id],
            ..OutsideChange::default()
        })
        .await?;
        Ok(Answer::Done)
    }

    async fn set_variable(
        &self,
        key: String,
        change: VariableChange,
        is_new: Option<bool>,
    ) -> Result<Answer, Refusal> {
        Kind::Variable.check(&key).map_err(invalid)?;
        let name = [key.clone()];
        let stored = self.store.variables_named(&name).await.map_err(away)?;
        let before = stored.into_iter().next();
        check_new(Kind::Variable, &key, before.is_some(), is_new)?;
        let keys = self.keys_to_seal().await?;
        let value = match (&change.value, &before) {
            (Some(value), _) if value.expose().len() > VALUE_MAX => {
                return Err(invalid(Unusable::new(format!(
                    "a value has at most {VALUE_MAX} bytes"
                ))));
            }
            (Some(value), _) => keys.seal(&variable_place(&key), value).map_err(conflict)?,
            (None, Some(before)) => before.value.clone(),
            (None, None) => {
                return Err(invalid(Unusable::new(format!(
                    "variable `{key}` needs a value"
                ))));
            }
        };
        let record = VariableRecord {
            description: match change.description {
                Some(description) => description,
                None => before
                    .as_ref()
                    .and_then(|before| before.description.clone()),
            },
            is_marked: change
                .is_marked
                .unwrap_or_else(|| before.as_ref().is_some_and(|before| before.is_marked)),
            key,
            value,
            updated_at: clock::now(),
        };
        self.write(OutsideChange {
            variables: vec![record.clone()],
            ..OutsideChange::default()
        })
        .await?;
        let mut variable = open_variable(Some(&keys), &record).map_err(|err| self.shut(&err))?;
        if variable.is_secret() {
            variable.value = Secret::default();
        }
        Ok(Answer::Variables(vec![variable]))
    }

    async fn delete_variable(&self, key: String) -> Result<Answer, Refusal> {
        let name = [key.clone()];
        let stored = self.store.variables_named(&name).await.map_err(away)?;
        check_new(Kind::Variable, &key, !stored.is_empty(), Some(false))?;
        self.write(OutsideChange {
            forget_variables: vec![key],
            ..OutsideChange::default()
        })
        .await?;
        Ok(Answer::Done)
    }

    async fn test(&self, id: String, change: ConnectionChange) -> Result<Answer, Refusal> {
        let (_, connection) = self.changed(&id, change).await?;
        let (is_reached, told) = match probe::reach(&connection).await {
            Ok(told) => (true, told),
            Err(told) => (false, told),
        };
        Ok(Answer::Tested { is_reached, told })
    }

    /// Seals everything anew. Where the key is ours a new one is made; a crash in between leaves
    /// both keys in the file, and what is sealed by either can be opened.
    async fn rotate(&self) -> Result<Answer, Refusal> {
        let mut keys = self.keys_to_seal().await?;
        if self.place.is_ours() {
            keys = keys.after(Keys::generate().map_err(conflict)?);
            self.place.write(&keys).map_err(conflict)?;
            self.keep_keys(keys.clone());
        }
        let connections = self.all_connections().await?;
        let connections = connections.iter().map(|one| seal_connection(&keys, one));
        let variables = self.store.variables().await.map_err(away)?;
        let variables = variables.into_iter().map(|record| {
            let place = variable_place(&record.key);
            let value = keys.open(&place, &record.value)?;
            let value = keys.seal(&place, &value)?;
            Ok(VariableRecord { value, ..record })
        });
        let change = OutsideChange {
            connections: connections
                .collect::<Result<_, _>>()
                .map_err(|err| self.shut(&err))?,
            variables: variables
                .collect::<Result<_, Unusable>>()
                .map_err(|err| self.shut(&err))?,
            ..OutsideChange::default()
        };
        let n_sealed = change.connections.len() + change.variables.len();
        self.write(change).await?;
        if self.place.is_ours() {
            let keys = keys.current();
            self.place.write(&keys).map_err(conflict)?;
            self.keep_keys(keys);
        }
        Ok(Answer::Rotated {
            n_sealed,
            key: keys.id(),
        })
    }

    async fn write(&self, change: OutsideChange) -> Result<(), Refusal> {
        self.store.change_outside(&change).await.map_err(away)
    }
}

/// One connection, wherever it is.
///
/// # Errors
/// What is missing, for people.
pub async fn by_name(id: &str, places: &Places, keeper: &Keeper) -> Result<Connection, String> {
    let mut uses = Uses::default();
    uses.add_connection(id);
    look(&uses, places, keeper).await?.connection(id).cloned()
}

/// One secret, wherever it is: `conn.NAME.FIELD` or `var.NAME`.
///
/// # Errors
/// What is missing, for people.
pub async fn secret_of(from: &str, places: &Places, keeper: &Keeper) -> Result<Secret, String> {
    let mut uses = Uses::default();
    uses.add_secret(from);
    look(&uses, places, keeper).await?.secret(from)
}

async fn look(uses: &Uses, places: &Places, keeper: &Keeper) -> Result<Found, String> {
    let (mut found, open) = Found::look(uses, places);
    let stored = keeper.read(&open).await.map_err(|err| chain(&err))?;
    keeper.unseal(&stored, &mut found);
    if found.wrong.is_empty() {
        found.close(&open, places);
    }
    match found.trouble() {
        Some(what) => Err(what),
        None => Ok(found),
    }
}

fn away(err: StoreError) -> Refusal {
    Refusal::Unavailable { what: chain(&err) }
}

fn conflict(err: Unusable) -> Refusal {
    Refusal::Conflict { what: err.what }
}

fn invalid(err: Unusable) -> Refusal {
    Refusal::Invalid { what: err.what }
}

fn check(connection: &Connection) -> Result<(), Unusable> {
    Kind::Connection.check(&connection.id)?;
    if connection.conn_type.trim().is_empty() {
        let id = &connection.id;
        return Err(Unusable::new(format!(
            "connection `{id}` needs a type, such as postgres or http"
        )));
    }
    let secrets = connection.password.iter().chain(&connection.extra);
    let texts = [
        &connection.host,
        &connection.login,
        &connection.schema,
        &connection.description,
    ];
    let texts = texts.into_iter().flatten().map(String::as_str);
    let n_bytes: usize = secrets.map(Secret::expose).chain(texts).map(str::len).sum();
    if n_bytes > VALUE_MAX {
        return Err(Unusable::new(format!(
            "a connection has at most {VALUE_MAX} bytes"
        )));
    }
    if connection.extra.is_some() && connection.extra_object().is_none() {
        return Err(Unusable::new("`extra` is one JSON object"));
    }
    Ok(())
}

fn check_new(kind: Kind, name: &str, was_there: bool, is_new: Option<bool>) -> Result<(), Refusal> {
    let word = kind.word();
    match is_new {
        Some(true) if was_there => Err(Refusal::Conflict {
            what: format!("{word} `{name}` is there already"),
        }),
        Some(false) if !was_there => Err(Refusal::NotFound {
            what: format!("there is no {word} `{name}`"),
        }),
        _ => Ok(()),
    }
}
