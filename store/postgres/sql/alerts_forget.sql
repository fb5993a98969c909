delete from alert where done_at < $1
