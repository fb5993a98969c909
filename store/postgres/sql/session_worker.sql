-- A worker goes by keys and marks alone: the planner must not be misled by a table whose dead rows
-- nobody has counted.
set enable_seqscan = off;
set enable_bitmapscan = off;
set jit = off
