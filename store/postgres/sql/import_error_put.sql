insert into import_error (file, errors, at) values ($1, $2, $3)
on conflict (file) do update set errors = excluded.errors, at = excluded.at
