select name, slots, description, include_deferred, from_file from pool order by name
