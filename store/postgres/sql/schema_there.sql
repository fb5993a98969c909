select current_setting('server_version_num')::integer, to_regclass('_sqlx_migrations') is not null
