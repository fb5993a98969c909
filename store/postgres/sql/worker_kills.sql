select kill.run, kill.task_no, kill.map_index, kill.epoch, kill.reason
from kill
left join dispatch using (run, task_no, map_index, epoch)
where kill.worker = $1 or dispatch.worker = $1
