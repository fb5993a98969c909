select backfill, tick, logical_date, run, skipped from backfill_date where backfill = ?1 order by tick
