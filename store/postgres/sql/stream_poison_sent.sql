update stream_poison set sent_at = $2 where poison = any ($1::bigint[])
