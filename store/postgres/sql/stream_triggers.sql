select stream_trigger.trigger_no, stream_trigger.dag, dag.dag_id, stream_trigger.name,
       stream_trigger.is_paused, stream_trigger.created_at
from stream_trigger join dag on dag.dag = stream_trigger.dag
order by dag.dag_id, stream_trigger.name
