-- 0: the oldest transaction that was under way, 1: taken out again, 2: claimed, 3: ended. What is
-- taken out is marked and stays until a pass has taken that in: a scheduler that dies here loses
-- nothing. Nothing below the two marks is there: it is not looked for among the dead.
with withdrawn as (
    update dispatch set worker = -1
    from kill
    where dispatch.worker = 0 and dispatch.seq >= $2
      and (kill.run, kill.task_no, kill.map_index, kill.epoch)
        = (dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch)
    returning dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch
)
select 0, 0::bigint, 0, 0, 0::bigint, 0::bigint, pg_snapshot_xmin(pg_current_snapshot())::text
union all
(select 1, run, task_no, map_index, epoch, -1::bigint, null::text from withdrawn)
union all
(select 1, run, task_no, map_index, epoch, -1, null from dispatch where seq >= $2 and worker = -1 limit $1)
union all
(select 2, run, task_no, map_index, epoch, worker, null from dispatch where seq >= $2 and worker > 0 limit $1)
union all
(
    select 3, run, task_no, map_index, epoch, worker, outcome from report
    where xid >= $3::text::xid8 order by seq limit $1
)
