-- What is asked of a process that is not the scheduler. A row lives from the wish to its answer: who
-- asks writes it and takes it away, whoever has the term takes it and answers. There are few.
create table wish (
    wish bigint generated always as identity primary key,
    asked_at timestamptz not null default clock_timestamp(),
    -- The term that has taken it: nobody takes it again.
    taken_by bigint,
    asked text not null,
    answer text
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
