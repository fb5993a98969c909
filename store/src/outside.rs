//! Connections and variables at rest. What nobody may see is sealed before it comes here.

use crate::StoreError;
use async_trait::async_trait;
use tidemill_model::Ts;

/// A connection as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// Its name.
    pub id: String,
    /// What is at the other end.
    pub conn_type: String,
    /// What it is for.
    pub description: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The user there.
    pub login: Option<String>,
    /// The database, or what the type makes of it.
    pub schema: Option<String>,
    /// The password, sealed.
    pub password: Option<Vec<u8>>,
    /// More settings, sealed.
    pub extra: Option<Vec<u8>>,
    /// When it was last set.
    pub updated_at: Ts,
}

/// A variable as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableRecord {
    /// Its name.
    pub key: String,
    /// What it is for.
    pub description: Option<String>,
    /// Has somebody marked it as secret?
    pub is_marked: bool,
    /// Its value, sealed.
    pub value: Vec<u8>,
    /// When it was last set.
    pub updated_at: Ts,
}

/// What is to be kept and forgotten, all of it or nothing. Who is forgotten and kept is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutsideChange {
    /// Connections to forget, by name.
    pub forget_connections: Vec<String>,
    /// Connections to keep, in place of those of the same name.
    pub connections: Vec<ConnectionRecord>,
    /// Variables to forget, by name.
    pub forget_variables: Vec<String>,
    /// Variables to keep, in place of those of the same name.
    pub variables: Vec<VariableRecord>,
}

/// The connections and variables of the installation. A worker in another process never reads
/// them: what its attempts need comes to it sealed, with the attempt.
#[async_trait]
pub trait OutsideStore: Send + Sync {
    /// All connections by name.
    async fn connections(&self) -> Result<Vec<ConnectionRecord>, StoreError>;

    /// Connections of these names, as far as there are any, by name.
    async fn connections_named(&self, ids: &[String]) -> Result<Vec<ConnectionRecord>, StoreError>;

    /// All variables by name.
    async fn variables(&self) -> Result<Vec<VariableRecord>, StoreError>;

    /// Variables of these names, as far as there are any, by name.
    async fn variables_named(&self, keys: &[String]) -> Result<Vec<VariableRecord>, StoreError>;

    /// Keeps and forgets, in one transaction, fenced by the term.
    async fn change_outside(&self, change: &OutsideChange) -> Result<(), StoreError>;
}
