insert into task_name (dag, task_no, task_id)
select dag, task_no, task_id from unnest($1::bigint[], $2::integer[], $3::text[]) as new (dag, task_no, task_id)
