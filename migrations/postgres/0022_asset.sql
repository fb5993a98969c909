-- Assets, their events, and what became of each event for each DAG that waits for its asset.
create table asset (
    asset bigint primary key,
    name text not null unique,
    uri text not null,
    asset_group text not null,
    description text,
    extra text not null,
    created_at bigint not null,
    updated_at bigint not null
);

create table asset_event (
    event bigint primary key,
    asset bigint not null,
    at bigint not null,
    extra text not null,
    -- By name: an event outlives the run that made it.
    source_dag_id text,
    source_run_id text,
    source_task_id text,
    source_map_index integer not null,
    emitted_by text
);

create index asset_event_of_asset on asset_event (asset, event desc);

-- Without a run the event waits for the DAG's next run; with one it was part of what made it.
create table asset_delivery (
    dag bigint not null references dag (dag),
    event bigint not null,
    -- A number alone: what a run has taken stays taken when the run is forgotten.
    run bigint,
    primary key (dag, event)
);

create index asset_delivery_waiting on asset_delivery (dag, event) where run is null;
create index asset_delivery_run on asset_delivery (run) where run is not null;
