-- Do dates that run again go on by the current version of the DAG? Backfills that were made before
-- have said no.
alter table backfill
    add column on_latest_version integer not null default 0 check (on_latest_version in (0, 1));
