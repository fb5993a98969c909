update stream_poison set sent_at = ?2
where poison in (select value from json_each(?1))
