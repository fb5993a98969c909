//! Names that are not there, where it is known what is there instead.

use crate::diagnostic::Diagnostic;
use crate::refs::range_of;
use crate::walk::{Text, Walk};
use tidemill_template::References;

/// Reports names that Airflow has and this format has not, and fields that a name has not.
pub(crate) fn check(walk: &mut Walk, text: &Text, found: &References) {
    for absent in &found.absent {
        let span = range_of(walk, text, &absent.named.range);
        let message = format!("`{}` is not known in templates", absent.named.name);
        let one = Diagnostic::error("TM0202", span, message);
        walk.report(one.label("not there").help(absent.instead.clone()));
    }
}
