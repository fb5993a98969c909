select count(*)
from asset_event
where (?1 is null or asset = ?1)
  and (?2 is null or source_dag_id = ?2)
  and (?3 is null or source_run_id = ?3)
  and (?4 is null or source_task_id = ?4)
  and (?5 is null or event in (select delivery.event from asset_delivery as delivery where delivery.run = ?5))
