select stream_batch.run, trigger_no, replay, topic, incarnation, partition, first_offset, end_offset, slot, lane,
       n_records, n_bytes, sha256, facts
from dag_run join stream_batch on stream_batch.run = dag_run.run
where dag_run.state in ('queued', 'running')
order by stream_batch.run
