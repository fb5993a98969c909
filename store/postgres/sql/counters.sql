select coalesce((select value from counter where name = 'run'), 0),
       coalesce((select max(seq) from change), 0),
       coalesce((select max(backfill) from backfill), 0),
       coalesce((select max(event) from asset_event), 0)
