select id, conn_type, description, host, port, login, schema_name, password, extra, updated_at from connection order by id
