begin;
set local statement_timeout = '30s';
set local lock_timeout = '10s';
set local idle_in_transaction_session_timeout = '5s';
set local enable_seqscan = off;
set local enable_bitmapscan = off;
set local jit = off
