-- Is neither the DAG nor, for its live reading, the trigger paused?
select dag.is_paused = 0 and (stream_trigger.is_paused = 0 or ?2 <> 0)
from stream_trigger join dag on dag.dag = stream_trigger.dag
where stream_trigger.trigger_no = ?1
