-- The runs that events were part of, by event.
select delivery.dag, delivery.event, delivery.run
from asset_delivery as delivery
where delivery.event in (select value from json_each(?1)) and delivery.run is not null
order by delivery.event, delivery.dag
