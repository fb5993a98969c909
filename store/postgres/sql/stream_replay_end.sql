update stream_replay set state = $2, ended_at = $3 where replay = $1 and state = 'running'
