//! One file for each verb.

mod assets;
mod backfills;
mod client;
mod connections;
mod crontab;
mod dags;
mod db;
mod file;
mod instance;
mod local_record;
mod local_run;
mod local_summary;
mod logs;
mod next;
mod pools;
mod print;
mod run_outside;
mod runs;
mod secrets;
mod serve;
mod tasks;
mod triggers;
mod validate;
mod values;
mod variables;
#[cfg(feature = "wasm")]
mod wasm;
mod why;
mod worker;

use crate::args::{Args, Command, Import, SchemaOf};
use crate::exit::{Exit, Failure};
use print::Printer;

/// Runs the command that the line names.
///
/// # Errors
/// What is printed, and the status.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let printer = Printer::new(args.output, args.color);
    let at = client::Where {
        home: args.home,
        database: args.database,
    };
    match args.command {
        Command::Serve(options) => serve::serve(&at, options),
        Command::Worker(options) => worker::worker(&at, options),
        Command::Workers(verb) => block_on(worker::workers(&printer, &at, verb)),
        Command::Run(options) => local_run::run(&printer, &at, options),
        Command::Validate { paths } => validate::validate(&printer, &paths),
        Command::Explain { code } => validate::explain(&code),
        Command::Schema {
            what: SchemaOf::Dag,
        } => {
            print::json(&tidemill_dagfile::schema());
            Ok(Exit::Ok)
        }
        Command::Import(Import::Crontab(options)) => crontab::import(&printer, options),
        Command::Dags(verb) => block_on(dags::dags(&printer, &at, verb)),
        Command::Runs(verb) => block_on(runs::runs(&printer, &at, verb)),
        Command::Backfills(verb) => block_on(backfills::backfills(&printer, &at, verb)),
        Command::Tasks(verb) => block_on(tasks::tasks(&printer, &at, verb)),
        Command::Triggers(verb) => block_on(triggers::triggers(&printer, &at, verb)),
        Command::Assets(verb) => block_on(assets::assets(&printer, &at, verb)),
        Command::Pools(verb) => block_on(pools::pools(&printer, &at, verb)),
        Command::Connections(verb) => block_on(connections::connections(&printer, &at, verb)),
        Command::Variables(verb) => block_on(variables::variables(&printer, &at, verb)),
        Command::Secrets(verb) => block_on(secrets::secrets(&printer, &at, verb)),
        Command::Db(verb) => block_on(db::db(&at, verb)),
        #[cfg(feature = "wasm")]
        Command::Wasm(verb) => wasm::wasm(&printer, verb),
        Command::LoginLink => block_on(serve::login_link(&at)),
        Command::ExitCodes => {
            for (_, code, meaning) in Exit::ALL {
                println!("{code:>4}  {meaning}");
            }
            Ok(Exit::Ok)
        }
    }
}

/// Short commands need no threads.
fn block_on(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(crate::daemon::server::unexpected)?
        .block_on(command)
}
