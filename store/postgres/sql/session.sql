-- Nobody waits for ever, and a session that is frozen inside a transaction gives its locks back.
set statement_timeout = '30s';
set lock_timeout = '10s';
set idle_in_transaction_session_timeout = '5s';
set client_connection_check_interval = '5s'
