delete from backfill_date where run = any ($1)
