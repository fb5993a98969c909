-- A pass goes by keys alone: the planner must not be misled by tables that nobody has analysed.
-- It is planned once. Durability is not for the server's settings to take away.
set enable_seqscan = off;
set enable_hashjoin = off;
set enable_mergejoin = off;
set jit = off;
set plan_cache_mode = force_generic_plan;
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') = 'off'
