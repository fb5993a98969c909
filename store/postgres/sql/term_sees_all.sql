-- Row security hides rows from everybody but the owner: a scheduler must see them all.
select not row_security_active('dag_run')
