-- Only a database that processes share carries wishes: nothing changes here.
-- The number is taken, so that both stores count alike.
select 1;
