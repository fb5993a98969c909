delete from change where seq <= ?1
