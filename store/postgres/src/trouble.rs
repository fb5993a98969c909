//! What can go wrong inside, and how it is told outside.

use sqlx::migrate::MigrateError;
use std::io::ErrorKind;
use tidemill_store::StoreError;
use tidemill_store::rows::Unreadable;

/// A call has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Sql(sqlx::Error),
    #[error(
        "TLS to the server failed (`sslrootcert` in the address names the file of the authority that its certificate must be from, `sslmode` says what is checked)"
    )]
    Tls(#[source] sqlx::Error),
    #[error("the server has not answered within {0} s")]
    TimedOut(u64),
    #[error("this scheduler's term is over")]
    TermLost,
    #[error("{0}")]
    Unreadable(String),
    #[error("it was opened for reading only")]
    ReadOnly,
}

impl Trouble {
    /// The same for the outside, about the database at `what`.
    pub(crate) fn about(self, what: &impl ToString) -> StoreError {
        match self {
            Trouble::TermLost => StoreError::TermLost,
            Trouble::Unreadable(why) => StoreError::Unreadable {
                what: format!("{}: {why}", what.to_string()),
            },
            other => StoreError::Unavailable {
                what: what.to_string(),
                err: other.into(),
            },
        }
    }

    /// May the server have done what it was asked, although no answer says so? An answer of the
    /// server itself is certain, but for those that it gives while it goes down: they can come
    /// after the commit.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            Trouble::TimedOut(_) => true,
            Trouble::Sql(sqlx::Error::Database(err)) => {
                let code = err.code().unwrap_or_default();
                code.starts_with("08") || code.starts_with("57P") || code.starts_with("58")
            }
            Trouble::Sql(sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_)) => false,
            Trouble::Sql(_) => true,
            Trouble::Tls(_) | Trouble::TermLost | Trouble::Unreadable(_) | Trouble::ReadOnly => {
                false
            }
        }
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(err: sqlx::Error) -> Trouble {
        match err {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Trouble::Unreadable(err.to_string())
            }
            sqlx::Error::Tls(_) => Trouble::Tls(err),
            // What TLS says during the handshake comes as an error of reading.
            sqlx::Error::Io(ref io)
                if io.kind() == ErrorKind::InvalidData
                    && io.to_string().contains("certificate") =>
            {
                Trouble::Tls(err)
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
            MigrateError::Execute(err) | MigrateError::ExecuteMigration(err, _) => err.into(),
            other => Trouble::Unreadable(other.to_string()),
        }
    }
}
