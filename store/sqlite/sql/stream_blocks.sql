select run, trigger_no, lane, blocked_at from stream_block order by run
