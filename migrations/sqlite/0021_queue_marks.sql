-- Only a database that processes share has these queues: nothing changes here.
-- The number is taken, so that both stores count alike.
select 1;
