//! Records of the database and what they say: each secret field is sealed for its own place.

use crate::daemon::clock;
use tidemill_connection::{Connection, Keys, Secret, Unusable, Variable};
use tidemill_store::{ConnectionRecord, VariableRecord};

fn connection_place(id: &str, field: &str) -> String {
    format!("connection/{id}/{field}")
}

/// The place that a variable's value is sealed for.
pub(super) fn variable_place(key: &str) -> String {
    format!("variable/{key}/value")
}

/// Seals the secret fields of a connection.
pub(super) fn seal_connection(
    keys: &Keys,
    connection: &Connection,
) -> Result<ConnectionRecord, Unusable> {
    let seal = |field: &str, secret: &Option<Secret>| {
        let place = connection_place(&connection.id, field);
        secret
            .as_ref()
            .map(|secret| keys.seal(&place, secret))
            .transpose()
    };
    Ok(ConnectionRecord {
        id: connection.id.clone(),
        conn_type: connection.conn_type.clone(),
        description: connection.description.clone(),
        host: connection.host.clone(),
        port: connection.port,
        login: connection.login.clone(),
        schema: connection.schema.clone(),
        password: seal("password", &connection.password)?,
        extra: seal("extra", &connection.extra)?,
        updated_at: clock::now(),
    })
}

/// Opens a stored connection.
pub(super) fn open_connection(
    keys: Option<&Keys>,
    record: &ConnectionRecord,
) -> Result<Connection, Unusable> {
    let open = |field: &str, sealed: &Option<Vec<u8>>| {
        let place = connection_place(&record.id, field);
        sealed
            .as_ref()
            .map(|sealed| open_one(keys, &place, sealed))
            .transpose()
    };
    Ok(Connection {
        id: record.id.clone(),
        conn_type: record.conn_type.clone(),
        description: record.description.clone(),
        host: record.host.clone(),
        port: record.port,
        login: record.login.clone(),
        schema: record.schema.clone(),
        password: open("password", &record.password)?,
        extra: open("extra", &record.extra)?,
    })
}

/// Opens a stored variable.
pub(super) fn open_variable(
    keys: Option<&Keys>,
    record: &VariableRecord,
) -> Result<Variable, Unusable> {
    let value = open_one(keys, &variable_place(&record.key), &record.value)?;
    Ok(Variable {
        description: record.description.clone(),
        is_marked: record.is_marked,
        ..Variable::new(&record.key, value)
    })
}

fn open_one(keys: Option<&Keys>, place: &str, sealed: &[u8]) -> Result<Secret, Unusable> {
    let keys =
        keys.ok_or_else(|| Unusable::new(format!("{place} is sealed, and there is no key")))?;
    keys.open(place, sealed)
}
