select backfill_date.backfill, backfill_date.run
from backfill
join backfill_date on backfill_date.backfill = backfill.backfill
join dag_run on dag_run.run = backfill_date.run
where backfill.completed_at is null and dag_run.state in ('queued', 'running')
order by backfill_date.backfill, backfill_date.run
