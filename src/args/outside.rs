//! What people do with connections, variables and their key.

use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

/// The form of an export.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Airflow's JSON.
    Json,
    /// Lines of NAME=VALUE.
    Env,
}

/// `connections`.
#[derive(Subcommand, Debug)]
pub enum Connections {
    /// The connections of the database.
    List,
    /// One connection, its secrets hidden.
    Get {
        /// Its name.
        connection: String,
    },
    /// Make a connection or change it. What is not given stays.
    #[command(
        after_help = "Secrets do not stand on the command line, where everybody on the machine can read them.\n\nExamples:\n  tidemill connections set warehouse --type postgres --host db --login etl --password-file -\n  echo 'postgres://etl:s3cret@db:5432/dw' | tidemill connections set warehouse --uri-file -"
    )]
    Set(Box<SetConnection>),
    /// Forget a connection.
    Delete {
        /// Its name.
        connection: String,
    },
    /// Try a connection: log in at its other end, and change nothing there.
    Test {
        /// Its name.
        connection: String,
    },
    /// Keep the connections of a file: Airflow's JSON, or lines of NAME=URI.
    Import {
        /// The file; - for standard input.
        file: PathBuf,
        /// Replace those that are there already.
        #[arg(long)]
        overwrite: bool,
    },
    /// Write all connections with their secrets.
    Export {
        /// The file, readable by you alone; - for standard output.
        file: PathBuf,
        /// Its form.
        #[arg(long, value_enum, default_value = "json")]
        format: Form,
    },
}

/// What a connection becomes.
#[derive(clap::Args, Debug)]
pub struct SetConnection {
    /// Its name.
    pub connection: String,
    /// What is at the other end: postgres, http, …
    #[arg(long = "type", value_name = "TYPE")]
    pub conn_type: Option<String>,
    /// The host.
    #[arg(long)]
    pub host: Option<String>,
    /// The port.
    #[arg(long)]
    pub port: Option<u16>,
    /// The user there.
    #[arg(long)]
    pub login: Option<String>,
    /// A file with the password; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The database, or what the type makes of it.
    #[arg(long)]
    pub schema: Option<String>,
    /// A file with more settings, a JSON object; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub extra_file: Option<PathBuf>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// All of it as one URI without a password, or as one JSON object.
    #[arg(long, conflicts_with = "uri_file")]
    pub uri: Option<String>,
    /// A file with all of it as one URI or JSON object; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub uri_file: Option<PathBuf>,
}

/// `variables`.
#[derive(Subcommand, Debug)]
pub enum Variables {
    /// The variables of the database.
    List,
    /// The value of one variable; *** when it is secret.
    Get {
        /// Its name.
        variable: String,
    },
    /// Make a variable or change it. What is not given stays.
    #[command(
        after_help = "Examples:\n  tidemill variables set region eu-west-1\n  tidemill variables set api_token --file - < token.txt\n  tidemill variables set salt --file salt.txt --secret"
    )]
    Set {
        /// Its name.
        variable: String,
        /// Its value, if it is not secret.
        value: Option<String>,
        /// A file with its value; - for standard input.
        #[arg(long, conflicts_with = "value")]
        file: Option<PathBuf>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Never show its value. Names such as api_token say so by themselves.
        #[arg(long)]
        secret: bool,
    },
    /// Forget a variable.
    Delete {
        /// Its name.
        variable: String,
    },
    /// Keep the variables of a file in Airflow's JSON.
    Import {
        /// The file; - for standard input.
        file: PathBuf,
        /// Replace those that are there already.
        #[arg(long)]
        overwrite: bool,
    },
    /// Write all variables with their values in Airflow's JSON.
    Export {
        /// The file, readable by you alone; - for standard output.
        file: PathBuf,
    },
}

/// `secrets`.
#[derive(Subcommand, Debug)]
pub enum Secrets {
    /// Seal every connection and variable with a new key.
    #[command(
        after_help = "Where the key is the server's own file, a new one is made. Where it is given by TIDEMILL_SECRETS_KEY or TIDEMILL_SECRETS_KEY_FILE, put the new key before the old one, start the server again, rotate, and take the old one away."
    )]
    Rotate,
    /// Print a new key, for TIDEMILL_SECRETS_KEY or its file.
    NewKey,
    /// Print the key for workers on other machines, for their TIDEMILL_SECRETS_KEY.
    WorkerKey,
}
