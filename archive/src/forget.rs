//! Logs go from the archive with their runs.

use crate::{Archive, ArchiveError};
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use tidemill_model::RunNo;

impl Archive {
    /// The runs of which it has logs.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn runs(&self) -> Result<Vec<RunNo>, ArchiveError> {
        let found = self.store.list_with_delimiter(Some(&self.root)).await;
        let found = found.map_err(|err| ArchiveError::new("list its runs", &err))?;
        let numbers = found.common_prefixes.iter().filter_map(|folder| {
            let name = folder.parts().next_back()?;
            name.as_ref().parse().ok().map(RunNo)
        });
        Ok(numbers.collect())
    }

    /// Removes the logs of a run.
    ///
    /// # Errors
    /// When it cannot be asked, or does not remove them all; then some are left.
    pub async fn forget(&self, run: RunNo) -> Result<(), ArchiveError> {
        let folder = self.root.clone().join(run.to_string());
        let found = self.store.list(Some(&folder));
        let places = found.map_ok(|object| object.location).boxed();
        let gone = self.store.delete_stream(places);
        let gone: Result<Vec<_>, _> = gone.try_collect().await;
        gone.map_err(|err| ArchiveError::new("forget a run", &err))?;
        Ok(())
    }
}
