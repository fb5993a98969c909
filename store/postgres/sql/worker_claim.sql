-- The row of the worker is held, so that its lease cannot be ended in the middle of its claim.
with me as materialized (
    select queues from worker
    where worker = $1 and not is_draining and lease_until > clock_timestamp()
    for share
),
picked as materialized (
    select dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch
    from me join dispatch on dispatch.queue = any (me.queues)
    where dispatch.worker = 0
      and dispatch.seq >= (select max(seq) from dispatch_mark where shard = $3)
      and not exists (
          select 1 from kill
          where (kill.run, kill.task_no, kill.map_index, kill.epoch)
              = (dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch)
      )
    order by dispatch.priority desc, dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch
    limit $2
    for update of dispatch skip locked
),
claimed as (
    update dispatch set worker = $1
    from picked
    where (dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch)
        = (picked.run, picked.task_no, picked.map_index, picked.epoch)
    returning dispatch.*
)
select claimed.run, claimed.task_no, claimed.map_index, claimed.epoch,
       claimed.version, claimed.try_number, claimed.sealed, true, dag.dag_id,
       dag_run.run, dag_run.dag, dag_run.run_id, dag_run.run_type::text, dag_run.state::text,
       dag_run.version, dag_run.cause, dag_run.logical_date, dag_run.data_interval_start,
       dag_run.data_interval_end, dag_run.run_after, dag_run.queued_at, dag_run.started_at,
       dag_run.ended_at, dag_run.conf, dag_run.triggered_by, dag_run.note, dag_run.reason, dag_run.retries_used,
       (
           select task_instance.map_item from task_instance
           where task_instance.run = claimed.run
             and task_instance.task_no = claimed.task_no
             and task_instance.map_index = claimed.map_index
       ) as map_item,
       (select pg_notify('tidemill_arrivals', '')) is null as has_rung
from claimed
join dag_run on dag_run.run = claimed.run
join dag on dag.dag = dag_run.dag
order by claimed.priority desc, claimed.run, claimed.task_no, claimed.map_index, claimed.epoch
