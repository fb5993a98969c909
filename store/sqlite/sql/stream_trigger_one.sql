select stream_trigger.trigger_no, stream_trigger.dag, dag.dag_id, stream_trigger.name,
       stream_trigger.is_paused, stream_trigger.created_at
from stream_trigger join dag on dag.dag = stream_trigger.dag
where stream_trigger.dag = ?1 and stream_trigger.name = ?2
