delete from stream_seen where expires_at <= ?1
