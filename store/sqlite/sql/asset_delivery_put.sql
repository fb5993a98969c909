-- What a run has taken stays with it.
insert into asset_delivery (dag, event, run)
values (?1, ?2, ?3)
on conflict (dag, event) do update set run = excluded.run where asset_delivery.run is null
