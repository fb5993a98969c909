-- Newest first; what is not asked for is null.
select event, asset, at, extra, source_dag_id,
       source_run_id, source_task_id, source_map_index, emitted_by
from asset_event
where ($1::bigint is null or asset = $1)
  and ($2::text is null or source_dag_id = $2)
  and ($3::text is null or source_run_id = $3)
  and ($4::text is null or source_task_id = $4)
  and ($5::bigint is null or event in (select delivery.event from asset_delivery as delivery where delivery.run = $5))
order by event desc
limit $6 offset $7
