insert into backfill_date (backfill, tick, logical_date, run, skipped)
values (?1, ?2, ?3, ?4, ?5)
on conflict (backfill, tick) do update set run = excluded.run, skipped = excluded.skipped
