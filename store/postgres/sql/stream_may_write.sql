-- Is neither the DAG nor, for its live reading, the trigger paused? The rows are not locked: a
-- pass may hold them while it waits for the counter of runs. A batch that is under way when
-- somebody pauses is one from before.
select not dag.is_paused and (not stream_trigger.is_paused or $2::bigint <> 0)
from stream_trigger join dag on dag.dag = stream_trigger.dag
where stream_trigger.trigger_no = $1
