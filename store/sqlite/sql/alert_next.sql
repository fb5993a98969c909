select min(due_at) from alert where done_at is null
