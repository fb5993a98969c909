delete from backfill_date where run in (select value from json_each(?1))
