update stream_trigger set is_paused = ?2 where trigger_no = ?1
