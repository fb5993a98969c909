//! What can go wrong inside, and how it is told outside.

use crate::raw::RawError;
use sqlx::migrate::MigrateError;
use tidemill_store::StoreError;
use tidemill_store::rows::Unreadable;

/// SQLite's codes for a file that is damaged, and for one that is no database.
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

/// A call has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Sql(sqlx::Error),
    #[error(transparent)]
    Raw(#[from] RawError),
    #[error("this scheduler's term is over")]
    TermLost,
    #[error("{0}")]
    Unreadable(String),
    #[error("it was opened for reading only")]
    ReadOnly,
}

impl Trouble {
    pub(crate) fn newer_schema(version: i64) -> Trouble {
        Trouble::Unreadable(format!(
            "its schema {version} is newer than this program; use the tidemill that wrote it, or a newer one"
        ))
    }

    /// The same for the outside, about the database at `what`.
    pub(crate) fn about(self, what: &str) -> StoreError {
        let code = match &self {
            Trouble::Sql(sqlx::Error::Database(err)) => {
                err.code().and_then(|code| code.parse().ok())
            }
            Trouble::Raw(err) => Some(err.code),
            _ => None,
        };
        match self {
            Trouble::TermLost => StoreError::TermLost,
            Trouble::Unreadable(why) => StoreError::Unreadable {
                what: format!("{what}: {why}"),
            },
            // The upper bits of a code only refine it.
            other
                if code
                    .is_some_and(|code: i32| matches!(code & 0xff, CORRUPT | NOT_A_DATABASE)) =>
            {
                StoreError::Unreadable {
                    what: format!("{what}: {other}; restore it from a backup"),
                }
            }
            other => StoreError::Unavailable {
                what: what.to_string(),
                err: other.into(),
            },
        }
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(err: sqlx::Error) -> Trouble {
        match err {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Trouble::Unreadable(err.to_string())
            }
            other => Trouble::Sql(other),
        }
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(err: serde_json::Error) -> Trouble {
        Unreadable::from(err).into()
    }
}

impl From<Unreadable> for Trouble {
    fn from(what: Unreadable) -> Trouble {
        Trouble::Unreadable(what.0)
    }
}

impl From<MigrateError> for Trouble {
    fn from(err: MigrateError) -> Trouble {
        match err {
            MigrateError::VersionMissing(version) => Trouble::newer_schema(version),
            MigrateError::Execute(err) | MigrateError::ExecuteMigration(err, _) => err.into(),
            other => Trouble::Unreadable(other.to_string()),
        }
    }
}
