//! `secrets`: the key; and how secrets come in and go out of the command line.

use super::client::{Client, Where};
use super::print::{Printer, json, line};
use crate::args::Secrets;
use crate::daemon::home::Home;
use crate::daemon::outside::KeyPlace;
use crate::exit::{Exit, Failure};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tidemill_connection::{Keys, Unusable};

/// Nothing that is read is larger.
const INPUT_MAX: u64 = 64 << 20;

/// Runs one of the verbs.
pub async fn secrets(printer: &Printer, at: &Where, verb: Secrets) -> Result<Exit, Failure> {
    match verb {
        Secrets::Rotate => {
            let client = Client::of(at).await?;
            let path = "/api/tidemill/v1/secrets/rotate";
            let told = client.send("POST", path, None).await?;
            if printer.is_json() {
                json(&told);
            } else {
                line(&format!(
                    "{} connections and variables are sealed with the key {}",
                    told["sealed"],
                    told["key_id"].as_str().unwrap_or_default()
                ));
            }
        }
        Secrets::NewKey => {
            let keys = Keys::generate().map_err(failed)?;
            line(keys.text().expose().trim_end());
        }
        Secrets::WorkerKey => {
            let place = KeyPlace::of_process(&Home::at(&at.home));
            let keys = place.read().map_err(failed)?.ok_or_else(|| {
                let what = format!("there is no key yet in {place}");
                Failure::new(Exit::NotFound, what)
                    .hint("it is made with the first connection or variable; `tidemill secrets new-key` prints one for TIDEMILL_SECRETS_KEY")
            })?;
            line(keys.for_workers_text().expose());
        }
    }
    Ok(Exit::Ok)
}

fn failed(err: Unusable) -> Failure {
    Failure::new(Exit::Error, err.what)
}

/// The text of a file, or of standard input, without the newline at its end.
pub(super) fn read_input(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(INPUT_MAX)
            .read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(INPUT_MAX).read_to_string(&mut text))
    };
    read.map_err(|err| {
        Failure::new(
            Exit::Usage,
            format!("cannot read {}: {err}", file.display()),
        )
    })?;
    Ok(text.strip_suffix('\n').map_or(text.clone(), str::to_string))
}

/// Writes a text into a new file that only its owner can read, or to standard output.
pub(super) fn write_private(file: &Path, text: &str) -> Result<(), Failure> {
    if file == Path::new("-") {
        line(text.trim_end_matches('\n'));
        return Ok(());
    }
    let mut options = File::options();
    let made = options.write(true).create_new(true).mode(0o600).open(file);
    made.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|err| {
            let what = format!("cannot write {}: {err}", file.display());
            Failure::new(Exit::Usage, what).hint("an export is written into a new file")
        })
}
