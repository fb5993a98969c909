select count(*)
from dag_run join stream_batch on stream_batch.run = dag_run.run
where dag_run.state in ('queued', 'running')
  and stream_batch.trigger_no = ?1 and stream_batch.replay = ?2
