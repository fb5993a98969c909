-- What stands in `dispatch`, and the highest number that was ever below it.
select run, task_no, map_index, epoch, seq from dispatch
union all
select 0, 0, 0, 0, coalesce(max(seq), 0) from dispatch_mark where shard = $1
