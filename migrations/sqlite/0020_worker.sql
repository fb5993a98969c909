-- Workers in processes of their own need a database that processes share: nothing changes here.
-- The number is taken, so that both stores count alike.
select 1;
