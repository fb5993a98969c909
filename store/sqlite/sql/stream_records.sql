select records from stream_batch where run = ?1
