-- Assets, their events, and what became of each event for each DAG that waits for its asset.
create table asset (
    asset integer primary key,
    name text not null unique,
    uri text not null,
    asset_group text not null,
    description text,
    extra text not null,
    created_at integer not null,
    updated_at integer not null
) strict;

create table asset_event (
    event integer primary key,
    asset integer not null references asset (asset),
    at integer not null,
    extra text not null,
    -- By name: an event outlives the run that made it.
    source_dag_id text,
    source_run_id text,
    source_task_id text,
    source_map_index integer not null,
    emitted_by text
) strict;

create index asset_event_of_asset on asset_event (asset, event desc);

-- Without a run the event waits for the DAG's next run; with one it was part of what made it.
create table asset_delivery (
    dag integer not null references dag (dag),
    event integer not null references asset_event (event),
    -- A number alone: what a run has taken stays taken when the run is forgotten.
    run integer,
    primary key (dag, event)
) strict, without rowid;

create index asset_delivery_waiting on asset_delivery (dag, event) where run is null;
create index asset_delivery_run on asset_delivery (run) where run is not null;
