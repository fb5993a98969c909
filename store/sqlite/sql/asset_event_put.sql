insert into asset_event
    (event, asset, at, extra, source_dag_id, source_run_id, source_task_id, source_map_index, emitted_by)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
on conflict (event) do nothing
