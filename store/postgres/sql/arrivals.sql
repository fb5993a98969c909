-- 1: taken out again, 2: claimed, 3: ended. What is taken out is marked and stays until a pass
-- has taken that in: a scheduler that dies here loses nothing.
with withdrawn as (
    update dispatch set worker = -1
    from kill
    where dispatch.worker = 0
      and (kill.run, kill.task_no, kill.map_index, kill.epoch)
        = (dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch)
    returning dispatch.run, dispatch.task_no, dispatch.map_index, dispatch.epoch
)
(select 1, run, task_no, map_index, epoch, -1::bigint, null::text from withdrawn)
union all
(select 1, run, task_no, map_index, epoch, -1, null from dispatch where worker = -1 limit $1)
union all
(select 2, run, task_no, map_index, epoch, worker, null from dispatch where worker > 0 limit $1)
union all
(select 3, run, task_no, map_index, epoch, worker, outcome from report order by seq limit $1)
