//! What a database must be able to do for the operator: PostgreSQL and SQLite can.

use super::load::Plan;
use super::rows::Rows;
use super::statement::Statement;
use crate::operator::Failure;
use serde_json::Value;
use std::time::Duration;

/// What a database said against it.
pub(super) fn trouble(err: &sqlx::Error) -> Failure {
    match err {
        sqlx::Error::Database(err) => {
            let code = err
                .code()
                .map(|code| format!(" ({code})"))
                .unwrap_or_default();
            Failure::refused(format!("the database: {}{code}", err.message()))
        }
        other => Failure::refused(format!("the database cannot be asked: {other}")),
    }
}

/// A connection to a database.
pub(super) trait Target: Send {
    /// Makes the table of `once`, if it is not there.
    fn prepare_once(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Begins the transaction; no statement in it takes longer.
    fn begin(&mut self, timeout: Duration) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Marks the work `id` as done in this transaction, unless it is: then gives what it left.
    fn mark(&mut self, id: &str) -> impl Future<Output = Result<Option<String>, Failure>> + Send;

    /// Keeps what the work has left beside its mark.
    fn remember(
        &mut self,
        id: &str,
        output: &str,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Runs a statement; gives how many rows it changed.
    fn run(
        &mut self,
        statement: &Statement,
        values: &[Value],
        rows: &mut Rows,
    ) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// Loads a file; gives how many rows it had.
    fn load(&mut self, plan: &Plan) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// Makes everything true.
    fn commit(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}
