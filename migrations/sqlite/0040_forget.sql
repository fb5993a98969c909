-- The dates of a backfill go with their runs.
create index backfill_date_run on backfill_date (run) where run is not null;
