-- Roles for the processes of Tidemill that are not the scheduler. Run this as the owner of the
-- tables, which is the role of `tidemill serve`, and again after each `tidemill db migrate`. The
-- roles have no password yet: give them one with \password, or name them in pg_hba.conf.
begin;
set local client_min_messages = warning;

do $roles$
declare
    role_name text;
begin
    foreach role_name in array array[:worker_text, :api_text] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I login', role_name);
        end if;
        -- What is not granted below is denied: also the tables of later schemas.
        execute format('revoke all on all tables in schema %I from %I', current_schema(), role_name);
        execute format('revoke all on all sequences in schema %I from %I', current_schema(), role_name);
        execute format('grant usage on schema %I to %I', current_schema(), role_name);
    end loop;
    -- Before PostgreSQL 15 everybody may make tables in `public`.
    if has_schema_privilege('public', current_schema(), 'create') then
        execute format('revoke create on schema %I from public', current_schema());
    end if;
end
$roles$;

grant select on _sqlx_migrations to :worker, :api;

-- A worker: its own row and lease,
grant insert (host, pid, slots, queues, log_url, log_token, lease, lease_until) on worker to :worker;
grant select (worker, queues, lease, lease_until, is_draining) on worker to :worker;
grant update (seen_at, lease_until) on worker to :worker;
grant delete on worker to :worker;
-- what waits for it, what it should end, and how it tells of an end,
grant select, update (worker) on dispatch to :worker;
grant select on dispatch_mark, kill to :worker;
grant select (run, task_no, map_index, epoch) on report to :worker;
grant insert (run, task_no, map_index, epoch, worker, outcome) on report to :worker;
-- and what its attempts are about.
grant select on dag_version, version_file, blob, task_name, dag_run, task_value, stream_batch, installation to :worker;
grant select (dag, dag_id) on dag to :worker;
grant select (run, task_no, map_index, epoch, state, worker, try_number, map_item) on task_instance to :worker;

-- What a task reads of topics is fixed by its worker, before it reads.
grant select, insert on task_span to :worker;
grant select on task_read to :worker;
-- Of runs that are over, only when those that succeeded were.
grant select on run_success to :worker;

-- Pages: everything that they show, whether there is a scheduler, one wish that needs none, and a row
-- to ask it by: its own words are written there and not read again, and nobody takes it in its name.
grant select on
    dag, dag_version, version_file, blob, task_name, dag_run, task_instance, task_try, task_value,
    task_note, change, import_error, backfill, backfill_date, pool, worker,
    asset, asset_event, asset_delivery, installation
to :api;
grant select (shard, until) on term_lease to :api;
grant update (is_draining) on worker to :api;
grant insert (asked), select (wish, asked_at, taken_by, answer), delete on wish to :api;

-- A worker sees runs that are open; of others it needs nothing. The owner sees every row.
alter table dag_run enable row level security;
alter table task_instance enable row level security;
alter table task_value enable row level security;
drop policy if exists :worker on dag_run;
drop policy if exists :worker on task_instance;
drop policy if exists :worker on task_value;
create policy :worker on dag_run for select to :worker using (
    state in ('queued', 'running') or exists (select from dispatch where dispatch.run = dag_run.run)
);
create policy :worker on task_instance for select to :worker using (
    exists (select from dag_run where dag_run.run = task_instance.run)
);
create policy :worker on task_value for select to :worker using (
    exists (select from dag_run where dag_run.run = task_value.run)
);
drop policy if exists :api on dag_run;
drop policy if exists :api on task_instance;
drop policy if exists :api on task_value;
create policy :api on dag_run for select to :api using (true);
create policy :api on task_instance for select to :api using (true);
create policy :api on task_value for select to :api using (true);
commit;
