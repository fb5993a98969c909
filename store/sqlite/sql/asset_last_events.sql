-- The newest event of each asset.
select event, asset, at, extra, source_dag_id,
       source_run_id, source_task_id, source_map_index, emitted_by
from asset_event
where event in (select (select max(newest.event) from asset_event as newest where newest.asset = asset.asset) from asset)
order by event
