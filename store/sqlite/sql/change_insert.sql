insert into change (seq, at, run, body) values (?1, ?2, ?3, ?4)
