// No-op jobs on Graphile Worker: `node bench.mjs DATABASE JOBS plain|batched` prints seconds from
// the start of the worker to the end of the last job, its completion recorded.
import { Logger, run, makeWorkerUtils } from "graphile-worker";
import pg from "pg";

const [connectionString, jobs, form] = process.argv.slice(2);
const n = Number(jobs);
const pool = new pg.Pool({ connectionString, max: 20 });
const utils = await makeWorkerUtils({ pgPool: pool });
await utils.migrate();
await pool.query(
  "select count(graphile_worker.add_job('noop', json_build_object('n', n))) from generate_series(1, $1) n",
  [n],
);
await pool.query("vacuum analyze");
const batched = {
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
// A line for each job would be half of its time.
const logger = new Logger(() => () => {});
const worker = { concurrentJobs: 16, logger, ...(form === "batched" ? batched : {}) };
let done = 0;
let finish;
const finished = new Promise((resolve) => (finish = resolve));
const began = process.hrtime.bigint();
const runner = await run({
  pgPool: pool,
  noHandleSignals: true,
  taskList: { noop: async () => { if (++done === n) finish(); } },
  preset: { worker },
});
await finished;
for (;;) {
  const left = await pool.query("select exists (select from graphile_worker._private_jobs) as any");
  if (!left.rows[0].any) break;
}
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
await runner.stop();
await utils.release();
await pool.end();
if (done !== n) throw new Error(`${done} of ${n} jobs were run`);
console.log(JSON.stringify({ seconds }));
