select run, task_no, map_index, epoch, worker from dispatch
