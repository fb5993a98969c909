-- Do dates that run again go on by the current version of the DAG? Backfills that were made before
-- have said no.
alter table backfill add column on_latest_version boolean not null default false;

-- What tasks may know of runs that are over. It is a view, so that a worker sees these columns of
-- them and nothing else.
create view run_success as
select dag, logical_date, data_interval_start, data_interval_end, started_at, ended_at
from dag_run
where state = 'success' and logical_date is not null;
