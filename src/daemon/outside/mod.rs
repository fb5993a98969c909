//! Connections and variables: of attempts, and as people set them. They are looked for in the
//! environment of whatever runs the task, then in its files, then in the database.

mod keeper;
mod key_place;
mod probe;
mod records;
mod sealed;

pub use keeper::{Keeper, by_name, secret_of};
pub use key_place::{KeyPlace, keys_of_worker};
pub use sealed::{for_worker, of_worker};
