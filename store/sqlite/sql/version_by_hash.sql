select version from dag_version where dag = ?1 and hash = ?2
