-- The runs that events were part of, by event.
select delivery.dag, delivery.event, delivery.run
from asset_delivery as delivery
where delivery.event = any($1::bigint[]) and delivery.run is not null
order by delivery.event, delivery.dag
