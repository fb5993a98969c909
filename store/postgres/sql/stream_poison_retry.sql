update stream_poison set state = 'retried' where trigger_no = $1 and poison = $2 and state = 'held'
