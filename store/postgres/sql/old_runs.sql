select looked_at.run, looked_at.queued_at,
       looked_at.state in ('success', 'failed')
           and coalesce(looked_at.ended_at < $3, false)
           and (select count(*)
                from (select 1
                      from dag_run newer
                      where newer.dag = looked_at.dag and newer.run > looked_at.run
                      limit $4) newest) >= $4
from (select run, dag, state, queued_at, ended_at
      from dag_run
      where run > $1
      order by run
      limit $2) looked_at
order by looked_at.run
