insert into version_file (version, path, mode, sha256) values (?1, ?2, ?3, ?4)
