delete from stream_block where run in (select value from json_each(?1, '$.unblocked'))
