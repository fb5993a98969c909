//! From rows to records. Columns are read in the order of the SQL texts.

use crate::trouble::Trouble;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};
use tidemill_model::{
    BackfillNo, DagNo, Epoch, MapIndex, MapItem, Reason, Reprocess, RunNo, RunState, RunType,
    SkipReason, TaskNo, TaskState, Ts, VersionNo,
};
use tidemill_store::*;

/// Reads the columns of a row, one after the other.
pub(crate) struct Columns<'r> {
    row: &'r SqliteRow,
    at: usize,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r SqliteRow) -> Columns<'r> {
        Columns { row, at: 0 }
    }

    pub(crate) fn next<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> Result<T, Trouble> {
        let at = self.at;
        self.at += 1;
        Ok(self.row.try_get(at)?)
    }

    pub(crate) fn instant(&mut self) -> Result<Ts, Trouble> {
        self.next().map(Ts)
    }

    fn maybe_instant(&mut self) -> Result<Option<Ts>, Trouble> {
        Ok(self.next::<Option<i64>>()?.map(Ts))
    }

    fn named<T>(&mut self, from_name: fn(&str) -> Option<T>) -> Result<T, Trouble> {
        let name: &str = self.next()?;
        from_name(name)
            .ok_or_else(|| Trouble::Unreadable(format!("this program does not know `{name}`")))
    }

    fn maybe_named<T>(&mut self, from_name: fn(&str) -> Option<T>) -> Result<Option<T>, Trouble> {
        let Some(name) = self.next::<Option<&str>>()? else {
            return Ok(None);
        };
        let named = from_name(name);
        named
            .map(Some)
            .ok_or_else(|| Trouble::Unreadable(format!("this program does not know `{name}`")))
    }

    fn count(&mut self) -> Result<u32, Trouble> {
        let count: i64 = self.next()?;
        u32::try_from(count).map_err(|_| Trouble::Unreadable(format!("{count} is no count")))
    }

    fn reason(&mut self) -> Result<Option<Reason>, Trouble> {
        let Some(name) = self.next::<Option<&str>>()? else {
            return Ok(None);
        };
        match Reason::from_name(name) {
            Some(reason) => Ok(Some(reason)),
            None => Err(Trouble::Unreadable(format!(
                "this program does not know the reason `{name}`"
            ))),
        }
    }

    fn followed(&mut self) -> Result<Option<Vec<TaskNo>>, Trouble> {
        let text: Option<&str> = self.next()?;
        Ok(text.map(serde_json::from_str).transpose()?)
    }

    fn map_item(&mut self) -> Result<Option<Box<MapItem>>, Trouble> {
        let text: Option<&str> = self.next()?;
        Ok(text.map(serde_json::from_str).transpose()?)
    }

    pub(crate) fn json(&mut self) -> Result<serde_json::Value, Trouble> {
        Ok(serde_json::from_str(self.next()?)?)
    }
}

/// All rows as records.
pub(crate) fn all<T>(
    rows: &[SqliteRow],
    read: impl Fn(&mut Columns<'_>) -> Result<T, Trouble>,
) -> Result<Vec<T>, Trouble> {
    rows.iter().map(|row| read(&mut Columns::of(row))).collect()
}

/// One row as a record, if there is one.
pub(crate) fn one<T>(
    row: Option<SqliteRow>,
    read: impl Fn(&mut Columns<'_>) -> Result<T, Trouble>,
) -> Result<Option<T>, Trouble> {
    row.map(|row| read(&mut Columns::of(&row))).transpose()
}

pub(crate) fn dag(columns: &mut Columns<'_>) -> Result<DagRecord, Trouble> {
    Ok(DagRecord {
        dag: DagNo(columns.next()?),
        dag_id: columns.next()?,
        file: columns.next()?,
        is_paused: columns.next()?,
        is_stale: columns.next()?,
        version: VersionNo(columns.next()?),
        version_number: columns.next()?,
        schedule_high: columns.maybe_instant()?,
        next_run: columns.maybe_instant()?,
        updated_at: columns.instant()?,
    })
}

pub(crate) fn run(columns: &mut Columns<'_>) -> Result<RunRow, Trouble> {
    Ok(RunRow {
        run: RunNo(columns.next()?),
        dag: DagNo(columns.next()?),
        run_id: columns.next()?,
        run_type: columns.named(RunType::from_name)?,
        state: columns.named(RunState::from_name)?,
        version: VersionNo(columns.next()?),
        cause: columns.next()?,
        logical_date: columns.maybe_instant()?,
        data_interval_start: columns.maybe_instant()?,
        data_interval_end: columns.maybe_instant()?,
        run_after: columns.instant()?,
        queued_at: columns.instant()?,
        started_at: columns.maybe_instant()?,
        ended_at: columns.maybe_instant()?,
        conf: columns.json()?,
        triggered_by: columns.next()?,
        note: columns.next()?,
        reason: columns.reason()?,
        retries_used: columns.next()?,
    })
}

pub(crate) fn run_record(columns: &mut Columns<'_>) -> Result<RunRecord, Trouble> {
    let row = run(columns)?;
    Ok(RunRecord {
        dag_id: columns.next()?,
        version_number: columns.next()?,
        row,
    })
}

pub(crate) fn task(columns: &mut Columns<'_>) -> Result<TaskRow, Trouble> {
    Ok(TaskRow {
        run: RunNo(columns.next()?),
        task_no: TaskNo(columns.next()?),
        map_index: MapIndex(columns.next()?),
        state: columns.named(TaskState::from_name)?,
        try_number: columns.next()?,
        max_tries: columns.next()?,
        epoch: Epoch(columns.next()?),
        worker: columns.next()?,
        losses: columns.next()?,
        scheduled_at: columns.maybe_instant()?,
        queued_at: columns.maybe_instant()?,
        started_at: columns.maybe_instant()?,
        ended_at: columns.maybe_instant()?,
        not_before: columns.maybe_instant()?,
        reason: columns.reason()?,
        message: columns.next()?,
        exit_code: columns.next()?,
        followed: columns.followed()?,
        map_item: columns.map_item()?,
        clears: columns.next()?,
    })
}

pub(crate) fn value(columns: &mut Columns<'_>) -> Result<ValueRow, Trouble> {
    Ok(ValueRow {
        run: RunNo(columns.next()?),
        task_no: TaskNo(columns.next()?),
        map_index: MapIndex(columns.next()?),
        key: columns.next()?,
        value: columns.json()?,
    })
}

pub(crate) fn task_note(columns: &mut Columns<'_>) -> Result<TaskNote, Trouble> {
    Ok(TaskNote {
        run: RunNo(columns.next()?),
        task_no: TaskNo(columns.next()?),
        map_index: MapIndex(columns.next()?),
        note: columns.next()?,
    })
}

pub(crate) fn pool(columns: &mut Columns<'_>) -> Result<PoolRecord, Trouble> {
    Ok(PoolRecord {
        name: columns.next()?,
        slots: columns.next()?,
        description: columns.next()?,
        include_deferred: columns.next()?,
        from_file: columns.next()?,
    })
}

pub(crate) fn backfill(columns: &mut Columns<'_>) -> Result<BackfillRow, Trouble> {
    Ok(BackfillRow {
        backfill: BackfillNo(columns.next()?),
        dag: DagNo(columns.next()?),
        from_date: columns.instant()?,
        to_date: columns.instant()?,
        is_backwards: columns.next()?,
        reprocess: columns.named(Reprocess::from_name)?,
        max_active_runs: columns.count()?,
        conf: columns.json()?,
        is_paused: columns.next()?,
        position: columns.maybe_instant()?,
        created_at: columns.instant()?,
        updated_at: columns.instant()?,
        completed_at: columns.maybe_instant()?,
    })
}

pub(crate) fn backfill_record(columns: &mut Columns<'_>) -> Result<BackfillRecord, Trouble> {
    let row = backfill(columns)?;
    Ok(BackfillRecord {
        dag_id: columns.next()?,
        row,
    })
}

pub(crate) fn backfill_date(columns: &mut Columns<'_>) -> Result<BackfillDate, Trouble> {
    Ok(BackfillDate {
        backfill: BackfillNo(columns.next()?),
        tick: columns.instant()?,
        logical_date: columns.instant()?,
        run: columns.next::<Option<i64>>()?.map(RunNo),
        skipped: columns.maybe_named(SkipReason::from_name)?,
    })
}

pub(crate) fn backfill_run(columns: &mut Columns<'_>) -> Result<(BackfillNo, RunNo), Trouble> {
    Ok((BackfillNo(columns.next()?), RunNo(columns.next()?)))
}

/// Each backfill with its runs.
pub(crate) fn with_runs(
    backfills: Vec<BackfillRow>,
    runs: Vec<(BackfillNo, RunNo)>,
) -> Vec<(BackfillRow, Vec<RunNo>)> {
    let of = |row: &BackfillRow| {
        let own = runs
            .iter()
            .filter(|(backfill, _)| *backfill == row.backfill);
        own.map(|(_, run)| *run).collect()
    };
    backfills
        .into_iter()
        .map(|row| {
            let runs = of(&row);
            (row, runs)
        })
        .collect()
}

/// A version without its files: these are rows of their own.
pub(crate) fn version(columns: &mut Columns<'_>) -> Result<VersionRecord, Trouble> {
    Ok(VersionRecord {
        version: VersionNo(columns.next()?),
        dag: DagNo(columns.next()?),
        number: columns.next()?,
        hash: columns.next()?,
        file: columns.next()?,
        source: columns.next()?,
        files: Vec::new(),
        created_at: columns.instant()?,
    })
}

pub(crate) fn version_file(columns: &mut Columns<'_>) -> Result<(VersionNo, PinnedFile), Trouble> {
    let version = VersionNo(columns.next()?);
    Ok((
        version,
        PinnedFile {
            path: columns.next()?,
            mode: columns.next()?,
            bytes: columns.next()?,
        },
    ))
}

/// A run that was looked at.
pub(crate) fn looked_at(columns: &mut Columns<'_>) -> Result<LookedAt, Trouble> {
    Ok(LookedAt {
        run: RunNo(columns.next()?),
        queued_at: Ts(columns.next()?),
        is_old: columns.next()?,
    })
}

pub(crate) fn task_name(columns: &mut Columns<'_>) -> Result<(TaskNo, String), Trouble> {
    Ok((TaskNo(columns.next()?), columns.next()?))
}

pub(crate) fn task_name_of_dag(
    columns: &mut Columns<'_>,
) -> Result<(DagNo, TaskNo, String), Trouble> {
    Ok((
        DagNo(columns.next()?),
        TaskNo(columns.next()?),
        columns.next()?,
    ))
}

pub(crate) fn change(columns: &mut Columns<'_>) -> Result<Change, Trouble> {
    Ok(Change {
        seq: columns.next()?,
        at: columns.instant()?,
        run: columns.next()?,
        body: columns.json()?,
    })
}

pub(crate) fn import_errors(columns: &mut Columns<'_>) -> Result<ImportErrors, Trouble> {
    Ok(ImportErrors {
        file: columns.next()?,
        errors: serde_json::from_str(columns.next()?)?,
        at: columns.instant()?,
    })
}

pub(crate) fn task_count(columns: &mut Columns<'_>) -> Result<(TaskState, i64), Trouble> {
    Ok((columns.named(TaskState::from_name)?, columns.next()?))
}

pub(crate) fn run_count(columns: &mut Columns<'_>) -> Result<(DagNo, RunState, i64), Trouble> {
    Ok((
        DagNo(columns.next()?),
        columns.named(RunState::from_name)?,
        columns.next()?,
    ))
}
