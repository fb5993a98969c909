insert into connection (id, conn_type, description, host, port, login, schema_name, password, extra, updated_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
on conflict (id) do update set
    conn_type = excluded.conn_type, description = excluded.description, host = excluded.host,
    port = excluded.port, login = excluded.login, schema_name = excluded.schema_name,
    password = excluded.password, extra = excluded.extra, updated_at = excluded.updated_at
