-- Events that wait for the next run of a DAG.
select delivery.dag, event.event, event.asset, event.at, event.extra,
       event.source_dag_id, event.source_run_id, event.source_task_id, event.source_map_index, event.emitted_by
from asset_delivery as delivery
join asset_event as event on event.event = delivery.event
where delivery.run is null
order by delivery.dag, event.event
