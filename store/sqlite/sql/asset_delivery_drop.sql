delete from asset_delivery where dag = ?1 and event = ?2 and run is null
