-- Where the scans of the queues begin, so that rows which are long dead are not looked at again:
-- somebody's open snapshot keeps them on the disk for as long as it likes.

-- Passes number what they put into `dispatch`, in the order of their commits.
alter table dispatch add column seq bigint not null default 0;
drop index dispatch_order;
create index dispatch_seq on dispatch (seq);

-- Nothing in `dispatch` is below the highest of these numbers. It lags behind a little, and never
-- lies. A new number is a new row, so that it is found by one step in the index, however many dead
-- ones there are.
create table dispatch_mark (
    shard integer not null,
    seq bigint not null,
    primary key (shard, seq)
);
insert into dispatch_mark (shard, seq) values (0, 0);

-- Which transaction a report is of: one that had ended when the scheduler last looked brings
-- nothing new.
alter table report add column xid xid8 not null default pg_current_xact_id();
create index report_xid on report (xid);
