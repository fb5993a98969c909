select id, conn_type, description, host, port, login, schema_name, password, extra, updated_at from connection where id in (select value from json_each(?1)) order by id
