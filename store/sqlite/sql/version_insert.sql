insert into dag_version (dag, number, hash, file, source, created_at)
values (?1, (select coalesce(max(number), 0) + 1 from dag_version where dag = ?1), ?2, ?3, ?4, ?5)
returning version
