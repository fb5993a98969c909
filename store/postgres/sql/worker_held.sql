-- What this worker has claimed and not reported: what no pass has taken in stands in `dispatch`,
-- the rest in the instance's own row, and never one attempt in both.
with mine as (
    select run, task_no, map_index, epoch, version, try_number, sealed, true as is_whole
    from dispatch where worker = $1
    union all
    select task_instance.run, task_instance.task_no, task_instance.map_index, task_instance.epoch,
           dag_run.version, task_instance.try_number, null, false
    from dag_run join task_instance on task_instance.run = dag_run.run
    where dag_run.state in ('queued', 'running') and task_instance.worker = $1
)
select mine.run, mine.task_no, mine.map_index, mine.epoch,
       mine.version, mine.try_number, mine.sealed, mine.is_whole, dag.dag_id,
       dag_run.run, dag_run.dag, dag_run.run_id, dag_run.run_type::text, dag_run.state::text,
       dag_run.version, dag_run.cause, dag_run.logical_date, dag_run.data_interval_start,
       dag_run.data_interval_end, dag_run.run_after, dag_run.queued_at, dag_run.started_at,
       dag_run.ended_at, dag_run.conf, dag_run.triggered_by, dag_run.note, dag_run.reason, dag_run.retries_used,
       (
           select task_instance.map_item from task_instance
           where task_instance.run = mine.run
             and task_instance.task_no = mine.task_no
             and task_instance.map_index = mine.map_index
       ) as map_item
from mine
join dag_run on dag_run.run = mine.run
join dag on dag.dag = dag_run.dag
where not exists (
    select from report
    where (report.run, report.task_no, report.map_index, report.epoch)
        = (mine.run, mine.task_no, mine.map_index, mine.epoch)
)
order by mine.run, mine.task_no, mine.map_index, mine.epoch
