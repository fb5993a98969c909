-- By the run's key first: an instance is looked for by its own.
select exists (
    select 1
    from dag_run
    where dag = $1 and logical_date is not null and logical_date < $3
      and exists (
          select 1 from task_instance
          where task_instance.run = dag_run.run and task_instance.task_no = $2
      )
)
