update dag
set file = new.file, is_stale = 0, version = new.version, updated_at = new.at
from (
    select value ->> 'dag' as dag, value ->> 'file' as file, value ->> 'version' as version, value ->> 'at' as at
    from json_each(?1)
) as new
where dag.dag = new.dag
