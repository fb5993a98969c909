update stream_poison set state = 'dropped', key = null, value = null
where trigger_no = $1 and poison = $2 and state = 'held'
